"""Zero-shot: a task as one more question, about its table of known answers.

The label of a row at time t is the mean of the known answers that name it in (t, t + timedelta]:
there is one, at t + timedelta. The head that was trained on forecast questions of other databases
is asked for it; it is told the entity's known answers like the past of anything else that it is
asked about, and known answers about others as precedents. No weight is trained on a label.

What it says is where the mean of the answers stands among known ones. A probability is read off at
once, and so is a number, unless many answers are equal: the mean of their places is then nobody's
place, and the median of known answers about whom it said the same is the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.trials import Candidate
from rowgraph.cells.scales import UNIT, Scale
from rowgraph.forecasting.answers import KNOTS, answers_table
from rowgraph.forecasting.precedents import Line, Precedents
from rowgraph.forecasting.questions import Asked
from rowgraph.forecasting.relations import Relation
from rowgraph.forecasting.told import MEAN, told
from rowgraph.forecasting.training import Weights, answers_of
from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import Task

AT_ONCE = 512
SURE = 0.001  # a probability is never nearer to 0 or 1
PRECEDENTS = 256  # of a moment; more than in training tell the same with less noise
OFTEN = 0.1  # share of the most frequent known answer above which numbers are read off medians
READ = 2000  # newest known answers that are read off
GROUP = 40  # of them to a median


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """`zero_shot`: implements `rowgraph.adaptation.trials.Model`; nothing is trained or chosen.

    Args:
        weights: of `forecast_weights`.
    """

    task: Task
    vectors: RowVectors
    weights: Weights
    name: str = "zero_shot"
    steps: tuple[int, ...] = (0,)

    @staticmethod
    def answers(task: Task) -> bool:
        """Whether tasks of this kind can be asked so: those whose answer is one number."""
        return task.task_type in ("binary_classification", "regression") and not task.autocomplete

    def candidates(self) -> list[Candidate]:
        """One."""
        return [Candidate("no label")]

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> FittedZeroShot:
        """Of a number with an answer that is frequent, see what places stood for."""
        answers = exam.fresh.labels.target
        often = np.unique(answers, return_counts=True)[1].max(initial=0) > OFTEN * len(answers)
        if self.task.binary or not often:
            return FittedZeroShot(self, None, None)
        return FittedZeroShot(self, *(
            None if rows is None else self._readings(rows) for rows in (exam.fresh, exam.aged)))

    @torch.no_grad()
    def places(self, rows: Rows) -> np.ndarray:
        """float64 [n]: where the mean of the answers to come stands among those of training."""
        said = [self._places(Rows(rows.view, rows.index[first:first + AT_ONCE]))
                for first in range(0, len(rows), AT_ONCE)]
        return np.concatenate([*said, np.empty(0)])

    @cached_property
    def _line(self) -> Line:
        """The known answers in the order of time."""
        return Line.of(self._relation)

    @cached_property
    def _place(self) -> int:
        """Of the known answers among the relations of the entity's table."""
        reader = self.vectors.reader
        child = answers_table(reader.graph)
        relations = reader.relations[self.task.entity_table]
        return next(k for k, relation in enumerate(relations) if relation.child == child)

    @property
    def _relation(self) -> Relation:
        return self.vectors.reader.relations[self.task.entity_table][self._place]

    def _readings(self, rows: Rows) -> Readings | None:
        newest = np.argsort(rows.labels.times, kind="stable")[-READ:]
        rows = Rows(rows.view, rows.index[newest])
        return Readings.of(self.places(rows), rows.labels.target)

    def _places(self, rows: Rows) -> np.ndarray:
        vectors, labels, count = self.vectors, rows.labels, len(rows)
        kind, column = np.full(count, MEAN), np.zeros(count, np.int64)
        horizon = np.full(count, max(self.task.timedelta, 1), np.int64)
        ahead = labels.times - rows.before
        past, rule = told(self._relation, labels.rows, rows.before, horizon, kind, column)
        others = self._precedents(rows.before, ahead) if self.weights.head.precedents else None
        asked = Asked(self.task.entity_table, labels.rows, rows.before, horizon, ahead,
                      np.arange(count), np.full(count, self._place), column, kind, past,
                      np.zeros(count, np.float32), rule, others)
        _, said = answers_of(vectors.reader, self.weights, vectors.names, asked, vectors.device)
        return said.cpu().numpy().astype(np.float64)

    def _precedents(self, before: np.ndarray, ahead: np.ndarray) -> Precedents:
        """Known answers about others: the same ones for all who are asked at the same moment, so
        that their luck is common to all of these."""
        moments, which = np.unique(np.stack([before, ahead]), axis=1, return_inverse=True)
        before, ahead = np.ascontiguousarray(moments)
        count = len(before)
        draws = generator("precedents", self.task.name).random((2, 1, PRECEDENTS))
        return self._line.precedents(
            before, np.full(count, max(self.task.timedelta, 1), np.int64), ahead,
            np.full(count, MEAN), np.zeros(count, np.int64), np.repeat(draws, count, axis=1),
            at_end=True).take(which.ravel())


@dataclass(frozen=True, eq=False)
class Readings:
    """What places stood for: ascending places, and the median answer about each.

    Args:
        places, values: float64 [k], of as many groups of known answers.
    """

    places: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, said: np.ndarray, answers: np.ndarray) -> Readings | None:
        """From places that were said of rows and their answers, float64 [n]; None of too few."""
        groups = len(said) // GROUP
        if not groups:
            return None
        parts = np.array_split(np.argsort(said, kind="stable"), groups)
        values = np.array([np.median(answers[part]) for part in parts])
        return cls(np.array([said[part].mean() for part in parts]), np.maximum.accumulate(values))

    def __call__(self, said: np.ndarray) -> np.ndarray:
        """float64 [n]: answers."""
        return np.interp(said, self.places, self.values)


@dataclass(frozen=True, eq=False)
class FittedZeroShot:
    """Places, and how they are read off rows that are as stale as those asked about."""

    model: ZeroShot
    fresh: Readings | None
    aged: Readings | None

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """The same at every step."""
        said = self.model.places(rows)
        stale = bool((rows.labels.times > rows.before).any())
        readings = self.aged if stale and self.aged is not None else self.fresh
        found = _unscaled(self.model.task, said) if readings is None else readings(said)
        return [found] * len(steps)


def _unscaled(task: Task, places: np.ndarray) -> np.ndarray:
    """Places as predictions: probabilities, or numbers in the target's unit."""
    scale = Scale.fit(task.train.target.astype(np.float64), KNOTS)
    if task.binary:
        low, high = scale(np.array([0.0, 1.0])) / UNIT
        return np.clip((places - low) / (high - low), SURE, 1 - SURE)
    return np.interp(places, scale.places, scale.values)
