"""Fits what folds chose on train and validation, once, and saves it whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.adaptation.attempts import Bench, model_of
from rowgraph.adaptation.hybrid.finetuning import FineTuned, Ground
from rowgraph.adaptation.hybrid.models import DRAWN, Models
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.adaptation.hybrid.variants import NAME
from rowgraph.adaptation.trials import Candidate, Model
from rowgraph.artifacts import Draft
from rowgraph.databases.keys import keys_of
from rowgraph.databases.labels import MANIFEST, all_tasks
from rowgraph.features.asked import features_of
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.store import WindowFeatures
from rowgraph.forecasting.own_past import OwnPast
from rowgraph.kept import forget
from rowgraph.progress import Log
from rowgraph.serving.asking import VIEW, Asked, said
from rowgraph.serving.explaining import FOREST, IMPORTANCE, final_forest, importance_of
from rowgraph.serving.model import AdaptedModel, Members
from rowgraph.serving.packing import Packed, pack
from rowgraph.serving.ranked import Lists, fit_ranked, same_lists
from rowgraph.serving.scaling import temperature_for
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import SPLITS, read_predictions
from rowgraph.yaml_files import read_yaml

SAVED = ("untrained", "own_past", "windows", "trees", "finetuned", "history")
OTHER = 0.02  # share of lists that may differ from those that were measured
SAME = 0.01  # of the spread of predictions: how far what is served may be from what was measured
REGIME = "rolling"  # who asks about today sees all that is there today



def fit_adapted(ground: Ground, features: Path, features_settings: WindowFeaturesSettings,
                metrics: Path, draft: Draft, *, workers: int = 1,
                log: Log) -> dict[str, Any]:
    """Fit and save a task's model.

    Args:
        ground: of the task; its settings are those that `metrics` was made with.
        features, metrics: folders of `window_features` and `rowgraph_metrics` of the task.
        features_settings: those that `features` were made with.
        draft: gets the files of `rowgraph.serving.model`.
        workers: fits side by side on this machine; those of a recommendation are made here.
        log: called with the number of fits that are done.

    Returns:
        The summary: parts with their weights, temperature, the cut, and how far what is served is
        from what was measured on the newest test date.

    Raises:
        ValueError: a part of the blend cannot be saved, the task was not measured under `rolling`,
            or what was saved answers otherwise than what was measured.
    """
    task, settings = ground.task, ground.settings
    _refuse(task, settings)
    mixtures = pl.read_parquet(metrics / "mixtures.parquet").filter(regime=REGIME)
    weights = {part: weight for part, weight in mixtures.select("part", "weight").iter_rows()
               if weight > 0}
    if strange := sorted(set(weights) - set(SAVED)):
        raise ValueError(f"{task.database.name}/{task.name}: {', '.join(strange)} cannot be saved; "
                         "leave it out of rowgraph_metrics.parts")
    choices = pl.read_parquet(metrics / "choices.parquet").filter("chosen", regime=REGIME)
    members, question = Members(draft), newest_question(task)
    predictions = metrics / "predictions.parquet"
    facts = {
        "task": {"database": task.database.name, "name": task.name, "task_type": task.task_type,
                 "entity_table": task.entity_table, "timedelta": task.timedelta,
                 "classes": list(task.classes), "destination_table": task.destination_table,
                 "eval_k": task.eval_k, "question": _question(task)},
        "splits": {split: _split(task, task.labels(split)) for split in ("train", "val", "test")},
        "keys": {name: str(value) for name, value in keys_of(  # of one row, as an example
            task.database, task.entity_table, question.view.labels.rows[:1]).row(
                0, named=True).items()},
        "weights": weights, "seeds": list(settings.seeds),
        "temperature": temperature_for(task, predictions, NAME, REGIME),
        "metrics": _metrics(task, predictions), "knowledge": task.database.knowledge.as_dict(),
        "settings": settings.model_dump(mode="json"),
        "features": features_settings.model_dump(mode="json")}
    try:
        if task.task_type == "recommendation":
            facts |= fit_ranked(ground, weights, choices, REGIME, members.add, log)
        else:
            facts |= _fit_parts(ground, features, features_settings, question, weights, choices,
                                members, draft, workers, log)
    finally:
        forget()
    own_past = OwnPast.open(ground.own_past)
    members.write(facts, features, own_past, own_past.end_for(facts["cut"]))
    apart = _apart(AdaptedModel.open(draft.folder), ground, question, predictions)
    said_of = {"weights": weights, "members": len(members.found),
               "fitted_until": said(facts["cut"]), "n_fitted": facts["n_fitted"],
               "served_from_measured": apart, **facts["metrics"]}
    if "explained" in facts:
        table = pl.read_parquet(draft.folder / IMPORTANCE).filter(level="relation")
        said_of |= {"temperature": facts["temperature"], "matters": {
            row["relation"]: round(row["increase"], 4)
            for row in table.head(5).iter_rows(named=True)}}
    return said_of


def _refuse(task: Task, settings: RowgraphMetricsSettings) -> None:
    """Say why the model of a task cannot be kept, if it cannot."""
    who = f"{task.database.name}/{task.name}"
    if task.autocomplete:
        raise ValueError(f"{who} is an autocomplete task, whose model cannot be kept; write "
                         f"`task_settings: {{{who}: {{adapted_model: {{fit: false}}}}}}`")
    if settings.label_share < 1:
        raise ValueError(f"{who}: a model that is kept is fitted on all labels; leave out "
                         "splits.label_share, or adapted_model")
    if REGIME not in settings.regimes:
        raise ValueError(f"{who}: a model that is asked about today is chosen under `rolling`; add "
                         "it to splits.regimes")


def _fit_parts(ground: Ground, features: Path, features_settings: WindowFeaturesSettings,
               question: Asked, weights: Mapping[str, float], choices: pl.DataFrame,
               members: Members, draft: Draft, workers: int, log: Log) -> dict[str, Any]:
    """Fit what was chosen of every part of the blend, and the trees that explain; what serving must
    know besides."""
    task, models = ground.task, Models(ground, features, draft.state)
    exams = models.exams
    with Bench(models, workers, ground.device) as bench:
        wanted = [one for part in weights
                  for one in _wanted(part, models, bench.model(part), choices.filter(model=part))]
        for done, (one, found) in enumerate(zip(wanted, bench.each(_fit, wanted), strict=True)):
            for steps, packed in found:
                members.add(one.part, one.drawn, one.candidate.label, steps, packed)
            log(done + 1, {"fitted": float(done + 1)}, len(wanted))
        kind = models.kind  # while what it is read from is kept
    words = features_of(question.task, features_settings, question.view,
                        WindowFeatures.open(features).columns).words
    mattered = importance_of(task, exams, features)
    mattered.table.write_parquet(draft.path(IMPORTANCE))
    draft.path(FOREST).write_text(final_forest(task, exams, features))
    return {"cut": exams.test.cut, "n_fitted": len(exams.test.fresh), "encoder": kind,
            "words": words, "explained": {"loss": mattered.loss, "metric": mattered.metric,
                                          "reached": mattered.reached}}


@dataclass(frozen=True)
class _Wanted:
    """A part to fit.

    Args:
        part: its name.
        candidate: what was chosen of it.
        seed: that it is fitted with.
        drawn: the seed again, where the answers depend on it.
        steps: after which it is asked.
    """

    part: str
    candidate: Candidate
    seed: int
    drawn: int | None
    steps: tuple[int, ...]


def _wanted(part: str, models: Models, model: Model, choices: pl.DataFrame) -> list[_Wanted]:
    """What was chosen of a part, by every seed that it depends on."""
    known = models.by_label(part, model)
    steps: dict[str, list[int]] = {}
    for label, step in choices.select("candidate", "step").unique(maintain_order=True).iter_rows():
        steps.setdefault(label, []).append(step)
    seeds = models.ground.settings.seeds
    return [_Wanted(part, known[label], seed, seed if part in DRAWN else None, tuple(some))
            for seed in (seeds if part in DRAWN else seeds[:1]) for label, some in steps.items()]


def _fit(models: Models, one: _Wanted) -> list[tuple[tuple[int, ...], Packed]]:
    """Fit a part on all that is known: what is to be saved, and for which steps."""
    model, exam = model_of(models, one.part), models.exams.test
    if not isinstance(model, FineTuned):
        fitted = model.fit(one.candidate, exam, one.seed, max(one.steps))
        return [(one.steps, pack(fitted))]
    found = []
    for step, network in model.networks(one.candidate, exam, one.seed, one.steps):
        packed = pack(network)
        packed.facts["encoder"] = models.kind
        found.append(((step,), packed))
    return found


def _metrics(task: Task, predictions: Path) -> dict[str, float]:
    """What the model reached under `rolling`, as it was measured: the mean over seeds, by split and
    metric; what is undefined is left out."""
    runs = [splits for run, splits in read_predictions(task, predictions).items()
            if run.regime == REGIME and run.variant == NAME]
    found = {}
    for split in SPLITS:
        for metric in task.metrics:
            values = [measure(metric, task.labels(split).target, splits[split], task.train.target)
                      for splits in runs]
            if None not in values:
                found[f"{split}_{metric}"] = float(np.mean(values))
    return found


def _question(task: Task) -> str:
    """What the task's manifest says that it asks."""
    path = all_tasks(task.database.folder, None)[task.name] / MANIFEST
    return str(read_yaml(path).get("description") or "")


