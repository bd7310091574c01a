import dataclasses
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.databases.database import Database, TableSchema
from rowgraph.tasks.kinds import TASK_TYPES
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task
from rowgraph.tasks.predictions import (
    Run,
    in_order,
    prediction_rows,
    read_predictions,
    schema,
    write_predictions,
)

PATIENT = settings(deadline=None)  # a busy machine is no failure

DAY = 86_400_000_000
DATABASE = Database("rel-tiny", None, {"things": TableSchema("things", "id", None, {})}, 0, 0)
TARGETS = {"binary_classification": np.array([0.0, 1.0, 1.0]),
           "multiclass_classification": np.array([2.0, 0.0, 1.0]),
           "regression": np.array([-3.5, 0.1, 1e9]),
           "recommendation": Destinations.of([[3, 1], [], [0]])}
ANSWERS = {"binary_classification": [0.25, 0.5, 1.0],
           "multiclass_classification": [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8]],
           "regression": [1e-17, -2.0, 3e8],
           "recommendation": [[5, 0], [2, -1], [-1, -1]]}


def a_task(task_type):
    labels = LabelTable(np.array([4, 0, 4]), np.array([1, 2, 3]) * DAY, TARGETS[task_type])
    return Task("ask", DATABASE, task_type, "things", DAY, labels, labels, labels.take([0, 1, 2]),
                classes=("a", "b", "c"), eval_k=2)


def said(task_type):
    return np.array(ANSWERS[task_type])


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_predictions_of_every_kind_come_back_as_they_were_written(task_type, tmp_path):
    task, answer = a_task(task_type), said(task_type)
    predictions = {
        Run("rolling", "b", 1, 7): {"test": answer, "val": answer[::-1]},
        Run("rolling", "b", 0, 7): {"test": answer},
        Run("frozen_db", "a", 0): {"val": answer, "test": answer}}
    write_predictions(task, predictions, tmp_path / "p.parquet")
    found = read_predictions(task, tmp_path / "p.parquet")
    assert list(found) == [Run("frozen_db", "a", 0), Run("rolling", "b", 0, 7),
                           Run("rolling", "b", 1, 7)]
    for run, splits in found.items():
        assert set(splits) == set(predictions[run])
        for split, values in splits.items():
            assert values.dtype == (np.int64 if task_type == "recommendation" else np.float64)
            np.testing.assert_array_equal(values, predictions[run][split])


def test_each_prediction_stands_beside_its_label_row():
    task = a_task("recommendation")
    rows = prediction_rows(task, {Run("rolling", "b", 1): {"test": said("recommendation")}})
    assert dict(rows.schema) == schema(task)
    assert rows["row"].to_list() == [4, 0, 4]
    assert rows["time"].dt.epoch("us").to_list() == [DAY, 2 * DAY, 3 * DAY]
    assert rows["target"].to_list() == [[1, 3], [], [0]]
    assert rows["prediction"].to_list() == [[5, 0], [2], []]
    assert rows["bart"].to_list() == [None] * 3


def test_no_predictions_are_an_empty_table_with_its_columns(tmp_path):
    task = a_task("binary_classification")
    write_predictions(task, {}, tmp_path / "p.parquet")
    assert read_predictions(task, tmp_path / "p.parquet") == {}


def test_runs_without_a_language_model_come_first():
    runs = [Run("r", "v", 0, 3), Run("r", "v", 1, None), Run("r", "v", 0, 0)]
    assert in_order(dict.fromkeys(runs)) == [runs[1], runs[2], runs[0]]


@pytest.mark.parametrize(("change", "message"), [
    ({"rows": np.array([4, 1, 4])}, r"row of label row 1 should be 1, found 0 \(1 rows differ\)"),
    ({"times": np.array([1, 2, 4]) * DAY}, "time of label row 2 should be 1970-01-05"),
    ({"target": np.array([0.0, 1.0, 0.0])}, "target of label row 2 should be 0.0, found 1.0"),
])
def test_predictions_for_other_label_rows_are_refused_by_name(change, message, tmp_path):
    task = a_task("binary_classification")
    write_predictions(task, {Run("rolling", "v", 0): {"test": np.zeros(3)}},
                      tmp_path / "p.parquet")
    changed = dataclasses.replace(task, test=dataclasses.replace(task.test, **change))
    with pytest.raises(ValueError, match=f"rolling v 0, test: {message}"):
        read_predictions(changed, tmp_path / "p.parquet")
    fewer = dataclasses.replace(task, test=task.test.take([0, 1]))
    with pytest.raises(ValueError, match="for each of 2 label rows, found 3"):
        read_predictions(fewer, tmp_path / "p.parquet")


def test_files_of_another_form_are_refused_by_name(tmp_path):
    task, path = a_task("binary_classification"), tmp_path / "p.parquet"
    path.write_text("no")
    with pytest.raises(ValueError, match="expected a Parquet file that `write_predictions` wrote"):
        read_predictions(task, path)
    write_predictions(task, {Run("rolling", "v", 0): {"test": np.zeros(3)}}, path)
    with pytest.raises(ValueError, match=r"expected columns .* prediction List\(Float64\), found"):
        read_predictions(a_task("multiclass_classification"), path)
    pl.read_parquet(path).with_columns(split=pl.lit("train")).write_parquet(path)
    with pytest.raises(ValueError, match="split 'train' does not exist; known: val, test"):
        read_predictions(task, path)


@pytest.mark.parametrize(("task_type", "answer", "message"), [
    ("binary_classification", np.zeros(2), r"expected predictions of shape \(3,\) .* found \(2,"),
    ("multiclass_classification", np.zeros((3, 2)), r"expected predictions of shape \(3, 3\)"),
    ("recommendation", np.zeros((3, 3), dtype=int), r"expected predictions of shape \(3, 2\)"),
    ("recommendation", np.zeros((3, 2)), "a recommendation is row numbers, found float64"),
])
def test_a_prediction_of_another_shape_is_refused_when_it_is_written(task_type, answer, message):
    with pytest.raises(ValueError, match=message):
        prediction_rows(a_task(task_type), {Run("rolling", "v", 0): {"test": answer}})
    with pytest.raises(ValueError, match="split 'train' has no predictions"):
        prediction_rows(a_task(task_type), {Run("rolling", "v", 0): {"train": answer}})


@PATIENT
@given(values=st.lists(st.floats(allow_nan=False), min_size=3, max_size=3))
def test_every_finite_or_infinite_bit_survives(values, tmp_path_factory):
    task, path = a_task("regression"), tmp_path_factory.mktemp("p") / "p.parquet"
    write_predictions(task, {Run("rolling", "v", sys.maxsize): {"test": np.array(values)}}, path)
    found = read_predictions(task, path)[Run("rolling", "v", sys.maxsize)]["test"]
    assert found.tobytes() == np.array(values).tobytes()
