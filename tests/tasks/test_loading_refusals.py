"""Whatever is wrong with a task is said at once, before anything is computed as when it is read."""

from __future__ import annotations

import os

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowgraph.tasks.loading import check_tasks, load_task


def one_class(races, split: str) -> None:
    frame = pl.read_parquet(races.path(split))
    frame.with_columns(fails=pl.lit(1)).write_parquet(races.path(split))


def rewrite(races, split: str, change) -> None:
    pq.write_table(change(pq.read_table(races.path(split))), races.path(split))


WRONG = {
    "a kind that is not supported": (
        lambda r: r.manifest(task_type="multilabel_classification"),
        "task type multilabel_classification is not supported"),
    "no manifest": (
        lambda r: (r.path("x").parent / "manifest.yaml").unlink(), "driver-fails: no such task"),
    "a manifest that is none": (
        lambda r: (r.path("x").parent / "manifest.yaml").write_text("name: [}"),
        "manifest.yaml is no task manifest (line 1: "),
    "no time column": (
        lambda r: r.manifest(kind="external", time_col=None),
        "the label table has no time column, so that what a label row may see is undefined"),
    "a time column without a name": (
        lambda r: r.manifest(kind="external", time_col=""),
        "the label table has no time column, so that what a label row may see is undefined"),
    "a list of no length": (
        lambda r: (r.recommend(), r.manifest(kind="external", evaluator="own", eval_k=None)),
        "the manifest names no eval_k, so that nobody knows how many rows to recommend; add it"),
    "a table without a time": (
        lambda r: r.manifest(kind="autocomplete", entity_table="circuits", target_col="country"),
        "table circuits has no time column"),
    "a task on no table": (
        lambda r: r.manifest(entity_table="driver"),
        "entity table 'driver' is not in the database; did you mean drivers?"),
    "one class in train": (
        lambda r: one_class(r, "train"), "train labels are 1, so that nothing can be fitted"),
    "one class in val": (
        lambda r: one_class(r, "val"), "all 200 val labels are 1, so that nothing can be measured"),
    "one class in test": (lambda r: one_class(r, "test"), "all 200 test labels are 1"),
    "an empty split": (
        lambda r: rewrite(r, "val", lambda t: t.slice(0, 0)), "the val label table is empty"),
    "labels that are text": (
        lambda r: r.target(of=lambda split, i: "yes"),
        "fails of train.parquet is of type string, expected numbers"),
    "labels that are infinite": (
        lambda r: (r.manifest(task_type="regression"), r.set("val", "fails", 3, float("inf"))),
        "1 of 200 val label rows have an infinite fails; remove these rows from val.parquet"),
    "labels that are null": (
        lambda r: r.set("test", "fails", 3, None), "1 of 200 test label rows have no fails"),
    "labels that are NaN": (
        lambda r: (r.manifest(task_type="regression"), r.set("test", "fails", 3, float("nan"))),
        "1 of 200 test label rows have no fails"),
    "labels that are lists": (
        lambda r: (r.manifest(task_type="multiclass_classification"),
                   r.target(of=lambda split, i: [i % 2])),
        "holds list<element: int64>, expected one class a row"),
    "a class that nothing was fitted on": (
        lambda r: (r.manifest(task_type="multiclass_classification"),
                   r.set("test", "fails", 3, 7)),
        "1 of 200 test labels are of classes that neither train nor val has (7)"),
    "a class a row": (
        lambda r: (r.manifest(task_type="multiclass_classification"),
                   r.target(of=lambda split, i: i * 3 + len(split))),
        "classes among 920 train and validation label rows"),
    "no destination anywhere": (
        lambda r: (r.recommend(), r.target(name="circuitId", kind=pa.list_(pa.int64()),
                                          of=lambda split, i: [] if split == "val" else [1])),
        "no val label row has a destination"),
    "a destination that does not exist": (
        lambda r: (r.recommend(), r.target(name="circuitId", of=lambda split, i: [1, i % 6])),
        "train label row 5 names circuits 5, but the table has rows 0 to 4"),
    "destinations that are text": (
        lambda r: (r.recommend(), r.target(name="circuitId", of=lambda split, i: ["a"])),
        "circuitId of train.parquet is of type string, expected row numbers of circuits"),
    "half an entity": (
        lambda r: r.set("test", "driverId", 3, 1.5), "test label row 3 names drivers 1.5"),
    "entities that are text": (
        lambda r: rewrite(r, "val", lambda t: t.set_column(
            t.schema.get_field_index("driverId"), "driverId", pa.array(["a"] * len(t)))),
        "driverId of val.parquet is of type string, expected row numbers of drivers as int64"),
    "times with a zone": (
        lambda r: rewrite(r, "val", lambda t: t.set_column(
            t.schema.get_field_index("date"), "date", t["date"].cast(pa.timestamp("us", "UTC")))),
        "date of val.parquet is of type timestamp[us, tz=UTC], expected timestamps without"),
    "a column that is missing": (
        lambda r: rewrite(r, "val", lambda t: t.drop_columns(["fails"])),
        "val.parquet: expected one column fails, found 0; use one of date, driverId"),
    "labels that are no Parquet": (
        lambda r: r.path("val").write_text("gone"), "val.parquet is not a readable Parquet file"),
    "a pipe in the place of labels": (
        lambda r: (r.path("val").unlink(), os.mkfifo(r.path("val"))),
        "val.parquet is not a regular file"),
    "external labels that are missing": (
        lambda r: (r.manifest(kind="external"), r.path("val").unlink()),
        "val.parquet: missing, and external labels cannot be made"),
    "labels that would miss events": (
        lambda r: (r.manifest(timedelta="50 days"), r.path("test").unlink()),
        "test.parquet: missing, and test_timestamp + timedelta is"),
    "validation that overlaps with test": (
        lambda r: r.manifest(timedelta="51 days"),
        "timedelta is longer than from val_timestamp to test_timestamp"),
    "SQL that cannot be run": (
        lambda r: r.path("val").unlink(), "val.parquet: missing, and "),
    "a foreign key in remove_columns": (
        lambda r: r.manifest(remove_columns=[["results", "raceId"]]),
        "remove_columns names results.raceId, a foreign key"),
    "a primary key in remove_columns": (
        lambda r: r.manifest(remove_columns=[["drivers", "driverId"]]), "driverId, a primary key"),
    "a time in remove_columns": (
        lambda r: r.manifest(remove_columns=[["results", "date"]]), "date, a time column"),
    "a hidden column that does not exist": (
        lambda r: r.manifest(remove_columns=[["results", "lap"]]),
        "hidden column results.lap does not exist, and if another was meant the label leaks; did "
        "you mean laps?"),
    "a hidden column of no table": (
        lambda r: r.manifest(remove_columns=[["result", "laps"]]),
        "hidden column result.laps: no such table; did you mean results?"),
    "a column to complete that does not exist": (
        lambda r: r.manifest(kind="autocomplete", entity_table="results", target_col="lap"),
        "hidden column results.lap does not exist"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_whatever_is_wrong_is_said_by_the_check_as_by_the_loading(races, wrong):
    change, message = WRONG[wrong]
    change(races)
    with pytest.raises(ValueError, match="rel-races/driver-fails: ") as error:
        load_task(races.database, "driver-fails")
    assert message in str(error.value)
    told = check_tasks(races.database, ["driver-fails"])
    assert all(line.startswith("rel-races/driver-fails: ") for line in told)
    assert message in "\n".join(told)
    if wrong != "SQL that cannot be run":  # RelBench says it in other words than DuckDB's binder
        assert "\n".join(told) == str(error.value)


def test_shipped_labels_that_end_after_the_data_are_refused_unless_rows_were_left_out(races):
    races.manifest(timedelta="49 days")
    [told] = check_tasks(races.database, ["driver-fails"])
    assert "val" not in told
    assert "test.parquet: test_timestamp + timedelta is 1973-07-" in told
    assert "later than the newest row (1973-07-" in told
    (races.folder / "rows").mkdir()
    assert check_tasks(races.database, ["driver-fails"]) == []


def test_all_that_is_wrong_is_said_at_once(races):
    one_class(races, "test")
    races.set("train", "driverId", 0, 99)
    races.set("val", "fails", 0, 7)
    told = check_tasks(races.database, ["driver-fails", "nope"])
    assert len(told) == 2  # targets are compared once every split is sound
    races.set("train", "driverId", 0, 9)
    assert [line.partition(": ")[2][:12] for line in check_tasks(
        races.database, ["driver-fails", "drver-fails"])] == [
        "a binary tar", "all 200 test", "no such task"]
