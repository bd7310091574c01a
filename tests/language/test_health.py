from __future__ import annotations

import numpy as np
import pytest

from rowgraph.language.health import CollapseError, measure_health, refuse_collapse
from rowgraph.language.settings import BartCheckpointSettings

SETTINGS = BartCheckpointSettings(min_spread=0.05, min_effective_rank=4.0)


def cloud(n: int, d: int, scale: float = 1.0, centre: float = 0.0) -> np.ndarray:
    return centre + scale * np.random.default_rng(0).standard_normal((n, d))


def test_a_centred_cloud_spreads_fully_and_fills_its_dimensions():
    health = measure_health(cloud(4_000, 16), ["t"] * 4_000)
    assert health.spread > 0.999
    assert 15.9 < health.effective_rank <= 16


def test_vectors_in_a_plane_have_effective_rank_two():
    plane = cloud(500, 2) @ np.linalg.qr(cloud(10, 2))[0].T
    assert 1.9 < measure_health(plane, ["t"] * 500).effective_rank <= 2.0001


def test_figures_are_those_of_their_definitions():
    x = np.array([[3.0, 4.0], [3.0, 4.0], [3.0, -4.0], [3.0, -4.0]])
    health = measure_health(x, ["a", "a", "b", "b"])
    assert health.norm_of_mean == 3.0
    assert health.spread == pytest.approx(4 / 5)
    assert health.within_spread == 0.0
    assert health.effective_rank == pytest.approx(1.0)
    assert health.table_purity == 1.0
    assert health.table_spread == {"a": 0.0, "b": 0.0}


def test_purity_counts_nearest_neighbours_of_the_same_table():
    x = np.array([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]])
    health = measure_health(x, ["a", "a", "b", "b", "a", "b"])
    assert health.table_purity == pytest.approx(4 / 6)


def test_one_vector_for_every_row_is_refused_with_what_to_change():
    health = measure_health(cloud(300, 32, scale=0.01, centre=1.0), ["t"] * 300)
    with pytest.raises(CollapseError, match=r"spread 0\.01.*0\.05.*decoder_word_drop.*"
                                            r"bag_of_tokens_weight.*learning_rate"):
        refuse_collapse(health, SETTINGS)


def test_vectors_along_one_line_are_refused():
    health = measure_health(cloud(300, 1) * np.ones(32), ["t"] * 300)
    assert health.spread > 0.9
    with pytest.raises(CollapseError, match=r"effective rank 1\.00, expected at least 4"):
        refuse_collapse(health, SETTINGS)


def test_exactly_equal_vectors_are_refused_without_dividing_by_zero():
    for value in (0.0, 1.0):
        health = measure_health(np.full((20, 8), value), ["t"] * 20)
        assert health.effective_rank == 0.0
        with pytest.raises(CollapseError):
            refuse_collapse(health, SETTINGS)


def test_healthy_vectors_pass():
    assert refuse_collapse(measure_health(cloud(300, 32), ["t"] * 300), SETTINGS) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_numbers_are_refused(bad):
    x = cloud(5, 3)
    x[2, 1] = bad
    with pytest.raises(ValueError, match="1 of 5 rows"):
        measure_health(x, ["t"] * 5)


def test_a_single_row_has_no_health():
    with pytest.raises(ValueError, match="at least two rows"):
        measure_health(np.ones((1, 3)), ["t"])
