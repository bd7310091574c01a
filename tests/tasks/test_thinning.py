"""With few labels there are few to fit on, to choose by, and to remember."""

import dataclasses

import numpy as np
import pytest

from rowgraph.features.label_history import known_labels
from rowgraph.tasks.folds import folds_of
from rowgraph.tasks.settings import LabelSettings
from rowgraph.tasks.thinning import EACH, FEWEST, thinned


@pytest.fixture
def thin(world):
    return thinned(world.task, LabelSettings(label_share=0.1))


def _pairs(labels):
    return set(zip(labels.rows.tolist(), labels.times.tolist(), strict=True))


def test_all_labels_are_the_task_itself(world):
    assert thinned(world.task, LabelSettings()) is world.task


def test_training_and_validation_are_thinned_and_test_is_asked_in_full(world, thin):
    assert len(thin.train) == round(0.1 * len(world.task.train))
    assert len(thin.val) == max(FEWEST, round(0.1 * len(world.task.val)))
    assert thin.test is world.task.test


def test_a_smaller_share_is_part_of_a_larger_one(world):
    small, large = (thinned(world.task, LabelSettings(label_share=s)) for s in (0.1, 0.4))
    assert _pairs(small.train) < _pairs(large.train)
    assert _pairs(small.told) < _pairs(large.told)


def test_another_draw_keeps_other_labels(world, thin):
    other = thinned(world.task, LabelSettings(label_share=0.1, label_draw=1))
    assert _pairs(other.train) != _pairs(thin.train)


def test_past_test_labels_become_known_in_the_same_share(world, thin):
    test = world.task.test
    told = len(thin.told) - len(thin.known)
    assert told == round(0.1 * len(test))
    assert len(world.task.told) == len(world.task.known) + len(test)
    assert len(known_labels(thin).rows) == len(thin.told)


def test_what_is_not_told_changes_no_history(world, thin):
    changed = world.task.test.target.copy()
    hidden = np.setdiff1d(np.arange(len(changed)), thin.told_test)
    changed[hidden] = 1 - changed[hidden]
    test = dataclasses.replace(world.task.test, target=changed)
    assert np.array_equal(dataclasses.replace(thin, test=test).told.target, thin.told.target)


def test_cuts_are_those_of_all_label_rows(world, thin):
    cuts = {fold.cut for fold in folds_of(world.task, 3)}
    assert {fold.cut for fold in folds_of(thin, 3)} <= cuts


def test_a_rare_class_is_not_lost(world):
    target = np.zeros(len(world.task.train))
    target[::97] = 1
    rare = dataclasses.replace(
        world.task, train=dataclasses.replace(world.task.train, target=target))
    assert thinned(rare, LabelSettings(label_share=0.01)).train.target.sum() >= EACH
