"""`evaluation/<db>/<task>` and `row_map/<db>`: what the models of a profile are worth, and how they
see a database."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from assets.checks import check_specs
from assets.score_checks import SCORES, above_prior
from rowgraph.artifacts import Artifact
from rowgraph.sage.settings import SageWeightsSettings


def evaluation(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The evaluation of one task."""

    @dg.asset(**spec(node, code_version, "Every model and baseline of a task, scored on the same "
                     "resamples: metrics with intervals, paired comparisons, calibration, and the "
                     "predictions of the test rows (docs/decisions/statistics.md)."),
              kinds={"parquet"}, required_resource_keys={"store", "tracking", "progress"},
              check_specs=check_specs(node.key, SCORES))
    def _evaluation(context: dg.AssetExecutionContext, **inputs):
        folders = {name: a.folder for name, a in inputs.items() if name != "source"}

        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.evaluation.evaluating import evaluate_task
            from rowgraph.tasks.loading import load_task

            task = load_task(Database.open(inputs["source"].folder), node.task, settings)
            return evaluate_task(task, folders, settings, draft, log=log)

        output = build(context, node, inputs, make)
        context.resources.tracking.log_intervals(output.value, inputs)
        yield output
        yield above_prior(inputs["source"].folder, node.task, folders,
                          output.value.summary["chosen"], output.value.manifest["settings"])

    return _evaluation


def row_map(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The map of one held-out database's rows."""

    @dg.asset(**spec(node, code_version, "t-SNE of row vectors before and after the GNN, by table "
                     "(Figures 6 and 7)."),
              kinds={"pytorch", "pyg"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _row_map(context: dg.AssetExecutionContext, entity_graph: Artifact,
                 node_embeddings: Artifact, sage_weights: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.embeddings import EmbeddingStore
            from rowgraph.graph.entity_graph import EntityGraph
            from rowgraph.reports.row_maps import write_row_map
            from rowgraph.sage.pretraining import load_shared

            graph = EntityGraph.load(entity_graph.folder)
            with context.resources.compute.session() as device:
                return write_row_map(
                    graph, EmbeddingStore.open(node_embeddings.folder, graph.num_nodes),
                    load_shared(sage_weights.folder),
                    SageWeightsSettings.model_validate(sage_weights.manifest["settings"]),
                    settings, draft, device=device)

        inputs = {"entity_graph": entity_graph, "node_embeddings": node_embeddings,
                  "sage_weights": sage_weights}
        return build(context, node, inputs, make)

    return _row_map
