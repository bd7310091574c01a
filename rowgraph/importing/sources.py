"""Where rows come from: a database behind a URL, a database file, or a folder of files.

A source is read only and shows one moment of its database. Rows leave it in batches, in few types:
int64, float64, bool, string and timestamp (microseconds, UTC). What a database holds beyond these
is written as text (lists, documents, ranges) or left out (bytes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from rowgraph.importing.found import FoundTable, ImportFault, Kind

BATCH = 65_536  # rows
TYPES: Mapping[Kind, pa.DataType] = {
    "integer": pa.int64(), "number": pa.float64(), "flag": pa.bool_(),
    "time": pa.timestamp("us"), "date": pa.timestamp("us"), "interval": pa.float64(),
    "text": pa.string(), "identifier": pa.string(), "nested": pa.string(), "other": pa.string()}


class Source(Protocol):
    """A database that is being read."""

    name: str  # for people and files: without a password

    @property
    def tables(self) -> tuple[FoundTable, ...]:
        """What its catalogue says."""

    def rows(self, table: str, columns: Sequence[str], *, above: tuple[str, Any] | None = None,
             limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of a table in batches, columns in the types of `TYPES`.

        Args:
            above: a column and a value: only rows with more.
            limit: rows at most.

        Raises:
            ImportFault: they cannot be read.
        """

    def emptied(self, table: str, columns: Sequence[str], *,
                above: tuple[str, Any] | None = None) -> dict[str, int]:
        """By column, values that are there and that none of the types can hold (an infinite time,
        one before the year 1, a number beyond 64 bits): in the rows they are empty.

        Args:
            above: as in `rows`, which has been read.
        """

    def close(self) -> None:
        """Let go of it."""


def open_source(url: str, schema: str | None = None) -> Source:
    """A source by URL, file or folder.

    Args:
        url: of SQLAlchemy, such as `postgresql://user@host/shop`; a SQLite or DuckDB file; or a
            folder of CSV or Parquet files.
        schema: of the database; None is its default one.

    Raises:
        ImportFault: there is none, or it cannot be reached.
    """
    from rowgraph.importing.duckdb_source import DuckDBSource

    if url.startswith("duckdb:///"):
        return DuckDBSource.of_file(Path(url.removeprefix("duckdb:///")), schema)
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise ImportFault(f"{url}: there is no such file; SQLite would make an empty one")
    if "://" in url:
        from rowgraph.importing.sql_source import SqlSource

        return SqlSource(url, schema)
    path = Path(url)
    if path.is_dir():
        return DuckDBSource.of_folder(path)
    if not path.is_file():
        raise ImportFault(f"{url}: no such file or folder, and no URL; write a SQLAlchemy URL such "
                          "as postgresql://user@host/name, or the path of a SQLite or DuckDB file "
                          "or of a folder of CSV or Parquet files")
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3"):
        from rowgraph.importing.sql_source import SqlSource

        return SqlSource(f"sqlite:///{path}", schema)
    if head[8:12] == b"DUCK":
        return DuckDBSource.of_file(path, schema)
    raise ImportFault(f"{url} is neither a SQLite nor a DuckDB file; of CSV or Parquet files give "
                      "the folder that holds them")
