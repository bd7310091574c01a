import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rowgraph.adaptation.exams import Rows
from rowgraph.adaptation.sheets import Sheets, _ranks
from rowgraph.features.store import WindowFeatures
from rowgraph.tasks.folds import View, folds_of, views_of
from rowgraph.tasks.label_tables import LabelTable


@pytest.fixture(scope="module")
def sheets(world, features_of):
    return Sheets(world.task, WindowFeatures.open(features_of(world.task)))


@pytest.fixture(scope="module")
def views(world, quick):
    return views_of(world.task, quick.regimes, folds_of(world.task, quick.folds))


def test_parts_of_the_features_are_told_by_their_paths(sheets):
    near = {n for n, is_near in zip(sheets.names, sheets.near, strict=True) if is_near}
    assert any(n.startswith("results by driverId · ") for n in near)
    assert any(n.startswith("own labels") for n in near)
    assert not any("its raceId" in n for n in near)
    assert any("its raceId" in n for n in set(sheets.names) - near)
    history = [n for n, is_it in zip(sheets.names, sheets.history, strict=True) if is_it]
    assert history
    assert all("labels" in n for n in history)


def test_rows_are_those_of_the_view_at_their_positions(sheets, views, world):
    rows = Rows(views["test_rolling"], np.array([5, 2, 9]))
    whole = sheets.take(Rows(views["test_rolling"], np.arange(len(world.task.test))),
                        np.arange(len(sheets.names)))
    np.testing.assert_array_equal(sheets.take(rows, np.array([3, 1])),
                                  whole[[5, 2, 9]][:, [3, 1]])


def test_a_rank_is_among_rows_that_have_the_same_date_and_see_the_same(sheets, views):
    view = views["known_aged"]
    columns = np.flatnonzero(~sheets.categorical)[:5]
    rows = Rows(view, np.arange(0, len(view.labels), 7))
    found = sheets.ranks(rows, columns)
    values = sheets.take(Rows(view, np.arange(len(view.labels))), columns)
    for place, at in enumerate(rows.index):
        same = ((view.labels.times == view.labels.times[at]) & (view.before == view.before[at]))
        for c in range(len(columns)):
            mine, others = values[at, c], values[same, c]
            others = others[~np.isnan(others)]
            expected = np.nan if np.isnan(mine) else (
                (others < mine).sum() + (others == mine).sum() / 2) / len(others)
            np.testing.assert_allclose(found[place, c], expected, rtol=1e-6)


@given(arrays(np.float32, (6, 3), elements=st.sampled_from([0.0, 1.0, 2.5, np.nan])))
def test_ranks_lie_between_0_and_1_and_missing_stays_missing(values):
    ranks = _ranks(values)
    assert np.array_equal(np.isnan(ranks), np.isnan(values))
    assert ((ranks > 0) & (ranks < 1) | np.isnan(ranks)).all()


def test_features_of_other_label_rows_are_refused(sheets, views):
    view = views["test_frozen_db"]
    fewer = LabelTable(view.labels.rows[:3], view.labels.times[:3], view.labels.target[:3])
    fresh = Sheets.__new__(Sheets)
    fresh.__dict__ = {**sheets.__dict__, "_matrices": {}}
    with pytest.raises(ValueError, match="200 label rows, the task has 3; run window_features"):
        fresh.take(Rows(View("test_frozen_db", fewer, view.before[:3]), np.arange(3)),
                   np.array([0]))
