"""Filling in cells: whose cells are asked, and how values are written and read."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from rowgraph.imputation.cells import (
    draw,
    is_there,
    kind_of,
    read_values,
    split_table,
    values_of,
    write_values,
)
from rowgraph.rows.settings import LinearizedCorpusSettings
from rowgraph.rows.splitting import split_of


def test_a_held_out_table_is_fitted_on_the_past_and_asked_about_the_rest(attic, attics):
    table = split_table(attic, "finds", None, False, 1000, 0)
    dates = attic.read("finds")["date"].to_numpy()
    assert (table.fitted["date"].to_numpy() < attics.CUT).all()
    assert (table.asked["date"].to_numpy() >= attics.CUT).all()
    np.testing.assert_array_equal(table.rows, np.flatnonzero(dates >= attics.CUT))
    assert table.fitted.height + table.asked.height == (~np.isnat(dates)).sum() < attics.ROWS


def test_a_held_out_table_without_time_is_split_as_a_corpus_is(attic):
    table = split_table(attic, "shelves", None, False, 1000, 4)
    split = split_of("attic", "shelves", np.arange(120), LinearizedCorpusSettings(seed=4))
    np.testing.assert_array_equal(table.rows, np.flatnonzero(split == "test"))
    assert table.fitted.height == (split == "train").sum()


def test_a_pre_training_table_is_split_as_the_corpus_was(attic, corpus_of_attic):
    table = split_table(attic, "finds", pl.read_parquet(corpus_of_attic), False, 1000, 0)
    timed = np.flatnonzero(attic.read("finds")["date"].is_not_null())
    np.testing.assert_array_equal(table.rows, timed[timed % 4 == 0])
    assert table.fitted.height == (timed % 4 > 0).sum()


def test_keys_are_never_asked_even_where_they_are_read(attic, attics):
    table = split_table(attic, "finds", None, True, 1000, 0)
    assert "shelf_id" in table.attributes
    assert table.targets == attics.ATTRIBUTES["finds"]


def test_fitting_rows_are_capped_by_a_draw_that_a_larger_one_contains(attic):
    small, large = (split_table(attic, "finds", None, False, n, 0).fitted for n in (20, 60))
    assert small.height == 20
    assert small.join(large, on=["date", "grams", "end"], how="anti").height == 0


def test_asking_more_keeps_the_cells_that_were_asked(attic):
    rows = np.arange(100)
    few, many = draw(rows, 5, "a", 0), draw(rows, 50, "a", 0)
    assert set(few) < set(many)
    assert set(draw(rows[few.min():], 100, "a", 0)[:3]) <= set(draw(rows, 100, "a", 0)[:50])


@pytest.mark.parametrize(("column", "kind"), [
    ("date", "time"), ("shape", "text"), ("price", "number"), ("grams", "number"),
    ("broken", "text"), ("nothing", "text")])
def test_a_columns_type_decides_how_it_is_judged(attic, column, kind):
    assert kind_of(attic.read("finds")[column].dtype) == kind


def test_missing_empty_blank_and_infinite_cells_hold_nothing():
    for cells in ([1.5, None, np.nan, np.inf], ["a", None, "", " "]):
        there = is_there(values_of(pl.Series(cells, strict=False)))
        assert there.tolist() == [True, False, False, False]


@pytest.mark.parametrize(("kind", "texts"), [
    ("number", ["12", "-0.5", "1e-07", "100000000000000000000"]),
    ("time", ["2009-03-29", "2009-03-29 06:00:05", "1899-12-31"])])
def test_what_is_written_is_read_back(kind, texts):
    assert write_values(read_values(texts, kind), kind)[:3] == texts[:3]


def test_what_is_no_number_or_time_is_read_as_nothing():
    assert np.isnan(read_values(["", "abc", "nan", "inf", "1_0", "1 2"], "number")).all()
    assert np.isnan(read_values(["", "12", "2009-02-31", "2009-03-29 25:00:00"], "time")).all()
