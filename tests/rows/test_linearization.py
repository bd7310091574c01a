from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.rows.linearization import (
    SPECIAL,
    escape,
    linearize,
    linearize_frame,
    parse,
    text_of,
    unescape,
)

UNICODE = st.text(max_size=12)
FORGERIES = st.lists(st.sampled_from([*SPECIAL, "<", ">", "\\", "/", " ", "table", "a", "\n"]),
                     max_size=8).map("".join)
ANY_TEXT = UNICODE | FORGERIES


def test_a_row_reads_as_the_paper_prints_it():
    text = linearize("results", ["points", "date"], [10.0, dt.datetime(2009, 3, 29)])
    assert text == "<table> results <attr> points <value> 10 <attr> date <value> 2009-03-29"


def test_a_missing_value_leaves_its_marker_and_a_single_space():
    assert linearize("t", ["a", "b", "c"], [None, float("nan"), ""]) == (
        "<table> t <attr> a <value> <attr> b <value> <attr> c <value>")


@given(ANY_TEXT, st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=4))
def test_any_names_and_values_come_back_exactly(table, row):
    text = linearize(table, [a for a, _ in row], [v for _, v in row])
    assert parse(text) == (table, row)


@given(ANY_TEXT, st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=4))
def test_contents_never_add_a_special_token(table, row):
    text = linearize(table, [a for a, _ in row], [v for _, v in row])
    counts = [text.count(token) for token in SPECIAL]
    assert counts == [1, len(row), len(row), 0, 0, 0, 0, 0]


@given(ANY_TEXT)
def test_escaping_is_undone_exactly(text):
    assert unescape(escape(text)) == text


def test_ordinary_angle_brackets_stay_as_they_are():
    assert escape("<p>a < b</p> \\<x>") == "<p>a < b</p> \\<x>"


@pytest.mark.parametrize("text", ["", "results", "<table> t <attr> a", "<attr> a <value> b",
                                  "<table> t <attr> a <value> b <value> c"])
def test_what_is_no_linearized_row_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|starts with"):
        parse(text)


@pytest.mark.parametrize(("value", "text"), [
    (True, "true"), (np.False_, "false"), (7, "7"), (np.int64(-3), "-3"),
    (3.0, "3"), (-0.0, "0"), (0.1, "0.1"), (np.float32(0.1), "0.1"), (1e22, "1e+22"),
    (float("inf"), "inf"), (np.float64("nan"), ""), (np.datetime64("NaT"), ""),
    (dt.datetime(2009, 3, 29, 6), "2009-03-29 06:00:00"),
    (dt.datetime(2009, 3, 29, 6, 0, 0, 5), "2009-03-29 06:00:00.000005"),
    (dt.datetime(2009, 3, 29, 6, tzinfo=dt.timezone(dt.timedelta(hours=6))), "2009-03-29"),
    (np.datetime64("2009-03-29T06:00:00", "ns"), "2009-03-29 06:00:00"),
    (dt.date(2009, 3, 29), "2009-03-29"), (dt.time(6, 30), "06:30:00"),
    (dt.timedelta(minutes=1, milliseconds=500), "60.5"),
    (b"\x00\xff", "00ff"), ([1, None, "a"], "1, , a"), ({"x": 1.0, "y": "b"}, "x: 1, y: b"),
    (decimal.Decimal("1.50"), "1.50"), (decimal.Decimal("0E-10"), "0.0000000000"),
    (decimal.Decimal("1.000E-7"), "0.0000001000"), (" two  spaces ", " two  spaces "),
])
def test_each_kind_of_cell_has_one_text(value, text):
    assert text_of(value) == text


def column(dtype: pl.DataType, values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(st.none() | values, min_size=1, max_size=6).map(
        lambda items: pl.Series("c", items, dtype))


MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)) | st.dates(
    dt.date(1900, 1, 1)).map(lambda d: dt.datetime.combine(d, dt.time()))
COLUMNS = st.one_of(
    column(pl.String, ANY_TEXT), column(pl.Boolean, st.booleans()),
    column(pl.Int64, st.integers(-2**63, 2**63 - 1)), column(pl.UInt8, st.integers(0, 255)),
    column(pl.Float64, st.floats()), column(pl.Float64, st.integers(-9999, 9999).map(float)),
    column(pl.Datetime("us"), MOMENTS), column(pl.Datetime("us", "Asia/Tokyo"), MOMENTS),
    column(pl.Date, st.dates()), column(pl.Time, st.times()),
    column(pl.Duration("us"), st.timedeltas(dt.timedelta(-999), dt.timedelta(999))),
    column(pl.Binary, st.binary(max_size=4)), column(pl.Categorical, FORGERIES),
    column(pl.List(pl.String), st.lists(st.none() | FORGERIES, max_size=3)),
    column(pl.Decimal(10, 2), st.decimals(-999, 999, places=2)),
    column(pl.Struct({"x": pl.Float64}), st.fixed_dictionaries({"x": st.floats()})))


@given(UNICODE, COLUMNS, UNICODE)
def test_a_frame_reads_as_its_rows_do(table, series, name):
    frame = pl.DataFrame({name: series, name + "2": ["<attr>"] * len(series)})
    expected = [linearize(table, frame.columns, row) for row in frame.rows()]
    assert linearize_frame(table, frame, frame.columns).to_list() == expected


@given(st.lists(st.floats(width=32), min_size=1, max_size=6))
def test_a_narrow_float_reads_as_narrow(values):
    frame = pl.DataFrame({"c": pl.Series(values, dtype=pl.Float32)})
    expected = [linearize("t", ["c"], [v]) for v in np.array(values, dtype=np.float32)]
    assert linearize_frame("t", frame, ["c"]).to_list() == expected


def test_columns_appear_in_the_order_asked_for(world):
    frame = world.read("drivers")
    texts = linearize_frame("drivers", frame, ["name", "driver_id"]).to_list()
    assert texts[1] == "<table> drivers <attr> name <value> <attr> driver_id <value> 1"


def test_a_table_without_attributes_is_only_its_name(world):
    texts = linearize_frame("drivers", world.read("drivers"), []).to_list()
    assert texts == ["<table> drivers"] * 3


def test_an_empty_table_has_no_texts(world):
    assert linearize_frame("empty", world.read("empty"), ["text"]).to_list() == []
