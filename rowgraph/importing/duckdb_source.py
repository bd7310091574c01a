"""A DuckDB file, or a folder of CSV or Parquet files, which DuckDB reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from rowgraph.databases.report import reason
from rowgraph.databases.sql_text import literal, quoted
from rowgraph.importing.connections import without_bar
from rowgraph.importing.found import FoundColumn, FoundKey, FoundTable, ImportFault, kind_of
from rowgraph.importing.sources import BATCH

READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".csv.gz": "read_csv",
           ".tsv": "read_csv", ".tsv.gz": "read_csv"}


class DuckDBSource:
    """Tables that a DuckDB connection shows.

    Args:
        name: for people.
        connection: read only; it is closed with the source.
        schema: whose tables.
        declared: whether keys are declared: files declare none.
    """

    def __init__(self, name: str, connection: duckdb.DuckDBPyConnection, schema: str,
                 declared: bool):
        self.name, self._connection, self._schema = name, connection, schema
        connection.execute("SET TimeZone = 'UTC'")  # what has a zone is shown in it
        without_bar(connection)
        self.tables = tuple(self._table(table, view, declared) for table, view in self._names())

    @classmethod
    def of_file(cls, path: Path, schema: str | None = None) -> DuckDBSource:
        """A DuckDB database."""
        if not path.is_file():
            raise ImportFault(f"{path}: no such file; give the path of a DuckDB database")
        try:
            connection = duckdb.connect(str(path), read_only=True)
            return cls(str(path), connection, schema or "main", declared=True)
        except duckdb.Error as error:
            raise ImportFault(f"{path} cannot be read as a DuckDB database ({reason(error)})"
                              ) from None

    @classmethod
    def of_folder(cls, folder: Path) -> DuckDBSource:
        """A folder of files, each a table of the file's name."""
        connection = duckdb.connect()
        found: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            ending = next((e for e in READERS if path.name.lower().endswith(e)), None)
            if ending is None:
                continue
            if not path.is_file():  # left out without a word, it would be a table less
                raise ImportFault(f"{path} is no regular file; put the file itself there, or move "
                                  "it out of the folder")
            table = path.name[:-len(ending)]
            if table in found:
                raise ImportFault(f"{folder}: {found[table].name} and {path.name} would be one "
                                  "table; rename or remove one of them")
            found[table] = path
            try:
                # One view a file; a path is a value, so it is quoted as one.
                connection.execute(
                    f"CREATE VIEW {quoted(table)} AS SELECT * FROM {READERS[ending]}("
                    f"{literal(str(path))})")
            except duckdb.Error as error:
                raise ImportFault(f"{path} cannot be read ({reason(error)}); mend it, or move it "
                                  "out of the folder") from None
        if not found:
            raise ImportFault(f"{folder} holds no CSV or Parquet file")
        return cls(str(folder), connection, "main", declared=False)

    def rows(self, table: str, columns: Sequence[str], *, above: tuple[str, Any] | None = None,
             limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """As `Source.rows`."""
        kinds = {t.name: t for t in self.tables}[table].kinds
        sql = (f"SELECT {', '.join(_cast(c, kinds[c]) for c in columns)} "
               f"FROM {quoted(self._schema)}.{quoted(table)}")
        values = []
        if above is not None:
            sql, values = sql + f" WHERE {quoted(above[0])} > ?", [above[1]]
        sql += "" if limit is None else f" LIMIT {limit}"
        try:
            with self._connection.cursor() as cursor:
                yield from cursor.sql(sql, params=values).to_arrow_reader(BATCH)
        except (duckdb.Error, pa.ArrowInvalid) as error:
            raise ImportFault(f"{self.name}: table {table} cannot be read ({reason(error)})"
                              ) from None

    def emptied(self, table: str, columns: Sequence[str], *,
                above: tuple[str, Any] | None = None) -> dict[str, int]:
        """As `Source.emptied`."""
        kinds = {t.name: t for t in self.tables}[table].kinds
        some = [c for c in columns if kinds[c] in ("integer", "number", "time", "date")]
        if not some:
            return {}
        counts = ", ".join(f"count({quoted(c)}) - count({_cell(c, kinds[c])})" for c in some)
        sql, values = f"SELECT {counts} FROM {quoted(self._schema)}.{quoted(table)}", []
        if above is not None:
            sql, values = sql + f" WHERE {quoted(above[0])} > ?", [above[1]]
        with self._connection.cursor() as cursor:
            found = cursor.execute(sql, values).fetchone()
        return {c: count for c, count in zip(some, found, strict=True) if count}

    def close(self) -> None:
        """As `Source.close`."""
        self._connection.close()

    def _names(self) -> list[tuple[str, bool]]:
        found = self._connection.execute(
            "SELECT table_name, table_type = 'VIEW' FROM information_schema.tables "
            "WHERE table_schema = ? ORDER BY table_name", [self._schema]).fetchall()
        if not found:
            raise ImportFault(f"{self.name}: schema {self._schema} holds no table")
        return found

    def _table(self, table: str, view: bool, declared: bool) -> FoundTable:
        columns = tuple(
            FoundColumn(name, kind_of(said), said, nullable == "YES")
            for name, said, nullable in self._connection.execute(
                "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
                "WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
                [self._schema, table]).fetchall())
        pkey, fkeys = self._keys(table) if declared else ((), ())
        rows = None
        if not view or not declared:
            rows = self._connection.execute(
                f"SELECT count(*) FROM {quoted(self._schema)}.{quoted(table)}").fetchall()[0][0]
        return FoundTable(table, columns, pkey, fkeys, rows, view and declared)

    def _keys(self, table: str) -> tuple[tuple[str, ...], tuple[FoundKey, ...]]:
        found = self._connection.execute(
            "SELECT constraint_type, constraint_column_names, referenced_table, "
            "referenced_column_names FROM duckdb_constraints() WHERE schema_name = ? AND "
            "table_name = ? ORDER BY constraint_index", [self._schema, table]).fetchall()
        pkey = next((tuple(c) for kind, c, *_ in found if kind == "PRIMARY KEY"), ())
        return pkey, tuple(FoundKey(tuple(c), parent, tuple(p)) for kind, c, parent, p in found
                           if kind == "FOREIGN KEY")


def _cast(column: str, kind: str) -> str:
    """A column in one of the few types, under its own name."""
    return f"{_cell(column, kind)} AS {quoted(column)}"


def _cell(column: str, kind: str) -> str:
    """A column in one of the few types."""
    name = quoted(column)
    return {
        "integer": f"TRY_CAST({name} AS BIGINT)", "number": f"TRY_CAST({name} AS DOUBLE)",
        "flag": f"CAST({name} AS BOOLEAN)",
        "time": f"CASE WHEN isfinite({name}) THEN CAST({name} AS TIMESTAMP) END",
        "date": f"CASE WHEN isfinite({name}) THEN CAST({name} AS TIMESTAMP) END",
        "interval": f"CAST(epoch({name}) AS DOUBLE)",
        "nested": f"CAST(to_json({name}) AS VARCHAR)",
    }.get(kind, f"CAST({name} AS VARCHAR)")
