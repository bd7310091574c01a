"""Who is asked about today, and what is known by then."""

import dataclasses
import datetime as dt

import numpy as np
import polars as pl
import pytest

from rowgraph.databases.database import Database
from rowgraph.databases.keys import keys_of
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.serving.asking import answers_at, answers_since, ask, newest_of, query_meant, said
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.queries.proposing import propose
from tests.importing.conftest import rows

DAY = 86_400_000_000


def schema_of(database, name="again"):
    path = database.folder / "tasks" / name / "manifest.yaml"
    return LabelSchema.read(path, database.tables)


def test_the_newest_row_whose_time_has_come_decides_when_today_is(shop):
    newest = max(int(shop.times(t).max()) for t in ("orders", "order_items"))
    assert newest < newest_of(shop) <= newest + 1_000_000
    times = np.concatenate([shop.times(t) for t in shop.tables if shop.tables[t].time_col])
    before = newest - 5 * DAY  # as if the clock stood there: later rows are yet to come
    last = int(times[times <= before].max())
    assert last > shop.test_timestamp
    assert last < newest_of(shop, now=before) <= last + 1_000_000
    assert ask(shop, "again").moment == newest_of(shop)


def test_everybody_of_the_query_is_asked_and_nobody_else(shop):
    asked = ask(shop, "again")
    times, who = shop.times("orders"), shop.keys("orders", "customer_id")
    recent = np.unique(who[(times > asked.moment - 60 * DAY) & (who >= 0)])
    assert asked.view.labels.rows.tolist() == recent.tolist()
    assert "WHERE COUNT(orders.*, -60, 0, days) > 0" in asked.whom


def test_answers_of_known_dates_are_those_of_the_label_tables(shop):
    task, schema = load_task(shop, "again"), schema_of(shop)
    made = answers_at(shop, schema, task, np.unique(task.test.times), 2**62)
    order = np.lexsort((task.test.rows, task.test.times))
    mine = np.lexsort((made.rows, made.times))
    for name in ("rows", "times", "target"):
        assert getattr(made, name)[mine].tolist() == getattr(task.test, name)[order].tolist()


def test_outcomes_since_the_labels_end_are_known_and_none_of_a_window_that_is_open(shop):
    task, schema = load_task(shop, "again"), schema_of(shop)
    moment = newest_of(shop)
    since = answers_since(shop, schema, task, moment)
    newest = int(task.test.times.max())
    dates = np.arange(newest + task.timedelta, moment - task.timedelta, task.timedelta)
    assert sorted(set(since.times.tolist())) == dates.tolist()
    asked = ask(shop, "again")
    assert asked.answers == len(since)
    known = asked.task.told.times + task.timedelta
    assert known.max() < moment or not len(since)


def test_rows_after_the_date_change_neither_who_is_asked_nor_what_is_known(shop, shop_of):
    moment = newest_of(shop) - 12 * DAY
    limit = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=moment)
    found = rows()
    found["orders"] = [o for o in found["orders"] if o[2] <= limit]
    there = {o[0] for o in found["orders"]}
    found["order_items"] = [i for i in found["order_items"] if i[0] in there]
    now, then = ask(shop, "again", moment), None
    cut = shop_of(found)
    task, schema = load_task(shop, "again"), schema_of(shop)
    for database in (shop, cut):
        made = answers_at(database, schema, task, np.array([moment - 14 * DAY]), moment)
        keys = keys_of(database, "customers", made.rows)["id"].to_list()
        told = dict(zip(map(str, keys), made.target.tolist(), strict=True))
        assert then is None or told == then
        then = told
    assert now.view.labels.times.tolist() == [moment] * len(now.view.labels)


def test_a_task_without_a_query_asks_whom_it_asked_lately(shop, tmp_path):
    folder = shop.folder / "tasks" / "again" / "manifest.yaml"
    schema = schema_of(shop)
    assert query_meant(shop, schema) is not None
    text = folder.read_text()
    try:
        folder.write_text(text.replace("description: ", "description: Something like "))
        assert query_meant(shop, schema_of(shop)) is None
        asked = ask(Database.open(shop.folder), "again")
        assert "newest" in asked.whom
        assert len(asked.view.labels)
    finally:
        folder.write_text(text)


@pytest.mark.parametrize(("moment", "message"), [
    (0, "the model was fitted on what was known on"),
    (2**61, "more than a horizon before; import newer rows")])
def test_dates_that_cannot_be_asked_about_are_refused_with_the_next_move(shop, moment, message):
    with pytest.raises(ValueError, match=message):
        ask(shop, "again", moment)


def test_an_autocomplete_task_is_refused_by_name(shop, tmp_path):
    propose(shop, "PREDICT orders.total FOR EACH orders.id", tmp_path / "look",
            name="total").write(shop.folder)
    with pytest.raises(ValueError, match=r"shop/total is an autocomplete task"):
        ask(Database.open(shop.folder), "total")


def test_keys_are_those_of_the_source_and_row_numbers_where_there_are_none(shop, tmp_path):
    frame = keys_of(shop, "customers", np.array([3, 0]))
    assert frame.columns == ["id"]
    assert all(str(key).endswith("-0000-4000-8000-000000000000") for key in frame["id"])
    assert keys_of(shop, "order_items", np.array([1])).columns == ["order_id", "line_no"]
    bare = dataclasses.replace(shop, folder=tmp_path)
    assert keys_of(bare, "customers", np.array([3]))["id"].to_list() == [3]
    (tmp_path / "keys").mkdir()
    (tmp_path / "db").symlink_to(shop.folder / "db")
    pl.DataFrame({"row": [0], "id": ["x"]}).write_parquet(tmp_path / "keys" / "customers.parquet")
    with pytest.raises(ValueError, match="import the database again"):
        keys_of(bare, "customers", np.array([0]))


def test_a_moment_is_said_without_a_time_that_is_midnight():
    assert said(0) == "1970-01-01"
    assert said(1_000_000) == "1970-01-01 00:00:01"
