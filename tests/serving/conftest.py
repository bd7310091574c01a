"""A small shop that was imported, and a question about it."""

from __future__ import annotations

import numpy as np
import pytest

from rowgraph.artifacts import Draft
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import write_cell_store
from rowgraph.databases.database import Database
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.forecasting.own_past import Reading
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.tasks.queries.proposing import propose
from tests.importing.conftest import imported, rows, write

DAY = 86_400_000_000
FEATURES = WindowFeaturesSettings(folds=2, regimes=("frozen_db", "rolling"), max_features=60)
QUERY = ("PREDICT COUNT(orders.*, 0, 14) > 0 FOR EACH customers.id "
         "WHERE COUNT(orders.*, -60, 0, days) > 0")


@pytest.fixture(scope="session")
def shop_of(tmp_path_factory):
    """Imports a shop with the tables of a source, and asks `QUERY`."""

    def build(tables=None, query=QUERY, folder=None):
        scratch = tmp_path_factory.mktemp("shop")
        folder = folder or scratch / "shop"
        imported(write("duckdb", scratch / "source", tables or rows()), folder)
        database = Database.open(folder)
        if not (folder / "tasks" / "again").exists():
            propose(database, query, scratch / "look", name="again").write(folder)
        return Database.open(folder)

    return build


@pytest.fixture(scope="session")
def shop(shop_of):
    return shop_of()


def at(moment: int) -> str:
    """A moment as a setting says it."""
    return str(np.datetime64(moment, "us"))


@pytest.fixture(scope="session")
def reading_of(tmp_path_factory):
    def build(database):
        folder = tmp_path_factory.mktemp("reading")
        for name in ("graph", "cells"):
            (folder / name).mkdir()
        build_entity_graph(database).save(folder / "graph")
        write_cell_store(database, CellStoreSettings(), Draft(folder / "cells"))
        return Reading(database, folder / "graph", folder / "cells")

    return build
