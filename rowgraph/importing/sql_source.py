"""A database behind a SQLAlchemy URL: PostgreSQL, MySQL, SQLite and whatever has a dialect.

The catalogue is reflected; rows stream from one transaction that sees one moment. PostgreSQL's
come through ADBC where its driver is installed, some times as fast, else through the dialect.
A password is in the URL or the environment, and in no message.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from rowgraph.databases.report import reason
from rowgraph.databases.sql_text import literal
from rowgraph.importing.found import FoundColumn, FoundKey, FoundTable, ImportFault, kind_of
from rowgraph.importing.sources import BATCH, TYPES

EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql",
           "mariadb": "mariadb+pymysql"}
ISOLATED = {"postgresql": "REPEATABLE READ", "mysql": "REPEATABLE READ",
            "mariadb": "REPEATABLE READ"}
EPOCH = dt.datetime(1970, 1, 1)


class SqlSource:
    """The tables of a schema.

    Args:
        url: of SQLAlchemy.
        schema: None is the default one.

    Raises:
        ImportFault: the database cannot be reached or read.
    """

    def __init__(self, url: str, schema: str | None = None):
        self._url = _url(url)
        self._dialect = self._url.get_backend_name()
        self.name = sa.URL.create(
            self._dialect, self._url.username, host=self._url.host, port=self._url.port,
            database=self._url.database).render_as_string(hide_password=True)
        self._schema, self._adbc = schema, None
        self._emptied: dict[tuple[str, str], int] = {}
        self._opened = contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self._opened.close()
            raise

    def _open(self) -> None:
        try:
            self._engine = sa.create_engine(self._url)
            self._opened.callback(self._engine.dispose)
            isolation = ISOLATED.get(self._dialect)
            self._connection = self._engine.connect().execution_options(
                **({"isolation_level": isolation} if isolation else {}),
                **({"postgresql_readonly": True} if self._dialect == "postgresql" else {}))
            self._opened.callback(self._connection.close)
            self._quote = self._engine.dialect.identifier_preparer.quote_identifier
            if self._dialect == "postgresql":
                self._adbc = _adbc(self._url)
                if self._adbc is not None:
                    self._opened.callback(self._adbc.close)
                self._connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
            if self._dialect == "sqlite":  # its driver begins no transaction for a SELECT
                self._connection.exec_driver_sql("BEGIN")
            self.tables = tuple(self._reflected())
        except NoSuchModuleError:
            raise ImportFault(f"{self.name}: SQLAlchemy knows no dialect {self._dialect!r}; "
                              "install its package, or export the tables as CSV or Parquet files"
                              ) from None
        except ModuleNotFoundError as error:
            extra = EXTRAS.get(self._dialect)
            wanted = f"'rowgraph[{extra}]'" if extra else error.name
            raise ImportFault(f"{self.name}: the driver {error.name} is not installed; pip install "
                              f"{wanted}") from None
        except SQLAlchemyError as error:
            raise self._fault("cannot be reached", error) from None
        if not self.tables:
            raise ImportFault(f"{self.name}: schema {self._schema or 'by default'} holds no table "
                              "that can be read; name another with --schema")

    def rows(self, table: str, columns: Sequence[str], *, above: tuple[str, Any] | None = None,
             limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """As `Source.rows`."""
        kinds = {t.name: t for t in self.tables}[table].kinds
        cast = _postgresql if self._dialect == "postgresql" else lambda name, kind: name
        shown = ", ".join(f"{cast(self._quote(c), kinds[c])} AS {self._quote(c)}"
                          for c in columns)
        sql = f"SELECT {shown} FROM {self._name(table)}"
        if above is not None:
            sql += f" WHERE {self._quote(above[0])} > {_literal(above[1])}"
        sql += "" if limit is None else f" LIMIT {limit}"
        schema = pa.schema([(c, TYPES[kinds[c]]) for c in columns])
        try:
            if self._adbc is not None:
                yield from self._through_adbc(sql, schema)
            else:
                yield from self._through_dialect(table, sql, schema)
        except (SQLAlchemyError, ValueError) as error:
            raise self._fault(f"table {table} cannot be read", error) from None
        except Exception as error:
            if type(error).__module__.startswith("adbc"):
                raise self._fault(f"table {table} cannot be read", error) from None
            raise

    def emptied(self, table: str, columns: Sequence[str], *,
                above: tuple[str, Any] | None = None) -> dict[str, int]:
        """As `Source.emptied`."""
        if self._adbc is None:
            return {c: count for (t, c), count in self._emptied.items() if t == table and count}
        kinds = {t.name: t for t in self.tables}[table].kinds
        some = [c for c in columns if kinds[c] in ("time", "date")]
        if not some:
            return {}
        cells = {c: _postgresql(self._quote(c), kinds[c]) for c in some}
        counts = ", ".join(f"count({self._quote(c)}) - count({cells[c]})" for c in some)
        sql = f"SELECT {counts} FROM {self._name(table)}"
        if above is not None:
            sql += f" WHERE {self._quote(above[0])} > {_literal(above[1])}"
        with self._adbc.cursor() as cursor:
            cursor.execute(sql)
            found = cursor.fetchone()
        return {c: count for c, count in zip(some, found, strict=True) if count}

    def close(self) -> None:
        """As `Source.close`."""
        self._opened.close()

    def _through_adbc(self, sql: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._adbc.cursor() as cursor:
            cursor.execute(sql)
            for batch in cursor.fetch_record_batch():
                yield pa.RecordBatch.from_arrays(
                    [column.cast(field.type) for column, field in zip(
                        batch.columns, schema, strict=True)], schema=schema)

    def _name(self, table: str) -> str:
        return ".".join(map(self._quote, filter(None, (self._schema, table))))

    def _through_dialect(self, table: str, sql: str,
                         schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        self._emptied = {key: count for key, count in self._emptied.items() if key[0] != table}
        found = self._connection.execution_options(stream_results=True,
                                                   max_row_buffer=BATCH).exec_driver_sql(sql)
        while rows := found.fetchmany(BATCH):
            arrays = []
            for cells, field in zip(zip(*rows, strict=True), schema, strict=True):
                arrays.append(pa.array([_plain(value, field.type) for value in cells], field.type))
                gone = arrays[-1].null_count - sum(value is None for value in cells)
                key = table, field.name
                self._emptied[key] = self._emptied.get(key, 0) + gone
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _reflected(self) -> Iterator[FoundTable]:
        inspector = sa.inspect(self._connection)
        views = set(inspector.get_view_names(schema=self._schema))
        for name in [*inspector.get_table_names(schema=self._schema), *sorted(views)]:
            columns = tuple(
                FoundColumn(c["name"], self._kind(c["type"]), self._said(c["type"]),
                            bool(c.get("nullable", True)), bool(c.get("computed")))
                for c in inspector.get_columns(name, schema=self._schema))
            if name in views:
                yield FoundTable(name, columns, view=True)
                continue
            pkey = inspector.get_pk_constraint(name, schema=self._schema)["constrained_columns"]
            fkeys = tuple(
                FoundKey(tuple(k["constrained_columns"]), k["referred_table"],
                         tuple(k["referred_columns"]))
                for k in inspector.get_foreign_keys(name, schema=self._schema)
                if k.get("referred_schema") in (None, self._schema))
            rows, readable = self._known(name)
            yield FoundTable(name, columns, tuple(pkey or ()), fkeys, rows, readable=readable)

    def _known(self, table: str) -> tuple[int | None, bool]:
        """How many rows, as PostgreSQL last counted itself, and whether this user may read them;
        of others nothing is known before they are read."""
        if self._dialect != "postgresql":
            return None, True
        found = self._connection.exec_driver_sql(
            "SELECT greatest(reltuples, 0)::bigint, has_table_privilege(oid, 'SELECT') "
            "FROM pg_class WHERE oid = to_regclass(%s)", (self._name(table),)).fetchone()
        return (None, False) if found is None else (int(found[0]), bool(found[1]))

    def _kind(self, type_: Any) -> str:
        if isinstance(type_, sa.Enum):
            return "text"
        if isinstance(type_, sa.ARRAY):
            return "nested"
        return kind_of(self._said(type_))

    def _said(self, type_: Any) -> str:
        try:
            return str(type_.compile(self._engine.dialect))
        except SQLAlchemyError:
            return type(type_).__name__

    def _fault(self, what: str, error: Exception) -> ImportFault:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        text = reason(cause)
        if self._url.password:
            text = text.replace(str(self._url.password), "***")
        return ImportFault(f"{self.name}: {what} ({text}); check the URL, that the server runs, "
                           "and that this user may read; a table can be left out by --leave-out")


def _url(url: str) -> sa.URL:
    try:
        found = sa.make_url(url)
    except SQLAlchemyError:
        raise ImportFault("the URL cannot be read; write dialect://user@host/name, and characters "
                          "such as @ or / of a password as %40 or %2F") from None
    return found.set(drivername=DRIVERS.get(found.drivername, found.drivername))


def _adbc(url: sa.URL) -> Any:
    """A connection of ADBC in a transaction that sees one moment; None without its driver."""
    try:
        from adbc_driver_postgresql import dbapi
    except ModuleNotFoundError:
        return None
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = dbapi.connect(plain)
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
    return connection


def _postgresql(name: str, kind: str) -> str:
    """A column of PostgreSQL in one of the few types."""
    return {
        "integer": f"{name}::bigint", "flag": f"{name}::boolean",
        "number": f"{name}::double precision", "nested": f"to_json({name})::text",
        "interval": f"extract(epoch FROM {name})::double precision",
        "time": f"CASE WHEN isfinite({name}) AND {name} >= '0001-01-01' THEN "
                f"({name}::timestamptz AT TIME ZONE 'UTC') END",
        "date": f"CASE WHEN isfinite({name}) AND {name} >= '0001-01-01' THEN "
                f"{name}::timestamp END",
    }.get(kind, f"{name}::text")


def _literal(value: Any) -> str:
    if isinstance(value, int | float):
        return repr(value)
    return literal(str(value))


def _plain(value: Any, type_: pa.DataType) -> Any:
    """A Python value as one that Arrow takes for a type; None for what cannot be one."""
    if value is None:
        return None
    try:
        if pa.types.is_string(type_):
            if isinstance(value, str):
                return value
            nested = isinstance(value, dict | list | tuple)
            return json.dumps(value, default=str, ensure_ascii=False) if nested else str(value)
        if pa.types.is_timestamp(type_):
            return _moment(value)
        if pa.types.is_boolean(type_):
            return value if isinstance(value, bool) else bool(int(value))
        if pa.types.is_integer(type_):
            found = int(value)
            return found if -2**63 <= found < 2**63 else None
        found = value.total_seconds() if isinstance(value, dt.timedelta) else float(value)
        return found if math.isfinite(found) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _moment(value: Any) -> int | None:
    """Microseconds since 1970, UTC."""
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value.strip())
    elif isinstance(value, int | float):
        return round(value * 1_000_000)  # seconds, as SQLite's unixepoch has them
    elif not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return (value - EPOCH) // dt.timedelta(microseconds=1)
