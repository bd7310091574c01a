"""A database of one's own becomes a folder like any other, and nothing is lost in silence."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path

import duckdb
import polars as pl
import pytest
import yaml

from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.importing.found import ImportFault
from rowgraph.importing.running import look
from rowgraph.importing.sources import open_source
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.queries.proposing import propose
from tests.importing.conftest import imported, rows, write


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    return {p.stem: pl.read_parquet(p) for p in sorted((folder / "db").glob("*.parquet"))}


def edit(folder: Path, **changes: object) -> None:
    """Change what was decided about tables."""
    path = folder / "import.yaml"
    content = yaml.safe_load(path.read_text())
    for table, said in changes.items():
        content["tables"][table] |= said
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("kind", ["sqlite", "csv", "parquet"])
def test_a_database_is_the_same_from_wherever_it_comes(kind, tmp_path):
    imported(write("duckdb", tmp_path / "a"), tmp_path / "one")
    imported(write(kind, tmp_path / "b"), tmp_path / "two")
    one, two = tables(tmp_path / "one"), tables(tmp_path / "two")
    assert list(one) == list(two)
    for table in one:
        # Files declare no key of several columns.
        shared = [c for c in one[table].columns if c in two[table].columns]
        assert set(one[table].columns) - set(shared) <= {"order_id_line_no"}
        assert one[table].select(shared).equals(two[table].select(shared)), table


def test_keys_become_row_numbers_and_the_way_back_is_kept(sqlite, tmp_path):
    imported(sqlite, tmp_path / "shop")
    assert not check_database(tmp_path / "shop").problems
    found = tables(tmp_path / "shop")
    back = {t: pl.read_parquet(tmp_path / "shop" / "keys" / f"{t}.parquet") for t in found}
    assert back["customers"]["row"].to_list() == list(range(50))
    orders = found["orders"].join(back["orders"].rename({"id": "was", "row": "id"}), on="id").join(
        back["customers"].rename({"id": "who", "row": "customer_id"}), on="customer_id", how="left")
    said = {o[0]: (o[1], o[4]) for o in rows()["orders"]}
    assert {r["was"]: (r["who"], r["total"]) for r in orders.iter_rows(named=True)} == said
    items = found["order_items"]
    assert items.columns[0] == "order_id_line_no"
    assert set(back["order_items"].columns) == {"row", "order_id", "line_no"}


def test_rows_are_ordered_by_time_and_items_take_that_of_their_order(sqlite, tmp_path):
    done = imported(sqlite, tmp_path / "shop")
    database = Database.open(tmp_path / "shop")
    for table in ("customers", "orders", "order_items"):
        times = database.times(table)
        assert (times[1:] >= times[:-1]).all()
    items = database.read("order_items")
    placed = database.times("orders")
    assert (database.times("order_items") == placed[items["order_id"].to_numpy()]).all()
    assert done.shapes["order_items"].time == "orders_time"
    assert database.tables["products"].time_col is None


def test_what_is_written_after_its_row_is_left_out_and_deletions_end_a_row(sqlite, tmp_path):
    done = imported(sqlite, tmp_path / "shop")
    database = Database.open(tmp_path / "shop")
    assert "updated_at" not in database.columns("customers")
    assert "status" not in database.columns("orders")
    assert database.knowledge.valid_until == {"customers": "deleted_at"}
    assert {(n.table, n.column) for n in done.notes} >= {
        ("customers", "updated_at"), ("orders", "status"), ("customers", "deleted_at")}


def test_a_second_import_obeys_the_file(sqlite, tmp_path):
    folder = tmp_path / "shop"
    imported(sqlite, folder)
    edit(folder, orders={"columns": {"status": "as_is"}}, customers={"valid_until": None})
    done = imported(sqlite, folder)
    assert not done.first
    database = Database.open(folder)
    assert "status" in database.columns("orders")
    assert database.knowledge.rules["orders", "status"].known_at == "as_is"
    assert not database.knowledge.valid_until


def test_an_append_only_table_is_fetched_from_where_it_ended(sqlite, tmp_path):
    folder = tmp_path / "shop"
    imported(sqlite, folder)
    edit(folder, orders={"append_only": "id"}, order_items={"append_only": "order_id"})
    assert imported(sqlite, folder).staged["orders"].fetched == 300
    with sqlite3.connect(sqlite) as connection:
        who = rows()["customers"][0][0]
        connection.execute("INSERT INTO orders VALUES (5000, ?, '2023-12-01', 'new', 1)", [who])
    connection.close()
    done = imported(sqlite, folder)
    assert (done.staged["orders"].fetched, done.staged["orders"].rows) == (1, 301)
    assert done.staged["order_items"].fetched == 0
    assert done.staged["customers"].fetched == 50
    assert tables(folder)["orders"]["total"][-1] == 1.0


def test_the_same_rows_give_the_same_bytes_and_others_do_not(sqlite, tmp_path):
    from rowgraph.databases.resolving import fingerprint_folder

    prints = []
    for _ in range(2):
        imported(sqlite, tmp_path / "shop")
        prints.append(fingerprint_folder(tmp_path / "shop"))
    with sqlite3.connect(sqlite) as connection:
        connection.execute("UPDATE orders SET total = 9 WHERE id = 1000")
    connection.close()
    imported(sqlite, tmp_path / "shop")
    prints.append(fingerprint_folder(tmp_path / "shop"))
    assert prints[0] == prints[1] != prints[2]


def test_what_lacks_a_parent_or_a_time_is_counted(tmp_path):
    found = rows()
    found["orders"][5] = (*found["orders"][5][:1], "nobody", *found["orders"][5][2:])
    found["orders"][6] = (*found["orders"][6][:2], None, *found["orders"][6][3:])
    done = imported(write("csv", tmp_path / "source", found), tmp_path / "shop")
    assert done.losses.dangling == {"orders.customer_id": 1}
    assert done.losses.empty == {"orders.customer_id": 28}
    assert done.losses.timeless["orders"] == 1
    orders = tables(tmp_path / "shop")["orders"]
    assert orders["customer_id"].null_count() == 29
    assert orders.height == 300


@pytest.mark.parametrize("always", [True, False])
def test_a_row_that_tells_of_an_event_came_with_it_if_it_always_tells(always, tmp_path):
    source = tmp_path / "source.sqlite"
    with sqlite3.connect(source) as connection:
        connection.executescript("""
            CREATE TABLE orders (id integer PRIMARY KEY, placed_at timestamp);
            CREATE TABLE deliveries (order_id integer PRIMARY KEY REFERENCES orders,
                                     delivered_at timestamp, late integer);
            INSERT INTO orders VALUES (1, '2024-01-01'), (2, '2024-02-01'), (3, '2024-05-01');
            INSERT INTO deliveries VALUES (1, '2024-01-05', 0), (2, '2024-02-09', 1);""")
        if not always:
            connection.execute("INSERT INTO deliveries VALUES (3, NULL, 0)")
    done = imported(str(source), tmp_path / "shop")
    database = Database.open(tmp_path / "shop")
    assert done.shapes["deliveries"].time == ("delivered_at" if always else "orders_time")
    first = dt.datetime(2024, 1, 5 if always else 1, tzinfo=dt.UTC)
    assert database.times("deliveries")[0] == first.timestamp() * 1e6


def test_a_question_can_be_asked_of_what_was_imported(sqlite, tmp_path):
    imported(sqlite, tmp_path / "shop")
    database = Database.open(tmp_path / "shop")
    proposal = propose(database, "PREDICT COUNT(orders.*, 0, 14) > 0 FOR EACH customers.id",
                       tmp_path / "scratch")
    proposal.write(tmp_path / "shop")
    assert len(load_task(database, proposal.name).test)


def test_a_look_writes_nothing(sqlite, tmp_path):
    source = open_source(sqlite)
    found = look(source, tmp_path / "shop")
    source.close()
    assert found.first
    assert list(found.decisions.tables) == ["customers", "order_items", "orders", "products"]
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_what_is_not_confirmed_is_not_imported_and_can_be_changed(sqlite, tmp_path):
    assert imported(sqlite, tmp_path / "shop", confirm=lambda found: False) is None
    assert (tmp_path / "shop" / "import.yaml").exists()
    assert not (tmp_path / "shop" / "manifest.yaml").exists()
    edit(tmp_path / "shop", orders={"columns": {}})
    assert "status" in imported(sqlite, tmp_path / "shop").shapes["orders"].columns


def test_a_failed_import_leaves_what_was_there(sqlite, tmp_path):
    folder = tmp_path / "shop"
    imported(sqlite, folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".import" not in
              p.parts and p.name != "import.yaml"}
    edit(folder, orders={"pkey": ["status"]}, order_items={"fkeys": [], "time": None})
    with pytest.raises(ImportFault, match="rows have the status shipped"):
        imported(sqlite, folder)
    assert {p: p.read_bytes() for p in before} == before


def test_names_that_no_file_can_have_are_written_otherwise(tmp_path):
    with sqlite3.connect(tmp_path / "odd.sqlite") as connection:
        connection.executescript('''
            CREATE TABLE "sel/ect" (id integer PRIMARY KEY, "Grün ""x""" text, created timestamp);
            CREATE TABLE Orders (id integer PRIMARY KEY, up integer REFERENCES "sel/ect" (id));
            CREATE TABLE "ord ers" (id integer PRIMARY KEY, me integer REFERENCES "ord ers" (id));
            INSERT INTO "sel/ect" VALUES (9, 'it''s', '2020-01-01 10:00:00+02:00');
            INSERT INTO Orders VALUES (1, 9);
            INSERT INTO "ord ers" VALUES (5, 5), (4, NULL);
            CREATE TABLE void (id integer PRIMARY KEY);
            CREATE VIEW seen AS SELECT * FROM Orders;
        ''')
    connection.close()
    done = imported(str(tmp_path / "odd.sqlite"), tmp_path / "odd")
    assert sorted(done.shapes) == ["Orders", "ord_ers", "sel_ect"]
    assert done.decisions.leave_out.keys() == {"void", "seen"}
    found = tables(tmp_path / "odd")
    assert found["sel_ect"]['Grün "x"'][0] == "it's"
    assert found["sel_ect"]["created"][0] == dt.datetime(2020, 1, 1, 8)
    assert found["Orders"]["up"].to_list() == [0]
    assert found["ord_ers"]["me"].to_list() == [None, 1]


@pytest.mark.parametrize(("change", "message"), [
    ({"orders": {"time": "placed"}}, "there is no column placed; did you mean placed_at"),
    ({"orders": {"from": "order"}}, "has no table order; did you mean"),
    ({"orders": {"colour": 1}}, r"tables\.orders\.colour: Extra inputs"),
    ({"orders": {"fkeys": [{"columns": ["customer_id"], "parent": "people"}]}},
     "the parent people is not imported"),
    ({"orders": {"fkeys": [{"columns": ["id", "customer_id"], "parent": "customers"}]}},
     "has 2 columns, that of customers 1"),
    ({"orders": {"columns": {"status": "sometimes"}}}, "is none of"),
    ({"orders": {"pkey": ["customer_id"]}}, "28 rows have no customer_id"),
    ({"orders": {"time": {"from": "customer_id"}},
      "customers": {"fkeys": [{"columns": ["email"], "parent": "orders"}],
                    "time": {"from": "email"}}}, "times are taken in a circle"),
])
def test_decisions_that_cannot_be_are_refused_with_the_next_move(sqlite, tmp_path, change, message):
    imported(sqlite, tmp_path / "shop")
    edit(tmp_path / "shop", **change)
    with pytest.raises(ImportFault, match=message):
        imported(sqlite, tmp_path / "shop")


@pytest.mark.parametrize(("url", "message"), [
    ("nowhere.sqlite", "no such file or folder, and no URL"),
    ("sqlite:///:memory:", "there is no such file"),
    ("nosuch://user:secret@host/name", "knows no dialect 'nosuch'"),
    ("postgresql://user:secret@127.0.0.1:1/name", "cannot be reached|is not installed"),
    ("oracle://user:secret@host/name", "is not installed|no dialect"),
    ("duckdb:///nowhere.duckdb", "no such file"),
    ("://", "URL cannot be read"),
])
def test_what_cannot_be_reached_is_said_without_a_password(url, message):
    with pytest.raises(ImportFault, match=message) as caught:
        open_source(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.txt", b"hello", "neither a SQLite nor a DuckDB file"),
    ("a.sqlite", b"SQLite format 3\0" + b"x" * 100, "cannot be re"),
    ("a.duckdb", b"x" * 8 + b"DUCK" + b"y" * 100, "cannot be read as a DuckDB"),
    ("folder/a.csv", None, "holds no CSV or Parquet file"),
    ("folder/a.parquet", b"PAR1 no", r"a\.parquet cannot be read"),
])
def test_files_that_are_none_are_refused(name, content, message, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImportFault, match=message):
        open_source(str(path.parent if "folder" in name else path))


def test_a_database_without_any_time_is_refused_with_the_next_move(tmp_path):
    with sqlite3.connect(tmp_path / "still.sqlite") as connection:
        connection.executescript("CREATE TABLE a (id integer PRIMARY KEY, name text); "
                                 "INSERT INTO a VALUES (1, 'x')")
    connection.close()
    with pytest.raises(ImportFault, match=r"no table has a time.*name the columns under `time:`"):
        imported(str(tmp_path / "still.sqlite"), tmp_path / "still")


def test_a_table_that_is_not_wanted_takes_the_keys_to_it_along(sqlite, tmp_path):
    done = imported(sqlite, tmp_path / "shop", unwanted=["products"])
    assert "products" not in done.shapes
    assert done.decisions.leave_out == {"products": "nobody asked for it"}
    assert dict(done.shapes["order_items"].fkeys) == {"order_id": "orders"}
    with pytest.raises(ImportFault, match="no table product to leave out; did you mean products"):
        imported(sqlite, tmp_path / "other", unwanted=["product"])


def test_a_table_that_comes_or_goes_moves_no_rows_of_others(sqlite, tmp_path):
    folder = tmp_path / "shop"
    imported(sqlite, folder)
    edit(folder, orders={"append_only": "id"})
    imported(sqlite, folder)
    with sqlite3.connect(sqlite) as connection:
        connection.executescript("CREATE TABLE a_first (id integer PRIMARY KEY); "
                                 "INSERT INTO a_first VALUES (1)")
    connection.close()
    done = imported(sqlite, folder)
    assert (done.staged["orders"].fetched, done.staged["orders"].rows) == (0, 300)
    assert tables(folder)["orders"].height == 300
    assert len(list((folder / ".import").iterdir())) == 4


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_values_that_no_type_can_hold_are_empty_and_counted(kind, tmp_path):
    ddl = ("CREATE TABLE orders (id integer PRIMARY KEY, placed timestamp, many {wide}, "
           "share double precision)")
    if kind == "sqlite":
        url = str(tmp_path / "odd.sqlite")
        with sqlite3.connect(url) as connection:
            connection.execute(ddl.format(wide="integer"))
            connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", [
                (1, "2024-01-01", "9" * 30, 1.0), (2, "no time", 2, 2.0),
                (3, "2024-03-01", 3, 3.0)])
        connection.close()
        expected = {"placed": 1, "many": 1}
    else:
        url = str(tmp_path / "odd.duckdb")
        with duckdb.connect(url) as connection:
            connection.execute(ddl.format(wide="hugeint"))
            connection.execute(f"INSERT INTO orders VALUES (1, '2024-01-01', {'9' * 30}, 'nan'), "
                               "(2, 'infinity', 2, 2), (3, '2024-03-01', 3, 'inf')")
        expected = {"placed": 1, "many": 1, "share": 2}
    done = imported(url, tmp_path / "odd")
    assert done.staged["orders"].emptied == expected
    frame = tables(tmp_path / "odd")["orders"]
    assert frame["many"].null_count() == 1
    assert frame["placed"].null_count() == 1


def test_a_second_import_says_what_changed(sqlite, tmp_path):
    folder = tmp_path / "shop"
    assert imported(sqlite, folder).changes == ()
    assert imported(sqlite, folder).changes == ()
    with sqlite3.connect(sqlite) as connection:
        connection.executescript("""
            INSERT INTO orders (id, placed_at) VALUES (5000, '2023-12-01'), (5001, '2023-12-02');
            DELETE FROM products WHERE sku = 'P6';
            CREATE TABLE parcels (id integer PRIMARY KEY);
            ALTER TABLE customers ADD COLUMN phone text;""")
    connection.close()
    edit(folder, orders={"columns": {"status": "drop", "total": "drop"}})
    assert imported(sqlite, folder).changes == (
        "parcels: is new in the source and not imported; write `parcels: {}` under `tables:` in "
        "import.yaml, or under `leave_out`",
        "customers: new columns: phone", "orders: +2 rows, 302 now", "orders: gone columns: total",
        "products: -1 rows, 6 now")
    content = yaml.safe_load((folder / "import.yaml").read_text())
    del content["tables"]["order_items"]
    content["leave_out"] = {**content.get("leave_out", {}), "order_items": "not wanted",
                            "parcels": "not wanted"}
    (folder / "import.yaml").write_text(yaml.safe_dump(content))
    assert imported(sqlite, folder).changes == ("order_items: is no longer imported",)
