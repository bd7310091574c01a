"""A map draws rows evenly, is the same on every call, and its purity is what counting gives."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.artifacts import Draft
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.reports.row_maps import ALL, draw_rows, neighbour_purity, write_row_map
from rowgraph.reports.settings import RowMapSettings

SMALL = RowMapSettings(rows=120)


def made(folder, world, lab, shared, change=SMALL):
    folder.mkdir()
    summary = write_row_map(world.graph, world.store, shared, lab.SAGE, change, Draft(folder),
                            device="cpu")
    return (summary, pl.read_parquet(folder / "row_map.parquet"),
            pl.read_parquet(folder / "purity.parquet"))


@pytest.fixture(scope="module")
def first(tmp_path_factory, world, lab, shared):
    return made(tmp_path_factory.mktemp("maps") / "first", world, lab, shared)


@given(sizes=st.dictionaries(st.text(max_size=3), st.integers(0, 60), min_size=1, max_size=6),
       total=st.integers(1, 150))
@settings(max_examples=60, deadline=None)
def test_rows_are_drawn_once_each_and_no_table_gives_more_while_another_has_rows_left(sizes, total):
    drawn = draw_rows(sizes, total, 0)
    counts = {t: len(rows) for t, rows in drawn.items()}
    assert set(counts) == {t for t, n in sizes.items() if n}
    for table, rows in drawn.items():
        assert len(set(rows.tolist())) == len(rows) > 0
        assert (rows >= 0).all()
        assert (rows < sizes[table]).all()
        if len(rows) < sizes[table]:
            assert len(rows) >= max(counts.values()) - 1
    filled = {t: n for t, n in sizes.items() if n}
    expected = min(total, sum(filled.values()))
    assert sum(counts.values()) == max(expected, len(filled))  # at least one of each


@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 10))
@settings(max_examples=40, deadline=None)
def test_purity_is_what_counting_the_nearest_rows_one_by_one_gives(count, k, seed):
    random = np.random.default_rng(seed)
    vectors, table = random.standard_normal((count, 3)), random.integers(0, 3, count)
    found = neighbour_purity(vectors, table, k, chunk=7)
    for i in range(count):
        others = [j for j in range(count) if j != i]
        others.sort(key=lambda j: ((vectors[i] - vectors[j]) ** 2).sum())
        nearest = others[:k]
        assert found[i] == pytest.approx(np.mean([table[j] == table[i] for j in nearest]))


def test_a_map_has_each_drawn_row_in_both_pictures_and_is_the_same_when_made_again(
        first, tmp_path, world, lab, shared):
    summary, rows, _ = first
    assert summary["rows"] == len(rows) == SMALL.rows
    assert rows.group_by("table").len().sort("table").rows() == [
        ("circuits", 5), ("drivers", 40), ("races", 30), ("results", 45)]
    assert np.isfinite(rows.select(pl.selectors.float()).to_numpy()).all()
    again = made(tmp_path / "again", world, lab, shared)
    assert again[1].equals(rows)
    assert again[2].equals(first[2])


def test_purity_stands_beside_chance_and_three_controls_by_table_and_over_all(first):
    summary, rows, purity = first
    assert purity["table"].to_list() == ["circuits", "drivers", "races", "results", ALL]
    total = purity.filter(table=ALL).row(0, named=True)
    assert total["rows"] == len(rows)
    share = rows.group_by("table").len()["len"].to_numpy() / len(rows)
    assert total["chance"] == pytest.approx((share**2).sum(), abs=0.02)
    for space in ("before", "projected", "untrained", "one_projection", "after"):
        parts = purity.filter(pl.col("table") != ALL)
        assert total[space] == pytest.approx((parts[space] * parts["rows"]).sum() / len(rows))
        assert 0 <= total[space] <= 1
        assert summary[f"purity_{space}"] == round(total[space], 4)


def test_what_is_before_the_gnn_does_not_depend_on_its_weights(first, tmp_path, world, lab, shared):
    other = {name: value + 1 for name, value in shared.items()}
    _, rows, purity = made(tmp_path / "other", world, lab, other)
    assert rows.select("before_x", "before_y").equals(first[1].select("before_x", "before_y"))
    assert not rows.select("after_x").equals(first[1].select("after_x"))
    for control in ("before", "projected", "untrained"):
        assert purity[control].equals(first[2][control])


def test_a_database_of_a_few_rows_is_refused_by_name(tmp_path, world, lab, shared):
    few = EntityGraph(("a", "b"), {"a": 3, "b": 0},
                      {"a": np.zeros(3, np.int64), "b": np.zeros(0, np.int64)}, {})
    with pytest.raises(ValueError, match="3 rows are too few for a map"):
        write_row_map(few, world.store, shared, lab.SAGE, SMALL, Draft(tmp_path), device="cpu")


def test_a_shared_projection_is_that_of_pre_training_and_its_control_is_itself(tmp_path, world,
                                                                               lab):
    from rowgraph.randomness import torch_generator
    from rowgraph.sage.model import HeteroGraphSAGE

    sage = lab.SAGE.model_copy(update={"projections": "shared"})
    model = HeteroGraphSAGE(lab.DIM, ["elsewhere"], sage.hidden, sage.layers, sage.edge_type_reduce,
                            torch_generator("test", "shared"), "shared")
    write_row_map(world.graph, world.store, dict(model.shared_state_dict()), sage, SMALL,
                  Draft(tmp_path), device="cpu")
    purity = pl.read_parquet(tmp_path / "purity.parquet")
    assert purity["one_projection"].equals(purity["after"])
