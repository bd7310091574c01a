"""Which rows the language model reads (Section 4.2).

The paper samples 100,000 rows "evenly distributed across the 6 databases and their tables" and
says neither what happens to tables smaller than their share nor how a row is drawn; see
docs/decisions/sampling.md. Shares are filled like communicating vessels: what a small table cannot
take goes to the others. A row's place in the queue is a stable hash of its identity, so asking for
more rows keeps those already drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.artifacts import write_json
from rowgraph.databases.database import Database
from rowgraph.randomness import uniform_of_rows

ROW = "row"  # column of a sampled table that holds the row's number in its database


def allot(sizes: Mapping[tuple[str, str], int], rows: int) -> dict[tuple[str, str], int]:
    """Spread rows evenly over databases, then over each one's tables.

    A table smaller than its share is taken whole; the rest goes to the other tables of its
    database, and what a whole database cannot take goes to the other databases.

    Args:
        sizes: number of rows by (database, table).
        rows: to hand out; capped at the sum of `sizes`.

    Returns:
        The number of rows of each key of `sizes`, in the same order.
    """
    databases: dict[str, dict[str, int]] = {}
    for (database, table), size in sizes.items():
        databases.setdefault(database, {})[table] = size
    shares = water_fill({d: sum(tables.values()) for d, tables in databases.items()}, rows)
    filled = {d: water_fill(tables, shares[d]) for d, tables in databases.items()}
    return {(d, t): filled[d][t] for d, t in sizes}


def water_fill(capacity: Mapping[str, int], total: int) -> dict[str, int]:
    """Raise one level in all vessels until `total` is poured or all are full.

    Args:
        capacity: the most that each vessel takes.
        total: to pour; what exceeds the sum of the capacities is left over.

    Returns:
        The content of each vessel: any two that are not full differ by at most one, the earlier
        of the two holding more.
    """
    left = min(total, sum(capacity.values()))
    level = max(capacity.values(), default=0)
    for place, size in enumerate(sorted(capacity.values())):
        share = left // (len(capacity) - place)
        if size > share:
            level = share
            break
        left -= size
    content = {name: min(size, level) for name, size in capacity.items()}
    spare = min(total, sum(capacity.values())) - sum(content.values())
    for name in [n for n in capacity if capacity[n] > level][:spare]:
        content[name] += 1
    return content


def share_of(rows: int, databases: Sequence[str], name: str) -> int:
    """The rows that one database contributes to the corpus: an even one, rounded up early on.

    A database that holds fewer rows than its share gives what it has. An asset knows only its own
    database, so the shortfall is not handed to the others, unlike in `allot`.

    Args:
        rows: of the whole corpus.
        databases: every pre-training database, in the profile's order.
        name: the database asked for, one of them.
    """
    place = list(databases).index(name)
    return rows // len(databases) + (place < rows % len(databases))


def draw_rows(database: Database, table: str, count: int, seed: int) -> np.ndarray:
    """Row numbers drawn without replacement, each row equally likely.

    Returns:
        int64 [min(count, num_rows)], ascending. The draw of a larger count contains that of a
        smaller one.
    """
    num_rows = database.num_rows(table)
    rows = np.arange(num_rows, dtype=np.int64)
    if count >= num_rows:
        return rows
    place = uniform_of_rows(rows, "sampled_rows", database.name, table, seed)
    return np.sort(np.argsort(place, kind="stable")[:count]).astype(np.int64)


def sample_rows(database: Database, counts: Mapping[str, int],
                seed: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """The drawn rows of each table, with every column and the row number.

    Args:
        counts: rows to draw by table; tables with 0 are passed over.

    Yields:
        Table name and its rows in file order; the last column, int64, is the row number
        (`row`, or see `row_column`).
    """
    for table, count in counts.items():
        if count == 0:
            continue
        rows = draw_rows(database, table, count, seed)
        frame = database.read(table)[rows]
        yield table, frame.with_columns(pl.Series(row_column(frame.columns), rows, pl.Int64))


def row_column(columns: Sequence[str]) -> str:
    """`row`, with as many underscores as it takes not to be one of the table's own columns."""
    name = ROW
    while name in columns:
        name += "_"
    return name


def write_sampled_rows(database: Database, rows: int, seed: int,
                       draft_folder: Path) -> dict[str, Any]:
    """Write `<table>.parquet` for each table with drawn rows, and `schema.json`.

    Args:
        rows: this database's share (`share_of`), spread evenly over its tables.
        draft_folder: where to write.

    Returns:
        A summary: `database`, `rows` and the rows drawn by table.
    """
    sizes = {(database.name, t): database.num_rows(t) for t in database.tables}
    counts = {table: n for (_, table), n in allot(sizes, rows).items()}
    tables = {}
    for table, frame in sample_rows(database, counts, seed):
        frame.write_parquet(draft_folder / f"{table}.parquet")
        keys = list(database.tables[table].key_cols)
        tables[table] = {"columns": frame.columns[:-1], "keys": keys, "row": frame.columns[-1],
                         "rows": frame.height, "of": sizes[database.name, table]}
    write_json(draft_folder / "schema.json", {"database": database.name, "tables": tables})
    return {"database": database.name, "rows": sum(counts.values()), "tables": counts}
