"""Worlds in which the future is nonsense, kinds of task on them, and small settings of peers."""

import dataclasses

import numpy as np
import pytest

from rowgraph.baselines.peers.settings import PeerMetricsSettings
from rowgraph.tasks.label_tables import LabelTable, Task

SMALL = PeerMetricsSettings(
    peers=("rdl",), seeds=(0,), folds=1, epochs=2, batch=256, learning_rate=1e-2, channels=8,
    fan_out=(3, 2), text_dim=8, train_rows=200, kumo_context=40, kumo_fan_out=(2, 1))


@pytest.fixture(scope="session")
def small():
    """Settings with which RDL trains in a second."""
    return SMALL


@pytest.fixture(scope="session")
def nonsense(lab, tmp_path_factory):
    """The world with every cell dated in [start, end) overwritten, built once per span."""
    built = {}

    def build(start=None, end=None):
        if (start, end) not in built:
            tables = lab.corrupted(lab.frames(), start=start, end=end)
            built[start, end] = lab.build_world(tmp_path_factory.mktemp("nonsense") / "db", tables)
        return built[start, end]

    return build


@pytest.fixture(scope="session")
def multiclass():
    """The task with three classes: a driver's newest form and who they are."""
    def of(task: Task) -> Task:
        def classes(labels: LabelTable) -> LabelTable:
            return dataclasses.replace(labels, target=labels.target + labels.rows % 2)

        return dataclasses.replace(
            task, task_type="multiclass_classification", classes=("a", "b", "c"),
            **{split: classes(task.labels(split)) for split in ("train", "val", "test")})

    return of


@pytest.fixture(scope="session")
def autocomplete():
    """Laps of a result, from the result's other cells and the past."""
    def of(world) -> Task:
        database = world.database
        times = database.times("results")
        laps = database.read("results", ["laps"])["laps"].to_numpy().astype(np.float64)
        cuts = (database.val_timestamp, database.test_timestamp)
        split = np.digitize(times, cuts)
        known = times < np.iinfo(np.int64).max
        tables = [LabelTable(at, times[at], laps[at]) for at in
                  (np.flatnonzero(known & (split == i)) for i in range(3))]
        return Task("laps", database.without([("results", "laps")]), "regression", "results", 0,
                    *tables, autocomplete=True)

    return of
