"""Vectors of both ends of a pair: the source row of a seed, and a destination as of that seed.

Sums of a batch of few rows are not to the last bit those of many. So what is encoded together
depends on the view that is asked about and on nothing that this process did before: wherever and
whenever a view's blocks are asked about in their order, the same bytes come out.

A destination is seen as of its seed's effective time. Where seeds have many effective times, those
that follow each other share one moment, that of the oldest of them, so that no seed sees a
destination's future. A row that is not there yet says nothing of itself.

Shapes: n seeds, P pairs, V channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch

from rowgraph.adaptation.hybrid.vectors import AT_ONCE, RowVectors
from rowgraph.adaptation.recommendation.exams import Exam
from rowgraph.adaptation.recommendation.fitting import snapshots
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Task

MOMENTS = 64  # as of which destinations are seen by the seeds of one view, at most
ENCODED = 1 << 15  # of pairs that are more, so many destinations are encoded, about


class BothEnds:
    """What encoders say of both ends, each row and moment of a view encoded once.

    Args:
        task: whose rows.
        open_vectors: makes its vectors when the first are asked for.
    """

    def __init__(self, task: Task, open_vectors: Callable[[], RowVectors]):
        self.task, self._open = task, open_vectors
        self._exam = ""  # that was asked about last; what was made for others is dropped
        self._made: dict[tuple[str, int, str, str], _Encoded] = {}

    @cached_property
    def vectors(self) -> RowVectors:
        """Of the task."""
        return self._open()

    def sources(self, kind: str, exam: Exam, number: int, view: View) -> np.ndarray:
        """float32 [n, V]: the source row of each seed of a view."""
        labels, task = view.labels, self.task
        return self._of(kind, exam, number, view.name, task.entity_table, labels.rows, view.before,
                        labels.times - view.before, task.autocomplete)

    def destinations(self, kind: str, exam: Exam, number: int, view: View, seed: np.ndarray,
                     row: np.ndarray) -> np.ndarray:
        """float32 [P, V]: destinations of pairs.

        Args:
            view: all seeds of one question, whatever pairs are asked for: moments are theirs.
            seed, row: int64 [P], positions in the view, and destination rows.
        """
        most = MOMENTS
        if len(row) > ENCODED:
            most = max(1, min(MOMENTS, ENCODED // len(np.unique(row))))
        group, moments = snapshots(view, most)
        before = np.array([moment for _, moment in moments], np.int64)[group[seed]]
        return self._of(kind, exam, number, view.name, self.task.destination_table, row, before,
                        np.zeros(len(row), np.int64), False)

    @torch.no_grad()
    def _of(self, kind: str, exam: Exam, number: int, view: str, table: str, rows: np.ndarray,
            before: np.ndarray, ahead: np.ndarray, own_row: bool) -> np.ndarray:
        if exam.name != self._exam:
            self._exam, self._made = exam.name, {}
        weights = self.vectors.weights(kind, exam, number)
        key = kind, number, view, table
        made = self._made.setdefault(key, _Encoded(weights.encoder.shape.output))
        asked, back = np.unique(np.stack([rows, before, ahead], axis=1), axis=0,
                                return_inverse=True)
        missing = asked[made.missing(asked)]
        for first in range(0, len(missing), AT_ONCE):
            some = missing[first:first + AT_ONCE]
            batch = self.vectors.seen(table, *some.T.copy(), own_row)
            made.add(some, weights.encoder(batch.to(self.vectors.device), self.vectors.names,
                                           weights.corrections).cpu().numpy())
        return made.of(asked)[back.ravel()]


class _Encoded:
    """Vectors by row, effective time and how far ahead is asked.

    Args:
        width: V.
    """

    def __init__(self, width: int):
        self._place: dict[tuple[int, ...], int] = {}
        self._vectors = np.empty((0, width), np.float32)

    def missing(self, asked: np.ndarray) -> np.ndarray:
        """int64: positions of what was not encoded yet."""
        return np.flatnonzero([key not in self._place for key in map(tuple, asked.tolist())])

    def add(self, asked: np.ndarray, vectors: np.ndarray) -> None:
        """Keep vectors."""
        begin = len(self._place)
        self._place |= {key: begin + k for k, key in enumerate(map(tuple, asked.tolist()))}
        if len(self._place) > len(self._vectors):
            room = np.empty((max(2 * len(self._vectors), len(self._place)), vectors.shape[1]),
                            np.float32)
            room[:begin] = self._vectors[:begin]
            self._vectors = room
        self._vectors[begin:len(self._place)] = vectors

    def of(self, asked: np.ndarray) -> np.ndarray:
        """float32 [len(asked), V]."""
        return self._vectors[[self._place[key] for key in map(tuple, asked.tolist())]]
