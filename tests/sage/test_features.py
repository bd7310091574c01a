from __future__ import annotations

import torch

from rowgraph.sage import features
from rowgraph.sage.features import Features, attach


def test_vectors_on_the_device_are_those_of_the_store_where_they_fit_and_where_not(make_database):
    database = make_database("rel-a", 1)
    sizes = database.graph.num_nodes
    needed = 4 * 12 * sum(sizes.values())
    held = Features(database.embeddings, sizes, "cpu", needed)
    read = Features(database.embeddings, sizes, "cpu", needed - 1)
    assert held.resident_bytes == needed
    assert read.resident_bytes == Features(database.embeddings, sizes, "cpu").resident_bytes == 0
    rows = torch.tensor([5, 0, 5])
    assert torch.equal(held.gather("parents", rows), read.gather("parents", rows))
    assert torch.equal(held.gather("parents", rows), database.embeddings.x["parents"][rows])


def test_a_store_of_half_precision_takes_half_the_room(make_database):
    database = make_database("rel-a", 1)
    sizes, store = database.graph.num_nodes, database.embeddings
    store.x = {table: x.half().float() for table, x in store.x.items()}
    store.dtype = "float16"
    needed = 2 * 12 * sum(sizes.values())
    held = Features(store, sizes, "cpu", needed)
    assert held.resident_bytes == needed
    rows = torch.tensor([5, 0, 5])
    assert torch.equal(held.gather("parents", rows), store.x["parents"][rows])


def test_databases_share_the_room_of_a_device(make_database, monkeypatch):
    databases = [make_database("rel-a", 1), make_database("rel-b", 2), make_database("rel-c", 3)]
    needed = 4 * 12 * sum(databases[0].graph.num_nodes.values())
    monkeypatch.setattr(features, "resident_room", lambda device: int(2.5 * needed))
    found = attach({d.name: d.embeddings for d in databases},
                   {d.name: d.graph.num_nodes for d in databases}, "cpu")
    assert [f.resident_bytes for f in found.values()] == [needed, needed, 0]
