"""Window features of tasks in small worlds, and settings that take seconds."""

import dataclasses

import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.store import write_window_features
from rowgraph.tasks.label_tables import LabelTable

SMALL = BaselineMetricsSettings(seeds=(0, 1), trees=10, bags=1, folds=2, linear_features=20)


@pytest.fixture(scope="session")
def quick():
    """Settings that take seconds."""
    return SMALL


@pytest.fixture(scope="session")
def silent():
    return lambda *_: None


@pytest.fixture(scope="session")
def features_of(tmp_path_factory, silent):
    """Writes the window features of a task, few of them, and gives their folder."""

    def write(task, settings=SMALL):
        draft = Draft(tmp_path_factory.mktemp("features"))
        write_window_features(task, WindowFeaturesSettings(
            folds=settings.folds, regimes=settings.regimes, max_features=60), draft, log=silent)
        return draft.folder

    return write


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
