"""Nothing dated at or after a seed, and no label that it cannot know, may reach a baseline."""

import dataclasses

import numpy as np
import pytest

from rowgraph.baselines.settings import BASELINES
from rowgraph.tasks.label_tables import LabelTable

SEEN = [name for name in BASELINES if name != "global_constant"]


@pytest.fixture(scope="module")
def nonsense(lab, tmp_path_factory):
    """The world with every cell dated in [start, end) overwritten."""

    def build(start=None, end=None):
        tables = lab.corrupted(lab.frames(), start=start, end=end)
        return lab.build_world(tmp_path_factory.mktemp("nonsense") / "db", tables)

    return build


@pytest.fixture(scope="module")
def predict(ran, quick):
    """Predictions of the test rows under one regime, by baseline."""

    def predict(task, regime):
        settings = quick.model_copy(update={"seeds": (0,), "regimes": (regime,)})
        return {run.variant: splits["test"]
                for run, splits in ran(task, settings)[1].items()}

    return predict


def unknown(task, moment):
    """The task with every label flipped that is not known before a moment."""

    def flipped(labels):
        late = labels.times + task.timedelta >= moment
        return LabelTable(labels.rows, labels.times,
                          np.where(late, 1 - labels.target, labels.target))

    return dataclasses.replace(task, test=flipped(task.test))


def test_cells_and_labels_at_or_after_a_rolling_seed_change_no_bit(world, nonsense, predict, lab):
    time = int(lab.SEED_DATES[28])  # a race day
    mine = lab.upto(world.task, "test", time)
    theirs = unknown(lab.upto(nonsense(start=time).task, "test", time), time)
    before, after = predict(mine, "rolling"), predict(theirs, "rolling")
    for name in BASELINES:
        assert before[name].tobytes() == after[name].tobytes(), name


def test_cells_and_labels_after_the_cut_change_no_bit_of_frozen_predictions(world, nonsense,
                                                                            predict, lab):
    other = unknown(nonsense(start=lab.TEST + 1).task, lab.TEST + 1)
    before, after = predict(world.task, "frozen_db"), predict(other, "frozen_db")
    for name in BASELINES:
        assert before[name].tobytes() == after[name].tobytes(), name


def test_cells_and_labels_before_the_seed_do_change_predictions(world, nonsense, predict, lab):
    """The control: the canary can sing."""
    other = nonsense(end=lab.TEST)
    for regime in ("rolling", "frozen_db"):
        before, after = predict(world.task, regime), predict(other.task, regime)
        for name in BASELINES:
            assert not np.array_equal(before[name], after[name]), name


def test_an_autocomplete_task_is_free_of_its_hidden_column(autocomplete, lab, nonsense, predict):
    frames = lab.frames()
    other = lab.build_world(nonsense().database.folder / "other", {
        **frames, "results": frames["results"].with_columns(laps=frames["results"]["laps"] * 3)})
    hidden = dataclasses.replace(autocomplete,
                                 database=other.database.without([("results", "laps")]))
    before, after = predict(autocomplete, "rolling"), predict(hidden, "rolling")
    assert "data_scientist_blend" in before
    for name in before:
        assert before[name].tobytes() == after[name].tobytes(), name
    shown = dataclasses.replace(hidden, database=other.database)  # the control
    assert not np.array_equal(predict(shown, "rolling")["lightgbm_entity"],
                              after["lightgbm_entity"])
