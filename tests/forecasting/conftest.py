"""Readers of small worlds."""

import numpy as np
import pytest

from rowgraph.artifacts import Draft
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import write_cell_store
from rowgraph.forecasting.own_past import Reading
from rowgraph.forecasting.settings import OwnPastWeightsSettings
from rowgraph.graph.entity_graph import build_entity_graph


@pytest.fixture(scope="session")
def tiny():
    """Settings that take a second."""
    return OwnPastWeightsSettings(seeds=(0,), steps=6, width=8, output=8, batch=16, questions=4,
                                  fan_out=(3, 2), folds=2, workers=1, save_steps=2)


@pytest.fixture(scope="session")
def reading_of(tmp_path_factory):
    """A database with its graph and cells on disk."""

    def make(database):
        folder = tmp_path_factory.mktemp("reading")
        for name in ("graph", "cells"):
            (folder / name).mkdir()
        build_entity_graph(database).save(folder / "graph")
        write_cell_store(database, CellStoreSettings(), Draft(folder / "cells"))
        return Reading(database, folder / "graph", folder / "cells")

    return make


@pytest.fixture(scope="session")
def reading(reading_of, world):
    return reading_of(world.database)


@pytest.fixture(scope="session")
def reader(reading):
    return reading.reader((3, 2))


@pytest.fixture(scope="session")
def batch_of():
    """A batch of label rows as of their own times."""

    def make(reader, labels, horizon=5 * 86_400_000_000):
        count = len(labels)
        return reader.batch("drivers", labels.rows, labels.times,
                            np.full(count, horizon, np.int64), np.zeros(count, np.int64))

    return make
