"""Kinds of task: what is asked, by which metrics it is judged, what a prediction looks like.

| kind | target of a label row | prediction of n rows |
|---|---|---|
| `binary_classification` | 0 or 1 | probability of 1, float64 [n] |
| `multiclass_classification` | position in `Task.classes` | probabilities, float64 [n, classes] |
| `regression` | a number | in the target's unit, float64 [n] |
| `recommendation` | rows of the destination table | the best rows first, int64 [n, `eval_k`] |

A recommendation of fewer than `eval_k` rows is filled up with -1. Autocomplete is no kind of its
own: any of the four, about a column of the entity table itself (`Task.autocomplete`).
"""

from __future__ import annotations

from typing import Literal, get_args

TaskType = Literal["binary_classification", "multiclass_classification", "regression",
                   "recommendation"]
TASK_TYPES: tuple[TaskType, ...] = get_args(TaskType)
METRICS: dict[TaskType, tuple[str, ...]] = {  # the primary metric first
    "binary_classification": ("roc_auc", "average_precision", "precision", "accuracy", "f1"),
    "multiclass_classification": ("macro_f1", "accuracy", "log_loss", "roc_auc_ovr"),
    "regression": ("mae", "nmae", "r2"),
    "recommendation": ("map", "recall"),
}
PRIMARY = tuple(names[0] for names in METRICS.values())
HIGHER_IS_BETTER = {
    "roc_auc": True, "average_precision": True, "precision": True, "accuracy": True, "f1": True,
    "macro_f1": True, "log_loss": False, "roc_auc_ovr": True,
    "mae": False, "nmae": False, "r2": True, "map": True, "recall": True}
NO_ROW = -1  # pads a recommendation of fewer than `eval_k` rows, as RelBench's files do
