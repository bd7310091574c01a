"""Every baseline of one task, under every regime, each chosen on folds and then fitted finally."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.adaptation.attempts import Bench
from rowgraph.adaptation.own_labels import constant_of, mean_of_entity, predicted
from rowgraph.adaptation.trials import Trials, mean_scores, score_of
from rowgraph.artifacts import Draft
from rowgraph.baselines.blending import NAME as BLEND
from rowgraph.baselines.blending import Part, choose_mixture, mixed, names_of, parts_of
from rowgraph.baselines.models import Models
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.progress import Log
from rowgraph.tasks.choosing import Chosen, Score, choice_table
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.predictions import SPLITS, Run, write_predictions
from rowgraph.tasks.regimes import Regime

SCIENTIST = ("data_scientist", "data_scientist_linear", BLEND)
SHOWN = 50  # features whose importance is written, a regime
IMPORTANCES = {"regime": pl.String, "model": pl.String, "feature": pl.String,
               "gain": pl.Float64}


def run_baselines(task: Task, features_folder: Path | None, settings: BaselineMetricsSettings,
                  draft: Draft, *, log: Log) -> dict[str, Any]:
    """Choose, fit and predict with every baseline of a task.

    Args:
        task: of a held-out database. Its test labels are read for the summary, and as known past
            labels of later seeds under `rolling`.
        features_folder: what `rowgraph.features.store.write_window_features` wrote for the task
            with the same regimes and folds; None where no baseline needs it.
        settings: of the stage.
        draft: gets `predictions.parquet` (`rowgraph.tasks.predictions`), `choices.parquet`
            (`rowgraph.tasks.choosing.choice_table`) and, where the Data Scientist ran,
            `importances.parquet`: regime, model, feature, gain (share of all) of its trees.
        log: called with the validation metric of each variant that is done.

    Returns:
        The summary: metric, numbers of label rows, names of folds; by regime and variant `chosen`
        (candidate and step), `validation` and `results` (means of the metric over seeds, on
        validation and on test).

    Raises:
        ValueError: the Data Scientist is asked for without window features, or they are of other
            label rows; nothing can be chosen.
    """
    if task.task_type == "recommendation":
        from rowgraph.baselines.recommendation import run_recommendation_baselines

        return run_recommendation_baselines(task, settings, draft, log=log)
    if features_folder is None and set(SCIENTIST) & set(settings.baselines):
        raise ValueError(f"{task.database.name}/{task.name}: the Data Scientist needs window "
                         "features; hand over their folder, or leave "
                         f"{', '.join(SCIENTIST)} out of baseline_metrics.baselines")
    models = Models(task, features_folder, settings, draft.state)
    with Bench(models, settings.workers, "cpu") as bench:
        running = _Running(models, bench, log)
        running.constants()
        own = running.history()
        running.entity_row()
        if features_folder is not None:
            running.data_scientist(own)
            pl.DataFrame(running.importances, schema=IMPORTANCES, orient="row").write_parquet(
                draft.path("importances.parquet"))
    write_predictions(task, running.predictions, draft.path("predictions.parquet"))
    choice_table(running.scores, running.chosen).write_parquet(draft.path("choices.parquet"))
    return running.summary()


class _Running:
    """The baselines of one task on their way."""

    def __init__(self, models: Models, bench: Bench, log: Log):
        self.models, self.bench, self.log = models, bench, log
        self.task, self.settings, self.exams = models.task, models.settings, models.exams
        self.predictions: dict[Run, dict[str, np.ndarray]] = {}
        self.scores: list[Score] = []
        self.chosen: dict[str, dict[Regime, Chosen]] = {}
        self.importances: list[tuple[str, str, str, float]] = []
        self.steps = 0

    def wants(self, *names: str) -> bool:
        """Any of these is asked for."""
        return bool(set(names) & set(self.settings.baselines))

    def note(self, regime: Regime, variant: str, seed: int, split: str,
             answer: np.ndarray) -> None:
        """Keep predictions, if they are asked for."""
        if not self.wants(variant):
            return
        self.predictions.setdefault(Run(regime, variant, seed), {})[split] = answer
        if split == "val":
            value = score_of(self.task, self.task.labels(split).target, answer)
            if value is not None:
                self.log(self.steps, {f"{regime}/{variant}/val_{self.task.primary}": value})
                self.steps += 1

    def constants(self) -> None:
        """`global_constant` and, but for autocomplete, `entity_mean`."""
        for split in SPLITS:
            exam = self.exams.of_split(split)
            constant = constant_of(self.task, exam.fresh.labels.target)
            mean = mean_of_entity(self.task, self.models.own, exam)
            for regime, rows in exam.asked.items():
                self.note(regime, "global_constant", 0, split,
                          predicted(self.task, np.tile(constant, (len(rows), 1))))
                if not self.task.autocomplete:
                    self.note(regime, "entity_mean", 0, split, mean.predict(rows, (0,))[0])

    def history(self) -> Trials | None:
        """`entity_history`; None for autocomplete, where no row has labels of its own past."""
        if self.task.autocomplete or not self.wants("entity_history", BLEND):
            return None
        trials = self.trials("entity_history")
        trials.run(trials.model.candidates())
        self.keep(trials, seeds=(0,))
        return trials

    def entity_row(self) -> None:
        """`lightgbm_entity`."""
        if self.wants("lightgbm_entity"):
            trials = self.trials("lightgbm_entity")
            trials.run(trials.model.candidates())
            self.keep(trials, self.settings.seeds)

    def data_scientist(self, own: Trials | None) -> None:
        """`data_scientist`, `data_scientist_linear` and `data_scientist_blend`."""
        if not self.wants(*SCIENTIST):
            return
        trees = self.try_trees() if self.wants("data_scientist", BLEND) else None
        linear = None
        if self.wants("data_scientist_linear", BLEND):
            linear = self.trials("data_scientist_linear")
            linear.run(c for aged in self.ages() for c in linear.model.candidates(aged))
        if self.wants(BLEND):
            self.blend(trees, linear, own)
            return
        if trees is not None:
            self.keep(trees, self.settings.seeds)
        if linear is not None:
            self.keep(linear, seeds=(0,))

    def try_trees(self) -> Trials:
        """Parts of the features first, then sizes with the parts that were best."""
        trials = self.trials("data_scientist")
        trials.run(c for aged in self.ages() for c in trials.model.parts(aged))
        trials.run([c for aged in self.ages() for one in trials.chosen(aged).values()
                    for c in trials.model.sizes(trials.candidate(one))])
        return trials

    def blend(self, trees: Trials, linear: Trials, own: Trials | None) -> None:
        """Choose what is averaged; answer with it and with the best of each part."""
        parts = {regime: parts_of(trees, linear, own, regime) for regime in self.exams.regimes}
        scores, chosen = choose_mixture(self.exams, parts)
        answers: dict[tuple[int, str, int, Regime, Chosen], np.ndarray] = {}
        for trials, seeds in ((trees, self.settings.seeds), (linear, (0,)), (own, (0,))):
            if trials is None:
                continue
            asked = {regime: {part.chosen for name, part in found.items()
                              if part.trials is trials and (name in names_of(chosen[regime])
                                                            or name in ("trees", "linear"))}
                     for regime, found in parts.items()}
            found = (trials.answers(asked, seeds).predictions if trials is own
                     else self.keep(trials, seeds, asked))
            answers |= {(id(trials), *key): answer for key, answer in found.items()}
        self.scores += scores
        self.chosen[BLEND] = chosen
        for regime, found in parts.items():
            drawn = any(found[name].drawn for name in names_of(chosen[regime]))
            for seed in self.settings.seeds if drawn else (0,):
                for split in SPLITS:
                    def answer(part: Part, seed=seed, split=split, regime=regime) -> np.ndarray:
                        own_seed = seed if part.drawn else 0
                        return answers[id(part.trials), own_seed, split, regime, part.chosen]

                    self.note(regime, BLEND, seed, split, mixed(chosen[regime], found, answer))

    def ages(self) -> tuple[bool, ...]:
        """Whether rows may be aged: fresh ones always, aged ones for `frozen_db`."""
        return (False, True) if "frozen_db" in self.exams.regimes else (False,)

    def trials(self, name: str) -> Trials:
        """Of a model, with the first seed."""
        return Trials(self.bench.model(name), self.exams, self.settings.seeds[0],
                      partial(self.bench.perform, name))

    def keep(self, trials: Trials, seeds: tuple[int, ...],
             asked: Mapping[Regime, set[Chosen]] | None = None,
             ) -> dict[tuple[int, str, Regime, Chosen], np.ndarray]:
        """Answer with what was chosen, and keep it.

        Args:
            asked: what else is to be answered, by regime.

        Returns:
            All answers, by seed, split, regime and choice.
        """
        name, best = trials.model.name, trials.chosen()
        if self.wants(name):
            self.scores += trials.scores
            self.chosen[name] = best
        every = {regime: {one, *(asked or {}).get(regime, ())} for regime, one in best.items()}
        weighed = best if self.wants(name) and name == "data_scientist" else {}
        answered = trials.answers(every, seeds, weighed)
        for (seed, split, regime, one), answer in answered.predictions.items():
            if one == best[regime]:
                self.note(regime, name, seed, split, answer)
        for regime, found in answered.importances.items():
            self.importances += [(regime, name, *each) for each in found[:SHOWN]]
        return answered.predictions

    def summary(self) -> dict[str, Any]:
        """For people: what was chosen, and how well it did."""
        task = self.task
        return {
            "metric": task.primary, "n_train": len(self.exams.test.fresh), "n_val": len(task.val),
            "n_test": len(task.test), "folds": [exam.name for exam in self.exams.folds],
            "chosen": {regime: {name: {"candidate": found[regime].candidate,
                                       "step": found[regime].step}
                                for name, found in self.chosen.items()}
                       for regime in self.exams.regimes},
            "validation": mean_scores(task, self.predictions, "val"),
            "results": mean_scores(task, self.predictions, "test")}
