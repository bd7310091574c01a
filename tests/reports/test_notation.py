"""Numbers look as people of the field write them, whatever they are."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.reports import notation

VALUES = st.one_of(st.floats(-1e6, 1e6), st.just(0.0), st.just(-0.0), st.none(),
                   st.sampled_from([math.nan, math.inf, -math.inf]))


@pytest.mark.parametrize(("value", "digits", "text"), [
    (0.7134, 3, ".713"), (1.0, 3, "1.000"), (-0.02, 3, "−.020"), (12345.678, 1, "12,345.7"),
    (-0.0001, 3, ".000"), (0.0, 3, ".000"), (None, 3, "–"), (math.nan, 3, "–")])
def test_a_number_has_no_zero_before_its_point_and_a_real_minus(value, digits, text):
    assert notation.number(value, digits) == text


@given(VALUES, st.integers(0, 8), st.booleans())
def test_a_number_reads_back_as_what_it_was_but_for_rounding(value, digits, sign):
    text = notation.number(value, digits, sign=sign)
    if value is None or not math.isfinite(value):
        assert text == notation.NONE
        return
    assert re.fullmatch(r"[−+]?[\d,]*\.?\d*", text)
    assert not re.match(r"[−+]?0\.", text)
    assert float(text.replace("−", "-").replace(",", "")) == pytest.approx(
        round(value, digits), abs=10.0 ** -digits)
    assert not (text.startswith("−") and value >= 0)


@pytest.mark.parametrize(("metric", "mean", "text"), [
    ("roc_auc", 0.7134, ".713 ± .011 [.603, .813]"), ("mae", 4.0221, "4.022 ± .011 [3.912, 4.122]"),
    ("mae", 40.221, "40.22 ± .01 [40.11, 40.32]"), ("mae", 4022.1, "4,022 ± 0 [4,022, 4,022]"),
    ("nmae", 0.0502, ".0502 ± .0110 [−.0598, .1502]")])
def test_a_figure_carries_spread_and_interval_in_its_own_decimals(metric, mean, text):
    row = {"metric": metric, "mean": mean, "std": 0.011, "ci_low": mean - 0.11,
           "ci_high": mean + 0.1}
    assert notation.figure(row) == text
    assert text.startswith(notation.figure(row, whole=False))


def test_what_does_not_exist_is_a_dash_and_what_was_not_drawn_has_no_spread():
    row = {"metric": "roc_auc", "mean": None, "std": None, "ci_low": None, "ci_high": None}
    assert notation.figure(row) == "–"
    assert notation.figure({**row, "mean": 0.5}) == ".500"


def test_metrics_are_named_as_people_name_them_with_an_arrow_to_better():
    assert notation.metric_name("roc_auc", True) == "ROC-AUC ↑"
    assert notation.metric_name("mae", False) == "MAE ↓"
    assert notation.metric_name("of_mine") == "of mine"


def test_a_p_value_is_never_nought():
    assert notation.p_value(0.0) == "p < .001"
    assert notation.p_value(0.0121) == "p = .012"
    assert notation.p_value(None) == "–"


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (8.24, "8.2 s"), (59.96, "60.0 s"), (200.0, "3 min 20 s"),
    (7500.0, "2 h 05 min"), (3599.7, "1 h 00 min")])
def test_a_duration_is_in_the_unit_that_people_use(value, text):
    assert notation.seconds(value) == text


def test_memory_is_in_the_unit_that_people_use():
    assert (notation.memory(640.2), notation.memory(1434.0), notation.memory(None)) == (
        "640 MiB", "1.4 GiB", "–")
