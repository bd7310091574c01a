"""`window_features/<db>/<task>`: what a data scientist would have written by hand."""

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact


def window_features(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The window features of one task."""

    @dg.asset(**spec(node, code_version, "Aggregates along foreign keys over windows, and label "
                     "history, strictly as of each label row: one Parquet file a view, with "
                     "columns that a person can read."),
              kinds={"parquet", "numpy"}, required_resource_keys={"store", "tracking", "progress"})
    def _window_features(context: dg.AssetExecutionContext,
                         source: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.features.store import write_window_features
            from rowgraph.tasks.loading import load_task

            task = load_task(Database.open(source.folder), node.task, settings)
            return write_window_features(task, settings, draft, log=log)

        return build(context, node, {"source": source}, make)

    return _window_features
