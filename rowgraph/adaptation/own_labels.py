"""Answers without features: one constant for all, and what was known of the entity itself.

- `global_constant`: the share of positives, the median, or the shares of the classes, of the labels
  fitted on;
- `entity_mean`: the mean of the entity's own labels that are known by then, else the constant;
- `entity_history`: their mean, the last of them, or their mean with older ones weighing less,
  drawn towards the constant as if that had been seen some times. Which, and how strongly, is chosen
  on folds.

Shapes: n label rows, C numbers that make a prediction (classes of a multiclass task, else 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.trials import Candidate
from rowgraph.features.label_history import known_labels
from rowgraph.features.windows import COUNT, SUM, faded_means, look_back, summaries
from rowgraph.tasks.label_tables import Task

HALF_LIVES = (2, 6, 20)  # horizons after which an own label weighs half
PULLS = (0.0, 0.5, 2.0, 8.0)  # how often the constant counts as if it had been seen
PLAIN = "mean"


def constant_of(task: Task, target: np.ndarray) -> np.ndarray:
    """float64 [C]: what minimises log loss or absolute error without looking at anybody.

    Args:
        target: float64, labels that are known.
    """
    if task.task_type == "regression":
        return np.array([np.median(target)])
    return indicators(task, target).mean(axis=0)


def indicators(task: Task, target: np.ndarray) -> np.ndarray:
    """float64 [n, C]: a column a class of a multiclass task; else the target itself."""
    if task.task_type != "multiclass_classification":
        return target[:, None].astype(np.float64)
    return (target[:, None] == np.arange(len(task.classes))).astype(np.float64)


def predicted(task: Task, answers_nC: np.ndarray) -> np.ndarray:
    """Answers in the shape that `rowgraph.tasks.kinds` asks for."""
    return answers_nC if task.task_type == "multiclass_classification" else answers_nC[:, 0]


class OwnLabels:
    """What seeds know of their entities' own labels."""

    def __init__(self, task: Task):
        self._task = task
        self._events = known_labels(task)
        target = indicators(task, task.told.target)
        self._values = np.ascontiguousarray(target[self._events.rows].T)

    def of(self, rows: Rows, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """One number for each part of a prediction, and how many labels it rests on.

        Args:
            kind: `mean`, `last`, or `half-life N` (horizons).

        Returns:
            float64 [n, C], of no meaning where nothing is known, and int64 [n]. An entity's row of
            an autocomplete task has one label, which is asked for: nothing is known.
        """
        labels, events = rows.labels, self._events
        looks = look_back(events.indptr, events.times, labels.rows, rows.before, (), ())
        counts = looks.end - looks.begin
        if self._task.autocomplete:
            counts = np.zeros_like(counts)
        newest = np.maximum(looks.end - 1, 0)
        found = [self._one(values, kind, looks, newest, counts) for values in self._values]
        return np.stack(found, axis=1), np.minimum(counts, 1) if kind == "last" else counts

    def _one(self, values: np.ndarray, kind: str, looks, newest: np.ndarray,
             counts: np.ndarray) -> np.ndarray:
        if kind == "last":
            return np.where(counts > 0, values[newest], 0.0)
        events = self._events
        if kind == PLAIN:
            found = summaries(events.indptr, values, looks)[:, 0]
            return found[:, SUM] / np.maximum(found[:, COUNT], 1)
        half = float(kind.split()[1]) * max(self._task.timedelta, 1)
        faded = faded_means(events.indptr, events.times, values, half)
        return np.where(counts > 0, faded[newest], 0.0)


@dataclass(frozen=True, eq=False)
class EntityHistory:
    """`entity_history`: implements `rowgraph.adaptation.trials.Model`."""

    task: Task
    own: OwnLabels
    name: str = "entity_history"
    steps: tuple[int, ...] = (0,)

    def candidates(self) -> list[Candidate]:
        """Each kind of mean with each pull."""
        kinds = (PLAIN, "last", *(f"half-life {half} horizons" for half in HALF_LIVES))
        return [Candidate(f"{kind}, pull {pull:g}", options=(kind, pull))
                for kind in kinds for pull in PULLS]

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> FittedHistory:
        """The constant is that of the rows fitted on."""
        return FittedHistory(self.task, self.own, *candidate.options,
                             constant_of(self.task, exam.fresh.labels.target))


@dataclass(frozen=True, eq=False)
class FittedHistory:
    """A kind of mean, its pull, and the constant that it is drawn to."""

    task: Task
    own: OwnLabels
    kind: str
    pull: float
    constant: np.ndarray

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """The same at every step."""
        found, counts = self.own.of(rows, self.kind)
        weight = (counts + self.pull)[:, None]
        answer = np.where(counts[:, None] > 0,
                          (found * counts[:, None] + self.constant * self.pull)
                          / np.where(weight > 0, weight, 1), self.constant)
        return [predicted(self.task, answer)] * len(steps)


def mean_of_entity(task: Task, own: OwnLabels, exam: Exam) -> FittedHistory:
    """`entity_mean`, as fitted for an exam."""
    return FittedHistory(task, own, PLAIN, 0.0, constant_of(task, exam.fresh.labels.target))
