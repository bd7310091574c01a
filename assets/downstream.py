"""`rowgraph_metrics`, `downstream_metrics` and `transfer_metrics` of `<db>/<task>`: answers on
held-out data."""

from typing import Any

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from assets.forecasting import reading
from rowgraph.artifacts import Artifact
from rowgraph.progress import Log
from rowgraph.sage.settings import SageWeightsSettings


def rowgraph_metrics(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """RowGraph's own model of one task."""

    @dg.asset(**spec(node, code_version, "RowGraph's own model of one task: linear on frozen "
                     "vectors, trees on windows and vectors, fine-tuned networks, the entity's own "
                     "history, and their blend, each chosen on folds."),
              kinds={"pytorch", "lightgbm"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _rowgraph_metrics(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.adaptation.hybrid.finetuning import Ground
            from rowgraph.adaptation.hybrid.running import run_rowgraph
            from rowgraph.databases.database import Database
            from rowgraph.tasks.loading import load_task

            task = load_task(Database.open(inputs["source"].folder), node.task, settings)
            with context.resources.compute.session() as device:
                others = inputs.get("forecast_weights")
                ground = Ground(reading(inputs), task, inputs["own_past_weights"].folder,
                                others and others.folder, settings, device)
                return run_rowgraph(ground, inputs["window_features"].folder, draft, log=log)

        return build(context, node, inputs, make)

    return _rowgraph_metrics


def downstream_metrics(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """Every variant, regime and seed of one task."""

    @dg.asset(**spec(node, code_version, "Every variant × regime × seed of one task of a held-out "
                     "database: choices on folds, then predictions of its validation and test rows "
                     "(Sections 4.4 and 5)."),
              kinds={"pytorch", "pyg"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _downstream_metrics(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.adaptation.running import run_task
            from rowgraph.adaptation.variants import variant
            from rowgraph.databases.database import Database
            from rowgraph.graph.entity_graph import EntityGraph
            from rowgraph.tasks.loading import load_task

            task = load_task(Database.open(inputs["source"].folder), node.task, settings)
            graph = EntityGraph.load(inputs["entity_graph"].folder)
            with context.resources.compute.session() as device:
                joint = any(variant(name).joint for name in settings.variants)
                vectors = _vectors(inputs, task, graph, draft, device, log, joint)
                return run_task(task, graph, vectors, settings, draft, device=device, log=log)

        return build(context, node, inputs, make)

    return _downstream_metrics


def _vectors(inputs: dict[str, Artifact], task: Any, graph: Any, draft: Any, device: str,
             log: Log, joint: bool) -> dict[int, Any]:
    """What each language model of the profile says of the database, by its seed.

    Rows of tables with columns that the task must not see are encoded anew without them. With
    `joint` the rows' texts come along, for a variant that trains the language model.
    """
    from rowgraph.adaptation.joint.texts import RowTexts
    from rowgraph.adaptation.vectors import BartVectors
    from rowgraph.embeddings import EmbeddingStore
    from rowgraph.encoding.row_vectors import without_hidden
    from rowgraph.encoding.settings import NodeEmbeddingsSettings
    from rowgraph.sage.pretraining import load_shared

    found = {}
    for name, checkpoint in inputs.items():
        if not name.startswith("bart_checkpoint"):
            continue
        more = name.removeprefix("bart_checkpoint")
        stored, sage = inputs[f"node_embeddings{more}"], inputs[f"sage_weights{more}"]
        store = EmbeddingStore.open(stored.folder, graph.num_nodes)
        if task.database.hidden:
            store = without_hidden(
                store, task.database, checkpoint.path("checkpoint"),
                NodeEmbeddingsSettings.model_validate(stored.manifest["settings"]),
                draft.state / f"vectors{more}", keys=checkpoint.summary["keys"], device=device,
                log=log)
        texts = RowTexts.of(task.database, checkpoint.path("checkpoint"),
                            keys=checkpoint.summary["keys"]) if joint else None
        found[checkpoint.manifest["settings"]["seed"]] = BartVectors(
            store, load_shared(sage.folder),
            SageWeightsSettings.model_validate(sage.manifest["settings"]), texts)
    return found


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
