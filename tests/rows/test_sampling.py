from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.databases.database import Database
from rowgraph.rows.sampling import (
    allot,
    draw_rows,
    sample_rows,
    table_sizes,
    water_fill,
    write_sampled_rows,
)

CAPACITIES = st.dictionaries(st.text(max_size=3), st.integers(0, 60), max_size=6)


@given(CAPACITIES, st.integers(0, 400))
def test_water_is_poured_one_unit_at_a_time_into_the_emptiest_vessel(capacity, total):
    poured = dict.fromkeys(capacity, 0)
    for _ in range(min(total, sum(capacity.values()))):
        open_ones = [n for n in capacity if poured[n] < capacity[n]]
        poured[min(open_ones, key=poured.__getitem__)] += 1
    assert water_fill(capacity, total) == poured


def test_a_small_table_passes_its_share_to_its_own_database_first():
    sizes = {("a", "small"): 2, ("a", "large"): 100, ("b", "only"): 100}
    assert allot(sizes, 40) == {("a", "small"): 2, ("a", "large"): 18, ("b", "only"): 20}


def test_a_small_database_passes_its_share_to_the_others():
    sizes = {("a", "x"): 3, ("b", "y"): 100, ("b", "z"): 5}
    assert allot(sizes, 30) == {("a", "x"): 3, ("b", "y"): 22, ("b", "z"): 5}


@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")),
                       st.integers(0, 30)), st.integers(0, 300))
def test_allotted_rows_fit_their_tables_and_none_is_lost(sizes, rows):
    counts = allot(sizes, rows)
    assert list(counts) == list(sizes)
    assert all(0 <= counts[k] <= sizes[k] for k in sizes)
    assert sum(counts.values()) == min(rows, sum(sizes.values()))


def test_what_a_small_database_cannot_give_the_others_do():
    sizes = {("small", "t"): 4, ("large", "t"): 500, ("large", "u"): 10, ("other", "t"): 500}
    counts = allot(sizes, 100)
    assert counts == {("small", "t"): 4, ("large", "t"): 38, ("large", "u"): 10,
                      ("other", "t"): 48}


def test_a_database_draws_its_part_of_the_whole(world, tmp_path):
    sizes = {**table_sizes([world]), ("rel-other", "t"): 3}
    summary = write_sampled_rows(world, sizes, 20, 0, tmp_path)
    assert summary["rows"] == 17


def test_drawn_rows_are_distinct_sorted_and_in_range(world):
    rows = draw_rows(world, "results", 11, seed=0)
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == 11
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < 40


def test_a_larger_draw_contains_a_smaller_one(world):
    small, large = (set(draw_rows(world, "results", n, seed=3).tolist()) for n in (7, 20))
    assert small < large


def test_another_seed_draws_other_rows(world):
    first, second = (draw_rows(world, "results", 10, seed=s).tolist() for s in (0, 1))
    assert first != second


def test_every_row_is_drawn_about_equally_often(world):
    counts = np.zeros(40)
    for seed in range(400):
        counts[draw_rows(world, "results", 10, seed)] += 1
    assert abs(counts - 100).max() < 40  # 4.6 standard deviations


def test_a_table_is_sampled_piece_by_piece(world, monkeypatch):
    whole = dict(sample_rows(world, {"results": 12}, seed=1))
    read = Database.read_chunks
    monkeypatch.setattr(Database, "read", lambda *a: pytest.fail("the whole table was read"))
    monkeypatch.setattr(Database, "read_chunks", lambda self, table: read(self, table, rows=5))
    assert dict(sample_rows(world, {"results": 12}, seed=1))["results"].equals(whole["results"])


def test_sampled_rows_are_the_rows_of_the_database(world):
    (table, frame), = sample_rows(world, {"empty": 0, "results": 6}, seed=0)
    whole = world.read("results")
    assert table == "results"
    assert frame.columns == [*whole.columns, "row_"]  # the table has a `row` of its own
    assert frame.drop("row_").equals(whole[frame["row_"].to_numpy()])


def test_written_rows_come_with_the_keys_and_the_row_column(world, tmp_path):
    summary = write_sampled_rows(world, table_sizes([world]), 20, 0, tmp_path)
    schema = json.loads((tmp_path / "schema.json").read_text())
    assert (summary["database"], summary["rows"]) == ("rel-tiny", 20)
    assert summary["tables"] == {
        "drivers": {"drawn": 3, "of": 3, "share": 1.0, "columns": 1,
                    "empty_cells": pytest.approx(1 / 3, abs=1e-6)},
        "results": {"drawn": 17, "of": 40, "share": 0.425, "columns": 3,
                    "empty_cells": summary["tables"]["results"]["empty_cells"]},
        "empty": {"drawn": 0, "of": 0, "share": 0.0, "columns": 1, "empty_cells": 0.0}}
    drawn = pl.read_parquet(tmp_path / "results.parquet")
    assert summary["tables"]["results"]["empty_cells"] == pytest.approx(
        drawn["points"].null_count() / 51, abs=1e-6)
    assert schema["tables"]["results"]["keys"] == ["driver_id"]
    assert schema["tables"]["results"]["row"] == "row_"
    assert schema["tables"]["drivers"]["row"] == "row"
    assert not (tmp_path / "empty.parquet").exists()
    assert pl.read_parquet(tmp_path / "drivers.parquet")["row"].to_list() == [0, 1, 2]


def test_writing_twice_gives_the_same_bytes(world, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_sampled_rows(world, table_sizes([world]), 20, 0, tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["drivers.parquet", "results.parquet", "schema.json"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
