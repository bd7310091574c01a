"""The canary's other world differs where it must, and nowhere else."""

import numpy as np
import polars as pl
import pytest

from rowgraph.evaluation.nonsense import inside, nonsense_labels, write_nonsense
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.tasks.label_tables import Destinations, LabelTable


@pytest.fixture(scope="module")
def later(world, lab, tmp_path_factory):
    return write_nonsense(world.database, tmp_path_factory.mktemp("later"), start=lab.TEST)


def test_cells_of_the_span_change_and_all_others_stay(world, later, lab):
    for table, schema in world.database.tables.items():
        before, after = world.database.read(table), later.read(table)
        assert before.schema == after.schema
        hit = inside(world.database.times(table), lab.TEST, None)
        if schema.time_col is None:
            assert before.equals(after)
            continue
        assert before.filter(~hit).equals(after.filter(~hit))
        for column in set(before.columns) - {schema.pkey_col, schema.time_col}:
            assert not before[column].filter(hit).equals(after[column].filter(hit)), column


def test_keys_are_still_row_numbers_and_point_to_rows(world, later):
    assert build_entity_graph(later).num_nodes == world.graph.num_nodes


def test_a_row_without_a_time_is_never_visible_and_so_belongs_to_the_future(world, later, lab):
    missing = world.database.read("results")["date"].is_null()
    assert missing.any()
    assert not world.database.read("results")["laps"].filter(missing).equals(
        later.read("results")["laps"].filter(missing))
    assert not inside(world.database.times("results"), None, lab.TEST)[missing.to_numpy()].any()


def test_rows_that_are_asked_about_keep_their_visible_cells_and_lose_the_hidden_one(
        world, lab, tmp_path):
    hidden = world.database.without([("results", "failed")])
    rows = np.flatnonzero(world.database.times("results") >= lab.TEST)[:5]
    other = write_nonsense(hidden, tmp_path, start=lab.TEST, keep={"results": rows})
    before = pl.read_parquet(hidden.path("results"))[rows]
    after = pl.read_parquet(other.path("results"))[rows]
    assert before["laps"].equals(after["laps"])
    assert before["driverId"].equals(after["driverId"])
    assert not before["failed"].equals(after["failed"])


def test_labels_change_where_they_are_hit_alone(world):
    labels = world.task.test
    hit = np.arange(len(labels)) % 3 == 0
    other = nonsense_labels(world.task, labels, hit)
    assert (other.target != labels.target).tolist() == hit.tolist()
    assert set(other.target) == {0.0, 1.0}


def test_recommended_rows_are_dealt_anew(world):
    import dataclasses

    task = dataclasses.replace(world.task, task_type="recommendation", destination_table="circuits")
    labels = LabelTable(np.arange(3), np.arange(3), Destinations.of([[0], [1, 2], []]))
    other = nonsense_labels(task, labels, np.array([False, True, True]))
    assert other.target.of_row(0).tolist() == [0]
    assert len(other.target.of_row(2)) > 0
