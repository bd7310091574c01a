"""A resolved database: plain Parquet files and the relational facts of its manifest.

Row i of a table is node i of its node type and vector i of its embeddings, everywhere.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

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
    """

    name: str
    folder: Path
    tables: dict[str, TableSchema]
    val_timestamp: int
    test_timestamp: int
    hidden: frozenset[tuple[str, str]] = frozenset()

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
                   microseconds(manifest["test_timestamp"]))

    def path(self, table: str) -> Path:
        """Where the Parquet file of a table lies."""
        return self.folder / "db" / f"{table}.parquet"

    def num_rows(self, table: str) -> int:
        """Rows of a table, from the file's footer."""
        return pq.read_metadata(self.path(table)).num_rows

    def without(self, hidden: Iterable[tuple[str, str]]) -> Database:
        """The same database with these (table, column) pairs hidden too."""
        return dataclasses.replace(self, hidden=self.hidden | frozenset(hidden))

    def columns(self, table: str) -> list[str]:
        """The visible columns of a table, in file order; an index that pandas wrote is none."""
        return [c for c in pq.read_schema(self.path(table)).names
                if (table, c) not in self.hidden and not PANDAS_INDEX.fullmatch(c)]

    def read(self, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        """A table, or some of its columns, rows in file order."""
        names = pq.read_schema(self.path(table)).names
        # By position: polars takes a name such as `^a.*$` for a pattern.
        positions = [names.index(c) for c in self._visible(table, columns)]
        return pl.read_parquet(self.path(table), columns=positions)

    def column(self, table: str, column: str) -> pl.Series:
        """One column, rows in file order, without its name: polars' methods take some names, such
        as `^a.*$`, for patterns."""
        return self.read(table, [column]).to_series().alias("")

    def read_chunks(self, table: str, columns: list[str] | None = None,
                    rows: int = 65_536) -> Iterator[tuple[int, pl.DataFrame]]:
        """A table piece by piece in file order, never more than one piece in memory.

        Yields:
            The number of the piece's first row, and its at most `rows` rows.
        """
        first, names = 0, self._visible(table, columns)
        with pq.ParquetFile(self.path(table)) as file:
            for batch in file.iter_batches(rows, columns=names):
                # Arrow reads `a.b` too where `a` is asked for.
                yield first, pl.from_arrow(pa.Table.from_batches([batch]).select(names))
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
        series = self.column(table, column).cast(pl.Datetime("us")).to_physical()
        return series.fill_null(NEVER).to_numpy().astype(np.int64)

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


def microseconds(timestamp: object) -> int:
    """Microseconds since 1970 of an ISO string, a date or a datetime."""
    return int(np.datetime64(str(timestamp).strip().replace(" ", "T"), "us").astype(np.int64))
