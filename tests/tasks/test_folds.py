"""Folds play the test split on what is known."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.tasks.folds import aged, ages_of, folds_of, views_of
from rowgraph.tasks.label_tables import Destinations, LabelTable, concatenated


@pytest.fixture(scope="module")
def folds(world):
    return folds_of(world.task, 3)


def test_the_newest_fold_is_the_validation_split(world, folds, lab):
    last, train = folds[-1], len(world.task.train)
    assert last.cut == lab.VAL
    assert np.array_equal(last.fit, np.arange(train))
    assert np.array_equal(last.score, np.arange(train, len(world.task.known)))


def test_what_is_fitted_was_known_by_the_cut_and_what_is_scored_comes_after(world, folds):
    known, timedelta = world.task.known, world.task.timedelta
    for fold in folds:
        assert (known.times[fold.fit] + timedelta <= fold.cut).all()
        assert (known.times[fold.score] >= fold.cut).all()


def test_a_fold_scores_as_long_a_span_as_the_test_split(world, folds):
    span = np.ptp(world.task.test.times)
    for fold in folds:
        assert np.ptp(world.task.known.times[fold.score]) == span


def test_no_label_row_is_scored_twice(folds):
    scored = np.concatenate([f.score for f in folds])
    assert len(np.unique(scored)) == len(scored)


def test_frozen_rows_see_nothing_after_the_cut_and_rolling_rows_what_is_older(world, folds):
    for fold in folds:
        own = world.task.known.times[fold.score]
        assert (fold.before(world.task, "frozen_db") <= fold.cut + 1).all()
        assert np.array_equal(fold.before(world.task, "rolling"), own)


def test_folds_end_where_too_little_is_left_to_fit_on(world):
    many = folds_of(world.task, 50)
    assert 1 < len(many) < 50
    assert all(len(f.fit) >= len(world.task.train) // 10 for f in many)


def test_a_fold_whose_labels_have_one_class_is_left_out(world):
    train = world.task.train
    early = train.times <= np.quantile(train.times, 0.8)
    flat = LabelTable(train.rows, train.times, np.where(early, 0.0, train.target))
    assert len(folds_of(dataclasses.replace(world.task, train=flat), 3)) == 1


def test_aged_training_rows_are_as_stale_as_test_rows(world):
    before = aged(world.task)
    ages = world.task.known.times - before
    assert (ages >= 0).all()
    assert set(ages) <= set(ages_of(world.task.test.times, world.task.database))
    assert np.array_equal(before, aged(world.task))


def test_views_name_every_way_of_looking(world, folds):
    views = views_of(world.task, ("frozen_db", "rolling"), folds)
    assert set(views) == {"known", "known_aged", "val_frozen_db", "test_frozen_db", "test_rolling",
                          *(f"fold_{f.name}_frozen_db" for f in folds[:-1])}
    for view in views.values():
        assert (view.before <= view.labels.times).all()
    assert "known_aged" not in views_of(world.task, ("rolling",), folds)


rows = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6)


@given(lists=rows, more=rows, data=st.data())
def test_destinations_index_and_join_like_a_list_of_sets(lists, more, data):
    one, two = Destinations.of(lists), Destinations.of(more)
    expected = [sorted(set(r)) for r in [*lists, *more]]
    joined = concatenated([one, two])
    assert [joined.of_row(i).tolist() for i in range(len(joined))] == expected
    index = data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=8))
    taken = joined[np.array(index, dtype=np.int64)]
    assert [taken.of_row(i).tolist() for i in range(len(taken))] == [expected[i] for i in index]
    label_row, row = joined.pairs()
    assert list(zip(label_row.tolist(), row.tolist(), strict=True)) == [
        (i, r) for i, each in enumerate(expected) for r in each]