def _split(task: Task, labels: LabelTable) -> dict[str, Any]:
    """A split for people."""
    if task.task_type == "recommendation":
        usual = f"{labels.target.counts.mean():.3g} rows to recommend"
    elif task.task_type == "regression":
        usual = f"median {np.median(labels.target):.4g}, mean {labels.target.mean():.4g}"
    elif task.task_type == "binary_classification":
        usual = f"{labels.target.mean():.1%} ones"
    else:
        shares = np.bincount(labels.target.astype(int), minlength=len(task.classes)) / len(labels)
        usual = f"{task.classes[int(shares.argmax())]} ({shares.max():.1%})"
    return {"rows": len(labels), "entities": len(np.unique(labels.rows)),
            "first": said(int(labels.times.min())), "last": said(int(labels.times.max())),
            "usual": usual}


def newest_question(task: Task) -> Asked:
    """The newest test date as a question: who was asked then, with what was known."""
    moment = int(task.test.times.max())
    labels = task.test.take(np.flatnonzero(task.test.times == moment))
    then = dataclasses.replace(task, val=task.val.then(task.test), test=labels,
                               told_test=np.empty(0, np.int64))
    return Asked(then, View(VIEW, labels, labels.times), moment, 0, "test rows of its newest date")


def _apart(model: AdaptedModel, ground: Ground, question: Asked, predictions: Path) -> float:
    """How far the saved model's answers are from those that were measured, at most, in standard
    deviations of these; of lists, the share that is another."""
    task = ground.task
    at = np.flatnonzero(task.test.times == question.moment)
    measured = {run.seed: splits["test"][at] for run, splits in read_predictions(
        task, predictions).items() if run.regime == REGIME and run.variant == NAME}
    answers = model.answers(question, ground.reading, ground.device)
    if isinstance(answers, Lists):
        apart, most = 1 - same_lists(answers, measured), OTHER
        words = f"{apart:.1%} of the saved model's lists are others than"
    else:
        middle = np.mean(list(measured.values()), axis=0)
        served = sum(w * answers.by_part[part] for part, w in model.facts["weights"].items())
        apart = float(np.abs(served - middle).max() / max(float(middle.std()), 1e-9))
        most = SAME
        words = f"the saved model's answers are {apart:.3g} standard deviations from"
    if not apart <= most:
        raise ValueError(f"{task.database.name}/{task.name}: {words} those that were measured; "
                         "nothing was published: make rowgraph_metrics anew on this machine "
                         "(`rowgraph run --force --select rowgraph_metrics`), and report this if "
                         "it stays")
    return apart
