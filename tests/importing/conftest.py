"""A small shop, as SQLite, DuckDB, CSV and Parquet have it."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
from pathlib import Path

import duckdb
import polars as pl
import pytest

from examples.shop.server import server
from rowgraph.importing.running import Imported, run_import
from rowgraph.importing.sources import open_source

DDL = """
CREATE TABLE customers (id {uuid} PRIMARY KEY, email text, created_at timestamp, country text,
  updated_at timestamp, deleted_at timestamp);
CREATE TABLE products (sku text PRIMARY KEY, price numeric(10, 2));
CREATE TABLE orders (id integer PRIMARY KEY, customer_id {uuid} REFERENCES customers (id),
  placed_at timestamp, status text, total numeric(10, 2));
CREATE TABLE order_items (order_id integer REFERENCES orders (id), line_no integer,
  sku text REFERENCES products (sku), quantity integer, PRIMARY KEY (order_id, line_no));
"""
COLUMNS = {"customers": ["id", "email", "created_at", "country", "updated_at", "deleted_at"],
           "products": ["sku", "price"],
           "orders": ["id", "customer_id", "placed_at", "status", "total"],
           "order_items": ["order_id", "line_no", "sku", "quantity"]}


def rows() -> dict[str, list[tuple]]:
    start = dt.datetime(2023, 1, 1)

    def day(number: float) -> dt.datetime:
        return start + dt.timedelta(days=number)

    customers = [(f"{97 * i % 50:08x}-0000-4000-8000-000000000000", f"c{i}@example.org",
                  day(3 * i % 40), "DE" if i % 3 else None, day(300), day(200) if i == 4 else None)
                 for i in range(50)]
    products = [(f"P{i}", i + 0.5) for i in range(7)]
    orders = [(1000 + i, customers[7 * i % 50][0] if i % 11 else None, day(50 + i * 0.7), "shipped",
               i * 1.25) for i in range(300)]
    items = [(o[0], line, products[(o[0] + line) % 7][0], line + 1)
             for o in orders for line in range(o[0] % 3)]
    return {"customers": customers, "products": products, "orders": orders, "order_items": items}


def write(kind: str, folder: Path, tables: dict[str, list[tuple]] | None = None) -> str:
    """The shop of a kind below a folder; what `rowgraph import` is told."""
    tables = tables or rows()
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "sqlite":
        with sqlite3.connect(folder / "shop.sqlite") as connection:
            connection.executescript(DDL.format(uuid="text"))
            for table, found in tables.items():
                marks = ", ".join("?" * len(COLUMNS[table]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", [
                    [str(v) if isinstance(v, dt.datetime) else v for v in row] for row in found])
        connection.close()
        return str(folder / "shop.sqlite")
    frames = {t: pl.DataFrame(r, COLUMNS[t], orient="row", infer_schema_length=None)
              for t, r in tables.items()}
    if kind == "duckdb":
        with duckdb.connect(str(folder / "shop.duckdb")) as connection:
            for statement in filter(str.strip, DDL.format(uuid="uuid").split(";")):
                connection.execute(statement)
            for table, frame in frames.items():
                connection.register("frame", frame)
                connection.execute(f"INSERT INTO {table} SELECT * FROM frame")
        return str(folder / "shop.duckdb")
    for table, frame in frames.items():
        getattr(frame, f"write_{kind}")(folder / f"{table}.{kind}")
    return str(folder)


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server of its own, or that of ROWGRAPH_TEST_POSTGRESQL: its URL."""
    given = os.environ.get("ROWGRAPH_TEST_POSTGRESQL")
    if given:
        yield given
        return
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(server())
        except (FileNotFoundError, RuntimeError) as error:
            pytest.skip(f"no PostgreSQL server can be had here: {error}")
        yield url


def imported(url: str, folder: Path, **how: object) -> Imported | None:
    source = open_source(url)
    try:
        return run_import(source, folder, **how)
    finally:
        source.close()


@pytest.fixture
def sqlite(tmp_path) -> str:
    return write("sqlite", tmp_path / "source")
