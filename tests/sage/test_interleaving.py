from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.sage.interleaving import interleave


@given(st.lists(st.integers(0, 12), max_size=5), st.integers(0, 9))
def test_every_batch_comes_once_and_each_source_in_its_order(batches, seed):
    order = interleave(batches, seed)
    assert sorted(order) == [(s, i) for s, n in enumerate(batches) for i in range(n)]
    for source, count in enumerate(batches):
        assert [i for s, i in order if s == source] == list(range(count))


def test_the_order_depends_on_what_it_is_for_alone():
    assert interleave([5, 9], "epoch", 1) == interleave([5, 9], "epoch", 1)
    assert interleave([5, 9], "epoch", 1) != interleave([5, 9], "epoch", 2)


def test_a_source_is_drawn_in_proportion_to_the_batches_that_it_still_has():
    orders = [interleave([6, 2], seed) for seed in range(3_000)]
    first = np.mean([order[0][0] for order in orders])
    assert first == pytest.approx(2 / 8, abs=0.04)
    second = np.mean([order[1][0] for order in orders if order[0][0] == 1])
    assert second == pytest.approx(1 / 7, abs=0.06)
