import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.tasks.regimes import hidden, visible_before

REGIMES, SPLITS = ("frozen_db", "rolling"), ("train", "val", "test")
moments = st.integers(-50, 50)


@pytest.fixture(scope="module")
def database(world):
    return dataclasses.replace(world.database, val_timestamp=0, test_timestamp=20)


def may_see(row, own, regime, split, database):
    """The rule in words: strictly older than the seed, and within RelBench's inclusive cut."""
    if row == TIMELESS:
        return True
    cut = {"train": NEVER, "val": database.val_timestamp, "test": database.test_timestamp}[split]
    return row < own and (regime == "rolling" or row <= cut)


@given(rows=st.lists(moments, min_size=1), own=moments, regime=st.sampled_from(REGIMES),
       split=st.sampled_from(SPLITS))
def test_what_is_visible_is_strictly_older_and_within_the_inclusive_cut(database, rows, own,
                                                                        regime, split):
    rows = np.array([*rows, own, 0, 20, TIMELESS, NEVER], dtype=np.int64)
    before = visible_before(np.full(len(rows), own), regime, split, database)
    expected = [may_see(row, own, regime, split, database) for row in rows.tolist()]
    assert (~hidden(rows, before)).tolist() == expected


@given(own=st.lists(moments, min_size=1), regime=st.sampled_from(REGIMES),
       split=st.sampled_from(SPLITS))
def test_no_seed_sees_its_own_time_or_later_in_any_regime(database, own, regime, split):
    own = np.array(own, dtype=np.int64)
    assert (visible_before(own, regime, split, database) <= own).all()


def test_the_first_test_row_does_not_see_the_day_of_the_cut_but_later_rows_do(database):
    before = visible_before(np.array([20, 21]), "frozen_db", "test", database)
    assert hidden(np.array([20, 20]), before).tolist() == [True, False]


def test_only_static_shows_training_and_validation_rows_their_own_future(database):
    own = np.array([-5, 5])
    for split in ("train", "val"):
        assert visible_before(own, "rolling", split, database, static=True).tolist() == [21, 21]
    for regime in REGIMES:
        assert (visible_before(np.array([30, 40]), regime, "test", database, static=True)
                == visible_before(np.array([30, 40]), regime, "test", database)).all()


def test_the_callers_times_are_not_handed_back_for_writing(database):
    own = np.array([1, 2])
    visible_before(own, "rolling", "test", database)[:] = 0
    assert own.tolist() == [1, 2]


@pytest.mark.parametrize(("regime", "split"), [("frozen", "test"), ("rolling", "dev")])
def test_an_unknown_regime_or_split_is_refused_with_the_known_ones(database, regime, split):
    with pytest.raises(ValueError, match="does not exist; known: "):
        visible_before(np.array([1]), regime, split, database)


def test_a_race_on_the_day_of_a_seed_is_not_sampled_and_the_day_before_it_is(world, lab):
    sampler = TemporalNeighborSampler(world.graph, (99, 99), "latest")
    seed = lab.SEED_DATES[28:29]  # a seed date that is a race day
    assert (world.graph.times["races"] == seed).any()
    for extra, visible in ((0, False), (1, True)):
        before = visible_before(seed + extra, "rolling", "test", world.database)
        batch = sampler.sample("drivers", np.array([7]), before, 0)
        times = world.graph.times["races"][batch.n_id["races"].numpy()]
        assert (seed[0] in times) == visible
        assert (times < before[0]).all()
