"""`sage_weights` and `sage_sweep/<name>`: shared GraphSAGE layers, pre-trained over databases."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact

WHAT = {
    "sage_weights": "Two shared SAGEConv layers, pre-trained by masked value reconstruction over "
                    "every pre-training database (Section 4.3.2).",
    "sage_sweep": "The same pre-training with other settings: the masking probabilities of Table "
                  "2, other objectives.",
}


def pretraining(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """Pre-trained weights."""

    @dg.asset(**spec(node, code_version, WHAT[node.stage]),
              kinds={"pytorch", "pyg"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _pretraining(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.figures import pretraining_chart, read_curves
            from rowgraph.sage.pretraining import pretrain

            with context.resources.compute.session() as device:
                summary = pretrain(pretrain_databases(inputs, device), settings, draft,
                                   device=device, log=log)
            pretraining_chart(read_curves(draft.folder), node.name, draft.notes / "curves.png")
            return summary

        return build(context, node, inputs, make)

    return _pretraining


def pretrain_databases(inputs: dict[str, Artifact], device: str) -> list:
    """Graphs and embeddings among the inputs, and masked texts where their sources are too."""
    from rowgraph.embeddings import EmbeddingStore
    from rowgraph.graph.entity_graph import EntityGraph
    from rowgraph.sage.pretraining import PretrainDatabase

    names = [n.removeprefix("entity_graph__") for n in inputs if n.startswith("entity_graph__")]
    encoder, databases = None, []
    for name in names:
        graph = EntityGraph.load(inputs[f"entity_graph__{name}"].folder)
        embeddings = inputs[f"node_embeddings__{name}"]
        texts = None
        if f"source__{name}" in inputs:
            from rowgraph.databases.database import Database
            from rowgraph.encoding.encoder import RowEncoder
            from rowgraph.encoding.settings import NodeEmbeddingsSettings
            from rowgraph.sage.masked_texts import MaskedTexts

            checkpoint = inputs["bart_checkpoint"]
            if encoder is None:
                encoder = RowEncoder.open(
                    checkpoint.path("checkpoint"),
                    NodeEmbeddingsSettings.model_validate(embeddings.manifest["settings"]), device)
            database = Database.open(inputs[f"source__{name}"].folder)
            texts = MaskedTexts(database, encoder, {
                t: database.attributes(t, checkpoint.summary["keys"]) for t in database.tables})
        vectors = EmbeddingStore.open(embeddings.folder, graph.num_nodes)
        databases.append(PretrainDatabase(name, graph, vectors, texts))
    return databases
