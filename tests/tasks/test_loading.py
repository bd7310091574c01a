"""Every kind of task is read from its folder, and whatever is wrong with one is said at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.databases.database import Database
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.tasks import label_columns
from rowgraph.tasks.kinds import TASK_TYPES
from rowgraph.tasks.label_tables import Destinations
from rowgraph.tasks.loading import check_tasks, load_task, task_names

SPLITS = ("train", "val", "test")


def test_classes_are_those_of_train_and_validation_in_order(races):
    words = ["late", "early", "never"]
    races.manifest(task_type="multiclass_classification")
    races.target(of=lambda split, i: words[(i * 7 + len(split)) % (2 if split == "train" else 3)])
    task = load_task(races.database, "driver-fails")
    assert task.classes == ("early", "late", "never")
    assert task.primary == "macro_f1"
    assert task.known.target.dtype == np.float64
    for split in SPLITS:
        frame = pl.read_parquet(races.path(split))
        labels = task.labels(split)
        assert [task.classes[int(t)] for t in labels.target] == frame["fails"].to_list()


@pytest.mark.parametrize(("values", "kind", "classes"), [
    ((10, 9, 2), pa.int64(), ("2", "9", "10")),
    ((10.0, 9.5, 2.0), pa.float64(), ("2", "9.5", "10")),
    (("b", "a", "C"), pa.string(), ("C", "a", "b")),
    ((True, False, True), pa.bool_(), ("false", "true")),
    (("x", "y", "z"), pa.dictionary(pa.int32(), pa.string()), ("x", "y", "z")),
    ((0, 1, 2), pa.timestamp("s"), ("1970-01-01 00:00:00", "1970-01-01 00:00:01",
                                    "1970-01-01 00:00:02")),
])
def test_classes_of_any_type_are_texts_in_their_own_order(races, values, kind, classes):
    races.manifest(task_type="multiclass_classification")
    races.target(kind=kind, of=lambda split, i: values[i % 3])
    task = load_task(races.database, "driver-fails")
    assert task.classes == classes
    assert len(np.unique(task.test.target)) == len(classes)


def test_a_split_whose_classes_are_of_another_type_has_the_same_classes(races):
    races.manifest(task_type="multiclass_classification")
    races.target(of=lambda split, i: i % 3 if split == "train" else float(i % 3))
    assert load_task(races.database, "driver-fails").classes == ("0", "1", "2")


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32()),
                                  pa.list_(pa.float64())])
def test_destinations_are_a_set_of_rows_for_each_label_row(races, kind):
    lists = [[3, 1, 3], [], None, [0, None], [4]]
    races.recommend()
    races.target(name="circuitId", kind=kind, of=lambda split, i: lists[(i + len(split)) % 5])
    task = load_task(races.database, "driver-fails")
    assert (task.entity_table, task.destination_table, task.eval_k) == ("drivers", "circuits", 3)
    assert task.metrics == ("map", "recall")
    for split in SPLITS:
        target = task.labels(split).target
        assert isinstance(target, Destinations)
        given = [lists[(i + len(split)) % 5] for i in range(len(target))]
        assert [target.of_row(i).tolist() for i in range(len(target))] == [
            sorted({d for d in one or [] if d is not None}) for one in given]


def test_one_destination_a_row_stands_for_a_list_of_one(races):
    races.recommend()
    races.target(name="circuitId", of=lambda split, i: i % 5 if i % 4 else None)
    target = load_task(races.database, "driver-fails").test.target
    assert [target.of_row(i).tolist() for i in range(6)] == [[], [1], [2], [3], [], [0]]


@given(st.lists(st.none() | st.lists(st.none() | st.integers(0, 6), max_size=5), min_size=1,
                max_size=8))
def test_lists_become_destinations_as_sets_say(lists):
    task = LabelSchema("t", "external", "recommendation", "s", "a", "d", "b", None, "time", 1, 2,
                       (), (), None)
    table = pa.table({"a": [0] * len(lists), "time": pa.array([0] * len(lists),
                                                              pa.timestamp("us")),
                      "b": pa.array(lists, pa.list_(pa.int64()))})
    found = label_columns.columns_of(table, "train", task, {"s": 1, "d": 7}).labels
    judge = Destinations.of([np.array([d for d in one or [] if d is not None]) for one in lists])
    assert found.indptr.tolist() == judge.indptr.tolist()
    assert found.rows.tolist() == judge.rows.tolist()


def test_a_cell_of_the_row_itself_is_hidden_with_what_implies_it(races):
    name = races.autocomplete("drivers", "height", "regression",
                              remove_columns=[["drivers", "rookie"], ["results", "laps"]])
    frame = pl.read_parquet(races.folder / "db/drivers.parquet").with_columns(
        debut=pl.Series(np.repeat(pl.read_parquet(races.path("train"))["date"].dt.epoch("us")
                                  .unique().sort()[[0, -1]].to_numpy(), [20, 20])
                        + np.where(np.arange(40) > 30, 10**14, 0)).cast(pl.Datetime("us")),
        height=pl.Series(np.arange(40) * 1.5))
    frame.with_columns(pl.when(pl.int_range(40) == 5).then(None).otherwise("height").alias("height")
                       ).write_parquet(races.folder / "db/drivers.parquet")
    database = races.database
    moved = Database(database.name, database.folder, database.tables,
                     int(database.times("drivers")[19]), int(database.times("drivers")[20]))
    task = load_task(moved, name)
    assert (task.autocomplete, task.timedelta, task.entity_table) == (True, 1_000_000, "drivers")
    assert task.train.rows.tolist() == [r for r in range(20) if r != 5]
    assert task.val.rows.tolist() == list(range(20, 31))
    assert task.test.rows.tolist() == list(range(31, 40))
    for split in SPLITS:
        labels = task.labels(split)
        assert labels.target.tolist() == [r * 1.5 for r in labels.rows]
        assert labels.times.tolist() == moved.times("drivers")[labels.rows].tolist()
    assert "height" not in task.database.columns("drivers")
    assert "rookie" not in task.database.columns("drivers")
    assert "laps" not in task.database.columns("results")
    assert "driverId" in task.database.columns("drivers")


def test_rows_without_a_primary_key_are_known_by_their_place(races):
    name = races.autocomplete("results", "failed", "binary_classification")
    task = load_task(races.database, name)
    results, times = races.database.read("results"), races.database.times("results")
    database = races.database
    known = times != np.iinfo(np.int64).max
    for split, side in (("train", times <= database.val_timestamp),
                        ("val", (times > database.val_timestamp)
                         & (times <= database.test_timestamp)),
                        ("test", times > database.test_timestamp)):
        labels = task.labels(split)
        assert sorted(labels.rows.tolist()) == np.flatnonzero(known & side).tolist()
        assert labels.target.tolist() == results["failed"].to_numpy()[labels.rows].tolist()
        assert (np.diff(labels.times) >= 0).all()


def test_a_foreign_key_to_complete_is_a_recommendation_about_one_row(races):
    name = races.autocomplete("results", "driverId", "recommendation", eval_k=3)
    task = load_task(races.database, name)
    keys = races.database.read("results")["driverId"]
    assert (task.task_type, task.entity_table, task.destination_table) == (
        "recommendation", "results", "drivers")
    assert (task.autocomplete, task.eval_k) == (True, 3)
    assert "driverId" not in task.database.columns("results")
    for split in SPLITS:
        labels = task.labels(split)
        assert labels.target.counts.tolist() == [1] * len(labels)
        assert labels.target.rows.tolist() == keys.gather(labels.rows).to_list()
    assert keys.null_count() > 0


def test_labels_that_are_not_shipped_are_made_when_a_task_is_read(races, lab):
    whole = load_task(races.database, "driver-fails")
    races.manifest(sql="SELECT t.timestamp AS date, d.driverId, CAST(COUNT(r.driverId) % 2 AS INT) "
                       "AS fails FROM timestamps t CROSS JOIN drivers d LEFT JOIN results r "
                       "ON r.driverId = d.driverId AND r.date > t.timestamp "
                       "AND r.date <= t.timestamp + INTERVAL '{timedelta}' GROUP BY 1, 2")
    races.path("val").unlink()
    assert check_tasks(races.database, ["driver-fails"]) == []
    task = load_task(races.database, "driver-fails")
    assert task.train.target.tolist() == whole.train.target.tolist()
    assert set(task.val.times.tolist()) == {lab.VAL + i * 5 * lab.DAY for i in range(5)}
    assert not races.path("val").exists()


def test_a_task_that_nobody_knows_is_told_the_nearest_names(races, tmp_path):
    extra = tmp_path / "tasks"
    (extra / "driver-height").mkdir(parents=True)
    (extra / "driver-height/manifest.yaml").write_text(yaml.safe_dump({
        "name": "driver-height", "kind": "autocomplete", "task_type": "regression",
        "entity_table": "results", "target_col": "laps"}))
    assert task_names(races.database) == ["driver-fails"]
    assert task_names(races.database, extra) == ["driver-fails", "driver-height"]
    assert check_tasks(races.database, ["driver-fails", "driver-height"], extra) == []
    [told] = check_tasks(races.database, ["driver-heigt"], extra)
    assert told.endswith("no such task; tasks of rel-races: driver-fails, driver-height; did you "
                         "mean driver-height or driver-fails?")


@pytest.fixture
def databases() -> Path:
    """The folder of real RelBench 3 folders that ROWGRAPH_TEST_DATABASES names."""
    named = os.environ.get("ROWGRAPH_TEST_DATABASES")
    if not named or not Path(named).is_dir():
        pytest.skip("ROWGRAPH_TEST_DATABASES names no folder of RelBench 3 databases")
    return Path(named)


def test_every_task_of_real_databases_loads_in_a_moment(databases):
    found = set()
    for path in sorted(databases.glob("*/manifest.yaml")):
        database = Database.open(path.parent)
        for name in task_names(database):
            began = time.perf_counter()
            task = load_task(database, name)
            assert time.perf_counter() - began < 2
            assert min(len(task.train), len(task.val), len(task.test)) > 0
            found.add(task.task_type)
    assert found <= set(TASK_TYPES)
    assert len(found) >= 3
