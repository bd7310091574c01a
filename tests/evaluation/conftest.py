"""One small task of each kind, and predictions for it."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from rowgraph.databases.database import Database, TableSchema
from rowgraph.tasks.kinds import NO_ROW, TASK_TYPES
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task
from rowgraph.tasks.predictions import Run

DAY = 86_400_000_000
DATABASE = Database("rel-tiny", Path("nowhere"), {
    "things": TableSchema("things", "id", None, {}),
    "places": TableSchema("places", "id", None, {})}, 300 * DAY, 400 * DAY)
CLASSES, PLACES, EVAL_K = ("a", "b", "c"), 12, 4


def make_task(task_type, *, dates=8, rows=10, seed=0, first=0, **changes):
    """A task whose splits have `rows` label rows on each of `dates` dates."""
    random = np.random.default_rng(seed)

    def labels(start):
        count = dates * rows
        target = {
            "binary_classification": lambda: (np.arange(count) + random.integers(0, 3, count)) % 3
            // 2 * 1.0,
            "multiclass_classification": lambda: random.integers(0, 3, count) * 1.0,
            "regression": lambda: random.normal(5.0, 2.0, count),
            "recommendation": lambda: Destinations.of([
                random.choice(PLACES, random.integers(1, 7), replace=False)
                for _ in range(count)]),
        }[task_type]()
        times = (start + 3 * np.arange(dates)) * DAY
        return LabelTable(np.tile(np.arange(rows), dates), np.repeat(times, rows), target)

    kind = {"classes": CLASSES} if task_type == "multiclass_classification" else {}
    if task_type == "recommendation":
        kind = {"destination_table": "places", "eval_k": EVAL_K}
    return Task("ask", DATABASE, task_type, "things", 2 * DAY, labels(first + 100),
                labels(first + 301), labels(first + 401), **{**kind, **changes})


def predict(task, split, strength, seed):
    """Predictions that know `strength` of the target, the rest is noise."""
    random = np.random.default_rng((seed, len(split)))
    target = task.labels(split).target
    count = len(target)
    if task.task_type == "recommendation":
        answers = np.full((count, task.eval_k), NO_ROW)
        for i in range(count):
            true = target.of_row(i)
            score = random.random(PLACES) + strength * np.isin(np.arange(PLACES), true)
            listed = np.argsort(-score)[:task.eval_k - i % 2]
            answers[i, :len(listed)] = listed
        return answers
    if task.task_type == "multiclass_classification":
        logits = random.normal(0, 1, (count, 3)) + 3 * strength * np.eye(3)[target.astype(int)]
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if task.task_type == "regression":
        return strength * target + (1 - strength) * random.normal(5, 2, count)
    return np.clip(strength * target + (1 - strength) * random.random(count), 0, 0.999)


def answers(task, variants, *, seeds=(0, 1), barts=(None,), regimes=("rolling",)):
    """Predictions of several variants, `{name: strength}`."""
    return {Run(regime, name, seed, bart): {
        split: predict(task, split, strength, 100 * (bart or 0) + 10 * seed + number)
        for split in ("val", "test")}
        for regime in regimes for number, (name, strength) in enumerate(variants.items())
        for bart in barts for seed in seeds}


def on_disk(task, folder):
    """The same task, of a database whose entity and destination tables can be read."""
    (folder / "db").mkdir(parents=True)
    count = int(max(task.labels(s).rows.max() for s in ("train", "val", "test"))) + 1
    pl.DataFrame({"id": np.arange(count)}).write_parquet(folder / "db" / "things.parquet")
    pl.DataFrame({"id": np.arange(PLACES)}).write_parquet(folder / "db" / "places.parquet")
    return dataclasses.replace(task, database=dataclasses.replace(task.database, folder=folder))


@pytest.fixture(scope="session")
def kinds():
    return SimpleNamespace(task=make_task, predict=predict, answers=answers, DAY=DAY,
                           on_disk=on_disk, PLACES=PLACES,
                           DATABASE=DATABASE, CLASSES=CLASSES)


@pytest.fixture(params=TASK_TYPES)
def task(request):
    return make_task(request.param)
