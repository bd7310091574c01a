"""`sage_weights`: the shared GraphSAGE layers, pre-trained over many databases."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact


def sage_weights(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The pre-trained weights."""

    @dg.asset(**spec(node, code_version, "Two shared SAGEConv layers, pre-trained by masked value "
                     "reconstruction over every pre-training database (Section 4.3.2)."),
              kinds={"pytorch", "pyg"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _sage_weights(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.embeddings import EmbeddingStore
            from rowgraph.figures import curve_chart, read_curves
            from rowgraph.graph.entity_graph import EntityGraph
            from rowgraph.sage.pretraining import PretrainDatabase, pretrain

            names = [n.removeprefix("entity_graph__") for n in inputs if "entity_graph" in n]
            databases = []
            for name in names:
                graph = EntityGraph.load(inputs[f"entity_graph__{name}"].folder)
                vectors = EmbeddingStore.open(inputs[f"node_embeddings__{name}"].folder,
                                              graph.num_nodes)
                databases.append(PretrainDatabase(name, graph, vectors))
            with context.resources.compute.session() as device:
                summary = pretrain(databases, settings, draft, device=device, log=log)
            curve_chart(read_curves(draft.folder), "SAGE pre-training", draft.notes / "curves.png")
            return summary

        return build(context, node, inputs, make)

    return _sage_weights
