"""Baselines on the same label rows, regimes and metrics: what a model has to beat.

- `global_mean`: the training prior (binary) or the training median (regression), for everyone.
- `entity_mean`: the mean of the entity's own past labels that are known by then.
- `lightgbm_entity`: LightGBM on the entity row's own columns and the timestamp, RelBench's
  single-table baseline.

See docs/decisions/baselines.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from rowgraph.artifacts import Draft
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.databases.database import Database
from rowgraph.evaluation.scoring import prediction_rows, primary_results, score_rows
from rowgraph.randomness import stable_seed
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.regimes import Split, hidden, visible_before
from rowgraph.trees import TREES, numbers_of

Log = Callable[[int, dict[str, float]], None]
EVALUATED: tuple[Split, ...] = ("val", "test")
PATIENCE = 20  # trees without a better validation metric before LightGBM stops


def run_baselines(database: Database, task: Task, settings: BaselineMetricsSettings,
                  draft: Draft, *, log: Log) -> dict[str, object]:
    """Predict with every baseline under every regime.

    Args:
        database: of the task.
        settings: regimes, seeds (of LightGBM; the means have none and are predicted once), trees.
        draft: gets `metrics.parquet` and `predictions.parquet`, laid out as `run_task` does.
        log: called per regime and seed.

    Returns:
        The summary: primary metric by regime and baseline, trees kept by LightGBM.
    """
    columns = EntityColumns.fit(database, task)
    predictions: dict[tuple[str, str, int], dict[str, np.ndarray]] = {}
    trees: dict[str, list[int]] = {}
    for regime in settings.regimes:
        before = {s: visible_before(task.labels(s).times, regime, s, database)
                  for s in ("train", *EVALUATED)}
        predictions[regime, "global_mean", 0] = {
            s: np.full(len(task.labels(s)), prior(task)) for s in EVALUATED}
        predictions[regime, "entity_mean", 0] = {
            s: entity_mean(task, task.labels(s).rows, before[s]) for s in EVALUATED}
        features = {s: columns.features(task.labels(s), before[s]) for s in before}
        for step, seed in enumerate(settings.seeds):
            predicted, kept = lightgbm_entity(task, columns, features, settings.trees, seed)
            predictions[regime, "lightgbm_entity", seed] = predicted
            trees.setdefault(regime, []).append(kept)
            log(step, {f"{regime}/lightgbm_entity/val_{task.metrics[0]}": measure(
                task.metrics[0], task.val.target, predicted["val"], task.train.target)})
    rows = score_rows(task, predictions, settings.bootstrap)
    rows.write_parquet(draft.path("metrics.parquet"))
    prediction_rows(task, predictions).write_parquet(draft.path("predictions.parquet"))
    return {"metric": task.metrics[0], "n_test": len(task.test),
            "results": primary_results(task, rows), "trees": trees}


def prior(task: Task) -> float:
    """The share of positives, or the median, of the training labels: what minimises log loss and
    absolute error without looking at anybody."""
    return float(np.mean(task.train.target) if task.binary else np.median(task.train.target))


def entity_mean(task: Task, rows: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The mean of each entity's own labels that are known to the seed; the prior without any.

    A label at time t is the outcome in (t, t + timedelta]. It is computed from rows dated up to
    t + timedelta, so a seed knows it only if such rows are visible: t + timedelta < before. The
    labels of every split count (under `rolling` a past test label is a fact of the visible
    database); the effective time alone decides.

    Args:
        rows: int64 [n], entity row numbers of the seeds.
        before: int64 [n], from `visible_before`.

    Returns:
        float64 [n].
    """
    history = [task.train, task.val, task.test]
    entity = np.concatenate([h.rows for h in history])
    known = np.concatenate([h.times for h in history]) + task.timedelta
    target = np.concatenate([h.target for h in history])
    moments = np.unique(np.concatenate([known, before]))
    # One sortable number per (entity, moment), so that one search finds an entity's past.
    width = len(moments) + 1
    key = entity * width + np.searchsorted(moments, known)
    order = np.lexsort((np.arange(len(key)), key))
    first = np.searchsorted(key[order], rows * width)
    last = np.searchsorted(key[order], rows * width + np.searchsorted(moments, before))
    out = np.full(len(rows), prior(task))
    # Summed seed by seed, not by differences of running totals: what a seed may not know must
    # not reach it even through rounding.
    seen = last > first
    if seen.any():
        ends = np.stack([first[seen], last[seen]], axis=1).ravel()
        padded = np.append(target[order], 0.0)
        out[seen] = np.add.reduceat(padded, ends)[::2] / (last - first)[seen]
    return out


@dataclass(frozen=True)
class EntityColumns:
    """The entity row's own columns as numbers, fitted on the entities that training names.

    Numbers stay; dates become days; strings and booleans become codes of the values that
    training entities have (others: missing), and a string column with more than 255 distinct
    training values is text and left out. Keys are left out.

    Args:
        values: float64 [rows of the entity table, columns]; NaN = missing or never trained on.
        times: int64 [rows]: the entity rows' own times; a row that its seed may not see has no
            features.
        names: of the columns, without the timestamp that `features` adds.
        categorical: positions of the coded columns.
    """

    values: np.ndarray
    times: np.ndarray
    names: tuple[str, ...]
    categorical: tuple[int, ...]

    @classmethod
    def fit(cls, database: Database, task: Task) -> EntityColumns:
        """From the entity table; vocabularies from training entities visible to their seed."""
        table = task.entity_table
        names, columns, categorical = [], [], []
        times = database.times(table)
        before = visible_before(task.train.times, "rolling", "train", database)
        trained = np.unique(task.train.rows[~hidden(times[task.train.rows], before)])
        for series in database.read(table, database.attributes(table)).iter_columns():
            if (found := numbers_of(series, trained)) is None:
                continue
            if found[1]:
                categorical.append(len(names))
            names.append(series.name)
            columns.append(found[0])
        values = np.stack(columns, axis=1) if columns else np.empty((len(times), 0))
        return cls(values, times, tuple(names), tuple(categorical))

    def features(self, labels: LabelTable, before: np.ndarray) -> np.ndarray:
        """float64 [n, columns + 1]: the entity's columns as the seed sees them, and its date in
        days."""
        own = self.values[labels.rows]
        own[hidden(self.times[labels.rows], before)] = np.nan
        return np.column_stack([own, labels.times / 86_400e6])


def lightgbm_entity(task: Task, columns: EntityColumns, features: dict[str, np.ndarray],
                    trees: int, seed: int) -> tuple[dict[str, np.ndarray], int]:
    """Fit on train, stop on the regime's validation, predict validation and test.

    Returns:
        Predictions by split (probabilities, or values) and the number of trees kept.
    """
    chosen = {True: ("binary", "auc"), False: ("l1", "l1")}[task.binary]
    parameters = {
        **TREES, "objective": chosen[0], "metric": chosen[1],
        "seed": stable_seed("baseline_metrics", task.database.name, task.name, seed) % 2**31,
    }
    names: Sequence[str] = [f"column_{i}" for i in range(len(columns.names))] + ["timestamp"]
    data = lightgbm.Dataset(features["train"], task.train.target, feature_name=list(names),
                            categorical_feature=list(columns.categorical), free_raw_data=False)
    booster = lightgbm.train(
        parameters, data, num_boost_round=trees,
        valid_sets=[data.create_valid(features["val"], task.val.target)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)])
    kept = booster.best_iteration
    return {s: np.asarray(booster.predict(features[s], num_iteration=kept), dtype=np.float64)
            for s in EVALUATED}, int(kept)

