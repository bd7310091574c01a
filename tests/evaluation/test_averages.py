import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.databases.database import TableSchema
from rowgraph.evaluation.averages import answer_rows, mean_predictions, merged_lists
from rowgraph.tasks.predictions import Run

PATIENT = settings(deadline=None)  # a busy machine is no failure

LISTS = st.lists(st.lists(st.integers(0, 8), min_size=0, max_size=4, unique=True), min_size=3,
                 max_size=3)


def padded(rows):
    return np.array([[*row, -1, -1, -1, -1][:4] for row in rows])


@PATIENT
@given(lists=st.lists(LISTS, min_size=1, max_size=4))
def test_merged_lists_are_ranked_by_the_sum_of_one_over_place(lists):
    said = np.stack([padded(rows) for rows in lists])
    merged = merged_lists(said, np.full(len(lists), 1 / len(lists)), 9)
    for row in range(3):
        points = {}
        for one in lists:
            for place, destination in enumerate(one[row], 1):
                points[destination] = points.get(destination, 0) + 1 / place / len(lists)
        best = sorted(points, key=lambda d: (-round(points[d], 9), d))[:4]
        assert [d for d in merged[row] if d >= 0] == best
        assert merged[row].tolist() == padded([best])[0].tolist()


def test_one_list_is_itself():
    said = padded([[3, 1], [], [7, 8, 0, 2]])
    np.testing.assert_array_equal(merged_lists(said[None], np.ones(1), 9), said)


def test_every_language_model_counts_alike_however_many_seeds_it_has(kinds):
    task = kinds.task("regression")
    said = {Run("rolling", "a", seed, bart): {"test": np.full(80, float(value))}
            for bart, seed, value in [(1, 0, 0), (1, 1, 0), (1, 2, 3), (2, 0, 5)]}
    assert mean_predictions(said)["rolling", "a"]["test"] == pytest.approx(3.0)
    assert task.primary == "mae"


def test_each_test_row_has_its_key_time_target_prediction_and_spread(task, kinds, tmp_path):
    task = kinds.on_disk(task, tmp_path)
    predictions = kinds.answers(task, {"a": 0.3, "b": 0.1}, regimes=("rolling", "frozen_db"))
    rows = answer_rows(task, predictions, "rolling")
    assert rows.columns == ["variant", "row", "id", "time", "target", "prediction", "spread"]
    assert rows.height == 2 * len(task.test)
    one = rows.filter(variant="a")
    assert one["row"].to_list() == one["id"].to_list() == task.test.rows.tolist()
    assert one["time"].dt.epoch("us").to_list() == task.test.times.tolist()
    first, second = (predictions[Run("rolling", "a", seed)]["test"] for seed in (0, 1))
    if task.task_type == "recommendation":
        assert one["target"].to_list() == [task.test.target.of_row(i).tolist() for i in range(80)]
        assert one["spread"].is_between(0, 1).all()
        assert one["spread"].max() > 0
        assert all(set(m) <= {*a, *b} for m, a, b in zip(one["prediction"], first, second,
                                                         strict=True))
        return
    assert one["target"].to_list() == task.test.target.tolist()
    np.testing.assert_allclose(np.array(one["prediction"].to_list()), (first + second) / 2)
    np.testing.assert_allclose(np.array(one["spread"].to_list()),
                               np.std([first, second], axis=0, ddof=1))


def test_one_run_has_no_spread(task, kinds, tmp_path):
    task = kinds.on_disk(task, tmp_path)
    rows = answer_rows(task, kinds.answers(task, {"a": 0.3}, seeds=(4,)), "rolling")
    assert rows["spread"].null_count() == rows.height
    both = {**kinds.answers(task, {"a": 0.3}, seeds=(4,)), **kinds.answers(task, {"b": 0.3})}
    assert answer_rows(task, both, "rolling")["spread"].null_count() == rows.height


def test_a_key_called_as_a_column_of_ours_keeps_its_tables_name(kinds, tmp_path):
    task = kinds.on_disk(kinds.task("regression"), tmp_path)
    path = tmp_path / "db" / "things.parquet"
    pl.read_parquet(path).rename({"id": "target"}).write_parquet(path)
    schema = TableSchema("things", "target", None, {})
    task = dataclasses.replace(task, database=dataclasses.replace(task.database, tables={
        "things": schema}))
    predictions = kinds.answers(task, {"a": 0.3})
    assert "things.target" in answer_rows(task, predictions, "rolling").columns
    keyless = dataclasses.replace(task, database=dataclasses.replace(task.database, tables={
        "things": dataclasses.replace(schema, pkey_col=None)}))
    assert answer_rows(keyless, predictions, "rolling").columns == [
        "variant", "row", "time", "target", "prediction", "spread"]
