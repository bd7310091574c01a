"""Labels of queries are what a slow and simple reading of the rows gives."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rowgraph.databases.database import Database, moments
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labelling import make_labels
from rowgraph.tasks.queries.compiling import sql_of
from rowgraph.tasks.queries.meaning import meaning_of
from rowgraph.tasks.queries.notation import parse
from rowgraph.tasks.queries.proposing import propose
from rowgraph.tasks.queries.query import Aggregate, Column, Compared, Joined

DAY = 86_400_000_000

FILTERS = ("", ' WHERE "or ders".paid = TRUE', ' WHERE "or ders"."it""s" = \'it\'\'s\'',
           ' WHERE "or ders"."it""s" NOT IN (\'cash\')', ' WHERE "or ders".paid IS NULL',
           ' WHERE NOT "or ders"."it""s" STARTS WITH \'c\' OR "or ders".paid = FALSE')


@st.composite
def aggregates(draw, future: bool) -> str:
    """An aggregate in the notation, over orders or their items."""
    first, last = sorted(draw(st.lists(st.integers(0, 40), min_size=2, max_size=2, unique=True)))
    window = f"{first}, {last}" if future else f"-{last}, -{first}"
    if not future and draw(st.booleans()):
        window = f"-INF, -{first}"
    if draw(st.booleans()):
        column = draw(st.sampled_from(('"or ders".person', '"or ders"."gift to"')))
        return f"COUNT({column}{draw(st.sampled_from(FILTERS))}, {window})"
    function = draw(st.sampled_from(("COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX",
                                     "FIRST", "LAST")))
    kept = draw(st.sampled_from(("", " WHERE items.price > 2", " WHERE items.good IN (0, 1)")))
    return f"{function}(items.price{kept}, {window})"


@st.composite
def queries(draw) -> str:
    """Whole queries about goods (a way of one step) or about orders' people (of one or two)."""
    target = draw(aggregates(True))
    entity = "people.id" if "or ders" in target else "goods.good"
    compared = draw(st.booleans())
    if compared:
        target += f" {draw(st.sampled_from(('>', '<=', '!=')))} {draw(st.integers(0, 4))}"
    where = draw(aggregates(False))
    assume(("or ders" in where) == ("or ders" in target))
    where = draw(st.sampled_from(("", f" WHERE {where} > 1", f" WHERE NOT {where} = 0")))
    return f"PREDICT {target} FOR EACH {entity}{where}"


def said(values: list, cells: list, one: Aggregate) -> object:
    if one.function == "COUNT":
        return len(values) if cells is None else len([c for c in cells if c is not None])
    cells = [c for c in cells if c is not None]
    if one.function == "COUNT_DISTINCT":
        return len(set(cells))
    if one.function == "SUM":
        return sum(cells)
    if not cells:
        return None
    return {"AVG": lambda: sum(cells) / len(cells), "MIN": lambda: min(cells),
            "MAX": lambda: max(cells), "FIRST": lambda: cells[0],
            "LAST": lambda: cells[-1]}[one.function]()


def truth(value: object, one: Compared) -> bool | None:
    """SQL's three truths."""
    if one.operator == "is null":
        return (value is None) != one.negated
    if value is None:
        return None
    first = one.values[0]
    found = {"=": lambda: value == first, "!=": lambda: value != first,
             ">": lambda: value > first, "<=": lambda: value <= first,
             "in": lambda: value in one.values,
             "starts with": lambda: value.startswith(first)}[one.operator]()
    return found != one.negated


def holds(condition: object, of: object) -> bool | None:
    if isinstance(condition, Compared):
        return truth(of(condition.operand), condition)
    if isinstance(condition, Joined):
        parts = [holds(p, of) for p in condition.parts]
        decisive = condition.word == "or"
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    inner = holds(condition.of, of)
    return None if inner is None else not inner


def brute(database: Database, text: str, dates: list[int]) -> dict:
    query = parse(text)
    meaning = meaning_of(query, database)
    frames = {t: database.read(t) for t in database.tables}

    def value(one: Aggregate, who: int, t: int) -> object:
        window = meaning.windows[one]
        frame = frames[window.table]
        times = moments(frame[database.tables[window.table].time_col], 0)
        owner = frame[window.path[0][1]].to_list()
        first = -np.inf if one.first is None else t + one.first * DAY
        rows = [i for i in range(frame.height)
                if owner[i] == who and first < times[i] <= t + one.last * DAY]
        if one.where is not None:
            rows = [i for i in rows
                    if holds(one.where, lambda c, i=i: frame[c.column][i]) is True]
        rows.sort(key=lambda i: (times[i], frame[window.cells.column][i] is None,
                                 frame[window.cells.column][i]))
        cells = [frame[window.cells.column][i] for i in rows]
        return said(rows, cells, one)

    found = {}
    for t in dates:
        for who in range(database.num_rows(meaning.entity)):
            def of(operand, who=who, t=t):
                assert not isinstance(operand, Column)
                return value(operand, who, t)

            if query.where is not None and holds(query.where, of) is not True:
                continue
            answer = (value(query.target, who, t) if isinstance(query.target, Aggregate)
                      else holds(query.target, of))
            if answer is not None:
                found[t, who] = pytest.approx(float(answer))
    return found


