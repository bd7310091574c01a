"""Small tasks of every kind in the racing world, their window features, and one run of a stage."""

import dataclasses

import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.baselines.running import run_baselines
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.predictions import read_predictions
from tests.worlds.windows import SMALL


@pytest.fixture(scope="session")
def ran(tmp_path_factory, features_of, silent):
    """Runs the stage: its folder, predictions and summary."""

    def run(task, settings=SMALL, features=None):
        draft = Draft(tmp_path_factory.mktemp("baselines"))
        folder = features or features_of(task, settings)
        summary = run_baselines(task, folder, settings, draft, log=silent)
        return draft.folder, read_predictions(task, draft.folder / "predictions.parquet"), summary

    return run


@pytest.fixture(scope="session")
def multiclass(world):
    """Which of three kinds of driver fails, or none: the target says who and whether."""

    def changed(labels):
        target = labels.target * (1 + labels.rows % 2)
        return LabelTable(labels.rows, labels.times, target.astype(float))

    task = world.task
    return dataclasses.replace(
        task, task_type="multiclass_classification", classes=("no", "even", "odd"),
        train=changed(task.train), val=changed(task.val), test=changed(task.test))


@pytest.fixture(scope="session")
def autocomplete(world, lab):
    """The laps of a result, whose other cells are visible: a task about the table itself."""
    database = world.database
    times, frame = database.times("results"), database.read("results", ["laps"])
    rows = pl.arange(len(frame), eager=True).to_numpy()
    target = frame["laps"].cast(pl.Float64).to_numpy()

    def split(first, last):
        found = rows[(times >= first) & (times < last)]
        return LabelTable(found, times[found], target[found])

    first = int(lab.SEED_DATES[0])
    return dataclasses.replace(
        world.task, name="results-laps", database=database.without([("results", "laps")]),
        task_type="regression", entity_table="results", timedelta=0, autocomplete=True,
        train=split(first, lab.VAL), val=split(lab.VAL, lab.TEST),
        test=split(lab.TEST, int(lab.SEED_DATES[29])))
