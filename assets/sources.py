"""`source/<db>`: the resolved, checked and truncated database."""

import dagster as dg

from assets.building import build, settings_of, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact


def source(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The asset of one database."""

    @dg.asset(**spec(node, code_version, "A resolved database: a RelBench 3 folder, checked, "
                     "truncated and row-numbered. Row i here is node i and vector i."),
              kinds={"parquet"},
              required_resource_keys={"databases", "store", "tracking", "progress"})
    def _source(context: dg.AssetExecutionContext) -> dg.Output[Artifact]:
        settings, _ = settings_of(context, node)
        databases = context.resources.databases
        origin = databases.resolve(settings)
        extra, fingerprint = databases.extra_tasks(settings.name)
        outside = {"origin": origin.fingerprint} | ({"tasks": fingerprint} if extra else {})

        def make(draft, settings, log):
            from rowgraph.databases.sourcing import write_source

            return write_source(origin, settings, draft, extra)

        return build(context, node, {}, make, outside=outside)

    return _source
