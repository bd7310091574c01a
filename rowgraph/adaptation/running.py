"""Every variant, regime, seed and language model of one task, resumable training by training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import torch

from rowgraph.adaptation.choosing import Adapted, adapt
from rowgraph.adaptation.ground import FINAL, Ground
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.adaptation.workers import Crew
from rowgraph.artifacts import Draft
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.progress import Log
from rowgraph.tasks.choosing import choice_table
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import write_predictions

CURVES = {"variant": pl.String, "bart": pl.Int64, "seed": pl.Int64, "epoch": pl.Int64,
          "split": pl.String, "regime": pl.String, "metric": pl.String, "value": pl.Float64}


def run_task(task: Task, graph: EntityGraph, vectors: Mapping[int, BartVectors],
             settings: DownstreamMetricsSettings, draft: Draft, *, device: str | torch.device,
             log: Log) -> dict[str, Any]:
    """Choose, fit and predict for one task.

    A finished training lies in `draft.state` and is not done again.

    Args:
        task: of a held-out database. Its test labels are read for the summary alone.
        graph: of that database; edges of foreign keys that the task hides are left out.
        vectors: by seed of the language model, without what the task hides. The first one's are
            those that choices are made with; variants of random vectors have one run for all.
        settings: of the stage.
        draft: gets `predictions.parquet` (`rowgraph.tasks.predictions`), `choices.parquet`
            (`choice_table`) and `curves.parquet` (variant, bart, seed, epoch from 1, split,
            regime, metric, value: of trainings on the newest fold; `regime` is null for training
            rows of a training that serves all regimes).
        log: called after each epoch of trainings on the newest fold, and after each training.

    Returns:
        The summary: metric and numbers of label rows; by regime and variant `chosen` (candidate
        and epochs), `validation` and `results` (means of the metric over seeds and language
        models, on validation and on test).
    """
    if task.task_type == "recommendation":
        from rowgraph.adaptation.recommendation.running import run_recommendation

        return run_recommendation(task, graph, vectors, settings, draft, device=device, log=log)
    ground = Ground(task, graph, vectors, settings, device)
    with Crew(ground, draft.state, log, settings.workers) as crew:
        adapted = adapt(ground, crew.do)
    write_predictions(task, adapted.predictions, draft.path("predictions.parquet"))
    choice_table(adapted.scores, adapted.chosen).write_parquet(draft.path("choices.parquet"))
    pl.DataFrame(adapted.curve, schema=CURVES, orient="row").write_parquet(
        draft.path("curves.parquet"))
    return {
        "metric": task.primary, "n_train": ground.fitted_rows(FINAL), "n_val": len(task.val),
        "n_test": len(task.test), "folds": [fold.name for fold in ground.folds],
        "chosen": {regime: {name: {"candidate": by_regime[regime].candidate,
                                   "epochs": by_regime[regime].step}
                            for name, by_regime in adapted.chosen.items()}
                   for regime in settings.regimes},
        "validation": _means(task, adapted, "val"), "results": _means(task, adapted, "test")}


def _means(task: Task, adapted: Adapted, split: str) -> dict[str, dict[str, float | None]]:
    """The primary metric by regime and variant, the mean over seeds and language models."""
    values: dict[str, dict[str, list[float | None]]] = {}
    for run, splits in adapted.predictions.items():
        value = measure(task.primary, task.labels(split).target, splits[split],
                        task.train.target)
        values.setdefault(run.regime, {}).setdefault(run.variant, []).append(value)
    return {regime: {name: None if None in found else float(np.mean(found))
                     for name, found in by_variant.items()}
            for regime, by_variant in values.items()}
