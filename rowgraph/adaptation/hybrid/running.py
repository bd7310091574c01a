"""Every part of RowGraph's own model of one task, and their blend, under every regime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.adaptation.attempts import Bench
from rowgraph.adaptation.hybrid.blending import Mixture, mix
from rowgraph.adaptation.hybrid.finetuning import FineTuned, Ground
from rowgraph.adaptation.hybrid.models import DRAWN, Models
from rowgraph.adaptation.hybrid.parts import Part
from rowgraph.adaptation.hybrid.ranking import run_ranking
from rowgraph.adaptation.hybrid.variants import NAME, VARIANTS, write_mixtures
from rowgraph.adaptation.trials import Candidate, Trials, mean_scores, score_of
from rowgraph.artifacts import Draft
from rowgraph.kept import forget
from rowgraph.progress import Log
from rowgraph.tasks.choosing import Chosen, Score, choice_table
from rowgraph.tasks.predictions import SPLITS, TYPES, Run, list_column, write_predictions
from rowgraph.tasks.regimes import Regime

FOLD_ANSWERS = {"regime": pl.String, "part": pl.String, "fold": pl.String, "row": pl.Int64,
                "time": pl.Datetime("us"), "target": pl.Float64}


def run_rowgraph(ground: Ground, features_folder: Path, draft: Draft, *, log: Log,
                 ) -> dict[str, Any]:
    """Choose, fit and predict with every part of a task's model, and with their blend.

    Args:
        ground: task, database, own past and settings. Test labels are read for the summary, and as
            known past labels of later seeds under `rolling`.
        features_folder: the window features of the task with the same regimes and folds; a
            recommendation does without.
        draft: gets `predictions.parquet`, `choices.parquet`, `mixtures.parquet` (regime, part,
            weight, strength, move: `blending.Mixture`) and, but for a recommendation,
            `fold_answers.parquet` (regime, part, fold, row, time, target, answer: what the blend
            was found on). Finished trainings lie in its state.
        log: called with the validation metric of each variant that is done.

    Returns:
        The summary: metric, numbers of label rows, names of folds; by regime `chosen`, `mixture`,
        and by variant `validation` and `results` (means over seeds).
    """
    if ground.task.task_type == "recommendation":
        return run_ranking(ground, draft, log=log)
    models = Models(ground, features_folder, draft.state)
    try:
        with Bench(models, ground.settings.workers, ground.device) as bench:
            return _Parts(models, bench, draft, log).run()
    finally:
        forget()


class _Parts:
    """The parts of one task on their way."""

    def __init__(self, models: Models, bench: Bench, draft: Draft, log: Log):
        self.models, self.bench, self.draft, self.log = models, bench, draft, log
        self.task, self.settings = models.ground.task, models.ground.settings
        self.exams = models.exams
        self.predictions: dict[Run, dict[str, np.ndarray]] = {}
        self.steps = 0

    def run(self) -> dict[str, Any]:
        """Everything."""
        parts = self.parts()
        chosen = {part.name: part.chosen() for part in parts}
        answers = {part.name: self.answers(part, chosen[part.name]) for part in parts}
        blended = [part for part in parts if part.name in self.settings.parts]
        on_folds = {regime: {part.name: self.on_folds(part, chosen[part.name][regime], regime)
                             for part in blended} for regime in self.exams.regimes}
        mixtures = {regime: self.mixture(on_folds[regime], regime) for regime in on_folds}
        for part in parts:
            if part.name in VARIANTS:
                for (seed, split, regime), answer in answers[part.name].items():
                    self.note(regime, VARIANTS[part.name], seed, split, answer)
        for regime, mixture in mixtures.items():
            for seed in self.settings.seeds:
                for split in SPLITS:
                    found = {part.name: answers[part.name][
                        seed if part.drawn else self.settings.seeds[0], split, regime]
                        for part in blended}
                    self.note(regime, NAME, seed, split, mixture.of(found))
        write_predictions(self.task, self.predictions, self.draft.path("predictions.parquet"))
        self._write_choices(parts, chosen)
        self._write_fold_answers(on_folds)
        write_mixtures(mixtures, self.draft.path("mixtures.parquet"))
        return self.summary(chosen, mixtures)

    def parts(self) -> list[Part]:
        """Every part that is asked for and can be had, tried on folds."""
        wanted = (*self.settings.parts, *self.settings.beside)
        return [self.part(name) for name in wanted if name not in self.models.gone]

    def part(self, name: str) -> Part:
        """One part, tried on folds."""
        model = self.bench.model(name)
        trials = Trials(model, self.exams, self.settings.seeds[0],
                        None if name == "finetuned" else partial(self.bench.perform, name))
        candidates = self.models.candidates(name, model)
        if name == "finetuned":
            self._tune(model, trials, candidates)
        else:
            trials.run(candidates)
        if name == "trees":
            trials.run([c for aged in self.models.ages for one in trials.chosen(aged).values()
                        for c in model.sizes(trials.candidate(one))])
        return self.done(Part(name, trials, name in DRAWN))

    def _tune(self, model: FineTuned, trials: Trials, candidates: list[Candidate]) -> None:
        """Every training of a network side by side: those of the folds, then the chosen ones."""
        model.prepare((c, exam, trials.seed, model.steps[-1]) for c in candidates
                      for exam in self.exams.folds)
        trials.run(candidates)
        chosen = [one for found in Part("finetuned", trials, True).chosen().values()
                  for one in found]
        last = {one.candidate: max(c.step for c in chosen if c.candidate == one.candidate)
                for one in chosen}
        model.prepare((trials.candidate(one), self.exams.of_split(split), seed,
                       last[one.candidate]) for one in chosen for seed in self.settings.seeds
                      for split in SPLITS)

    def done(self, part: Part) -> Part:
        """Say what a part reached on folds."""
        self.log(self.steps, {f"{regime}/{part.name}/folds_{self.task.primary}": one.value
                              for regime, one in part.trials.chosen().items()
                              if one.value is not None})
        self.steps += 1
        return part

    def answers(self, part: Part, chosen: Mapping[Regime, tuple[Chosen, ...]],
                ) -> dict[tuple[int, str, Regime], np.ndarray]:
        """A part's answers with what was chosen, by seed, split and regime."""
        seeds = self.settings.seeds if part.drawn else self.settings.seeds[:1]
        said = part.trials.answers(chosen, seeds).predictions
        return {(seed, split, regime): np.mean([said[seed, split, regime, one] for one in some],
                                               axis=0)
                for seed in seeds for split in SPLITS for regime, some in chosen.items()}

    def on_folds(self, part: Part, chosen: tuple[Chosen, ...],
                 regime: Regime) -> list[np.ndarray]:
        """A part's answers of each fold's rows, oldest fold first."""
        each = [part.trials.on_folds(regime, one) for one in chosen]
        return [np.mean(fold, axis=0) for fold in zip(*each, strict=True)]

    def mixture(self, answers: Mapping[str, list[np.ndarray]], regime: Regime) -> Mixture:
        """The blend of a regime, from the folds."""
        asked = [exam.asked[regime].labels for exam in self.exams.folds]
        return mix(self.task, answers, [a.target for a in asked], [a.times for a in asked])

    def note(self, regime: Regime, variant: str, seed: int, split: str,
             answer: np.ndarray) -> None:
        """Keep predictions."""
        self.predictions.setdefault(Run(regime, variant, seed), {})[split] = answer
        value = None
        if split == "val":
            value = score_of(self.task, self.task.val.target, answer)
        if value is not None:
            self.log(self.steps, {f"{regime}/{variant}/val_{self.task.primary}": value})
            self.steps += 1

    def _write_choices(self, parts: list[Part],
                       chosen: Mapping[str, Mapping[Regime, tuple[Chosen, ...]]]) -> None:
        scores: list[Score] = [score for part in parts for score in part.trials.scores]
        choice_table(scores, chosen).write_parquet(self.draft.path("choices.parquet"))

    def _write_fold_answers(self, on_folds: Mapping[Regime, Mapping[str, list[np.ndarray]]],
                            ) -> None:
        _, answer = TYPES[self.task.task_type]
        frames = [pl.DataFrame(schema=FOLD_ANSWERS | {"answer": answer})]
        for regime, by_part in on_folds.items():
            for name, found in by_part.items():
                for exam, said in zip(self.exams.folds, found, strict=True):
                    labels = exam.asked[regime].labels
                    frames.append(pl.DataFrame({
                        "row": labels.rows, "time": labels.times, "target": labels.target,
                        "answer": list_column(said)}).select(
                            pl.lit(regime).alias("regime"), pl.lit(name).alias("part"),
                            pl.lit(exam.name).alias("fold"), "row",
                            pl.col("time").cast(pl.Datetime("us")),
                            pl.col("target").cast(pl.Float64), "answer"))
        pl.concat(frames).write_parquet(self.draft.path("fold_answers.parquet"))

    def summary(self, chosen: Mapping[str, Mapping[Regime, tuple[Chosen, ...]]],
                mixtures: Mapping[Regime, Mixture]) -> dict[str, Any]:
        """For people: what was chosen, and how well it did."""
        task = self.task
        return {
            "metric": task.primary, "n_train": len(self.exams.test.fresh), "n_val": len(task.val),
            "n_test": len(task.test), "folds": [exam.name for exam in self.exams.folds],
            "chosen": {regime: {name: {
                "candidate": " + ".join(dict.fromkeys(one.candidate for one in found[regime])),
                "step": found[regime][0].step, "folds": found[regime][0].value}
                for name, found in chosen.items()} for regime in self.exams.regimes},
            "mixture": {regime: mixture.label for regime, mixture in mixtures.items()},
            "validation": mean_scores(task, self.predictions, "val"),
            "results": mean_scores(task, self.predictions, "test")}
