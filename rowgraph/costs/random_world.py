"""A graph, vectors and a task made up at random, of the size and density of real ones: what
throughput is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rowgraph.databases.database import TIMELESS, Database
from rowgraph.graph.entity_graph import Adjacency, EntityGraph
from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import LabelTable, Task

CHILDREN_A_PARENT = 20
DAY = 86_400_000_000


def random_graph(nodes: int) -> EntityGraph:
    """Two tables whose rows name one and two parents: 1.5 edges a node, Table 1 has 1.4.

    Parents are timeless; children lie in the days 0 to 999.
    """
    draw = generator("throughput", "graph")
    children = max(CHILDREN_A_PARENT, nodes // 2)
    num_nodes = {"parents": max(2, children // CHILDREN_A_PARENT), "ones": children,
                 "twos": children}
    times = {t: draw.integers(0, 1000, n) * DAY for t, n in num_nodes.items()}
    times["parents"] = np.full(num_nodes["parents"], TIMELESS)
    adjacency = {}
    for table, fkey in (("ones", "parent"), ("twos", "first"), ("twos", "second")):
        parent = draw.integers(0, num_nodes["parents"], children)
        degree = np.bincount(parent, minlength=num_nodes["parents"])
        adjacency[table, f"f2p_{fkey}", "parents"] = Adjacency(
            np.concatenate([[0], np.cumsum(degree)]), np.lexsort((times[table], parent)))
        adjacency["parents", f"rev_f2p_{fkey}", table] = Adjacency(np.arange(children + 1), parent)
    return EntityGraph(tuple(num_nodes), num_nodes, times, adjacency)


class RandomVectors:
    """Vectors as a store gives them: float16 read at random places, float32 handed out.

    Args:
        graph: whose rows.
        dim: of a vector.
        block: rows that are really there; the others repeat them.
    """

    def __init__(self, graph: EntityGraph, dim: int, block: int = 32_768):
        self.dim, self._rows = dim, dict(graph.num_nodes)
        self._block = generator("throughput", "vectors").random(
            (min(block, max(self._rows.values())), dim), dtype=np.float32).astype(np.float16)

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return self._rows[table]

    def gather(self, table: str, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), dim]."""
        place = np.asarray(rows, dtype=np.int64) % len(self._block)
        return torch.from_numpy(self._block[place].astype(np.float32))


def random_task(entities: int, batch: int) -> Task:
    """Two batches to train on, half a batch to validate and to test, all late in time."""
    draw = generator("throughput", "task")
    database = Database("random", Path(), {}, 850 * DAY, 925 * DAY)

    def labels(count: int, first: int) -> LabelTable:
        return LabelTable(draw.integers(0, entities, count),
                          (first + np.sort(draw.integers(0, 70, count))) * DAY,
                          (np.arange(count) % 2).astype(np.float64))

    half = max(2, batch // 2)
    return Task("random", database, "binary_classification", "parents", DAY,
                labels(2 * batch, 780), labels(half, 851), labels(half, 926))
