import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rowgraph.evaluation.intervals import (
    degrees_of_freedom,
    holm,
    p_value,
    percentile_interval,
    t_interval,
)

PATIENT = settings(deadline=None)  # a busy machine is no failure

ALPHA = 0.05


def test_holms_correction_is_the_books_example():
    adjusted, _ = holm([0.01, 0.04, 0.03, 0.005], ALPHA)
    assert adjusted.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([], ALPHA)[0].tolist() == []
    assert holm([0.04], ALPHA)[0].tolist() == [0.04]


def test_weights_say_how_much_of_alpha_a_comparison_begins_with():
    p = [0.02, 0.03, 0.001]
    adjusted, levels = holm(p, ALPHA, [0.5, 0.25, 0.25])
    # .001 first, with a quarter; then .02 with two thirds of what is left, .03 with all of it.
    assert adjusted.tolist() == pytest.approx([0.03, 0.03, 0.004])
    assert levels.tolist() == pytest.approx([1 - ALPHA * 2 / 3, 1 - ALPHA, 1 - ALPHA / 4])
    for one, other in zip(holm(p, ALPHA), holm(p, ALPHA, [7.0] * 3), strict=True):
        assert one.tolist() == pytest.approx(other.tolist())


@PATIENT
@given(values=st.lists(st.floats(-6, 6), min_size=1, max_size=12), df=st.floats(1, 200),
       data=st.data())
def test_an_interval_leaves_out_nought_exactly_where_the_adjusted_p_value_is_small(values, df,
                                                                                   data):
    weights = data.draw(st.lists(st.floats(0.1, 1), min_size=len(values), max_size=len(values)))
    adjusted, levels = holm([p_value(v, 1.0, df) for v in values], ALPHA, weights)
    for value, p, level in zip(values, adjusted, levels, strict=True):
        if abs(p - ALPHA) < 1e-9:
            continue
        low, high = t_interval(value, 1.0, level, df)
        assert (low > 0 or high < 0) == (p < ALPHA)


@PATIENT
@given(values=st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_holm_is_between_no_correction_and_bonferronis_and_keeps_the_order(values):
    adjusted, levels = holm(values, ALPHA)
    assert (adjusted >= np.array(values) - 1e-12).all()
    assert (adjusted <= np.minimum(np.array(values) * len(values), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0).all()
    assert ((levels >= 1 - ALPHA - 1e-12) & (levels <= 1 - ALPHA / len(values) + 1e-12)).all()


def test_an_interval_of_normal_draws_is_the_t_interval():
    draws = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert percentile_interval(draws, 0.95, 9) == pytest.approx(t_interval(0, 1, 0.95, 9),
                                                                abs=0.02)
    low, high = percentile_interval(draws, 0.95, 1e9)
    assert (low, high) == pytest.approx((-1.96, 1.96), abs=0.01)


def test_an_interval_stays_within_what_was_drawn():
    draws = np.array([0.9, 0.95, 1.0])
    assert percentile_interval(draws, 0.95, 1.0) == pytest.approx((0.9, 1.0))


def test_degrees_of_freedom_are_those_of_the_part_that_moves_most():
    assert degrees_of_freedom(1.0, [(0.0, 28.0)]) == pytest.approx(28)
    assert degrees_of_freedom(1.0, [(0.0, 28.0), (1.0, 4.0)]) == pytest.approx(4)
    assert degrees_of_freedom(1.0, [(0.0, 28.0), (0.0, 0.0)]) == pytest.approx(28)
    middle = degrees_of_freedom(1.0, [(0.0, 28.0), (0.5, 4.0)])
    assert middle == pytest.approx(1 / (0.25 / 28 + 0.25 / 4))
    assert degrees_of_freedom(0.0, [(0.0, 28.0)]) == 28  # nothing moves


def test_what_never_moves_is_certain_and_nought_is_no_finding():
    assert p_value(0.0, 0.0, 5) == 1.0
    assert p_value(0.3, 0.0, 5) == 0.0
    assert p_value(1.96, 1.0, 1e9) == pytest.approx(0.05, abs=1e-4)
