"""What several measures ask of a database, read once: times, who names whom, sampled rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases.database import NEVER, Database, moments
from rowgraph.databases.knowledge import Cell
from rowgraph.randomness import uniform_of_rows

SAMPLE = 40_000  # rows of a table
BATCH = 131_072


class Look:
    """One database, as it stands.

    Args:
        database: shows every cell: nothing is known of it yet.
    """

    def __init__(self, database: Database):
        self.database = database
        self.times = cache(database.times)
        self.since = cache(self._since)
        self.later_children = cache(self._later_children)

    def _since(self, table: str) -> np.ndarray:
        """int64 [rows]: the row's own time; without one that of the first row that names it,
        `NEVER` where none does."""
        if self.database.tables[table].time_col:
            return self.times(table)
        found = np.full(self.database.num_rows(table), NEVER)
        for child, fkey in self.children(table):
            if self.database.tables[child].time_col:
                keys = self.database.keys(child, fkey)
                np.minimum.at(found, keys[keys >= 0], self.times(child)[keys >= 0])
        return found

    def children(self, table: str) -> Iterator[Cell]:
        """Tables and keys that name rows of a table."""
        for child, schema in self.database.tables.items():
            yield from ((child, fkey) for fkey, parent in schema.fkeys.items() if parent == table)

    def _later_children(self, table: str, child: str, fkey: str) -> np.ndarray:
        """int64 [rows]: how many rows name each row after its time (all, where it has none)."""
        keys, times = self.database.keys(child, fkey), self.times(child)
        own = self.times(table)
        later = (keys >= 0) & (times < NEVER)
        later[later] = times[later] > own[keys[later]]
        return np.bincount(keys[later], minlength=self.database.num_rows(table))

    def kinds(self, table: str) -> dict[str, str]:
        """The columns of a table that may be suspected: `time`, `fkey` to rows with times, or
        `other`."""
        schema = self.database.tables[table]
        names = pq.read_schema(self.database.path(table))
        found = {}
        for column in self.database.columns(table):
            kind = names.field(column).type
            if column in (schema.pkey_col, schema.time_col):
                continue
            if column in schema.fkeys:
                if self.database.tables[schema.fkeys[column]].time_col:
                    found[column] = "fkey"
            elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                found[column] = "time"
            elif not pa.types.is_nested(kind) and not pa.types.is_binary(kind):
                found[column] = "other"
        return found

    def moments(self, table: str, column: str, missing: int) -> np.ndarray:
        """int64 [rows]: of times, or of the rows that a key names."""
        schema = self.database.tables[table]
        if column not in schema.fkeys:
            return moments(self.database.column(table, column), missing)
        keys = self.database.keys(table, column)
        parents = self.times(schema.fkeys[column])
        return np.where(keys >= 0, parents[keys] if len(parents) else missing, missing)

    def sample(self, table: str, columns: list[str]) -> tuple[np.ndarray, pl.DataFrame]:
        """Row numbers, ascending, and their cells."""
        rows = self.database.num_rows(table)
        rows_read, pieces, first = [], [], 0
        with pq.ParquetFile(self.database.path(table)) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                numbers = np.arange(first, first + batch.num_rows)
                first += batch.num_rows
                if rows > SAMPLE:
                    numbers = numbers[uniform_of_rows(numbers, "suspects", self.database.name,
                                                      table, 0) < SAMPLE / rows]
                if len(numbers):
                    taken = pa.Table.from_batches([batch]).select(columns).take(
                        numbers - (first - batch.num_rows))
                    rows_read.append(numbers)
                    pieces.append(pl.from_arrow(taken))
        if not pieces:
            return np.empty(0, np.int64), pl.DataFrame()
        return np.concatenate(rows_read), pl.concat(pieces)
