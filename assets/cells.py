"""`cell_store/<db>`: rows as numbers."""

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact


def cell_store(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The cells of one database."""

    @dg.asset(**spec(node, code_version, "Every row as numbers, times and codes, memory-mapped; "
                     "scales and words are those of rows before `val_timestamp`."),
              kinds={"numpy"}, required_resource_keys={"store", "tracking", "progress"})
    def _cell_store(context: dg.AssetExecutionContext, source: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.cells.store import write_cell_store
            from rowgraph.databases.database import Database

            return write_cell_store(Database.open(source.folder), settings, draft)

        return build(context, node, {"source": source}, make)

    return _cell_store
