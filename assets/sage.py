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
            from rowgraph.parallel.launching import launched

            compute = context.resources.compute
            with compute.session() as device:
                summary = launched("sage_weights", folders_of(inputs), settings, draft,
                                   device=device, log=log, launch=compute.launch(device))
            pretraining_chart(read_curves(draft.folder), node.name, draft.notes / "curves.png")
            return summary

        return build(context, node, inputs, make)

    return _pretraining


def folders_of(inputs: dict[str, Artifact]) -> dict:
    """Folders of graphs and vectors among the inputs, and what texts are encoded with where the
    sources are inputs too."""
    databases: dict[str, dict[str, str]] = {}
    for key, artifact in inputs.items():
        stage, _, name = key.partition("__")
        if name:
            databases.setdefault(name, {})[stage] = str(artifact.folder.resolve())
    texts = None
    if "bart_checkpoint" in inputs:
        checkpoint = inputs["bart_checkpoint"]
        vectors = next(a for key, a in inputs.items() if key.startswith("node_embeddings__"))
        texts = {"checkpoint": str(checkpoint.path("checkpoint").resolve()),
                 "settings": vectors.manifest["settings"], "keys": checkpoint.summary["keys"]}
    return {"databases": databases, "texts": texts}
