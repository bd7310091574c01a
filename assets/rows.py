"""`sampled_rows/<db>` and `linearized_corpus`: what the language model reads."""

from collections.abc import Mapping

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from assets.checks import check_specs
from assets.corpus_checks import CORPUS, no_heldout_rows, splits_disjoint
from rowgraph.artifacts import Artifact

RESOURCES = {"store", "tracking", "progress"}


def sampled_rows(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The asset of one pre-training database."""

    @dg.asset(**spec(node, code_version, "Rows drawn for the language model, spread evenly over "
                     "databases and tables; what one cannot give the others do (Section 4.2)."),
              kinds={"parquet"}, required_resource_keys=RESOURCES)
    def _sampled_rows(context: dg.AssetExecutionContext, **sources) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.rows.sampling import table_sizes, write_sampled_rows

            databases = {name: Database.open(a.folder) for name, a in sources.items()}
            return write_sampled_rows(databases[f"source__{node.key[1]}"],
                                      table_sizes(list(databases.values())), settings.rows,
                                      settings.seed, draft.folder)

        return build(context, node, sources, make)

    return _sampled_rows


def linearized_corpus(node: AssetNode, code_version: str,
                      roles: Mapping[str, str]) -> dg.AssetsDefinition:
    """The one corpus of all pre-training databases.

    Args:
        roles: of every database of the profile, to check the corpus by.
    """

    @dg.asset(**spec(node, code_version, "Every sampled row as `<table> … <attr> … <value> …`, "
                     "with its database, table, row and split (Section 4.2)."),
              kinds={"parquet"}, required_resource_keys=RESOURCES,
              check_specs=check_specs(node.key, CORPUS))
    def _linearized_corpus(context: dg.AssetExecutionContext, **sampled):
        def make(draft, settings, log):
            from rowgraph.rows.splitting import write_corpus

            folders = {a.summary["database"]: a.folder for a in sampled.values()}
            return write_corpus(folders, settings, draft.folder)

        output = build(context, node, sampled, make)
        yield output
        corpus = output.value.path("corpus.parquet")
        yield no_heldout_rows(corpus, roles)
        yield splits_disjoint(corpus)

    return _linearized_corpus
