"""Checks of `node_embeddings/<db>`: a vector for every row, and each one a vector."""

from pathlib import Path

import dagster as dg
import numpy as np

from rowgraph.databases.database import Database
from rowgraph.randomness import generator

VECTORS = {
    "vectors_finite": "Vectors are numbers, none is zero, and rows with different texts have "
                      "different ones (on a sample of each table).",
    "row_counts_match": "Every table has as many vectors as rows: vector i is row i.",
}
SAMPLE = 512  # rows of a table


def vectors_finite(embeddings: Path, source: Path, keys: bool) -> dg.AssetCheckResult:
    """Tables with vectors that are no use.

    Args:
        embeddings, source: folders of the vectors and of their database.
        keys: whether texts hold key columns.
    """
    from rowgraph.embeddings import EmbeddingStore

    store, database = EmbeddingStore.open(embeddings), Database.open(source)
    bad, looked = [], 0
    for table in store.tables:
        size = store.num_rows(table)
        rows = np.sort(generator("vectors_finite", database.name, table).permutation(size)[:SAMPLE])
        vectors = store.gather(table, rows).numpy()
        looked += len(rows)
        finite = np.isfinite(vectors).all(1)
        zero = ~vectors.any(1)
        if not finite.all():
            bad.append(f"{table}: {(~finite).sum()} of {len(rows)} are not finite, row "
                       f"{rows[~finite][0]} for one")
        elif zero.any():
            bad.append(f"{table}: {zero.sum()} of {len(rows)} are zero, row "
                       f"{rows[zero][0]} for one")
        elif len(rows) > 1 and (vectors == vectors[0]).all() and _differ(
                database, table, rows, keys):
            bad.append(f"{table}: all {len(rows)} are equal, their texts are not")
    return dg.AssetCheckResult(
        check_name="vectors_finite", passed=not bad,
        description="; ".join(bad) + "; look at the health of bart_checkpoint, then run "
        "node_embeddings again with force" if bad else
        f"{looked:,} vectors of {len(store.tables)} tables are finite, not zero and told apart",
        metadata={"vectors": looked, "dim": store.dim, "dtype": store.dtype})


def _differ(database: Database, table: str, rows: np.ndarray, keys: bool) -> bool:
    """Whether some of the rows have different texts."""
    names = database.attributes(table, keys)
    return bool(names) and database.read(table, names)[rows].n_unique() > 1


def row_counts_match(embeddings: Path, source: Path) -> dg.AssetCheckResult:
    """Vectors and rows of each table."""
    from rowgraph.embeddings import EmbeddingStore

    store, database = EmbeddingStore.open(embeddings), Database.open(source)
    vectors = {table: store.num_rows(table) for table in store.tables}
    rows = {table: database.num_rows(table) for table in database.tables}
    wrong = [f"{t}: {vectors.get(t, 'no')} vectors, {rows.get(t, 'no')} rows"
             for t in {**rows, **vectors} if vectors.get(t) != rows.get(t)]
    return dg.AssetCheckResult(
        check_name="row_counts_match", passed=not wrong,
        description="; ".join(wrong) + "; run node_embeddings again with force" if wrong else
        f"{sum(rows.values()):,} rows in {len(rows)} tables, a vector each",
        metadata={"rows": dg.MetadataValue.json(rows)})
