"""`downstream_metrics`, `transfer_metrics` and `baseline_metrics` of `<db>/<task>`: answers on
held-out data."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact
from rowgraph.sage.settings import SageWeightsSettings


def downstream_metrics(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """Every variant, regime and seed of one task."""

    @dg.asset(**spec(node, code_version, "Every variant × regime × seed of one task of a held-out "
                     "database, with its predictions (Sections 4.4 and 5)."),
              kinds={"pytorch", "pyg"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _downstream_metrics(context: dg.AssetExecutionContext, source: Artifact,
                            entity_graph: Artifact, node_embeddings: Artifact,
                            sage_weights: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.adaptation.ablation import run_task
            from rowgraph.databases.database import Database
            from rowgraph.embeddings import EmbeddingStore
            from rowgraph.graph.entity_graph import EntityGraph
            from rowgraph.sage.pretraining import load_shared
            from rowgraph.tasks.loading import load_task

            graph = EntityGraph.load(entity_graph.folder)
            sage = SageWeightsSettings.model_validate(sage_weights.manifest["settings"])
            with context.resources.compute.session() as device:
                return run_task(
                    load_task(Database.open(source.folder), node.task), graph,
                    EmbeddingStore.open(node_embeddings.folder, graph.num_nodes),
                    load_shared(sage_weights.folder), settings, sage, draft, device=device,
                    log=log)

        inputs = {"source": source, "entity_graph": entity_graph,
                  "node_embeddings": node_embeddings, "sage_weights": sage_weights}
        return build(context, node, inputs, make)

    return _downstream_metrics


def transfer_metrics(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """What each pre-training of the profile is worth for one task."""

    @dg.asset(**spec(node, code_version, "Every pre-training of the profile against none, with "
                     "few and with all labels of one task (docs/decisions/transfer.md)."),
              kinds={"pytorch", "pyg"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _transfer_metrics(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            import polars as pl

            from rowgraph.databases.database import Database
            from rowgraph.embeddings import EmbeddingStore
            from rowgraph.evaluation.transfer import Pretrained, run_transfer
            from rowgraph.figures import transfer_chart
            from rowgraph.graph.entity_graph import EntityGraph
            from rowgraph.sage.pretraining import load_shared
            from rowgraph.tasks.loading import load_task

            graph = EntityGraph.load(inputs["entity_graph"].folder)
            trained = {n.removeprefix("sage_sweep__"): Pretrained(
                load_shared(a.folder), SageWeightsSettings.model_validate(a.manifest["settings"]))
                for n, a in inputs.items() if n.startswith("sage_")}
            with context.resources.compute.session() as device:
                summary = run_transfer(
                    load_task(Database.open(inputs["source"].folder), node.task), graph,
                    EmbeddingStore.open(inputs["node_embeddings"].folder, graph.num_nodes),
                    trained, settings, draft, device=device, log=log)
            transfer_chart(pl.read_parquet(draft.path("transfer.parquet")), node.name,
                           draft.notes / "transfer.png")
            return summary

        return build(context, node, inputs, make)

    return _transfer_metrics


def baseline_metrics(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The baselines of one task."""

    @dg.asset(**spec(node, code_version, "Baselines on the same label rows and regimes."),
              kinds={"lightgbm"}, required_resource_keys={"store", "tracking", "progress"})
    def _baseline_metrics(context: dg.AssetExecutionContext,
                          source: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.baselines.entity_row import run_baselines
            from rowgraph.databases.database import Database
            from rowgraph.tasks.loading import load_task

            database = Database.open(source.folder)
            return run_baselines(database, load_task(database, node.task), settings, draft,
                                 log=log)

        return build(context, node, {"source": source}, make)

    return _baseline_metrics
