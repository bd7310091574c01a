"""`report`: what was measured, for people."""

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from assets.describing import worth_of
from rowgraph.artifacts import Artifact


def report(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The report of a profile."""

    @dg.asset(**spec(node, code_version, "The answers, the paper's tables and figures beside ours, "
                     "and what they cost, as Parquet, Markdown and one self-contained HTML page."),
              kinds={"parquet", "markdown"},
              required_resource_keys={"store", "tracking", "progress"})
    def _report(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.reports.report import write_report

            return write_report({name: artifact.folder for name, artifact in inputs.items()},
                                settings, draft, facts=context.resources.store.facts())

        output = build(context, node, inputs, make)
        for checkpoint in ("bart_checkpoint", "sage_weights"):
            if checkpoint in inputs:
                context.log_event(worth_of(inputs[checkpoint], output.value))
        context.resources.tracking.crown({n: inputs[n] for n in ("bart_checkpoint", "sage_weights")
                                          if n in inputs})
        return output

    return _report
