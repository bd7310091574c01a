"""The metrics of every kind of task, one vector of predictions at a time."""

from __future__ import annotations

import numpy as np
import sklearn.metrics

from rowgraph.tasks.kinds import HIGHER_IS_BETTER

THRESHOLD = 0.5  # of the predicted probability, for precision, accuracy and F1


def measure(metric: str, target: np.ndarray, prediction: np.ndarray,
            train_target: np.ndarray) -> float | None:
    """One metric of one vector of predictions.

    Args:
        metric: a key of `HIGHER_IS_BETTER`.
        target: float64 [N].
        prediction: float64 [N]; a probability where the target is binary.
        train_target: the training labels; NMAE divides by their standard deviation (ddof=1).

    Returns:
        The value; None for the precision of a model that predicts no positive at 0.5, which does
        not exist.

    Raises:
        ValueError: lengths differ, a prediction is not finite, or the metric is undefined for
            these targets (one class only, no spread).
    """
    _check(metric, target, prediction)
    if metric == "roc_auc":
        return float(sklearn.metrics.roc_auc_score(target, prediction))
    if metric == "average_precision":
        return float(sklearn.metrics.average_precision_score(target, prediction))
    positive = prediction >= THRESHOLD
    if metric == "precision":
        return float(sklearn.metrics.precision_score(target, positive)) if positive.any() else None
    if metric == "accuracy":
        return float(sklearn.metrics.accuracy_score(target, positive))
    if metric == "f1":
        return float(sklearn.metrics.f1_score(target, positive))
    if metric == "r2":
        return float(sklearn.metrics.r2_score(target, prediction))
    error = float(sklearn.metrics.mean_absolute_error(target, prediction))
    return error if metric == "mae" else error / spread(train_target)


def spread(train_target: np.ndarray) -> float:
    """The standard deviation (ddof=1) of the training labels, in which NMAE is counted.

    Raises:
        ValueError: fewer than two labels, or all equal.
    """
    std = float(np.std(train_target, ddof=1)) if len(train_target) > 1 else 0.0
    if std == 0.0:
        raise ValueError(f"the {len(train_target)} training labels have no spread, so that NMAE "
                         "is undefined; use more training rows or another task")
    return std


def _check(metric: str, target: np.ndarray, prediction: np.ndarray) -> None:
    if metric not in HIGHER_IS_BETTER:
        raise ValueError(f"metric '{metric}' does not exist; known: {', '.join(HIGHER_IS_BETTER)}")
    if prediction.shape != target.shape:
        raise ValueError(f"{metric}: expected one prediction for each of {target.shape} label "
                         f"rows, found {prediction.shape}")
    if not np.isfinite(prediction).all():
        raise ValueError(f"{metric}: {int((~np.isfinite(prediction)).sum())} of {len(prediction)} "
                         "predictions are not finite; the model has diverged: lower "
                         "downstream_metrics.learning_rate")
    if metric not in ("mae", "nmae") and len(np.unique(target)) < 2:
        raise ValueError(f"{metric} is undefined: all {len(target)} labels are "
                         f"{target[0] if len(target) else 'missing'}; choose a task or a split "
                         "whose labels differ")
