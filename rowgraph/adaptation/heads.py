"""What the head answers, by kind of task: its width, its loss, and what a raw output means.

Shapes: N label rows, W width of the head, C classes. A raw output is float [N] where W is 1, else
[N, W].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rowgraph.tasks.kinds import TaskType
from rowgraph.tasks.label_tables import Task


class Answer(Protocol):
    """One kind of answer, fitted on the label rows that a model is trained on."""

    width: int
    curve: tuple[str, ...]  # metrics of the training curves, beside the loss

    def loss(self, raw: Tensor, target: np.ndarray) -> Tensor:
        """Mean over the label rows; what training makes small."""

    def prediction(self, raw: np.ndarray) -> np.ndarray:
        """As `rowgraph.tasks.kinds` says, float64."""


class YesOrNo:
    """Binary: one logit, cross-entropy; the probability of 1."""

    width = 1
    curve = ("roc_auc", "accuracy")

    def loss(self, raw: Tensor, target: np.ndarray) -> Tensor:
        """Of logits [N] and 0 or 1 [N]."""
        return F.binary_cross_entropy_with_logits(raw, torch.from_numpy(target).to(raw))

    def prediction(self, raw: np.ndarray) -> np.ndarray:
        """float64 [N]."""
        return torch.from_numpy(raw.astype(np.float64)).sigmoid().numpy()


@dataclass(frozen=True)
class OneOf:
    """Multiclass: a logit for each class of the task, cross-entropy; a distribution.

    A class that no fitted row has keeps an output; the loss makes it small.
    """

    width: int
    curve = ("macro_f1", "accuracy")

    def loss(self, raw: Tensor, target: np.ndarray) -> Tensor:
        """Of logits [N, C] and positions [N]."""
        at = torch.from_numpy(target.astype(np.int64)).to(raw.device)
        return F.cross_entropy(raw, at)

    def prediction(self, raw: np.ndarray) -> np.ndarray:
        """float64 [N, C]."""
        return torch.from_numpy(raw.astype(np.float64)).softmax(1).numpy()


REPRESENTED = 1e-30  # of the farthest target: a smaller spread would make it infinite in float32


@dataclass(frozen=True)
class Amount:
    """Regression: L1 on (target - median) / spread.

    MAE is the metric, so L1 is the loss; its best constant is the median, where a fresh head's
    outputs start. Outliers cannot bend it: they pull on L1 no harder than any other row, and the
    spread is the distance between the quartiles. A mean and a standard deviation would follow one
    value of a billion and squeeze all others together. Where the quartiles are equal (most
    targets are 0), or all but, wider quantiles stand in.

    Args:
        center, spread: in the target's unit.
    """

    center: float
    spread: float
    width = 1
    curve = ("mae",)

    @classmethod
    def fit(cls, target: np.ndarray) -> Amount:
        """From the fitted rows' targets alone."""
        center, spread = float(np.median(target)), 0.0
        least = REPRESENTED * float(np.abs(target - center).max())
        for tail in (25, 10, 5, 1, 0):
            low, high = np.percentile(target, [tail, 100 - tail])
            if (spread := float(high - low)) > least:
                break
        return cls(center, spread or 1.0)

    def loss(self, raw: Tensor, target: np.ndarray) -> Tensor:
        """Of outputs [N] and numbers [N]."""
        scaled = (target - self.center) / self.spread  # in float64, before anything is rounded
        return F.l1_loss(raw, torch.from_numpy(scaled).to(raw))

    def prediction(self, raw: np.ndarray) -> np.ndarray:
        """float64 [N], in the target's unit."""
        return raw.astype(np.float64) * self.spread + self.center


ANSWERS: dict[TaskType, Callable[[Task, np.ndarray], Answer]] = {
    "binary_classification": lambda task, target: YesOrNo(),
    "multiclass_classification": lambda task, target: OneOf(len(task.classes)),
    "regression": lambda task, target: Amount.fit(target),
}


def answer_of(task: Task, target: np.ndarray) -> Answer:
    """The answer of a task's kind, fitted on these targets.

    Raises:
        ValueError: the kind has no head; a recommendation is ranked by
            `rowgraph.adaptation.recommendation`.
    """
    if task.task_type not in ANSWERS:
        raise ValueError(f"{task.database.name}/{task.name}: no head answers a {task.task_type} "
                         f"task; those that have one: {', '.join(ANSWERS)}")
    return ANSWERS[task.task_type](task, target)
