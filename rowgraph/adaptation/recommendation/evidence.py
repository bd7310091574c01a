"""All that is known of a recommendation task's past, asked about label rows as of their time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from rowgraph.adaptation.recommendation.candidates import candidates_of
from rowgraph.adaptation.recommendation.pairs import PairFeatures, pair_features
from rowgraph.adaptation.recommendation.trails import Trail, trails_of
from rowgraph.adaptation.recommendation.windows import Windows
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task

BLOCK = 2_048  # label rows whose pairs are worked out at once
ROOM = 1 << 30  # bytes of features that are kept


class Evidence:
    """Trails, windows and candidates of one task.

    Args:
        task: of type recommendation.
        room: bytes of features that are kept for the next time they are asked for.
        lag: as `rowgraph.adaptation.recommendation.trails.trails_of` has it.

    Raises:
        ValueError: the task is of another kind.
    """

    def __init__(self, task: Task, room: int = ROOM, lag: int | None = None):
        if task.task_type != "recommendation" or not task.destination_table or not task.eval_k:
            raise ValueError(f"{task.database.name}/{task.name}: expected a recommendation with a "
                             f"destination table and eval_k, found {task.task_type}, "
                             f"{task.destination_table}, {task.eval_k}; complete the task's "
                             "manifest")
        self.task, self._lag = task, lag
        self.windows = Windows.of(task)
        self.exists = task.database.times(task.destination_table)
        self._left = room
        self._kept: dict[str, list[tuple[np.ndarray, PairFeatures]]] = {}
        self._popular: dict[tuple[int, int, bool], np.ndarray] = {}

    @cached_property
    def trails(self) -> tuple[Trail, ...]:
        """Every trail of the task."""
        return trails_of(self.task, self._lag)

    def candidates(self, view: View) -> Destinations:
        """The candidates of each label row, as `blocks` has them."""
        kept = self._kept.get(view.name)
        blocks = ([pairs.candidates for _, pairs in kept] if kept is not None else
                  [self._candidates_of(some) for _, some in _blocks_of(view)])
        counts = np.concatenate([np.zeros(1, np.int64), *(one.counts for one in blocks)])
        return Destinations(np.cumsum(counts), np.concatenate(
            [np.empty(0, np.int64), *(one.rows for one in blocks)]))

    def pairs(self, view: View) -> PairFeatures:
        """The candidates of each label row and what is known about them."""
        return pair_features(self.trails, self.windows, view, self._candidates_of(view),
                             self.exists)

    def blocks(self, view: View) -> Iterator[tuple[np.ndarray, PairFeatures]]:
        """`pairs`, so many label rows at a time: their positions in the view, and theirs.

        They are kept by the view's name while there is room, so a name stands for its rows.
        """
        if view.name in self._kept:
            yield from self._kept[view.name]
            return
        made, size = [], 0
        for at, some in _blocks_of(view):
            block = at, self.pairs(some)
            size += block[1].values.nbytes
            if size <= self._left:
                made.append(block)
            yield block
        if size <= self._left:
            self._kept[view.name] = made
            self._left -= size

    def _candidates_of(self, view: View) -> Destinations:
        return candidates_of(self.trails, self.windows, view, self.exists)

    def popular(self, time: int, before: int, labels_only: bool) -> np.ndarray:
        """float32 [destinations, features] for a network: what everybody linked before a moment.

        Args:
            time: of the seeds, whose season is looked at.
            labels_only: from the task's own labels alone, for a model without a graph.
        """
        key = time, before, labels_only
        if key not in self._popular:
            rows = np.arange(len(self.exists))
            everyone = Destinations(np.array([0, len(rows)]), rows)
            asked = LabelTable(np.zeros(1, dtype=np.int64), np.array([time]), everyone)
            trails = [t for t in self.trails if t.kind == "everyone"
                      and (t.of_labels or not labels_only)]
            found = pair_features(trails, self.windows,
                                  View("popular", asked, np.array([before])), everyone,
                                  self.exists).smooth()
            if found.nbytes > self._left:
                return found
            self._popular[key] = found
            self._left -= found.nbytes
        return self._popular[key]


def _blocks_of(view: View) -> Iterator[tuple[np.ndarray, View]]:
    """So many label rows at a time: their positions in the view, and a view of them alone."""
    for start in range(0, len(view.labels), BLOCK):
        at = np.arange(start, min(start + BLOCK, len(view.labels)))
        yield at, View(view.name, view.labels.take(at), view.before[at])
