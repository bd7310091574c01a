"""What the towers read of source and destination rows: themselves, and what surrounds them."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from rowgraph.adaptation.inputs import Entities
from rowgraph.adaptation.neighbourhoods import SILENT, Neighbourhoods
from rowgraph.adaptation.settings import AdaptationSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.regimes import hidden

ROOM = 512 << 20  # bytes of neighbourhoods that are kept
BLOCK = 1_024  # rows that are represented at once


class Sides:
    """Makes `Entities` of either side.

    A row dated at or after the moment at which it is seen says nothing; its neighbours are
    strictly older in any case. The source row of an autocomplete task is visible at its own seed.

    Args:
        task: of type recommendation.
        graph: of the task's database, without the foreign keys that the task must not see.
        settings: fan-out and sampling.
    """

    def __init__(self, task: Task, graph: EntityGraph, settings: AdaptationSettings):
        self.task, self.graph = task, graph
        self._sampler = TemporalNeighborSampler(graph, settings.fan_out, settings.sampling)
        self._latest = settings.sampling == "latest"
        self._kept: dict[Hashable, Entities] = {}
        self._left = ROOM

    def source(self, rows: np.ndarray, before: np.ndarray, with_graph: bool, draw: int,
               key: Hashable) -> Entities:
        """Source rows as of their seeds' effective times.

        Args:
            draw: number of the draw of neighbours; without meaning where the newest are taken.
            key: stands for these rows, times and draw.
        """
        table = self.task.entity_table
        silent = (np.zeros(len(rows), dtype=bool) if self.task.autocomplete
                  else hidden(np.asarray(self.graph.times[table])[rows], before))
        return self._entities(table, rows, before, silent, with_graph, draw, ("source", key))

    def destination(self, rows: np.ndarray, moment: int, with_graph: bool, draw: int,
                    key: Hashable) -> Entities:
        """Destination rows as of a moment."""
        table = self.task.destination_table
        before = np.full(len(rows), moment)
        silent = hidden(np.asarray(self.graph.times[table])[rows], before)
        return self._entities(table, rows, before, silent, with_graph, draw, ("destination", key))

    def _entities(self, table: str, rows: np.ndarray, before: np.ndarray, silent: np.ndarray,
                  with_graph: bool, draw: int, key: Hashable) -> Entities:
        seen = np.where(silent, SILENT, rows)
        if not with_graph:
            return Entities(table, seen, None)
        key = (*key, 0 if self._latest else draw)
        if key not in self._kept:
            near = Neighbourhoods.of(
                self._sampler.sample(table, rows, before, 0 if self._latest else draw, silent),
                silent)
            made = Entities(table, seen, near)
            if near.nbytes > self._left:
                return made
            self._kept[key] = made
            self._left -= near.nbytes
        return self._kept[key]

    def forget(self) -> None:
        """Make room for another training's rows."""
        self._kept.clear()
        self._left = ROOM
