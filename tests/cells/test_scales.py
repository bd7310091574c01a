import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rowgraph.cells.scales import MISSING, UNIT, Scale

NUMBERS = st.floats(-1e30, 1e30, allow_nan=False)


@given(arrays(np.float64, st.integers(1, 60), elements=NUMBERS),
       arrays(np.float64, 20, elements=NUMBERS), st.integers(2, 30))
def test_larger_numbers_never_stand_lower_and_all_stand_between_the_ends(past, numbers, knots):
    scale = Scale.fit(past, knots)
    places = scale(np.sort(numbers)).astype(int)
    assert (np.diff(places) >= 0).all()
    assert (np.abs(places) <= UNIT).all()


def test_equals_stand_in_the_middle_of_their_places():
    scale = Scale.fit(np.array([0.0, 0.0, 0.0, 1.0]), 256)
    np.testing.assert_allclose(scale(np.array([0.0, 1.0])) / UNIT, [-0.25, 0.75], atol=1e-4)


def test_what_lies_outside_of_the_past_stands_at_its_ends_and_missing_is_missing():
    scale = Scale.fit(np.arange(10.0), 256)
    assert scale(np.array([-1.0, 99.0, np.nan])).tolist() == [-UNIT, UNIT, MISSING]


@pytest.mark.parametrize("past", [[3.0], [3.0, 3.0, 3.0]])
def test_one_value_alone_still_tells_above_from_below(past):
    low, same, high = Scale.fit(np.array(past), 8)(np.array([1.0, 3.0, 4.0]))
    assert low < same < high


def test_without_a_past_there_is_no_scale():
    assert Scale.fit(np.empty(0), 8) is None
