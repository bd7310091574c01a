"""The metrics of every kind of task, one set of predictions at a time.

Shapes: N label rows, C classes, K recommended rows.

Binary classification and regression are scikit-learn's, but for ROC-AUC, which choosing asks for
thousands of times: from ranks it is the same figure and takes a twentieth of the time. MAP@K and
recall@K are RelBench's (`relbench.metrics`): label rows without a destination do not count, and a
hit list is divided by min(destinations, K) for MAP, by all destinations for recall. One-vs-rest
AUC is the mean over the classes that occur in the labels, so that a class which the split lacks
makes no figure impossible.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sklearn.metrics
from scipy.stats import rankdata

from rowgraph.tasks.kinds import HIGHER_IS_BETTER, NO_ROW
from rowgraph.tasks.label_tables import Destinations, Target

THRESHOLD = 0.5  # of the predicted probability, for precision, accuracy and F1
EPS = float(np.finfo(np.float64).eps)  # nearer to 0 or 1 no probability is taken, as scikit-learn
SUM_TOLERANCE = 1e-4  # a row of class probabilities may miss 1 by this much (float32 softmax)


def measure(metric: str, target: Target, prediction: np.ndarray,
            train_target: Target) -> float | None:
    """One metric of one set of predictions.

    Args:
        metric: a key of `HIGHER_IS_BETTER` that the task's kind has.
        target: float64 [N], or `Destinations` of N rows.
        prediction: as `rowgraph.tasks.kinds` says: float64 [N], float64 [N, C] or int64 [N, K].
        train_target: the training labels; NMAE divides by their standard deviation (ddof=1).

    Returns:
        The value; None for the precision of a model that predicts no positive at 0.5, which does
        not exist.

    Raises:
        ValueError: lengths differ, a prediction is not finite, probabilities do not sum to 1, a
            row is recommended twice, or the metric is undefined for these targets (one class
            only, no spread, no destination).
    """
    _check(metric, target, prediction)
    if isinstance(target, Destinations) or metric in ("mae", "log_loss"):
        return float(np.nanmean(row_scores(metric, target, prediction)))
    if prediction.ndim == 2:
        return _MULTICLASS[metric](target, prediction)
    if metric == "roc_auc":
        return _roc_auc(target == 1, prediction)
    if metric == "average_precision":
        return float(sklearn.metrics.average_precision_score(target, prediction))
    if metric == "r2":
        return float(sklearn.metrics.r2_score(target, prediction))
    if metric == "nmae":
        assert not isinstance(train_target, Destinations)  # of the same kind as `target`
        return float(np.mean(row_scores("mae", target, prediction))) / spread(train_target)
    positive = prediction >= THRESHOLD
    if metric == "precision":
        return float(sklearn.metrics.precision_score(target, positive)) if positive.any() else None
    if metric == "accuracy":
        return float(sklearn.metrics.accuracy_score(target, positive))
    return float(sklearn.metrics.f1_score(target, positive))


def row_scores(metric: str, target: Target, prediction: np.ndarray) -> np.ndarray:
    """What each label row adds to a metric that is a mean over label rows.

    Args:
        metric: mae, accuracy, log_loss, map or recall.
        target, prediction: as in `measure`.

    Returns:
        float64 [N]; NaN where a row does not count.
    """
    if isinstance(target, Destinations):
        return _list_scores(metric, target, prediction)
    if metric == "mae":
        return np.abs(target - prediction)
    if metric == "accuracy":
        said = prediction >= THRESHOLD if prediction.ndim == 1 else prediction.argmax(1)
        return (said == target).astype(np.float64)
    assert metric == "log_loss"
    chance = (np.where(target == 1, prediction, 1 - prediction) if prediction.ndim == 1
              else prediction[np.arange(len(target)), target.astype(np.int64)])
    return -np.log(np.clip(chance, EPS, 1 - EPS))


def _list_scores(metric: str, target: Destinations, prediction: np.ndarray) -> np.ndarray:
    """`row_scores` of lists of rows: map or recall."""
    assert metric in ("map", "recall")
    hit, counts = hits(target, prediction), target.counts
    found = np.full(len(counts), np.nan)
    there = counts > 0
    if metric == "recall":
        found[there] = hit[there].sum(1) / counts[there]
        return found
    precision = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    listed = np.minimum(counts, hit.shape[1])
    found[there] = (precision * hit)[there].sum(1) / listed[there]
    return found


def hits(target: Destinations, prediction: np.ndarray) -> np.ndarray:
    """Which recommended rows came true: bool [N, K]."""
    if not len(target.rows):
        return np.zeros(prediction.shape, dtype=bool)
    width = int(max(target.rows.max(), prediction.max(initial=0))) + 1
    row, destination = target.pairs()
    true = row * width + destination  # ascending: label rows in order, each one's rows sorted
    said = np.where(prediction >= 0, np.arange(len(prediction))[:, None] * width + prediction, -1)
    place = np.minimum(np.searchsorted(true, said), len(true) - 1)
    return true[place] == said


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


def _macro_f1(target: np.ndarray, prediction: np.ndarray) -> float:
    return float(sklearn.metrics.f1_score(target.astype(np.int64), prediction.argmax(1),
                                          average="macro", zero_division=0.0))


def _roc_auc(positive: np.ndarray, prediction: np.ndarray) -> float:
    """The share of pairs in the right order, ties counting half (Hanley and McNeil 1982)."""
    count = int(positive.sum())
    ranks = rankdata(prediction)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(positive) - count)))


def _roc_auc_ovr(target: np.ndarray, prediction: np.ndarray) -> float:
    return float(np.mean([_roc_auc(target == c, prediction[:, int(c)])
                          for c in np.unique(target)]))


_MULTICLASS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "macro_f1": _macro_f1,
    "accuracy": lambda target, prediction: float(np.mean(row_scores("accuracy", target,
                                                                    prediction))),
    "roc_auc_ovr": _roc_auc_ovr}


def _check(metric: str, target: Target, prediction: np.ndarray) -> None:
    if metric not in HIGHER_IS_BETTER:
        raise ValueError(f"metric '{metric}' does not exist; known: {', '.join(HIGHER_IS_BETTER)}")
    count = len(target)
    wide = isinstance(target, Destinations) or metric in ("macro_f1", "log_loss", "roc_auc_ovr")
    if len(prediction) != count or prediction.ndim not in ((2,) if wide else (1, 2)):
        raise ValueError(f"{metric}: expected one prediction{' list' if wide else ''} for each of "
                         f"{(count,)} label rows, found {prediction.shape}")
    if isinstance(target, Destinations):
        return _check_ranked(metric, target, prediction)
    if not np.isfinite(prediction).all():
        bad = int((~np.isfinite(prediction).reshape(count, -1).all(1)).sum())
        raise ValueError(f"{metric}: {bad} of {count} predictions are not finite; the model has "
                         "diverged: lower downstream_metrics.learning_rate")
    if prediction.ndim == 2:
        off = np.abs(prediction.sum(1) - 1) > SUM_TOLERANCE
        if (prediction < 0).any() or off.any():
            at = int(np.argmax(off | (prediction < 0).any(1)))
            raise ValueError(f"{metric}: expected class probabilities that sum to 1, found "
                             f"{prediction[at].tolist()} in row {at}; pass them through softmax")
    if metric not in ("mae", "nmae") and len(np.unique(target)) < 2:
        raise ValueError(f"{metric} is undefined: all {count} labels are "
                         f"{target[0] if count else 'missing'}; choose a task or a split "
                         "whose labels differ")


def _check_ranked(metric: str, target: Destinations, prediction: np.ndarray) -> None:
    ordered = np.sort(prediction, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_ROW)).any(1)
    if twice.any() or (ordered < NO_ROW).any():
        at = int(np.argmax(twice | (ordered < NO_ROW).any(1)))
        raise ValueError(f"{metric}: expected different rows of the destination table, the best "
                         f"first, found {prediction[at].tolist()} for label row {at}; list each "
                         f"row once and fill up with {NO_ROW}")
    if not target.counts.any():
        raise ValueError(f"{metric} is undefined: none of {len(target)} label rows has a "
                         "destination; choose a task or a split with links")
