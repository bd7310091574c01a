"""Two exports of one database: which cells changed under the same primary key.

What a measure on one export can only suspect, two of them show: a column whose cells differ
between the older and the newer export was written after its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from rowgraph.databases.database import Database


@dataclass(frozen=True)
class Change:
    """A column whose cells are others in the newer export.

    Args:
        table, column: which.
        rows: that both exports have, by primary key.
        changed: of them, cells that differ; `filled` were empty, `emptied` are empty now.
        example: primary key, old and new cell.
    """

    table: str
    column: str
    rows: int
    changed: int
    filled: int
    emptied: int
    example: str


def changes(old: Database, new: Database) -> Iterator[Change]:
    """Every column that changed, column by column; no more than two columns in memory.

    Args:
        old, new: tables and columns that one of them lacks are passed over, and so are tables
            without a primary key: nothing says which rows are the same.

    Raises:
        ValueError: they have no table in common.
    """
    shared = [t for t in old.tables if t in new.tables]
    if not shared:
        raise ValueError(f"{old.folder} and {new.folder} have no table in common; name two exports "
                         "of one database")
    for table in shared:
        key = old.tables[table].pkey_col
        if key is None or key != new.tables[table].pkey_col:
            continue
        here, there = old.column(table, key), new.column(table, key)
        place = {k: i for i, k in enumerate(there.to_list())}
        at = np.array([place.get(k, -1) for k in here.to_list()], dtype=np.int64)
        rows, at = np.flatnonzero(at >= 0), at[at >= 0]
        for column in old.columns(table):
            if column != key and column in new.columns(table):
                before = old.column(table, column, late=True).gather(rows)
                after = new.column(table, column, late=True).gather(at)
                if found := _change(table, column, here.gather(rows), before, after):
                    yield found


def _change(table: str, column: str, keys: pl.Series, before: pl.Series,
            after: pl.Series) -> Change | None:
    if before.dtype != after.dtype:
        before, after = before.cast(pl.String), after.cast(pl.String)
    differs = before.ne_missing(after)
    if not differs.any():
        return None
    filled, emptied = before.is_null() & differs, after.is_null() & differs
    row = int(differs.arg_max())
    return Change(table, column, len(keys), int(differs.sum()), int(filled.sum()),
                  int(emptied.sum()), f"{keys[row]}: {before[row]} became {after[row]}")
