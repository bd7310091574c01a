"""Everything that is asked of the finished models of one task, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from rowgraph.artifacts import Draft
from rowgraph.evaluation.averages import answer_rows
from rowgraph.evaluation.calibration import calibrate
from rowgraph.evaluation.comparison import (
    compare,
    sentence,
    validation_figures,
    validation_rows,
)
from rowgraph.evaluation.resamples import Resamples
from rowgraph.evaluation.scoring import metric_rows, score_task, unavailable_rows
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.progress import Log
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.predictions import Run, read_predictions

# Variants of other stages are baselines, unless settings name them.
MODELS = ("rowgraph_metrics", "downstream_metrics")
UNAVAILABLE = {"variant": pl.String, "regime": pl.String, "reason": pl.String}


def evaluate_task(task: Task, folders: Mapping[str, Path], settings: EvaluationSettings,
                  draft: Draft, *, log: Log) -> dict[str, Any]:
    """Score, compare and calibrate every variant that was run on a task.

    Args:
        task: of a held-out database; its test labels are the judge and choose nothing.
        folders: by stage, where its artifact lies: `predictions.parquet`, `unavailable.parquet`
            (`UNAVAILABLE`: what could not run, and why), or both.
        settings: of the evaluation.
        draft: gets `metrics.parquet`, `validation.parquet` (what opponents are picked by),
            `comparisons.parquet`, `calibration.parquet`, `calibration_error.parquet`,
            `choices.parquet` (of scalings) and `test_predictions_<regime>.parquet` for each
            regime.
        log: called with the primary metric of each variant.

    Returns:
        The summary: the primary metric by regime and variant, what validation picked, and what
        the headline comparison says of it.

    Raises:
        ValueError: a stage has neither file, two stages bring the same run, or predictions are
            not of this task's rows (`read_predictions`) or cannot be scored (`measure`).
    """
    predictions, origin, unavailable = gather(task, folders)
    baselines = [v for v, stage in origin.items() if stage not in MODELS]
    if settings.baselines is not None:
        baselines = list(settings.baselines)
    resamples = Resamples.of(task, settings.bootstrap, settings.fewest_dates)
    scored = score_task(task, predictions, resamples)
    metrics = pl.concat([metric_rows(task, scored, resamples),
                         unavailable_rows(task, unavailable)])
    metrics.write_parquet(draft.path("metrics.parquet"))
    results: dict[str, dict[str, float | None]] = {}
    for row in metrics.filter(metric=task.primary).iter_rows(named=True):
        results.setdefault(row["regime"], {})[row["variant"]] = row["mean"]
    for step, ((regime, variant, metric), one) in enumerate(scored.items(), 1):
        if metric == task.primary:
            log(step, {f"{regime}/{variant}/{metric}": one.mean})
    validation = validation_figures(task, predictions)
    validation_rows(task, validation, baselines).write_parquet(draft.path("validation.parquet"))
    comparisons, picked = compare(task, scored, validation, resamples, baselines, settings)
    comparisons.write_parquet(draft.path("comparisons.parquet"))
    curves, errors, choices = calibrate(task, predictions, settings.bins)
    curves.write_parquet(draft.path("calibration.parquet"))
    errors.write_parquet(draft.path("calibration_error.parquet"))
    choices.write_parquet(draft.path("choices.parquet"))
    for regime in dict.fromkeys(run.regime for run in predictions):
        answer_rows(task, predictions, regime).write_parquet(
            draft.path(f"test_predictions_{regime}.parquet"))
    return {
        "metric": task.primary, "higher_is_better": task.higher_is_better,
        "n_test": len(task.test), "resampled": resamples.words, "results": results,
        "chosen": {regime: best._asdict() for regime, best in picked.items()},
        "finding": {row["regime"]: sentence(row)
                    for row in comparisons.filter(headline=True).iter_rows(named=True)},
        "unavailable": dict(unavailable.select("variant", "reason").iter_rows()),
    }


def gather(task: Task, folders: Mapping[str, Path]) -> tuple[dict[Run, dict], dict[str, str],
                                                             pl.DataFrame]:
    """The predictions of all stages, the stage of each variant, and what could not run.

    Raises:
        ValueError: as `evaluate_task`.
    """
    who = f"{task.database.name}/{task.name}"
    predictions: dict[Run, dict] = {}
    origin: dict[str, str] = {}
    missing = [pl.DataFrame(schema=UNAVAILABLE)]
    for stage, folder in folders.items():
        answers, reasons = folder / "predictions.parquet", folder / "unavailable.parquet"
        if not answers.exists() and not reasons.exists():
            raise ValueError(f"{who}: {stage} left neither predictions.parquet nor "
                             f"unavailable.parquet in {folder}; run it again")
        for run, splits in (read_predictions(task, answers) if answers.exists() else {}).items():
            if origin.setdefault(run.variant, stage) != stage:
                raise ValueError(f"{who}: both {origin[run.variant]} and {stage} bring a variant "
                                 f"'{run.variant}'; give one of them another name")
            if "test" not in splits:
                raise ValueError(f"{who}: {stage} brings no test predictions of {run.variant} "
                                 f"seed {run.seed} in {run.regime}; run it again")
            predictions[run] = splits
        if reasons.exists():
            missing.append(pl.read_parquet(reasons).select(
                pl.col(name).cast(dtype) for name, dtype in UNAVAILABLE.items()))
    if not predictions and all(frame.is_empty() for frame in missing):
        raise ValueError(f"{who}: none of {', '.join(folders) or 'no stages'} brings a prediction; "
                         "run at least one model or baseline")
    return predictions, origin, pl.concat(missing)

