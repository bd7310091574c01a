"""Every variant, regime, seed and language model of one recommendation task.

1. Every variant is trained on every fold with the first seed and language model; each regime
   chooses scorer (`fitting.scorers`) and epochs. Every further seed and language model is trained
   on the newest fold, for curves and validation predictions.
2. Every variant, seed and language model is fitted on all that is known for so many epochs, and
   recommends to the test rows.

See docs/decisions/recommendation.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from rowgraph.adaptation.ground import Trained
from rowgraph.adaptation.recommendation.spreading import Spread
from rowgraph.adaptation.recommendation.trainings import Ground, Training
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.variants import variant
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.artifacts import Draft
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.progress import Log
from rowgraph.tasks.choosing import Chosen, Score, choice_table, choose
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run, write_predictions
from rowgraph.tasks.regimes import Regime

CURVES = {"variant": pl.String, "bart": pl.Int64, "seed": pl.Int64, "epoch": pl.Int64,
          "split": pl.String, "regime": pl.String, "metric": pl.String, "value": pl.Float64}
FINAL = -1


def run_recommendation(task: Task, graph: EntityGraph, vectors: Mapping[int, BartVectors],
                       settings: DownstreamMetricsSettings, draft: Draft, *,
                       device: str | torch.device, log: Log) -> dict[str, Any]:
    """Choose, fit and recommend for one task.

    A finished training lies in `draft.state` and is not done again. `settings.candidates` (rates,
    ages) belong to heads and are not tried here: what is chosen is the scorer and its epochs.

    Args:
        task: of type recommendation. Its test labels are read for the summary, and as known past
            labels of later seeds under `rolling`.
        graph: of its database; edges of foreign keys that the task hides are left out.
        vectors: by seed of the language model, without what the task hides. The first one's are
            those that choices are made with; variants of random vectors have one run for all.
        settings: of the stage.
        draft: gets `predictions.parquet`, `choices.parquet` and `curves.parquet`, as
            `rowgraph.adaptation.running.run_task` writes them.
        log: called after each epoch of trainings on the newest fold, and after each training.

    Returns:
        The summary, as of `run_task`.

    Raises:
        ValueError: the task is of another kind, there are no vectors, or a variant trains the
            language model, which this kind of task does not.
    """
    for name in settings.variants:
        if variant(name).joint:
            raise ValueError(f"{task.database.name}/{task.name}: {name} is trained on labels of "
                             "single rows, and this is a recommendation; leave it out of this "
                             "task's downstream_metrics.variants in task_settings")
    run = _Running(Ground(task, graph, vectors, settings, device), draft, log)
    chosen = run.choose()
    run.finish(chosen)
    write_predictions(task, run.predictions, draft.path("predictions.parquet"))
    choice_table(run.scores, chosen).write_parquet(draft.path("choices.parquet"))
    pl.DataFrame(run.curve, schema=CURVES, orient="row").write_parquet(
        draft.path("curves.parquet"))
    ground, first = run.ground, settings.variants[0]
    return {
        "metric": task.primary, "n_train": len(ground.exams(first).test.fit),
        "n_val": len(task.val), "n_test": len(task.test),
        "folds": [exam.name for exam in ground.exams(first).folds],
        "chosen": {regime: {name: {"candidate": by[regime].candidate, "epochs": by[regime].step}
                            for name, by in chosen.items()} for regime in settings.regimes},
        "validation": run.means("val"), "results": run.means("test")}


class _Running:
    """One task on its way."""

    def __init__(self, ground: Ground, draft: Draft, log: Log):
        self.ground, self.settings, self.state, self.log = (ground, ground.settings, draft.state,
                                                            log)
        self.scores: list[Score] = []
        self.curve: list[dict[str, object]] = []
        self.predictions: dict[Run, dict[str, np.ndarray]] = {}
        self._done: dict[Training, Trained] = {}
        self._spread = Spread(ground, self.state, log)

    def choose(self) -> dict[str, dict[Regime, Chosen]]:
        """Scorer and epochs by variant and regime."""
        chosen = {}
        higher = self.ground.task.higher_is_better
        plan = [(fold, name, training) for name in self.settings.variants
                for fold in range(len(self.ground.exams(name).folds))
                for training in self._on_fold(name, fold, self.settings.seeds[0],
                                              self.ground.barts_of(name)[0])]
        plan.sort(key=lambda p: p[0])  # one's neighbourhoods serve the next
        self._ahead([training for _, _, training in plan])
        mine: dict[str, list[Score]] = {name: [] for name in self.settings.variants}
        for _, name, training in plan:
            mine[name] += self._scored(training, self._perform(training))
        for name, scores in mine.items():
            self.scores += scores
            chosen[name] = choose(scores, higher_is_better=higher)
        return chosen

    def finish(self, chosen: Mapping[str, Mapping[Regime, Chosen]]) -> None:
        """Validation and test predictions, and curves."""
        runs = [(name, seed, bart) for seed in self.settings.seeds
                for name in self.settings.variants for bart in self.ground.barts_of(name)]
        self._ahead([training for run in runs for training in self._on_newest(*run)])
        for name, seed, bart in runs:
            for training in self._on_newest(name, seed, bart):
                done = self._perform(training)
                self._tell(training, done, chosen[name])
                for regime, steps in zip(training.regimes, training.at, strict=True):
                    one = chosen[name][regime]
                    self._note(Run(regime, name, seed, bart), "val",
                               done.raw[f"{regime}|{one.candidate}"][steps.index(one.step)])
        last = [Training(name, seed, bart, FINAL, regimes,
                         tuple((chosen[name][r].step,) for r in regimes))
                for name, seed, bart in runs for regimes in self.ground.exams(name).alike()]
        self._ahead(last)
        for training in last:
            done, by = self._perform(training), chosen[training.variant]
            for regime in training.regimes:
                self._note(Run(regime, training.variant, training.seed, training.bart), "test",
                           done.raw[f"{regime}|{by[regime].candidate}"][0])

    def means(self, split: str) -> dict[str, dict[str, float]]:
        """The primary metric by regime and variant, the mean over seeds and language models."""
        task, found = self.ground.task, {}
        for run, splits in self.predictions.items():
            value = measure(task.primary, task.labels(split).target, splits[split],
                            task.train.target)
            found.setdefault(run.regime, {}).setdefault(run.variant, []).append(value)
        return {regime: {name: float(np.mean(values)) for name, values in by.items()}
                for regime, by in found.items()}

    def _on_fold(self, name: str, fold: int, seed: int, bart: int | None) -> list[Training]:
        steps = self.ground.steps()
        return [Training(name, seed, bart, fold, regimes, (steps,) * len(regimes))
                for regimes in self.ground.exams(name).alike()]

    def _on_newest(self, name: str, seed: int, bart: int | None) -> list[Training]:
        return self._on_fold(name, len(self.ground.exams(name).folds) - 1, seed, bart)

    def _ahead(self, trainings: Sequence[Training]) -> None:
        """On a cluster, do those that are missing side by side."""
        for training, done in self._spread.do(trainings):
            self._take(training, done)

    def _perform(self, training: Training) -> Trained:
        if training not in self._done:
            self._take(training, self.ground.perform(training, self.state, self.log))
        return self._done[training]

    def _take(self, training: Training, done: Trained) -> None:
        self._done[training] = done
        self.log(len(self._done), {"trainings": float(len(self._done))})

    def _scored(self, training: Training, done: Trained) -> list[Score]:
        return [Score(training.variant, scorer, step, self.ground.exam(training).name, regime,
                      self.ground.task.primary, value)
                for regime, scorer, step, value in self._values(training, done)]

    def _values(self, training: Training, done: Trained) -> list[tuple[Regime, str, int, float]]:
        """The primary metric on what a fold scores, by regime, scorer and epochs."""
        task, exam = self.ground.task, self.ground.exam(training)
        found = []
        for key, answers in done.raw.items():
            regime, scorer = key.split("|")
            target = exam.asked[regime].labels.target[exam.scored]
            steps = training.at[training.regimes.index(regime)]
            found += [(regime, scorer, step, measure(task.primary, target, answer[exam.scored],
                                                     task.train.target))
                      for step, answer in zip(steps, answers, strict=True)]
        return found

    def _tell(self, training: Training, done: Trained,
              chosen: Mapping[Regime, Chosen]) -> None:
        """Rows of the curve: the loss of each epoch, and validation of the chosen scorer."""
        who = {"variant": training.variant, "bart": training.bart, "seed": training.seed}
        shared = None if len(training.regimes) == len(self.settings.regimes) \
            else training.regimes[0]
        self.curve += [{**who, "epoch": row["epoch"], "split": "train", "regime": shared,
                        "metric": "loss", "value": row["loss"]} for row in done.curve]
        self.curve += [{**who, "epoch": step, "split": "val", "regime": regime,
                        "metric": self.ground.task.primary, "value": value}
                       for regime, scorer, step, value in self._values(training, done)
                       if scorer == chosen[regime].candidate]

    def _note(self, run: Run, split: str, answer: np.ndarray) -> None:
        self.predictions.setdefault(run, {})[split] = answer
