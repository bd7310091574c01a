"""Probabilities as they came true on validation: one temperature, where it pays.

Fitted on validation predictions of what was trained on training rows alone, and chosen by log loss
on validation dates that were left out, as `rowgraph.evaluation.calibration` has it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rowgraph.evaluation.averages import mean_predictions
from rowgraph.evaluation.calibration import cooled, method_scores, temperature_of
from rowgraph.tasks.choosing import choose
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.predictions import read_predictions

CALIBRATED = ("binary_classification", "multiclass_classification")


def temperature_for(task: Task, predictions: Path, variant: str, regime: str) -> float:
    """The temperature of a variant's probabilities; 1 leaves them as they are.

    Args:
        predictions: `predictions.parquet` of the stage that measured the variant.
    """
    if task.task_type not in CALIBRATED or len(np.unique(task.val.target)) < 2:
        return 1.0
    found = mean_predictions(read_predictions(task, predictions))[regime, variant]["val"]
    scores = [s for s in method_scores(task, found, variant, regime) if s.candidate != "isotonic"]
    picked = choose(scores, higher_is_better=False)[regime].candidate
    return 1.0 if picked == "none" else float(temperature_of(found, task.val.target))


def scaled(task: Task, answers: np.ndarray, temperature: float) -> np.ndarray:
    """Answers with their temperature; those of a regression as they are."""
    if task.task_type not in CALIBRATED or temperature == 1.0:
        return answers
    return cooled(answers, temperature)
