"""Draws depend on what they are for and on nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.randomness import digest, generator, stable_seed, uniform_of_rows


def test_a_digest_is_the_same_on_every_machine_and_day():
    assert digest("source", 1, {"b": 2, "a": [1.5, None, True]}) == (
        digest("source", 1, {"a": [1.5, None, True], "b": 2}))
    assert digest("a") == "f53b3155b302982e196b7645b7b614b1"


def test_different_purposes_draw_differently():
    assert stable_seed("rows", 0) != stable_seed("rows", 1) != stable_seed("masks", 1)
    assert generator("x").random() == generator("x").random()


@given(st.lists(st.integers(0, 2**40), min_size=1, unique=True))
def test_a_rows_draw_does_not_depend_on_the_rows_around_it(rows):
    together = uniform_of_rows(np.array(rows), "split", 0)
    alone = np.array([uniform_of_rows(np.array([r]), "split", 0)[0] for r in rows])
    assert (together == alone).all()
    assert ((together >= 0) & (together < 1)).all()


def test_row_draws_are_uniform():
    draws = uniform_of_rows(np.arange(100_000), "split", 0)
    counts, _ = np.histogram(draws, bins=10, range=(0, 1))
    assert (abs(counts - 10_000) < 500).all()
