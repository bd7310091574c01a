"""A small shop that was imported, and a question about it."""

from __future__ import annotations

import pytest

from rowgraph.databases.database import Database
from rowgraph.tasks.queries.proposing import propose
from tests.importing.conftest import imported, rows, write

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
