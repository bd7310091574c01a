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

    A table is read piece by piece; only what was drawn is kept.

    Args:
        counts: rows to draw by table; tables with 0 are passed over.

    Yields:
        Table name and its rows in file order; the last column, int64, is the row number
        (`row`, or see `row_column`).
    """
    for table, count in counts.items():
        if count == 0:
            continue
        rows, kept = draw_rows(database, table, count, seed), []
        for first, frame in database.read_chunks(table):
            low, high = np.searchsorted(rows, [first, first + frame.height])
            kept.append(frame[rows[low:high] - first])
        drawn = pl.concat(kept)
        yield table, drawn.with_columns(pl.Series(row_column(drawn.columns), rows, pl.Int64))


def row_column(columns: Sequence[str]) -> str:
    """`row`, with as many underscores as it takes not to be one of the table's own columns."""
    name = ROW
    while name in columns:
        name += "_"
    return name


def write_sampled_rows(database: Database, sizes: Mapping[tuple[str, str], int], rows: int,
                       seed: int, draft_folder: Path) -> dict[str, Any]:
    """Write `<table>.parquet` for each table with drawn rows, and `schema.json`.

    Args:
        sizes: number of rows by (database, table) of every pre-training database, this one
            included: what one cannot give the others do.
        rows: of the whole corpus.
        draft_folder: where to write.

    Returns:
        A summary: `database`, `rows` and by table the rows drawn, the rows it has, the share drawn,
        its columns (keys not counted) and the share of empty cells in them.
    """
    counts = {t: n for (name, t), n in allot(sizes, rows).items() if name == database.name}
    tables, shown = {}, {}
    for table in database.tables:
        shown[table] = {"drawn": 0, "of": sizes[database.name, table], "share": 0.0,
                        "columns": len(database.attributes(table)), "empty_cells": 0.0}
    for table, frame in sample_rows(database, counts, seed):
        frame.write_parquet(draft_folder / f"{table}.parquet")
        keys = list(database.tables[table].key_cols)
        tables[table] = {"columns": frame.columns[:-1], "keys": keys, "row": frame.columns[-1],
                         "rows": frame.height, "of": sizes[database.name, table]}
        # Not `select`, for which a name such as `^a.*$` is a pattern.
        cells = pl.DataFrame([frame[column] for column in database.attributes(table)])
        shown[table] |= {
            "drawn": frame.height, "share": round(frame.height / tables[table]["of"], 6),
            "empty_cells": round(_empty_cells(cells) / max(1, cells.height * cells.width), 6)}
    write_json(draft_folder / "schema.json", {"database": database.name, "tables": tables})
    return {"database": database.name, "rows": sum(counts.values()), "tables": shown}


def _empty_cells(frame: pl.DataFrame) -> int:
    """Null, NaN and empty text."""
    return sum(int((column.fill_nan(None) if column.dtype.is_float() else column).null_count())
               + (int((column == "").sum()) if column.dtype == pl.String else 0)
               for column in frame.iter_columns())


def table_sizes(databases: Sequence[Database]) -> dict[tuple[str, str], int]:
    """Number of rows by (database, table)."""
    return {(d.name, table): d.num_rows(table) for d in databases for table in d.tables}
