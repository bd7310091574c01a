"""`bart_checkpoint` and `node_embeddings/<db>`: text becomes vectors."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from assets.checks import HEALTH, ROWS_FIT, check_specs, health_checks, rows_fit
from assets.corpus_checks import MASKS, masking_rates
from assets.vector_checks import VECTORS, row_counts_match, vectors_finite
from rowgraph.artifacts import Artifact

RESOURCES = {"compute", "store", "tracking", "progress"}


def bart_checkpoint(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The row language model."""

    @dg.asset(**spec(node, code_version, "BART fine-tuned with schema-aware masking (Section "
                     "4.3.1); not published when its embeddings have collapsed."),
              kinds={"pytorch", "huggingface"}, pool=GPU_POOL, required_resource_keys=RESOURCES,
              check_specs=check_specs(node.key, {**HEALTH, **ROWS_FIT, **MASKS}))
    def _bart_checkpoint(context: dg.AssetExecutionContext, linearized_corpus: Artifact):
        def make(draft, settings, log):
            from rowgraph.figures import curve_chart, read_curves
            from rowgraph.parallel.launching import launched

            compute = context.resources.compute
            with compute.session() as device:
                corpus = linearized_corpus.path("corpus.parquet").resolve()
                summary = launched("bart_checkpoint", {"corpus": str(corpus)}, settings, draft,
                                   device=device, log=log, launch=compute.launch(device))
            curve_chart(read_curves(draft.folder), "BART fine-tuning", draft.notes / "curves.png")
            return {**summary, "keys": linearized_corpus.manifest["settings"]["keys"]}

        output = build(context, node, {"linearized_corpus": linearized_corpus}, make)
        yield output
        summary, settings = output.value.summary, output.value.manifest["settings"]
        yield from health_checks(summary["health"], settings)
        yield rows_fit(summary["truncation_rate"], settings["max_tokens"])
        yield masking_rates(linearized_corpus.path("corpus.parquet"),
                            output.value.path("checkpoint"), settings)

    return _bart_checkpoint


def node_embeddings(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The vectors of one database."""

    @dg.asset(**spec(node, code_version, "One vector per row, memory-mapped by table: mean of the "
                     "encoder's last hidden states (Section 4.3.1)."),
              kinds={"numpy"}, pool=GPU_POOL, required_resource_keys=RESOURCES,
              check_specs=check_specs(node.key, {**ROWS_FIT, **VECTORS}))
    def _node_embeddings(context: dg.AssetExecutionContext, source: Artifact,
                         bart_checkpoint: Artifact):
        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.encoding.row_vectors import write_embeddings

            database = Database.open(source.folder)
            attributes = {table: database.attributes(table, bart_checkpoint.summary["keys"])
                          for table in database.tables}
            with context.resources.compute.session() as device:
                return write_embeddings(database, bart_checkpoint.path("checkpoint"), settings,
                                        draft, attributes=attributes, device=device, log=log)

        output = build(context, node, {"source": source, "bart_checkpoint": bart_checkpoint}, make)
        yield output
        rates = {t: f["truncated"] for t, f in output.value.summary["tables"].items()}
        yield rows_fit(rates, bart_checkpoint.manifest["settings"]["max_tokens"])
        yield vectors_finite(output.value.folder, source.folder, bart_checkpoint.summary["keys"])
        yield row_counts_match(output.value.folder, source.folder)

    return _node_embeddings
