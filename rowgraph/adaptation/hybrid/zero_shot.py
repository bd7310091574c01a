"""Zero-shot: a task as one more question, about its table of known answers.

The label of a row at time t is the mean of the known answers that name it in (t, t + timedelta]:
there is one, at t + timedelta. The head that was trained on forecast questions of other databases
is asked for it; it is told the entity's known answers like the past of anything else that it is
asked about. No label is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.trials import Candidate
from rowgraph.cells.scales import UNIT, Scale
from rowgraph.forecasting.answers import KNOTS, answers_table
from rowgraph.forecasting.questions import MEAN, Asked, told
from rowgraph.forecasting.training import Weights, answers_of
from rowgraph.tasks.label_tables import Task

AT_ONCE = 512
SURE = 0.001  # a probability is never nearer to 0 or 1


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """`zero_shot`: implements `rowgraph.adaptation.trials.Model`; nothing is fitted or chosen.

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

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> ZeroShot:
        """Nothing to do."""
        return self

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """The same at every step."""
        said = [self._places(Rows(rows.view, rows.index[first:first + AT_ONCE]))
                for first in range(0, len(rows), AT_ONCE)]
        return [_unscaled(self.task, np.concatenate([*said, np.empty(0)]))] * len(steps)

    @torch.no_grad()
    def _places(self, rows: Rows) -> np.ndarray:
        """float64 [n]: where the mean of the answers to come stands among those of training."""
        reader, vectors, count = self.vectors.reader, self.vectors, len(rows)
        table = self.task.entity_table
        child = answers_table(reader.graph)
        place = next(k for k, r in enumerate(reader.relations[table]) if r.child == child)
        kind, column = np.full(count, MEAN), np.zeros(count, np.int64)
        horizon = np.full(count, max(self.task.timedelta, 1), np.int64)
        past, rule = told(reader.relations[table][place], rows.labels.rows, rows.before, horizon,
                          kind, column)
        asked = Asked(table, rows.labels.rows, rows.before, horizon,
                      rows.labels.times - rows.before, np.arange(count), np.full(count, place),
                      column, kind, past, np.zeros(count, np.float32), rule)
        _, said = answers_of(reader, self.weights, vectors.names, asked, vectors.device)
        return said.cpu().numpy().astype(np.float64)


def _unscaled(task: Task, places: np.ndarray) -> np.ndarray:
    """Places as predictions: probabilities, or numbers in the target's unit."""
    scale = Scale.fit(task.train.target.astype(np.float64), KNOTS)
    if task.binary:
        low, high = scale(np.array([0.0, 1.0])) / UNIT
        return np.clip((places - low) / (high - low), SURE, 1 - SURE)
    return np.interp(places, scale.places, scale.values)
