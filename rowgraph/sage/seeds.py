"""Which nodes pre-training learns from and is scored on, and in which batches.

The paper draws batches with PyG's `NeighborLoader`, which takes seeds of one node type; so a batch
here holds nodes of one table of one database, and tables come by their share of the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.randomness import generator, uniform_of_rows
from rowgraph.sage.interleaving import interleave
from rowgraph.sage.settings import SageWeightsSettings

SPLITS = ("train", "validation", "test")


class PretrainingError(ValueError):
    """Databases that cannot be pre-trained on, or weights that cannot be loaded."""


@dataclass(frozen=True)
class Seeds:
    """The nodes of one batch: int64 rows of a table of the database of that name."""

    database: str
    table: str
    rows: np.ndarray


class SeedPlan:
    """The batches of every epoch and of the scored splits, as functions of the settings.

    Args:
        graphs: entity graphs by database name.
        settings: shares, batch, `seeds_per_epoch` and seed.

    Raises:
        PretrainingError: a database has nothing to train on.
    """

    def __init__(self, graphs: Mapping[str, EntityGraph], settings: SageWeightsSettings):
        self.settings = settings
        self.train_share = 1 - settings.validation - settings.test
        if self.train_share <= 0:
            raise PretrainingError(f"validation ({settings.validation:g}) and test "
                                   f"({settings.test:g}) leave no nodes to train on; lower them")
        self.nodes = {name: self._split(name, graph) for name, graph in graphs.items()}
        for name, tables in self.nodes.items():
            if not any(len(rows["train"]) for rows in tables.values()):
                raise PretrainingError(f"{name} has no rows to train on; leave it out of the "
                                       "profile or give it more rows")

    def _split(self, database: str, graph: EntityGraph) -> dict[str, dict[str, np.ndarray]]:
        """Rows by table and split; a row's split does not depend on the rows around it."""
        held = self.settings.test + self.settings.validation
        tables = {}
        for table in graph.node_types:
            rows = np.arange(graph.num_nodes[table], dtype=np.int64)
            u = uniform_of_rows(rows, "sage_weights", "split", database, table, self.settings.seed)
            tables[table] = {"test": rows[u < self.settings.test],
                             "validation": rows[(u >= self.settings.test) & (u < held)],
                             "train": rows[u >= held]}
        return tables

    def epoch(self, number: int) -> list[Seeds]:
        """The batches of an epoch: `seeds_per_epoch` training nodes of each database."""
        what = ("sage_weights", "epoch", self.settings.seed, number)
        queues = [self._batches(name, "train", self.settings.seeds_per_epoch, what)
                  for name in self.nodes]
        return _in_turn(queues, *what)

    def scored(self, split: str) -> list[Seeds]:
        """The batches that a split is scored on: the same in every epoch.

        With `seeds_per_epoch`, in the proportion of the splits to those trained on in an epoch.
        """
        cap = self.settings.seeds_per_epoch
        if cap is not None:
            cap = max(1, round(cap * getattr(self.settings, split) / self.train_share))
        what = ("sage_weights", split, self.settings.seed)
        return [seeds for name in self.nodes for seeds in self._batches(name, split, cap, what)]

    def _batches(self, database: str, split: str, cap: int | None,
                 what: tuple[object, ...]) -> list[Seeds]:
        """Batches of one table each over at most `cap` nodes of a split, drawn without bias."""
        tables = {t: rows[split] for t, rows in self.nodes[database].items()}
        total = sum(len(rows) for rows in tables.values())
        chosen = generator(*what, "nodes", database).permutation(total)[:cap]
        queues, start = [], 0
        for table, rows in tables.items():
            mine = rows[chosen[(chosen >= start) & (chosen < start + len(rows))] - start]
            start += len(rows)
            queues.append([Seeds(database, table, mine[i:i + self.settings.batch])
                           for i in range(0, len(mine), self.settings.batch)])
        return _in_turn(queues, *what, "tables", database)


def _in_turn(queues: Sequence[Sequence[Seeds]], *what: object) -> list[Seeds]:
    return [queues[source][i] for source, i in interleave([len(q) for q in queues], *what)]
