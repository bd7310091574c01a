"""`report`: what was measured, for people; and who is champion, which it is the first to know."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from assets.describing import worth_of
from resources.champions import Champions
from rowgraph.artifacts import Artifact


def report(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The report of a profile."""

    @dg.asset(**spec(node, code_version, "The answers, the paper's tables and figures beside ours, "
                     "and what they cost, as Parquet, Markdown and one self-contained HTML page. "
                     "Decides whether a model that was trained anew becomes champion "
                     "(docs/decisions/champion.md)."),
              kinds={"parquet", "markdown"},
              required_resource_keys={"store", "tracking", "progress"})
    def _report(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        store, tracking = context.resources.store, context.resources.tracking
        champions = Champions(Path(store.home), store.profile)
        found = champions.candidates(inputs)
        evaluation = next(a for a in inputs.values() if a.key[0] == "evaluation")
        records, compared = champions.judge(
            found, tracking.versions(store.profile, {n: c.artifact for n, c in found.items()}),
            evaluation.manifest["settings"])

        def make(draft, settings, log):
            from rowgraph.reports.report import write_report

            return write_report({name: artifact.folder for name, artifact in inputs.items()},
                                settings, draft, facts=store.facts(), retraining={
                                    n: record["decision"] for n, record in records.items()})

        output = build(context, node, inputs, make, again=bool(compared))
        for checkpoint in ("bart_checkpoint", "sage_weights"):
            if checkpoint in inputs:
                context.log_event(worth_of(inputs[checkpoint], output.value))
        champions.write({**champions.read(), **records})
        tracking.crown(store.profile, records)
        for name in compared:
            decision = records[name]["decision"]
            context.log.info(f"{name}: {decision['decision']}: {decision['reason']}")
        context.add_output_metadata({"retraining": _table(records)})
        return output

    return _report


def _table(records: Mapping[str, Mapping[str, Any]]) -> dg.MetadataValue:
    """The last decision about each model."""
    columns = ("date", "version", "against", "decision", "unchanged", "reason")
    return dg.MetadataValue.table([dg.TableRecord({
        "model": name, **{c: str(record["decision"][c]) for c in columns}})
        for name, record in records.items()])
