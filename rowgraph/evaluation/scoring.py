"""Metrics, their intervals, and the rows that every results table is made of.

Shapes: N test rows, B bootstrap resamples, G groups of equal predictions.

A point estimate is scikit-learn's. An interval re-evaluates the metric on B resamples of the test
rows, vectorised: a resample is a vector of weights (how often each row was drawn), and every
metric here is a function of weights. All variants, regimes and seeds of a task share the same
resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from rowgraph.resampling import resample_weights
from rowgraph.tasks.kinds import HIGHER_IS_BETTER
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import THRESHOLD, measure, spread

CHUNK = 1 << 22  # weights held at once

# (regime, variant, seed) -> {"val": float64 [n_val], "test": float64 [n_test]}
Predictions = Mapping[tuple[str, str, int], Mapping[str, np.ndarray]]


def weighted(metric: str, target: np.ndarray, prediction: np.ndarray, weights_BN: np.ndarray,
             train_target: np.ndarray) -> np.ndarray:
    """A metric on every resample at once.

    Args:
        weights_BN: from `resample_weights`.
        metric, target, prediction, train_target: as in `measure`.

    Returns:
        float64 [B]; NaN where the metric is undefined in a resample.
    """
    if metric in ("mae", "nmae"):
        error = weights_BN @ np.abs(target - prediction) / weights_BN.sum(1)
        return error if metric == "mae" else error / spread(train_target)
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "r2":
            mean = weights_BN @ target / weights_BN.sum(1)
            total = weights_BN @ target**2 - weights_BN.sum(1) * mean**2
            total[total <= 1e-12 * (weights_BN @ target**2)] = np.nan
            return 1 - weights_BN @ (target - prediction) ** 2 / total
        return _BINARY[metric](*_by_score(target, prediction, weights_BN))


def _by_score(target: np.ndarray, prediction: np.ndarray,
              weights_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positive and negative weight [B, G] of each distinct score, highest first, and whether it
    counts as positive [G]."""
    scores, group = np.unique(-prediction, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(scores)))
    sorted_weights = weights_BN[:, order]
    positive = np.add.reduceat(sorted_weights * target[order], starts, axis=1)
    return positive, np.add.reduceat(sorted_weights, starts, axis=1) - positive, (
        -scores >= THRESHOLD)


def _roc_auc(positive: np.ndarray, negative: np.ndarray, _: np.ndarray) -> np.ndarray:
    total = negative.sum(1, keepdims=True)
    below = total - np.cumsum(negative, axis=1) + negative / 2
    return (positive * below).sum(1) / (positive.sum(1) * total[:, 0])


def _average_precision(positive: np.ndarray, negative: np.ndarray, _: np.ndarray) -> np.ndarray:
    hits = np.cumsum(positive, axis=1)
    drawn = hits + np.cumsum(negative, axis=1)
    precision = np.where(drawn > 0, hits / np.where(drawn > 0, drawn, 1), 0)
    return (positive * precision).sum(1) / positive.sum(1)


