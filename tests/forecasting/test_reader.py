"""What the encoder is given: by brute force, and with the future overwritten."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.databases.knowledge import Knowledge
from rowgraph.databases.settling import settle
from rowgraph.forecasting.kernels import DAY
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.reader import DAYS, HORIZONS, PER_MEANS, PER_WINDOWS, WINDOWS
from rowgraph.tasks.label_tables import LabelTable
from tests.worlds.schemas import random_task
from tests.worlds.tickets import DAY as TICKET_DAY
from tests.worlds.tickets import write_tickets


def everything(batch):
    tensors = [batch.means, batch.horizon, batch.order, batch.window_order]
    for table in batch.tables:
        tensors += [table.static, table.place, table.own, table.windows]
    for layer in batch.layers:
        tensors += [layer.up, layer.down, layer.starts, layer.node, layer.kind, layer.share]
    return tensors


def same(one, two):
    mine, theirs = everything(one), everything(two)
    return len(mine) == len(theirs) and all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_seeds_windows_count_the_children_strictly_before_it(world, reader, batch_of):
    labels = world.task.test.take(np.arange(0, 60, 7))
    horizon = 5 * int(DAY)
    batch = batch_of(reader, labels, horizon)
    windows = next(t for t in batch.tables if t.table == "drivers").windows.numpy()
    results, times = world.database.read("results"), world.database.times("results")
    place = [r.child for r in reader.relations["drivers"]].index("results")
    widths = [d * DAY for d in DAYS] + [0.02 * reader.span, 0.1 * reader.span]
    widths = [int(w) for w in widths] + [h * horizon for h in HORIZONS]
    for i, (row, at) in enumerate(zip(labels.rows, labels.times, strict=True)):
        mine = (results["driverId"] == int(row)).fill_null(False).to_numpy()
        seen = times[mine & (times != NEVER) & (times < at)]
        found = windows[i, place * PER_WINDOWS:(place + 1) * PER_WINDOWS]
        expected = [np.log1p((seen >= at - w).sum()) / 2 for w in widths]
        np.testing.assert_allclose(found[:WINDOWS], [*expected, np.log1p(len(seen)) / 2],
                                   rtol=1e-5)
        assert found[-1] == bool(len(seen))


def test_a_seeds_means_are_those_of_visible_children(world, reader, batch_of):
    labels = world.task.test.take(np.arange(0, 60, 7))
    batch = batch_of(reader, labels)
    results, times = world.database.read("results"), world.database.times("results")
    relations = reader.relations["drivers"]
    column = [k.split()[0] for r in relations for k in r.keys].index("failed")
    sheet = reader.cells.sheets["results"]["numbers"]
    places = sheet.values[:, sheet.kept[[c.column.name for c in sheet.cells].index("failed")]]
    for i, (row, at) in enumerate(zip(labels.rows, labels.times, strict=True)):
        mine = (results["driverId"] == int(row)).fill_null(False).to_numpy()
        seen = mine & (times != NEVER) & (times < at)
        ever = batch.means[i, (column + 1) * PER_MEANS - 2:(column + 1) * PER_MEANS].numpy()
        assert ever[1] == (not seen.any())
        if seen.any():
            np.testing.assert_allclose(ever[0], places[seen].mean() / 32_767, rtol=1e-4, atol=1e-5)


def test_the_future_changes_no_bit_of_what_a_seed_is_given(world, reader, reading_of, batch_of,
                                                           lab, tmp_path):
    at = int(lab.SEED_DATES[27])
    labels = world.task.test
    labels = labels.take(np.flatnonzero(labels.times <= at))
    other = lab.build_world(tmp_path / "db", lab.corrupted(lab.frames(), start=at))
    theirs = reading_of(other.database).reader((3, 2))
    assert same(batch_of(reader, labels), batch_of(theirs, labels))
    for kind, columns in Names.of(reader).columns.items():
        assert torch.equal(columns, Names.of(theirs).columns[kind])
    assert torch.equal(Names.of(reader).edges, Names.of(theirs).edges)
    past = lab.build_world(tmp_path / "past", lab.corrupted(lab.frames(), end=at))
    changed = reading_of(past.database).reader((3, 2))
    assert not same(batch_of(reader, labels), batch_of(changed, labels))


def test_a_seed_whose_own_row_is_not_there_yet_says_nothing_but_its_children_do(reader, batch_of,
                                                                                 lab):
    late = LabelTable(np.array([1]), lab.SEED_DATES[[25]], np.zeros(1))  # row 1 comes at 26
    unseen = next(t for t in batch_of(reader, late).tables if t.table == "drivers")
    later = LabelTable(np.array([1]), lab.SEED_DATES[[27]], np.zeros(1))
    seen = next(t for t in batch_of(reader, later).tables if t.table == "drivers")
    assert not torch.equal(unseen.static[unseen.place[0]], seen.static[seen.place[0]])
    assert unseen.own[0, -1] == 1  # its age is missing
    assert unseen.windows[0].any()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    database = write_tickets(tmp_path_factory.mktemp("desk") / "rel-desk", rows=500)
    return dataclasses.replace(database, knowledge=settle(database, Knowledge())[0])


def test_cells_known_later_are_hidden_until_then_and_are_events_of_that_moment(desk, reading_of):
    reader = reading_of(desk).reader((3, 2))
    assert {r.label for found in reader.relations.values() for r in found} >= {
        "tickets by person_id", "tickets by person_id, later cells"}
    known = desk.known_at("tickets", "effort")
    row = int(np.flatnonzero((known != TIMELESS) & (known < 500 * TICKET_DAY))[3])

    def own(at):
        batch = reader.batch("tickets", np.array([row]), np.array([at]), np.array([TICKET_DAY]),
                             np.zeros(1, np.int64))
        return next(t for t in batch.tables if t.table == "tickets").own[0]

    late = reader.layouts["tickets"].late_numbers
    names = [reader.cells.sheets["tickets"]["numbers"].cells[k].column.name for k in late]
    missing = names.index("effort") * 10 + 9
    assert own(int(known[row]))[missing] == 1
    assert own(int(known[row]) + 1)[missing] == 0


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_schema_can_be_read(seed, tmp_path_factory, reading_of):
    task = random_task(seed, tmp_path_factory.mktemp("schema") / "db", late=True)
    reader = reading_of(task.database).reader((3, 2))
    labels = task.known
    batch = reader.batch("t0", labels.rows, labels.times, np.full(len(labels), 2), np.zeros(
        len(labels), np.int64))
    assert all(bool(torch.isfinite(x).all()) for x in everything(batch))
