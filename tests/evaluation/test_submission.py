"""RelBench's own reader, writer, validator and metrics are the judge."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest
import yaml

from rowgraph.artifacts import Draft
from rowgraph.databases.database import Database
from rowgraph.evaluation.evaluating import evaluate_task
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.evaluation.submission import read_answers, write_submission
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import write_predictions

KINDS = ("binary_classification", "regression", "recommendation")


def write_folder(task, folder):
    """The task as a RelBench 3 folder."""
    (folder / "db").mkdir(parents=True)
    (folder / "tasks/ask").mkdir(parents=True)
    day = np.datetime64(0, "D") + np.timedelta64(50, "D")
    for name, count in (("things", 10), ("places", 12)):
        pl.DataFrame({"id": np.arange(count), "born": np.full(count, day)}).write_parquet(
            folder / "db" / f"{name}.parquet")
    table = {"pkey": "id", "time_col": "born", "fkeys": {}}
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "rel-tiny", "manifest_version": 1, "description": "a test",
        "tables": {"things": table, "places": table},
        "val_timestamp": "1970-10-28", "test_timestamp": "1971-02-05"}))
    ranked = task.task_type == "recommendation"
    (folder / "tasks/ask/manifest.yaml").write_text(yaml.safe_dump({
        "name": "ask", "kind": "forecast", "task_type": task.task_type, "description": "a test",
        "time_col": "date", "timedelta": "2 days", "num_eval_timestamps": 1, "sql": "SELECT 1",
        "manifest_version": 1, **({
            "src_entity_table": "things", "src_entity_col": "thing", "dst_entity_table": "places",
            "dst_entity_col": "place", "eval_k": task.eval_k} if ranked else {
            "entity_table": "things", "entity_col": "thing", "target_col": "value"})}))
    for split in ("train", "val", "test"):
        labels = task.labels(split)
        target = ([labels.target.of_row(i).tolist() for i in range(len(labels))] if ranked
                  else labels.target)
        pl.DataFrame({"date": pl.Series(labels.times).cast(pl.Datetime("us")),
                      "thing": labels.rows, "place" if ranked else "value": target}).write_parquet(
            folder / f"tasks/ask/{split}.parquet")
    return load_task(Database.open(folder), "ask")


@pytest.fixture
def evaluated(request, kinds, tmp_path):
    """A task on disk, and what its evaluation wrote."""
    task = write_folder(kinds.task(request.param), tmp_path / "db")
    models = tmp_path / "models"
    models.mkdir()
    write_predictions(task, kinds.answers(task, {"strong": 0.5, "weak": 0.1},
                                          regimes=("frozen_db", "rolling")),
                      models / "predictions.parquet")
    (tmp_path / "evaluation").mkdir()
    evaluate_task(task, {"downstream_metrics": models}, EvaluationSettings(bootstrap=5),
                  Draft(tmp_path / "evaluation"), log=lambda *_: None)
    return task, tmp_path / "evaluation"


each_kind = pytest.mark.parametrize("evaluated", KINDS, indirect=True)
binary = pytest.mark.parametrize("evaluated", KINDS[:1], indirect=True)


@each_kind
def test_relbench_accepts_the_file_and_scores_it_as_we_do(evaluated, tmp_path):
    task, folder = evaluated
    (found,) = write_submission([(task, folder)], tmp_path / "out")
    assert found.path == tmp_path / "out/rel-tiny__ask.csv"
    assert (found.task, found.variant, found.valid) == ("rel-tiny/ask", "strong", True)
    assert found.score == pytest.approx(found.own, rel=1e-12)
    prediction = read_answers(task, folder, "frozen_db", "strong")
    assert found.own == measure(found.metric, task.test.target, prediction, task.train.target)
    assert found.said == "valid: 80 test rows, each once; no leaderboard lists this task"
    again = write_submission([(task, folder)], tmp_path / "out", variant="weak")
    assert again[0].variant == "weak"
    assert again[0].score != found.score


@pytest.mark.parametrize("evaluated", KINDS[2:], indirect=True)
def test_recommendations_are_lists_without_padding(evaluated, tmp_path):
    task, folder = evaluated
    write_submission([(task, folder)], tmp_path / "out")
    lists = [json.loads(text) for text in pl.read_csv(tmp_path / "out/rel-tiny__ask.csv")["place"]]
    assert max(map(len, lists)) <= task.eval_k
    assert min(min(one) for one in lists) >= 0


@binary
def test_what_relbenchs_models_may_not_see_is_said(evaluated, tmp_path):
    task, folder = evaluated
    (found,) = write_submission([(task, folder)], tmp_path / "out", regime="rolling")
    assert found.valid
    assert found.said.endswith("rolling sees rows after test_timestamp, which RelBench's models "
                               "do not")


@binary
def test_what_relbench_refuses_is_told_in_its_words(evaluated, tmp_path):
    task, folder = evaluated
    labels = task.database.folder / "tasks/ask/test.parquet"
    frame = pl.read_parquet(labels)
    frame[[0, *range(79)]].write_parquet(labels)  # one row twice
    twice = load_task(task.database, "ask")
    (found,) = write_submission([(twice, folder)], tmp_path / "out")
    assert not found.valid
    assert found.said.startswith("refused by RelBench: prediction CSV has 1 duplicate key row")
    frame[::-1].write_parquet(labels)
    (found,) = write_submission([(task, folder)], tmp_path / "out")
    assert (found.valid, found.path) == (False, None)
    assert found.said.startswith("the test labels as RelBench reads them are not those")


@binary
def test_tasks_without_a_leaderboard_get_no_file_and_a_reason(evaluated, kinds, tmp_path):
    task, folder = evaluated
    multiclass = kinds.task("multiclass_classification")
    (task.database.folder / "rows").mkdir()
    found = write_submission([(dataclasses.replace(task, autocomplete=True), folder),
                              (multiclass, folder), (task, folder)], tmp_path / "out")
    assert [f.path for f in found] == [None] * 3
    for one, word in zip(found, ("autocomplete", "multiclass", "left out"), strict=True):
        assert word in one.said
    assert not list((tmp_path / "out").iterdir())


@binary
def test_wrong_variants_regimes_and_folders_are_named(evaluated, tmp_path):
    task, folder = evaluated
    with pytest.raises(ValueError, match="no variant 'best' in frozen_db; there are strong, weak"):
        write_submission([(task, folder)], tmp_path / "out", variant="best")
    with pytest.raises(ValueError, match="no predictions in regime 'x'; there are some in frozen"):
        write_submission([(task, folder)], tmp_path / "out", regime="x", variant="weak")
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"prediction tables only, found notes\.txt"):
        write_submission([(task, folder)], tmp_path / "out")


@binary
def test_without_a_figure_on_validation_a_variant_must_be_named(evaluated, tmp_path):
    task, folder = evaluated
    path = folder / "validation.parquet"
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(ValueError, match="no variant has a figure on validation in frozen_db"):
        write_submission([(task, folder)], tmp_path / "out")
