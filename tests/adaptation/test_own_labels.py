import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.adaptation.exams import Rows
from rowgraph.adaptation.own_labels import (
    PULLS,
    EntityHistory,
    FittedHistory,
    OwnLabels,
    constant_of,
)
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import LabelTable

label_rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 1)),
                      min_size=1, max_size=12)


def label_table(rows):
    who, when, target = zip(*rows, strict=True)
    return LabelTable(np.array(who), np.array(when), np.array(target, dtype=float))


def asking(seeds):
    who, before = (np.array(column) for column in zip(*seeds, strict=True))
    labels = LabelTable(who, before, np.zeros(len(who)))
    return Rows(View("asked", labels, before), np.arange(len(who)))


@given(train=label_rows, val=label_rows, test=label_rows, timedelta=st.integers(0, 6),
       pull=st.sampled_from(PULLS), kind=st.sampled_from(["mean", "last", "half-life 2 horizons"]),
       seeds=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=9))
def test_a_history_is_of_labels_whose_window_ended_before_the_seed(
        world, train, val, test, timedelta, pull, kind, seeds):
    task = dataclasses.replace(world.task, timedelta=timedelta, train=label_table(train),
                               val=label_table(val), test=label_table(test))
    constant = np.array([0.3])
    model = FittedHistory(task, OwnLabels(task), kind, pull, constant)
    for value, (who, before) in zip(model.predict(asking(seeds), (0,))[0], seeds, strict=True):
        past = [(t, y) for w, t, y in [*train, *val, *test] if w == who and t + timedelta < before]
        past.sort(key=lambda p: p[0])  # of equal times the later in the tables is the newer
        if not past:
            assert value == 0.3
            continue
        times, labels = np.array(past, dtype=float).T
        weights = np.ones(len(past))
        if kind == "last":
            times, labels, weights = times[-1:], labels[-1:], weights[-1:]
        elif kind != "mean":
            weights = 0.5 ** ((times[-1] - times) / (2 * max(timedelta, 1)))
        mean, count = np.average(labels, weights=weights), len(labels)
        assert value == pytest.approx((mean * count + 0.3 * pull) / (count + pull))


def test_the_constant_is_a_share_a_median_or_the_shares_of_classes(world, regression_world,
                                                                   multiclass):
    assert constant_of(world.task, np.array([0.0, 0, 1, 1, 1])) == [0.6]
    assert constant_of(regression_world.task, np.array([0.0, 1, 50])) == [1]
    assert constant_of(multiclass, np.array([0.0, 2, 2, 2])).tolist() == [0.25, 0, 0.75]


def test_a_row_of_an_autocomplete_task_has_no_history(autocomplete):
    own = OwnLabels(autocomplete)
    later = autocomplete.train.times + 1  # even where its own label would be known
    rows = Rows(View("later", autocomplete.train, later), np.arange(len(later)))
    assert not own.of(rows, "mean")[1].any()


def test_the_plain_mean_is_among_the_candidates_of_the_history(world):
    labels = [c.label for c in EntityHistory(world.task, OwnLabels(world.task)).candidates()]
    assert "mean, pull 0" in labels
    assert len(set(labels)) == len(labels)