@given(queries())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_labels_are_those_of_a_slow_reading(shop, text):
    from rowgraph.databases.guarded_sql import run

    meaning = meaning_of(parse(text), shop)
    dates = np.datetime64("2020-03-01", "us") + np.arange(4) * np.timedelta64(43, "D")
    tables = {t: shop.read(t).to_pandas() for t in shop.tables}
    tables["timestamps"] = pl.DataFrame({"timestamp": dates}).to_pandas()
    made = run(sql_of(meaning, shop, "timestamp", "target"), tables)
    key = shop.tables[meaning.entity].pkey_col
    found = {(int(t.value // 1000 if hasattr(t, "value") else t), int(w)): float(y)
             for t, w, y in made[["timestamp", key, "target"]].itertuples(index=False)}
    assert found == brute(shop, text, [int(d.astype(np.int64)) for d in dates])


def test_a_foreign_key_is_recommended(shop):
    meaning = meaning_of(parse("PREDICT LIST_DISTINCT(items.good, 0, 30) RANK TOP 2 "
                               'FOR EACH "or ders"."order"'), shop)
    assert (meaning.task_type, meaning.destination) == ("recommendation", "goods")


KNOWN = {
    "rel-f1/driver-dnf": "PREDICT MAX(results.statusId, 0, 30, days) > 1 FOR EACH drivers.driverId",
    "rel-f1/driver-top3":
        "PREDICT MIN(qualifying.position, 0, 30, days) <= 3 FOR EACH drivers.driverId",
    "rel-f1/driver-position":
        "PREDICT AVG(results.positionOrder, 0, 60, days) FOR EACH drivers.driverId",
    "rel-grocery/household-churn":
        "PREDICT COUNT(baskets.*, 0, 14, days) = 0 FOR EACH households.household_id "
        "WHERE COUNT(baskets.*, -28, 0, days) > 0",
    "rel-grocery/household-coupon":
        "PREDICT COUNT(basket_items.* WHERE basket_items.coupon_discount > 0, 0, 14, days) > 0 "
        "FOR EACH households.household_id WHERE COUNT(campaign_targets.*, -INF, 0, days) > 0",
    "rel-grocery/product-sales":
        "PREDICT COUNT(basket_items.*, 0, 14, days) FOR EACH products.product_id "
        "WHERE COUNT(basket_items.*, -28, 0, days) >= 5",
    "rel-tennis/player-wins":
        "PREDICT COUNT(match_players.player_id WHERE match_players.result = 'win', 0, 90, days) "
        "FOR EACH players.player_id WHERE COUNT(match_players.player_id, -90, 0, days) > 0",
    "rel-flights/plane-late":
        "PREDICT AVG(flights.arrival_delay, 0, 7, days) > 15 FOR EACH planes.plane_id "
        "WHERE COUNT(flights.*, -28, 0, days) > 0",
    "rel-baseball/player-home-runs":
        "PREDICT SUM(batting.home_runs, 0, 365, days) FOR EACH people.player_id "
        "WHERE SUM(batting.at_bats, -365, 0, days) >= 100",
}


@functools.cache
def real(name: str) -> Database | None:
    folder = os.environ.get("ROWGRAPH_TEST_DATABASES")
    return Database.open(Path(folder) / name) if folder else None


@pytest.mark.parametrize("task", KNOWN)
def test_known_tasks_written_as_queries_have_the_labels_of_their_sql(task, tmp_path):
    name, _, task = task.partition("/")
    database = real(name)
    if database is None:
        pytest.skip("ROWGRAPH_TEST_DATABASES names no folder of RelBench 3 databases")
    proposal = propose(database, KNOWN[f"{name}/{task}"], tmp_path, name=task)
    shipped = database.folder / "tasks" / task
    known = LabelSchema.read(shipped / "manifest.yaml", database.tables)
    assert proposal.meaning.task_type == known.task_type
    dates = known.manifest.num_eval_timestamps or 1
    schema = LabelSchema.read(_asked(proposal.manifest | {"num_eval_timestamps": dates}, tmp_path),
                              database.tables)
    for split, table in make_labels(database, schema, ("train", "val", "test")).items():
        names = known.time_col, known.entity_col, known.target_col
        mine = pl.from_arrow(table).select("timestamp", known.entity_col, "target")
        theirs = pl.read_parquet(shipped / f"{split}.parquet").select(names)
        mine, theirs = (f.rename(dict(zip(f.columns, "tey", strict=True))).with_columns(
            pl.col("t").cast(pl.Datetime("us")), pl.col("e").cast(pl.Int64),
            pl.col("y").cast(pl.Float64)).sort("t", "e") for f in (mine, theirs))
        # The SQL of rel-grocery begins at a date, which the notation cannot say.
        assert mine.filter(pl.col("t") >= theirs["t"].min()).equals(theirs), split


def _asked(manifest: dict, folder: Path) -> Path:
    path = folder / "asked.yaml"
    path.write_text(yaml.safe_dump(dict(manifest)))
    return path
