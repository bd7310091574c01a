"""A resolved database: plain Parquet files and the relational facts of its manifest.

Row i of a table is node i of its node type and vector i of its embeddings, everywhere.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases.knowledge import EXPORT, Knowledge
from rowgraph.yaml_files import read_yaml

TIMELESS = np.iinfo(np.int64).min  # a row of a table without a time column: visible always
NEVER = np.iinfo(np.int64).max  # a missing time in a table with one: never visible (as RelBench)
PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # an index without a name: RelBench drops it too


@dataclass(frozen=True)
class TableSchema:
    """What a Parquet file cannot say about a table: its keys and its time."""

    name: str
    pkey_col: str | None
    time_col: str | None
    fkeys: dict[str, str]  # fkey_col -> table that it references

    @property
    def key_cols(self) -> tuple[str, ...]:
        """The primary key column, if any, and the foreign key columns."""
        return ((self.pkey_col,) if self.pkey_col else ()) + tuple(self.fkeys)


@dataclass(frozen=True)
class Database:
    """A RelBench 3 folder, read lazily.

    Args:
        name: as in its manifest.
        folder: holds `manifest.yaml`, `db/<table>.parquet` and `tasks/<task>/`.
        tables: schemas in manifest order.
        val_timestamp, test_timestamp: microseconds since 1970.
        hidden: (table, column) pairs that a task must not see. No method shows them, so that
            whatever is made from this object is free of them.
        knowledge: which cells were written after their row.

    What is read holds a cell only if it was known with its row: who asks with a seed's time may
    ask for all (`late`) and then owes it to `known_at` to hide what the seed may not see.

    Examples:
        >>> import tempfile
        >>> from rowgraph.example import write_example
        >>> database = write_example(tempfile.mkdtemp())
        >>> database.num_rows("orders"), database.tables["orders"].fkeys
        (88, {'customer_id': 'customers', 'book_id': 'books'})
        >>> database.read("books")["title"].to_list()
        ['Emma', 'Dracula', 'Ulysses', 'Kim']
        >>> database.keys("orders", "customer_id")[:4]
        array([0, 3, 6, 1])
        >>> database.without([("books", "price")]).columns("books")
        ['id', 'title']
    """

    name: str
    folder: Path
    tables: dict[str, TableSchema]
    val_timestamp: int
    test_timestamp: int
    hidden: frozenset[tuple[str, str]] = frozenset()
    knowledge: Knowledge = field(default_factory=Knowledge)

    @classmethod
    def open(cls, folder: Path) -> Database:
        """Read `manifest.yaml` of a folder that `check` has passed."""
        manifest = read_yaml(folder / "manifest.yaml")
        tables = {
            name: TableSchema(name, spec.get("pkey"), spec.get("time_col"),
                              dict(spec.get("fkeys") or {}))
            for name, spec in manifest["tables"].items()
        }
        return cls(manifest["name"], folder, tables, microseconds(manifest["val_timestamp"]),
                   microseconds(manifest["test_timestamp"])).knowing(Knowledge.read(folder))

    def path(self, table: str) -> Path:
        """Where the Parquet file of a table lies."""
        return self.folder / "db" / f"{table}.parquet"

    def num_rows(self, table: str) -> int:
        """Rows of a table, from the file's footer."""
        return pq.read_metadata(self.path(table)).num_rows

    def without(self, hidden: Iterable[tuple[str, str]]) -> Database:
        """The same database with these (table, column) pairs hidden too."""
        return dataclasses.replace(self, hidden=self.hidden | frozenset(hidden))

    def knowing(self, knowledge: Knowledge) -> Database:
        """The same database with other rules of when its cells are known."""
        tables = {name: dataclasses.replace(schema, fkeys={
            fkey: parent for fkey, parent in schema.fkeys.items()
            if (name, fkey) not in knowledge.dropped}) for name, schema in self.tables.items()}
        return dataclasses.replace(self, knowledge=knowledge, tables=tables)

    def columns(self, table: str) -> list[str]:
        """The visible columns of a table, in file order; an index that pandas wrote is none, and
        neither is one that somebody dropped."""
        gone = self.hidden | self.knowledge.dropped
        return [c for c in pq.read_schema(self.path(table)).names
                if (table, c) not in gone and not PANDAS_INDEX.fullmatch(c)]

    def read(self, table: str, columns: list[str] | None = None, *,
             late: bool = False) -> pl.DataFrame:
        """A table, or some of its columns, rows in file order.

        Args:
            late: also cells that were known later than their row; else they are null.
        """
        names = pq.read_schema(self.path(table)).names
        # By position: polars takes a name such as `^a.*$` for a pattern.
        positions = [names.index(c) for c in self._visible(table, columns)]
        frame = pl.read_parquet(self.path(table), columns=positions)
        return frame if late else self._with_rows(table, frame, 0, self._late(table, columns))

    def column(self, table: str, column: str, *, late: bool = False) -> pl.Series:
        """One column, rows in file order, without its name: polars' methods take some names, such
        as `^a.*$`, for patterns."""
        return self.read(table, [column], late=late).to_series().alias("")

    def read_chunks(self, table: str, columns: list[str] | None = None, rows: int = 65_536, *,
                    late: bool = False) -> Iterator[tuple[int, pl.DataFrame]]:
        """A table piece by piece in file order, never more than one piece in memory.

        Args:
            late: as in `read`.

        Yields:
            The number of the piece's first row, and its at most `rows` rows.
        """
        first, names = 0, self._visible(table, columns)
        hidden = {} if late else self._late(table, columns)
        with pq.ParquetFile(self.path(table)) as file:
            for batch in file.iter_batches(rows, columns=names):
                # Arrow reads `a.b` too where `a` is asked for.
                frame = pl.DataFrame(pa.Table.from_batches([batch]).select(names))
                yield first, self._with_rows(table, frame, first, hidden)
                first += batch.num_rows

    def attributes(self, table: str, keys: bool = False) -> list[str]:
        """The columns that make a row's text: all but the keys, unless `keys`."""
        schema = self.tables[table]
        return [c for c in self.columns(table) if keys or c not in schema.key_cols]

    def times(self, table: str) -> np.ndarray:
        """int64 [num_rows]: microseconds since 1970, `TIMELESS` or `NEVER`."""
        column = self.tables[table].time_col
        if column is None:
            return np.full(self.num_rows(table), TIMELESS, dtype=np.int64)
        return moments(self.column(table, column), NEVER)

    def keys(self, table: str, fkey: str) -> np.ndarray:
        """int64 [num_rows]: the row that a foreign key names, -1 for none, whenever written."""
        key = self.column(table, fkey, late=True)
        key = key.fill_nan(None) if key.dtype.is_float() else key
        rows = key.cast(pl.Int64).fill_null(-1).to_numpy()
        there = (rows >= 0) & (rows < self.num_rows(self.tables[table].fkeys[fkey]))
        return rows if there.all() else np.where(there, rows, -1)

    def known_at(self, table: str, column: str) -> np.ndarray | None:
        """From when each cell is known, where that is later than its row.

        Returns:
            int64 [num_rows], microseconds: to a seed whose view ends later, as with rows;
            `TIMELESS` where the cell is known with its row; None where all are. An empty cell
            whose moment has not come is known when the data were read, and so is everything that
            `export` says: that it was still empty is of that day. A time is known at the latest
            once it is reached, unless it is said to be scheduled.
        """
        rule = self.knowledge.rules.get((table, column))
        if rule is None and self._is_time(table, column):
            reached = moments(self.column(table, column), TIMELESS)
            later = reached > self.times(table)
            return np.where(later, reached, TIMELESS) if later.any() else None
        source = self.knowledge.source(table, column)
        return None if source is None else self._moments(table, source)

    @cached_property
    def read_at(self) -> int:
        """Microseconds: the newest time of any row, until when the data were written."""
        newest = [times[times < NEVER].max(initial=TIMELESS) for times in map(
            self.times, (t for t, schema in self.tables.items() if schema.time_col))]
        return int(max(newest, default=TIMELESS))

    @cached_property
    def _held(self) -> dict[tuple[str, str], np.ndarray]:
        return {}

    def _moments(self, table: str, source: str) -> np.ndarray:
        if (table, source) not in self._held:
            schema = self.tables[table]
            if source == EXPORT or (table, source) in self.hidden:
                # Of a moment that a task must not see, not even what it decides may be seen.
                found = np.full(self.num_rows(table), self.read_at)
            elif source in schema.fkeys:
                keys, parents = self.keys(table, source), self.times(schema.fkeys[source])
                found = np.where(keys >= 0, parents[keys], self.read_at) if len(
                    parents) else np.full(len(keys), self.read_at)
            else:
                found = moments(self.column(table, source, late=True), self.read_at)
            self._held[table, source] = np.where(found > self.times(table), found, TIMELESS)
        return self._held[table, source]

    def _late(self, table: str, columns: list[str] | None) -> dict[str, np.ndarray]:
        """bool [num_rows] by column: cells that were not yet known with their row."""
        sources = {c: self.knowledge.source(table, c) for c in self._visible(table, columns)}
        return {column: self._moments(table, source) != TIMELESS
                for column, source in sources.items() if source is not None}

    def _is_time(self, table: str, column: str) -> bool:
        if column == self.tables[table].time_col:
            return False
        kind = pq.read_schema(self.path(table)).field(column).type
        return pa.types.is_timestamp(kind) or pa.types.is_date(kind)

    def _with_rows(self, table: str, frame: pl.DataFrame, first: int,
                   late: dict[str, np.ndarray]) -> pl.DataFrame:
        """The frame with the cells emptied that were known later than their row."""
        if not late:
            return frame
        columns = []
        for series in frame.iter_columns():
            if series.name in late:
                hit = late[series.name][first:first + len(series)]
                cells = pl.DataFrame([series.alias("cell"), pl.Series("late", hit)])
                series = cells.select(pl.when(~pl.col("late")).then("cell"))["cell"].alias(
                    series.name)
            columns.append(series)
        return pl.DataFrame(columns)

    def _visible(self, table: str, columns: list[str] | None) -> list[str]:
        visible = self.columns(table)
        for column in columns or ():
            if (table, column) in self.hidden:
                raise ValueError(f"{self.name}: {table}.{column} is hidden from this task and was "
                                 "asked for; a task must not see what its label is made of")
            if column not in visible:
                raise ValueError(f"{self.name}: {table} has no column {column!r}; it has "
                                 f"{', '.join(visible)}")
        return visible if columns is None else columns


def moments(column: pl.Series, missing: int) -> np.ndarray:
    """int64 [rows]: microseconds since 1970 of a column of dates or times."""
    ticks = column.cast(pl.Datetime("us")).to_physical()
    return ticks.fill_null(missing).to_numpy().astype(np.int64)


def microseconds(timestamp: object) -> int:
    """Microseconds since 1970 of an ISO string, a date or a datetime."""
    return int(np.datetime64(str(timestamp).strip().replace(" ", "T"), "us").astype(np.int64))
