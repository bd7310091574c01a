"""Label rows as what a model is given: the entities that are asked about and what surrounds them.

A neighbourhood depends on entity row, effective time and draw, never on the variant, so what was
sampled once is kept, within bounds, for every training that asks the same. With `latest` sampling
the draw does not matter either, and epochs differ by their order alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rowgraph.adaptation.neighbourhoods import SILENT, Neighbourhoods, vectors_of
from rowgraph.adaptation.settings import AdaptationSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.randomness import generator, stable_seed
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.regimes import hidden

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings

ROOM = 384 << 20  # bytes of neighbourhoods kept for training, and as many for scoring


@dataclass(frozen=True, eq=False)
class Entities:
    """Entities that are asked about.

    Args:
        table: the entity table.
        rows: int64 [N], `SILENT` where the entity's own row must not be seen.
        near: their neighbourhoods; None for a model without a graph.
    """

    table: str
    rows: np.ndarray
    near: Neighbourhoods | None

    def arguments(self, embeddings: Embeddings,
                  device: torch.device) -> tuple[Tensor | dict[str, Tensor], Neighbourhoods | None]:
        """What `DownstreamModel.represent` takes."""
        if self.near is None:
            return vectors_of(embeddings, self.table, self.rows, device), None
        return self.near.vectors(embeddings, device), self.near.to(device)


class Inputs:
    """Makes the inputs of one task. A view's name stands for its label rows and their times.

    Args:
        task: an autocomplete task's entity rows are visible at their own seeds.
        graph: of the task's database, without the foreign keys that the task must not see.
        settings: fan-out, sampling and batch.
        room: bytes kept for training, and as many for scoring.
    """

    def __init__(self, task: Task, graph: EntityGraph, settings: AdaptationSettings,
                 room: int = ROOM):
        self.task, self.settings = task, settings
        self._times = np.asarray(graph.times[task.entity_table])
        self._sampler = TemporalNeighborSampler(graph, settings.fan_out, settings.sampling)
        self._fitted, self._scored = _Kept(room), _Kept(room)
        self._fitted_for: tuple[str, int] | None = None
        self._pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def purpose(self, seed: int) -> tuple[object, ...]:
        """What draws are for. No variant is part of it: variants differ by nothing but
        themselves."""
        return "downstream_metrics", self.task.database.name, self.task.name, seed

    def epoch(self, view: View, seed: int, epoch: int,
              with_graph: bool) -> Iterator[tuple[np.ndarray, Entities]]:
        """Every label row once, in a fresh order: positions in the view, and their entities."""
        if self._fitted_for != (view.name, seed):
            self._fitted.forget()
            self._fitted_for = view.name, seed
        order = generator(*self.purpose(seed), "order", epoch).permutation(len(view.labels))
        for start in range(0, len(order), self.settings.batch):
            at = order[start:start + self.settings.batch]
            yield at, self._entities(view.labels.rows[at], view.before[at], with_graph,
                                     self._fitted, (epoch, start),
                                     self._draw(seed, "train", epoch))

    def distinct(self, view: View, seed: int,
                 with_graph: bool) -> tuple[list[Entities], np.ndarray]:
        """Entities and effective times of a view, each pair once, in batches; and int64 [N], the
        place of each label row's pair. The neighbours of a seed are the same in every epoch."""
        if view.name not in self._pairs:
            self._pairs[view.name] = np.unique(
                np.stack([view.labels.rows, view.before], axis=1), axis=0, return_inverse=True)
        pairs, place = self._pairs[view.name]
        draw, size = self._draw(seed, "evaluation"), max(self.settings.batch, 256)
        batches = [self._entities(*np.ascontiguousarray(pairs[i:i + size].T), with_graph,
                                  self._scored, (view.name, draw, i), draw)
                   for i in range(0, len(pairs), size)]
        return batches, place.reshape(-1)

    def _draw(self, seed: int, *what: object) -> int:
        if self.settings.sampling == "latest":
            return 0  # the newest are the newest whatever the draw
        return stable_seed(*self.purpose(seed), "neighbours", *what)

    def _entities(self, rows: np.ndarray, before: np.ndarray, with_graph: bool, kept: _Kept,
                  key: Hashable, draw: int) -> Entities:
        # An entity row dated at or after its seed exists as a node, but says nothing.
        silent = (np.zeros(len(rows), dtype=bool) if self.task.autocomplete
                  else hidden(self._times[rows], before))
        table = self.task.entity_table
        near = None
        if with_graph:
            near = kept.get(key, lambda: Neighbourhoods.of(
                self._sampler.sample(table, rows, before, draw, silent), silent))
        return Entities(table, np.where(silent, SILENT, rows), near)


class _Kept:
    """Neighbourhoods by what they are for, until there is no more room."""

    def __init__(self, room: int):
        self._room, self._left = room, room
        self._kept: dict[Hashable, Neighbourhoods] = {}

    def get(self, key: Hashable, make: Callable[[], Neighbourhoods]) -> Neighbourhoods:
        """The kept one, or a new one, which is kept while there is room."""
        if (found := self._kept.get(key)) is not None:
            return found
        made = make()
        if made.nbytes <= self._left:
            self._kept[key] = made
            self._left -= made.nbytes
        return made

    def forget(self) -> None:
        """Make room."""
        self._kept.clear()
        self._left = self._room
