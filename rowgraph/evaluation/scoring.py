"""Every metric of every variant, and how far it may move: the rows of `metrics.parquet`.

Shapes: N test rows, B bootstrap resamples, R runs of a variant.

A point is the mean over trainings of scikit-learn's or RelBench's metric; its resamples draw dates
and trainings (`rowgraph.evaluation.resamples`), the same ones for all variants of a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from rowgraph.evaluation.averages import by_variant
from rowgraph.evaluation.intervals import degrees_of_freedom, percentile_interval
from rowgraph.evaluation.resamples import DAY, Resamples, say_runs, shares, trainings
from rowgraph.evaluation.weighted import weighted_each
from rowgraph.tasks.kinds import HIGHER_IS_BETTER
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Predictions, Run

METRICS = {"database": pl.String, "task": pl.String, "task_type": pl.String, "regime": pl.String,
           "variant": pl.String, "metric": pl.String, "n_test": pl.Int64, "dates": pl.Int64,
           "seeds": pl.Int64, "mean": pl.Float64, "std": pl.Float64, "ci_low": pl.Float64,
           "ci_high": pl.Float64, "interval": pl.String, "higher_is_better": pl.Boolean,
           "source": pl.String}
MEASURED = "measured"
LEVEL = 0.95
SAID_FROM = 0.01  # a share of resamples without the metric from which it is mentioned

Key = tuple[str, str, str]  # regime, variant, metric


@dataclass(frozen=True, eq=False)
class Scored:
    """One metric of one variant in one regime.

    Args:
        runs: its runs, R of them.
        values: the metric of each run; None where it does not exist.
        draws_BR: float64, the same on every resample; NaN where it is undefined.
        weights_BR: float64, how much each run counts in each resample.
    """

    runs: tuple[Run, ...]
    values: tuple[float | None, ...]
    draws_BR: np.ndarray
    weights_BR: np.ndarray

    @property
    def exists(self) -> bool:
        """Whether every run has a value."""
        return all(value is not None for value in self.values)

    @cached_property
    def by_training(self) -> np.ndarray:
        """float64: the mean of each training (`trainings`)."""
        unit_R = trainings(self.runs)[1]
        return np.bincount(unit_R, weights=np.array(self.values)) / np.bincount(unit_R)

    @cached_property
    def mean(self) -> float:
        """Over trainings."""
        return float(shares(trainings(self.runs)[1]) @ np.array(self.values))

    @cached_property
    def draws(self) -> np.ndarray:
        """float64 [B]: the mean on every resample; NaN where a drawn run has none."""
        drawn = self.weights_BR > 0
        return (np.where(drawn, self.draws_BR, 0.0) * self.weights_BR).sum(1)


def score_task(task: Task, predictions: Predictions, resamples: Resamples) -> dict[Key, Scored]:
    """Every metric of every variant on the test rows.

    Args:
        task: its test labels are the judge.
        predictions: only `["test"]` is read.
        resamples: of its test rows.

    Raises:
        ValueError: see `rowgraph.tasks.metrics.measure`.
    """
    target, train = task.test.target, task.train.target
    found = {}
    for key, runs in by_variant(predictions).items():
        weights_BR = resamples.of_runs(runs)
        answers = [np.asarray(predictions[run]["test"]) for run in runs]
        values = {m: tuple(measure(m, target, p, train) for p in answers) for m in task.metrics}
        draws = [weighted_each(task.metrics, target, p, resamples.cluster_N, resamples.counts_BK,
                               train) for p in answers]
        for metric in task.metrics:
            found[*key, metric] = Scored(tuple(runs), values[metric],
                                         np.stack([d[metric] for d in draws], 1), weights_BR)
    return found


def metric_rows(task: Task, scored: Mapping[Key, Scored], resamples: Resamples) -> pl.DataFrame:
    """The rows of `metrics.parquet` for what was measured, `METRICS`.

    `mean` and `std` (ddof=1; null for one run) are over runs; `ci_low` and `ci_high` the 95 %
    interval of the mean; `interval` says what it holds. Resamples in which a metric is undefined
    are left out, and their share is said. A precision that does not exist for some run (no
    positive predicted) is null, and so is its interval.
    """
    dates = len(np.unique(task.test.times // DAY))
    rows = []
    for (regime, variant, metric), one in scored.items():
        low, high, words = _interval(one, resamples)
        rows.append({
            "database": task.database.name, "task": task.name, "task_type": task.task_type,
            "regime": regime, "variant": variant, "metric": metric, "n_test": len(task.test),
            "dates": dates, "seeds": len({run.seed for run in one.runs}),
            "mean": one.mean if one.exists else None,
            "std": float(np.std(one.values, ddof=1)) if one.exists and len(one.runs) > 1 else None,
            "ci_low": low, "ci_high": high, "interval": words,
            "higher_is_better": HIGHER_IS_BETTER[metric], "source": MEASURED})
    return pl.DataFrame(rows, schema=METRICS, orient="row")


def unavailable_rows(task: Task, unavailable: pl.DataFrame) -> pl.DataFrame:
    """Rows of `metrics.parquet` without figures, whose `source` says why there are none.

    Args:
        unavailable: variant, regime, reason.
    """
    rows = [{"database": task.database.name, "task": task.name, "task_type": task.task_type,
             "regime": row["regime"], "variant": row["variant"], "metric": metric,
             "n_test": len(task.test), "dates": len(np.unique(task.test.times // DAY)), "seeds": 0,
             "higher_is_better": HIGHER_IS_BETTER[metric], "source": row["reason"]}
            for row in unavailable.iter_rows(named=True) for metric in task.metrics]
    return pl.DataFrame(rows, schema=METRICS, orient="row")


def _interval(one: Scored, resamples: Resamples) -> tuple[float | None, float | None, str]:
    words = f"{resamples.words}, {say_runs(one.runs)}"
    if not one.exists:
        return None, None, words
    there = ~np.isnan(one.draws)
    if (missing := 1 - there.mean()) >= SAID_FROM:
        words += f"; undefined in {missing:.0%} of resamples"
    draws = one.draws[there]
    if len(draws) < 2 or resamples.clusters < 2:
        return None, None, words
    parts = [(0.0, resamples.clusters - 1.0), training_part(one.by_training)]
    df = degrees_of_freedom(float(draws.var(ddof=1)), parts)
    return *percentile_interval(draws, LEVEL, df), words


def training_part(by_training: np.ndarray) -> tuple[float, float]:
    """The variance of a mean over trainings, and its degrees of freedom; (0, 0) for one."""
    count = len(by_training)
    return (float(by_training.var(ddof=1)) / count, count - 1.0) if count > 1 else (0.0, 0.0)
