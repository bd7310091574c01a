"""`baseline_metrics` and `peer_metrics` of `<db>/<task>`: what a model has to beat."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact


def baseline_metrics(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The baselines of one task."""

    @dg.asset(**spec(node, code_version, "Baselines on the same label rows and regimes: constants, "
                     "an entity's own history, LightGBM on its row, and the Data Scientist "
                     "(window features), each chosen on folds."),
              kinds={"lightgbm"}, required_resource_keys={"store", "tracking", "progress"})
    def _baseline_metrics(context: dg.AssetExecutionContext, source: Artifact,
                          window_features: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.baselines.running import run_baselines
            from rowgraph.databases.database import Database
            from rowgraph.tasks.loading import load_task

            task = load_task(Database.open(source.folder), node.task, settings)
            return run_baselines(task, window_features.folder, settings, draft, log=log)

        return build(context, node, {"source": source, "window_features": window_features}, make)

    return _baseline_metrics


def peer_metrics(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The peers of one task that can be run here."""

    @dg.asset(**spec(node, code_version, "Models of others, run by us on the same label rows and "
                     "regimes (docs/decisions/peers.md)."),
              kinds={"pytorch", "pyg"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _peer_metrics(context: dg.AssetExecutionContext, source: Artifact,
                      entity_graph: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.baselines.peers.running import run_peers
            from rowgraph.databases.database import Database
            from rowgraph.graph.entity_graph import EntityGraph
            from rowgraph.tasks.loading import load_task

            task = load_task(Database.open(source.folder), node.task, settings)
            with context.resources.compute.session() as device:
                return run_peers(task, EntityGraph.load(entity_graph.folder), settings, draft,
                                 device=device, log=log)

        return build(context, node, {"source": source, "entity_graph": entity_graph}, make)

    return _peer_metrics
