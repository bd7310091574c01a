"""The texts of a table's rows, in shards, and which of them stand nowhere before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from rowgraph.databases.database import Database
from rowgraph.rows.linearization import linearize_frame


def row_texts(database: Database, table: str, columns: list[str], shard: int,
              start: int = 0) -> Iterator[tuple[int, pl.Series]]:
    """Linearized rows of a table from row `start` on, in shards: first row and texts."""
    for first, frame in frames(database, table, columns, shard):
        if first + frame.height > start:
            skip = max(0, start - first)
            yield first + skip, linearize_frame(table, frame[skip:], columns)


def frames(database: Database, table: str, columns: list[str],
            rows: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The table in pieces; where a text has no column, frames that hold nothing but their rows."""
    if columns:
        yield from database.read_chunks(table, columns, rows)
    else:
        count = database.num_rows(table)
        for first in range(0, count, rows):
            yield first, pl.select(row=pl.int_range(first, min(first + rows, count)))


def first_rows(shards: Iterable[tuple[int, pl.Series]]) -> np.ndarray:
    """int64 [N]: for each text the place at which an equal one stands first.

    Texts are told apart by two 64-bit hashes: with ten million of them the odds that two different
    ones share both are below 1 in 10^24.
    """
    hashes = [pl.DataFrame({"a": texts.hash(1), "b": texts.hash(2)})
              for _, texts in shards]
    if not hashes:
        return np.zeros(0, dtype=np.int64)
    place = pl.concat(hashes).with_row_index("place")
    return place.select(pl.col("place").min().over("a", "b").cast(pl.Int64))["place"].to_numpy()
