"""PostgreSQL in its own words: awkward names, types and keys, and what cannot be reached."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psycopg
import pytest
import yaml

from rowgraph.databases.checking import check_database
from rowgraph.importing.found import ImportFault
from rowgraph.importing.running import run_import
from rowgraph.importing.sources import open_source
from tests.importing.conftest import COLUMNS, DDL, imported, rows, write

AWKWARD = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE "Customers" (id uuid PRIMARY KEY, "Näme/x" text, made timestamptz, mood mood,
  born date, tags text[], span int4range, extra jsonb, raw bytea, wait interval,
  huge numeric(60, 5), double_of int GENERATED ALWAYS AS (7 * 2) STORED);
CREATE TABLE customers (id int PRIMARY KEY, "order" text, at timestamp);
CREATE TABLE "order" (id int PRIMARY KEY, "from" uuid REFERENCES "Customers", "to" uuid REFERENCES
  "Customers", at timestamptz);
CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff, since timestamp);
CREATE TABLE a (id int PRIMARY KEY, b_id int, at timestamp);
CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, at timestamp);
ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE nothing (id int PRIMARY KEY);
CREATE VIEW seen AS SELECT * FROM staff;
INSERT INTO "Customers" VALUES
  ('00000000-0000-4000-8000-000000000001', 'it''s "so"', '2024-01-01 10:00+02', 'sad',
   '1980-01-01', '{x,y}', '[1,5)', '{"k": 1}', '\\x00', '1 day 2 hours', 1e50),
  ('00000000-0000-4000-8000-000000000002', NULL, 'infinity', 'ok', '0044-03-15 BC', '{}', NULL,
   NULL, NULL, NULL, 'NaN'),
  ('00000000-0000-4000-8000-000000000003', 'c', '2024-02-01 00:00+00', NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, 0.1);
INSERT INTO customers VALUES (1, 'x', '2024-01-05'), (2, 'y', '-infinity');
INSERT INTO "order" VALUES (7, '00000000-0000-4000-8000-000000000003',
  '00000000-0000-4000-8000-000000000001', '2024-03-01 00:00+00'), (3, NULL,
  '00000000-0000-4000-8000-000000000002', '2024-03-05 00:00+00');
INSERT INTO staff VALUES (10, NULL, '2023-01-01'), (11, 10, '2023-02-01'), (12, 12, '2023-03-01');
BEGIN; INSERT INTO a VALUES (1, 5, '2024-01-01'), (2, NULL, '2024-01-02');
INSERT INTO b VALUES (5, 1, '2024-01-03'); COMMIT;
"""


@contextmanager
def schema_of(url: str, ddl: str):
    """A schema that is there for a while."""
    name = f"rowgraph_{time.time_ns()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        connection.execute(f"SET search_path TO {name}")
        connection.execute(ddl)
        try:
            yield name, connection
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE")


def fetched(url: str, schema: str, folder: Path):
    source = open_source(url, schema)
    try:
        return run_import(source, folder)
    finally:
        source.close()


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    return {p.stem: pl.read_parquet(p) for p in sorted((folder / "db").glob("*.parquet"))}


def test_it_gives_what_sqlite_gives(postgresql, tmp_path):
    imported(write("sqlite", tmp_path / "source"), tmp_path / "one")
    with schema_of(postgresql, DDL.format(uuid="uuid")) as (schema, connection):
        for table, found in rows().items():
            marks = ", ".join(["%s"] * len(COLUMNS[table]))
            connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})", found)
        fetched(postgresql, schema, tmp_path / "two")
    one, two = tables(tmp_path / "one"), tables(tmp_path / "two")
    assert all(one[t].select(sorted(one[t].columns)).equals(
        two[t].select(sorted(two[t].columns))) for t in one)


