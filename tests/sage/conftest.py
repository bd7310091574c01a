"""Small graphs and embeddings made up from their structure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rowgraph.databases.database import TIMELESS
from rowgraph.graph.entity_graph import Adjacency, EntityGraph
from rowgraph.sage.pretraining import PretrainDatabase


def _adjacency(pairs: np.ndarray, times: np.ndarray, num_dst: int) -> Adjacency:
    order = np.lexsort((pairs[:, 0], times[pairs[:, 0]], pairs[:, 1]))
    degree = np.bincount(pairs[:, 1], minlength=num_dst)
    return Adjacency(np.concatenate([[0], np.cumsum(degree)]).astype(np.int64),
                     pairs[order, 0].astype(np.int64))


def _graph(rng: np.random.Generator, num_nodes: dict[str, int],
           fkeys: dict[tuple[str, str], str]) -> EntityGraph:
    """Each row names a random row of each parent, or (one in five) none."""
    times = {t: np.full(n, TIMELESS) if i == 0 else rng.integers(0, 9, n)
             for i, (t, n) in enumerate(num_nodes.items())}
    adjacency = {}
    for (table, fkey), parent in fkeys.items():
        rows = np.flatnonzero(rng.random(num_nodes[table]) > 0.2)
        pairs = np.stack([rows, rng.integers(0, num_nodes[parent], len(rows))], axis=1)
        adjacency[table, f"f2p_{fkey}", parent] = _adjacency(pairs, times[table],
                                                             num_nodes[parent])
        adjacency[parent, f"rev_f2p_{fkey}", table] = _adjacency(pairs[:, ::-1], times[parent],
                                                                 num_nodes[table])
    return EntityGraph(tuple(num_nodes), num_nodes, times, adjacency)


@pytest.fixture
def shop() -> EntityGraph:
    """Names that a module may not have, a table that names itself, one that nothing names."""
    return _graph(np.random.default_rng(0), {"items": 12, "v1.orders/new": 40, "self": 9,
                                             "lone": 3},
                  {("v1.orders/new", "item"): "items", ("v1.orders/new", "second"): "items",
                   ("self", "self"): "self", ("self", "item"): "items"})


class FakeEmbeddings:
    """Vectors in memory. `gather` hands out views, so that a careless caller would be seen."""

    def __init__(self, graph: EntityGraph, dim: int, seed: int):
        draw = torch.Generator().manual_seed(seed)
        basis = torch.randn(2, dim, generator=draw)
        self.dim = dim
        self.x = {t: torch.randn(n, 2, generator=draw) @ basis + 1.0
                  for t, n in graph.num_nodes.items()}

    def gather(self, table: str, rows: np.ndarray) -> torch.Tensor:
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return self.x[table][int(rows[0]):int(rows[0]) + len(rows)]
        return self.x[table][torch.from_numpy(rows)]


@pytest.fixture
def make_database():
    """A pre-training database of some name and width."""
    def make(name: str, seed: int, dim: int = 12) -> PretrainDatabase:
        rng = np.random.default_rng(seed)
        graph = _graph(rng, {"parents": 20, "children": 90, "few": 3},
                       {("children", "parent"): "parents", ("children", "few"): "few"})
        return PretrainDatabase(name, graph, FakeEmbeddings(graph, dim, seed))

    return make
