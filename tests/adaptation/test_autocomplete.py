"""A cell of the row itself is asked for: the row's other cells may be seen, that one never."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation.running import run_task
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.artifacts import Draft
from rowgraph.tasks.predictions import Run, read_predictions

VARIANTS = ("bart_gnn_finetuned", "bart_gnn_static", "bart_head", "random_gnn_frozen")


@pytest.fixture(scope="module")
def predict(shared, lab, tmp_path_factory):
    settings = lab.SETTINGS.model_copy(update={"variants": VARIANTS, "seeds": (0,), "folds": 1})

    def predict(world, task=None):
        draft = Draft(tmp_path_factory.mktemp("autocomplete"))
        task = task or world.task
        vectors = {0: BartVectors(world.store, shared, lab.SAGE)}
        run_task(task, world.graph, vectors, settings, draft, device="cpu", log=lambda *_: None)
        return read_predictions(task, draft.path("predictions.parquet"))

    return predict


@pytest.fixture(scope="module")
def plain(autocomplete_world, predict):
    world = autocomplete_world()
    return world, predict(world)


def changed(lab, column, rows):
    """The tables with a column of some results overwritten."""
    tables = lab.frames()
    hit = np.zeros(len(tables["results"]), dtype=bool)
    hit[rows] = True
    other = pl.col(column) + (1 if column == "failed" else 100)
    tables["results"] = tables["results"].with_columns(
        pl.when(pl.Series(hit)).then(other).otherwise(column).alias(column))
    return tables


def different(before, after, split="test"):
    return {run.variant: not np.array_equal(before[run][split], after[run][split])
            for run in before}


def test_the_hidden_cells_of_all_rows_change_no_bit_of_any_prediction(plain, autocomplete_world,
                                                                      predict, lab):
    world, before = plain
    tables = changed(lab, "failed", np.arange(world.graph.num_nodes["results"]))
    other = autocomplete_world(tables)
    # The labels stay: what is asked is whether the cell itself is seen.
    after = predict(other, dataclasses.replace(world.task, database=other.database))
    assert not any(different(before, after).values())
    assert not any(different(before, after, "val").values())


def test_another_cell_of_the_row_itself_is_seen_at_its_own_seed(plain, autocomplete_world, predict,
                                                                lab):
    world, before = plain
    last = world.task.test.times == world.task.test.times.max()
    tables = changed(lab, "laps", world.task.test.rows[last])
    after = predict(autocomplete_world(tables))
    for run in before:
        one, other = before[run]["test"], after[run]["test"]
        if run.variant.startswith("bart"):
            assert (one[last] != other[last]).all()
        # Random vectors say nothing of cells, but their range does, of the past.
        assert np.array_equal(one[~last], other[~last]) or run.variant.startswith("random")


def test_rows_of_its_own_day_are_not_seen_by_a_row(plain, autocomplete_world, predict, lab):
    world, before = plain
    last = np.flatnonzero(world.task.test.times == world.task.test.times.max())
    tables = changed(lab, "laps", world.task.test.rows[last[1:]])
    after = predict(autocomplete_world(tables))
    run = Run("rolling", "bart_gnn_finetuned", 0, 0)
    assert before[run]["test"][last[0]] == after[run]["test"][last[0]]
    assert (before[run]["test"][last[1:]] != after[run]["test"][last[1:]]).all()


def test_a_hidden_foreign_key_has_no_edges(autocomplete_world, predict, plain, lab, shared):
    hidden = (("results", "failed"), ("results", "driverId"))
    world = autocomplete_world(hidden=hidden)
    assert all("driverId" not in relation for _, relation, _ in world.graph.edge_types)
    whole = plain[0]
    assert any("driverId" in relation for _, relation, _ in whole.graph.edge_types)
    cut = whole.graph.without(hidden)
    assert cut.edge_types == world.graph.edge_types
    assert cut.without(hidden) is cut
    # Even where the graph that is handed over still has them.
    given = dataclasses.replace(world, graph=whole.graph)
    assert not any(different(predict(world), predict(given)).values())
