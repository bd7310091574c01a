"""`bart_checkpoint` and `node_embeddings/<db>`: text becomes vectors."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact

RESOURCES = {"compute", "store", "tracking", "progress"}


def bart_checkpoint(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The row language model."""

    @dg.asset(**spec(node, code_version, "BART fine-tuned with schema-aware masking (Section "
                     "4.3.1); not published when its embeddings have collapsed."),
              kinds={"pytorch", "huggingface"}, pool=GPU_POOL, required_resource_keys=RESOURCES)
    def _bart_checkpoint(context: dg.AssetExecutionContext,
                         linearized_corpus: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.figures import curve_chart, read_curves
            from rowgraph.language.fine_tuning import fine_tune

            with context.resources.compute.session() as device:
                summary = fine_tune(linearized_corpus.path("corpus.parquet"), settings, draft,
                                    device=device, log=log)
            curve_chart(read_curves(draft.folder), "BART fine-tuning", draft.notes / "curves.png")
            return {**summary, "keys": linearized_corpus.manifest["settings"]["keys"]}

        return build(context, node, {"linearized_corpus": linearized_corpus}, make)

    return _bart_checkpoint


def node_embeddings(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The vectors of one database."""

    @dg.asset(**spec(node, code_version, "One vector per row, memory-mapped by table: mean of the "
                     "encoder's last hidden states (Section 4.3.1)."),
              kinds={"numpy"}, pool=GPU_POOL, required_resource_keys=RESOURCES)
    def _node_embeddings(context: dg.AssetExecutionContext, source: Artifact,
                         bart_checkpoint: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.embeddings import write_embeddings

            database = Database.open(source.folder)
            attributes = {table: database.attributes(table, bart_checkpoint.summary["keys"])
                          for table in database.tables}
            with context.resources.compute.session() as device:
                return write_embeddings(database, bart_checkpoint.path("checkpoint"), settings,
                                        draft, attributes=attributes, device=device, log=log)

        return build(context, node, {"source": source, "bart_checkpoint": bart_checkpoint}, make)

    return _node_embeddings
