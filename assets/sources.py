"""`source/<db>`: the resolved, checked and truncated database."""

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from assets.checks import SUSPECTS, check_specs, no_open_suspects
from assets.launchpad import settings_of
from assets.reporting import explained


def source(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The asset of one database."""

    @dg.asset(**spec(node, code_version, "A resolved database: a RelBench 3 folder, checked, "
                     "truncated and row-numbered. Row i here is node i and vector i."),
              kinds={"parquet"},
              check_specs=check_specs(node.key, SUSPECTS),
              required_resource_keys={"databases", "store", "tracking", "progress"})
    def _source(context: dg.AssetExecutionContext):
        settings, _ = settings_of(context, node)
        databases = context.resources.databases
        with explained():
            origin = databases.resolve(settings)
            extra, fingerprint = databases.extra_tasks(settings.name)
        outside = {"origin": origin.fingerprint} | ({"tasks": fingerprint} if extra else {})

        def make(draft, settings, log):
            from rowgraph.databases.sourcing import write_source

            return write_source(origin, settings, draft, extra)

        output = build(context, node, {}, make, outside=outside)
        yield output
        yield no_open_suspects(output.value.summary)

    return _source