def test_awkward_names_types_and_keys_are_read_or_said(postgresql, tmp_path):
    with schema_of(postgresql, AWKWARD) as (schema, _):
        done = fetched(postgresql, schema, tmp_path / "shop")
    check_database(tmp_path / "shop").raise_if_broken()
    found, decided = tables(tmp_path / "shop"), done.decisions
    assert set(decided.leave_out) >= {"nothing", "seen"}
    upper, lower = sorted(n for n in found if n.lower().startswith("customers"))
    assert upper != lower
    big = next(t for t in (found[upper], found[lower]) if "mood" in t.columns)
    assert len(big) == 3
    assert big["made"].to_list()[0] == dt.datetime(2024, 1, 1, 8)
    assert big["made"].null_count() == 1  # infinity
    assert big["born"].null_count() == 2  # before the year 1, and none
    assert sorted(big["mood"].drop_nulls()) == ["ok", "sad"]
    assert big["double_of"].to_list() == [14] * 3
    assert big["huge"].drop_nulls().to_list() == [1e50, 0.1]
    lost = sorted((sorted(s.emptied.items()) for s in done.staged.values() if s.emptied), key=len)
    assert lost == [[("at", 1)], [("born", 1), ("huge", 1), ("made", 1)]]
    assert 'it\'s "so"' in big["Näme/x"].to_list()
    assert "raw" not in big.columns
    order = found["order"]
    assert order["to"].to_list() == [0, 2]
    assert order["from"].to_list() == [1, None]
    assert found["staff"]["boss"].to_list() == [None, 0, 2]
    assert found["a"]["b_id"].to_list() == [0, None]
    assert found["b"]["a_id"].to_list() == [0]
    keys = pl.read_parquet(next((tmp_path / "shop" / "keys").glob("staff.parquet")))
    assert keys["id"].to_list() == [10, 11, 12]
    content = yaml.safe_load((tmp_path / "shop" / "import.yaml").read_text())
    assert "nothing" in str(content["leave_out"])


def test_a_table_that_may_not_be_read_is_named_and_the_rest_is_imported(postgresql, tmp_path):
    with schema_of(postgresql, DDL.format(uuid="uuid")) as (schema, connection):
        for table, found in rows().items():
            marks = ", ".join(["%s"] * len(COLUMNS[table]))
            connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})", found)
        connection.execute(f"""
            CREATE ROLE {schema}_reader LOGIN PASSWORD 'reads';
            GRANT USAGE ON SCHEMA {schema} TO {schema}_reader;
            GRANT SELECT ON customers, orders, order_items TO {schema}_reader;""")
        where = postgresql.partition("@")[2]
        try:
            done = fetched(f"postgresql://{schema}_reader:reads@{where}", schema, tmp_path / "shop")
        finally:
            connection.execute(f"DROP OWNED BY {schema}_reader; DROP ROLE {schema}_reader")
    assert "products" in done.decisions.leave_out
    assert sorted(tables(tmp_path / "shop")) == ["customers", "order_items", "orders"]


@pytest.mark.parametrize(("change", "message"), [
    (lambda user, where: f"postgresql://{user}:wrongsecret@{where}", "cannot be reached"),
    (lambda user, where: f"postgresql://{user}:wrongsecret@{where.split('/')[0]}/nowhere",
     "cannot be reached")])
def test_what_cannot_be_reached_is_said_without_the_password(postgresql, change, message):
    user = postgresql.removeprefix("postgresql://").partition(":")[0]
    with pytest.raises(ImportFault, match=message) as caught:
        open_source(change(user, postgresql.partition("@")[2]))
    assert "wrongsecret" not in str(caught.value)


def test_a_schema_that_is_not_there_is_named(postgresql):
    with pytest.raises(ImportFault, match="nowhere"):
        open_source(postgresql, "nowhere")


def test_a_table_that_vanishes_on_the_way_is_named_and_nothing_is_lost(postgresql, tmp_path):
    with schema_of(postgresql, DDL.format(uuid="uuid")) as (schema, connection):
        connection.execute("INSERT INTO customers (id, created_at) VALUES "
                           "('00000000-0000-4000-8000-000000000001', '2024-01-01'),"
                           "('00000000-0000-4000-8000-000000000002', '2024-05-01')")
        fetched(postgresql, schema, tmp_path / "shop")
        before = {p: p.read_bytes() for p in (tmp_path / "shop" / "db").glob("*")}
        source = open_source(postgresql, schema)
        connection.execute("DROP TABLE customers CASCADE")
        try:
            with pytest.raises(ImportFault, match="table customers cannot be read"):
                run_import(source, tmp_path / "shop")
        finally:
            source.close()
    assert {p: p.read_bytes() for p in before} == before


def test_a_snapshot_sees_nothing_that_comes_while_it_is_read(postgresql, tmp_path):
    with schema_of(postgresql, DDL.format(uuid="uuid")) as (schema, connection):
        connection.execute("INSERT INTO products VALUES ('A', 1), ('B', 2)")
        connection.execute("INSERT INTO customers (id, created_at) VALUES "
                           "('00000000-0000-4000-8000-000000000001', '2024-01-01')")
        source = open_source(postgresql, schema)
        first = next(iter(source.rows("customers", ["id"])))
        connection.execute("INSERT INTO products VALUES ('C', 3)")
        try:
            found = sum(len(batch) for batch in source.rows("products", ["sku"]))
        finally:
            source.close()
    assert len(first) == 1
    assert found == 2