def _precision(positive: np.ndarray, negative: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    hits = positive[:, chosen].sum(1)
    return hits / (hits + negative[:, chosen].sum(1))


def _accuracy(positive: np.ndarray, negative: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    right = positive[:, chosen].sum(1) + negative[:, ~chosen].sum(1)
    return right / (positive.sum(1) + negative.sum(1))


def _f1(positive: np.ndarray, negative: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    hits = positive[:, chosen].sum(1)
    return 2 * hits / (hits + negative[:, chosen].sum(1) + positive.sum(1))


_BINARY: dict[str, Callable[..., np.ndarray]] = {
    "roc_auc": _roc_auc, "average_precision": _average_precision, "precision": _precision,
    "accuracy": _accuracy, "f1": _f1}


def score_rows(task: Task, predictions: Predictions, bootstrap: int) -> pl.DataFrame:
    """Results rows: every metric of every regime and variant on the test split.

    Args:
        task: its test labels are the judge.
        predictions: by (regime, variant, seed); only `["test"]` is read.
        bootstrap: resamples for the interval.

    Returns:
        One row per regime, variant and metric: `mean` and `std` (ddof=1; null for one seed) over
        the seeds, `ci_low` and `ci_high` the 95 % interval of the seed mean over resampled test
        rows. Resamples in which a metric is undefined are left out. A precision that does not
        exist (no positive predicted, for any seed) is null, and so is its interval.

    Raises:
        ValueError: see `measure`.
    """
    target, train = task.test.target, task.train.target
    count = len(target)
    parts = (task.database.name, task.name)
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for (regime, name, _), splits in sorted(predictions.items()):
        groups.setdefault((regime, name), []).append(np.asarray(splits["test"]))
    values = {(*key, m): [measure(m, target, p, train) for p in group]
              for key, group in groups.items() for m in task.metrics}
    draws: dict[tuple[str, str, str], list[np.ndarray]] = {key: [] for key in values}
    step = max(1, CHUNK // count)
    for start in range(0, bootstrap, step):
        weights = resample_weights(count, min(step, bootstrap - start), *parts, start)
        for key, group in groups.items():
            for m in task.metrics:
                draws[*key, m].append(
                    np.mean([weighted(m, target, p, weights, train) for p in group], axis=0))
    return pl.DataFrame(
        [_row(task, key, values[key], np.concatenate(draws[key])) for key in values],
        schema={"database": pl.String, "task": pl.String, "regime": pl.String,
                "variant": pl.String, "metric": pl.String, "n_test": pl.Int64, "seeds": pl.Int64,
                "mean": pl.Float64, "std": pl.Float64, "ci_low": pl.Float64,
                "ci_high": pl.Float64, "higher_is_better": pl.Boolean, "source": pl.String})


def _row(task: Task, key: tuple[str, str, str], values: list[float | None],
         draws: np.ndarray) -> dict[str, object]:
    exists = all(v is not None for v in values)
    draws = draws[~np.isnan(draws)]
    low, high = np.percentile(draws, [2.5, 97.5]) if exists and len(draws) else (None, None)
    return {
        "database": task.database.name, "task": task.name, "regime": key[0], "variant": key[1],
        "metric": key[2], "n_test": len(task.test), "seeds": len(values),
        "mean": math.fsum(values) / len(values) if exists else None,
        "std": float(np.std(values, ddof=1)) if exists and len(values) > 1 else None,
        "ci_low": low, "ci_high": high, "higher_is_better": HIGHER_IS_BETTER[key[2]],
        "source": "measured",
    }


def primary_results(task: Task, rows: pl.DataFrame) -> dict[str, dict[str, float]]:
    """The primary metric's mean by regime and variant, from results rows."""
    results: dict[str, dict[str, float]] = {}
    for row in rows.filter(pl.col("metric") == task.metrics[0]).iter_rows(named=True):
        results.setdefault(row["regime"], {})[row["variant"]] = row["mean"]
    return results


def prediction_rows(task: Task, predictions: Predictions) -> pl.DataFrame:
    """Every prediction beside its label row: regime, variant, seed, split, row, time, target,
    prediction, in label order."""
    frames = []
    for (regime, name, seed), splits in sorted(predictions.items()):
        for split, prediction in splits.items():
            labels = task.labels(split)
            frames.append(pl.DataFrame({
                "row": labels.rows, "time": labels.times, "target": labels.target,
                "prediction": np.asarray(prediction, dtype=np.float64)
            }).select(pl.lit(regime).alias("regime"), pl.lit(name).alias("variant"),
                      pl.lit(seed, pl.Int64).alias("seed"), pl.lit(split).alias("split"), "row",
                      pl.col("time").cast(pl.Datetime("us")), "target", "prediction"))
    return pl.concat(frames)
