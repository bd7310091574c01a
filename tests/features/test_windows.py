import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.databases.database import TIMELESS
from rowgraph.features.windows import (
    BLOCKS,
    faded_means,
    firsts,
    gaps,
    look_back,
    summaries,
)

LASTS, SPANS = (1, 3), (2, 5)


def pasts(random: np.random.Generator, rows: int, most: int, newest: int = 12):
    """Events of some rows: where each row's begin, and their times."""
    counts = random.integers(0, most + 1, rows)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    times = [np.sort(random.integers(0, newest, n)) for n in counts]
    return indptr, np.concatenate([*times, np.empty(0)]).astype(np.int64)


@given(seed=st.integers(0, 10**6), timeless=st.booleans())
def test_a_window_holds_exactly_the_visible_events_that_it_names(seed, timeless):
    random = np.random.default_rng(seed)
    indptr, times = pasts(random, 4, 8)
    if timeless:
        times[:] = TIMELESS
    rows, before = random.integers(-1, 4, 20), random.integers(-2, 14, 20)
    looks = look_back(indptr, times, rows, before, LASTS, SPANS)
    for i, (row, bound) in enumerate(zip(rows, before, strict=True)):
        past = times[indptr[row]:indptr[row + 1]] if row >= 0 else times[:0]
        seen = past[past < bound]
        assert looks.end[i] - looks.begin[i] == len(seen)
        expected = [min(k, len(seen)) for k in LASTS]
        expected += [((seen >= bound - s) & (seen != TIMELESS)).sum() for s in SPANS]
        assert looks.sizes[i].tolist() == [*expected, len(seen)]
        assert (np.diff(looks.sizes[i][looks.order[i]]) >= 0).all()
        assert sorted(looks.order[i]) == list(range(5))


@pytest.mark.parametrize("most", [5, 3 * BLOCKS[0], 2 * BLOCKS[1] + 100])
def test_summaries_of_windows_agree_with_numpy_whatever_the_blocks(most):
    random = np.random.default_rng(most)
    indptr, times = pasts(random, 5, most, newest=3 * most)
    values = random.normal(size=len(times))
    values[random.random(len(times)) < 0.2] = np.nan
    rows, before = random.integers(-1, 5, 200), random.integers(0, 3 * most, 200)
    looks = look_back(indptr, times, rows, before, (1, 40), (most, 2 * most))
    found = summaries(indptr, values, looks)
    for i in range(200):
        for w in range(5):
            window = values[looks.end[i] - looks.sizes[i, w]:looks.end[i]]
            window = window[~np.isnan(window)]
            expected = [len(window), window.sum(), window.min(initial=np.inf),
                        window.max(initial=-np.inf)]
            np.testing.assert_allclose(found[i, w], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("most", [5, 200, 2 * BLOCKS[1] + 100])
def test_not_one_bit_of_a_sum_depends_on_later_events_or_on_other_rows(most):
    random = np.random.default_rng(most)
    indptr, times = pasts(random, 6, most, newest=most)
    values = random.normal(size=len(times)) * 10.0 ** random.integers(-8, 8, len(times))
    rows, before = random.integers(0, 6, 100), np.full(100, most // 2)
    looks = look_back(indptr, times, rows, before, (3,), (most // 3,))
    expected = summaries(indptr, values, looks)
    # Later events get other values, and there is another number of them.
    counts = np.diff(indptr)
    parts, moments = [], []
    for row, n in enumerate(counts):
        past = slice(indptr[row], indptr[row] + (times[indptr[row]:indptr[row + 1]]
                                                 < most // 2).sum())
        extra = int(random.integers(0, 50))
        parts.append(np.concatenate([values[past], random.normal(size=extra) * 1e12]))
        moments.append(np.concatenate([times[past], np.full(extra, most // 2)]))
        assert n >= len(values[past])
    other = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)
    moments = np.concatenate(moments).astype(np.int64)
    looks = look_back(other, moments, rows, before, (3,), (most // 3,))
    assert summaries(other, np.concatenate(parts), looks).tobytes() == expected.tobytes()


def test_a_window_longer_than_time_itself_sees_everything_but_what_has_no_time():
    indptr, times = np.array([0, 3]), np.array([TIMELESS, -(2**62), 7])
    looks = look_back(indptr, times, np.zeros(1, np.int64), np.array([8]), (), (2**63 - 1,))
    assert looks.sizes.tolist() == [[2, 3]]


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), half=st.floats(0.5, 20))
def test_a_faded_mean_weighs_a_value_half_for_every_half_life(seed, half):
    random = np.random.default_rng(seed)
    indptr, times = pasts(random, 3, 6)
    values = np.where(random.random(len(times)) < 0.3, np.nan, random.normal(size=len(times)))
    found = faded_means(indptr, times, values, half)
    for row in range(3):
        for e in range(indptr[row], indptr[row + 1]):
            span = slice(indptr[row], e + 1)
            there = ~np.isnan(values[span])
            weights = (0.5 ** ((times[e] - times[span]) / half))[there]
            expected = np.nan if not there.any() else (
                (weights * values[span][there]).sum() / weights.sum())
            np.testing.assert_allclose(found[e], expected, rtol=1e-9)


@given(seed=st.integers(0, 10**6))
def test_gaps_and_first_meetings_know_only_the_events_before(seed):
    random = np.random.default_rng(seed)
    indptr, times = pasts(random, 3, 6)
    partners = random.integers(0, 3, len(times))
    for row in range(3):
        low, high = indptr[row], indptr[row + 1]
        for e in range(low, high):
            gap = times[e] - times[e - 1] if e > low else np.nan
            np.testing.assert_equal(gaps(indptr, times)[e], float(gap))
            assert firsts(indptr, partners, 3)[e] == (partners[e] not in partners[low:e])
