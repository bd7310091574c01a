"""RowGraph's own model of one recommendation task: every part, and their blend, under every regime.

Every part scores the same candidates of a seed (`rowgraph.adaptation.recommendation.candidates`);
the blend is the weighted mean of their standardised scores. Time discipline is that of
docs/decisions/recommendation.md.

Shapes: G pairs of a seed and a candidate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rowgraph.adaptation.hybrid.blending import Mixture
from rowgraph.adaptation.hybrid.finetuning import Ground
from rowgraph.adaptation.hybrid.pair_attempts import POPULARITY, PairAttempt, PairModels, answered
from rowgraph.adaptation.hybrid.pair_models import PairModel, PastLists
from rowgraph.adaptation.hybrid.ranked_blend import Ranked, mix_ranked
from rowgraph.adaptation.hybrid.variants import NAME, VARIANTS, write_mixtures
from rowgraph.adaptation.recommendation.exams import Exam
from rowgraph.adaptation.recommendation.ranking import best_first
from rowgraph.artifacts import Draft
from rowgraph.kept import forget
from rowgraph.progress import Log
from rowgraph.tasks.choosing import Chosen, Score, choice_table, choose
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Destinations
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import SPLITS, Run, write_predictions
from rowgraph.tasks.regimes import Regime


def run_ranking(ground: Ground, draft: Draft, *, log: Log) -> dict[str, Any]:
    """As `rowgraph.adaptation.hybrid.running.run_rowgraph`, for a recommendation."""
    try:
        return _Bench(ground, draft, log).run()
    finally:
        forget()


@dataclass(frozen=True, eq=False)
class _Part:
    """A part with what was chosen for it, and what that said on folds.

    Args:
        chosen: by regime.
        on_folds: float32 [G], standardised, by regime and name of the exam.
    """

    model: PairModel
    chosen: dict[Regime, Chosen]
    on_folds: dict[tuple[Regime, str], np.ndarray]


class _Bench:
    """The parts of one task on their way."""

    def __init__(self, ground: Ground, draft: Draft, log: Log):
        self.task, self.settings = ground.task, ground.settings
        self.models, self.draft, self.log = PairModels(ground), draft, log
        self.exams, self.evidence = self.models.exams, self.models.evidence
        self.scores: list[Score] = []
        self.fillers: dict[Regime, Chosen] = {}  # the popularity that past links end with
        self.predictions: dict[Run, dict[str, np.ndarray]] = {}
        self.steps = 0
        self._candidates: dict[str, Destinations] = {}

    def run(self) -> dict[str, Any]:
        """Everything."""
        parts = self.parts()
        blended = [part for part in parts if part.model.name in self.settings.parts]
        mixtures = {regime: self.mixture(blended, regime) for regime in self.exams.regimes}
        self.answer(parts, mixtures)
        write_predictions(self.task, self.predictions, self.draft.path("predictions.parquet"))
        chosen = {part.model.name: part.chosen for part in parts}
        fillers = {POPULARITY: self.fillers} if self.fillers else {}
        choice_table(self.scores, chosen | fillers).write_parquet(
            self.draft.path("choices.parquet"))
        write_mixtures(mixtures, self.draft.path("mixtures.parquet"))
        return self.summary(chosen, mixtures)

    def parts(self) -> list[_Part]:
        """Every part that is asked for and can be had, with what folds choose of it."""
        models = self.models.asked_for()
        if any(isinstance(model, PastLists) for model in models):
            everyone = self.models.of(POPULARITY)
            if everyone.candidates():
                tries = self.tries(everyone)
                done = self.answered(list(tries.values()))
                self.fillers = self.tried(everyone, tries, done).chosen
        tried = [(model, self.tries(model)) for model in models]
        done = self.answered([one for _, tries in tried for one in tries.values()])
        return [self.tried(model, tries, done) for model, tries in tried]

    def answered(self, attempts: Sequence[PairAttempt],
                 ) -> Iterator[tuple[PairAttempt, list[np.ndarray]]]:
        """Attempts with what they answer, some of them elsewhere."""
        return answered(self.models, attempts, self.draft.state)

    def attempt(self, model: PairModel, candidate: str, exam: Exam, regime: Regime, seed: int,
                steps: tuple[int, ...], whole: bool) -> PairAttempt:
        """A part under a regime; one that other regimes share, where it would be the same."""
        filler = self.fillers.get(regime) if isinstance(model, PastLists) else None
        return PairAttempt(model.name, candidate, exam.name, self.exams.first_alike(exam, regime),
                           seed if model.drawn else self.settings.seeds[0], steps, whole,
                           filler and filler.candidate)

    def tries(self, model: PairModel) -> dict[tuple[Exam, str, Regime], PairAttempt]:
        """Every candidate of a part on every fold, under every regime."""
        return {(exam, candidate, regime): self.attempt(
                    model, candidate, exam, regime, self.settings.seeds[0], model.steps,
                    whole=False)
                for exam in self.exams.folds for regime in self.exams.regimes
                for candidate in model.candidates()}

    def tried(self, model: PairModel, tries: Mapping[tuple[Exam, str, Regime], PairAttempt],
              done: Iterator[tuple[PairAttempt, list[np.ndarray]]]) -> _Part:
        """The best candidate and step of a part on folds.

        Args:
            done: the tries come next.
        """
        found = dict(itertools.islice(done, len(set(tries.values()))))
        said: dict[tuple[Regime, str, str, int], np.ndarray] = {}
        scores: list[Score] = []
        for exam in self.exams.folds:
            views = {r: self.models.view(exam, r, whole=False) for r in self.exams.regimes}
            for candidate in model.candidates():
                for regime, view in views.items():
                    one = tries[exam, candidate, regime]
                    for step, answer in zip(model.steps, found[one], strict=True):
                        said[regime, exam.name, candidate, step] = answer
                        scores.append(Score(model.name, candidate, step, exam.name, regime,
                                            self.task.primary, self.value(view, answer)))
        chosen = choose(scores, higher_is_better=self.task.higher_is_better)
        self.scores += scores
        self.log(self.steps, {f"{regime}/{model.name}/folds_{self.task.primary}": one.value
                              for regime, one in chosen.items() if one.value is not None})
        self.steps += 1
        return _Part(model, chosen, {
            (regime, exam.name): said[regime, exam.name, one.candidate, one.step]
            for regime, one in chosen.items() for exam in self.exams.folds})

    def value(self, view: View, scores: np.ndarray) -> float:
        """The primary metric of scores of a view's candidates."""
        answer = best_first(self.candidates(view), scores, self.task.eval_k)
        return measure(self.task.primary, view.labels.target, answer, self.task.train.target)

    def candidates(self, view: View) -> Destinations:
        """Of a view's label rows."""
        if view.name not in self._candidates:
            self._candidates[view.name] = self.evidence.candidates(view)
        return self._candidates[view.name]

    def mixture(self, parts: Sequence[_Part], regime: Regime) -> Mixture:
        """The blend of a regime, from the folds."""
        folds = []
        for exam in self.exams.folds:
            view = self.models.view(exam, regime, whole=False)
            folds.append(Ranked(self.candidates(view), {
                part.model.name: part.on_folds[regime, exam.name] for part in parts},
                view.labels.target, view.labels.times))
        return mix_ranked(self.task, folds)

    def exam_of(self, split: str) -> Exam:
        """That asks a whole split: validation is the newest fold's."""
        return self.exams.folds[-1] if split == "val" else self.exams.test

    def answer(self, parts: Sequence[_Part], mixtures: Mapping[Regime, Mixture]) -> None:
        """Both splits' recommendations of every part that stands alone, and of the blend."""
        asked = {(split, regime): {(part.model.name, seed): self.attempt(
                    part.model, part.chosen[regime].candidate, self.exam_of(split), regime, seed,
                    (part.chosen[regime].step,), whole=True)
                    for part in parts for seed in self.settings.seeds}
                 for split in SPLITS for regime in self.exams.regimes}
        done = self.answered([one for wanted in asked.values() for one in wanted.values()])
        said: dict[PairAttempt, np.ndarray] = {}
        for split, regime in list(asked):
            wanted = asked.pop((split, regime))
            while not said.keys() >= set(wanted.values()):
                one, answers = next(done)
                said[one] = answers[0]
            self.note_all(wanted, said, mixtures[regime], split, regime)
            later = {one for others in asked.values() for one in others.values()}
            said = {one: answer for one, answer in said.items() if one in later}

    def note_all(self, wanted: Mapping[tuple[str, int], PairAttempt],
                 said: Mapping[PairAttempt, np.ndarray], mixture: Mixture, split: str,
                 regime: Regime) -> None:
        """Keep what parts and blend recommend to a split's label rows under a regime.

        Args:
            wanted: by part and seed.
            said: float32 [G] each.
        """
        view = self.exam_of(split).asked[regime]
        noted: set[PairAttempt] = set()
        for seed in self.settings.seeds:
            mine = {name: one for (name, of), one in wanted.items() if of == seed}
            for name, one in mine.items():
                if name in VARIANTS and one not in noted:
                    noted.add(one)
                    self.note(Run(regime, VARIANTS[name], seed), split, view, said[one])
            self.note(Run(regime, NAME, seed), split, view, mixture.of(
                {name: said[one] for name, one in mine.items()}))

    def note(self, run: Run, split: str, view: View, scores: np.ndarray) -> None:
        """Keep recommendations."""
        answer = best_first(self.candidates(view), scores, self.task.eval_k)
        self.predictions.setdefault(run, {})[split] = answer
        if split == "val":
            value = measure(self.task.primary, self.task.val.target, answer,
                            self.task.train.target)
            self.log(self.steps, {f"{run.regime}/{run.variant}/val_{self.task.primary}": value})
            self.steps += 1

    def summary(self, chosen: Mapping[str, Mapping[Regime, Chosen]],
                mixtures: Mapping[Regime, Mixture]) -> dict[str, Any]:
        """For people: what was chosen, and how well it did."""
        task = self.task
        return {
            "metric": task.primary, "n_train": len(self.exams.test.fit), "n_val": len(task.val),
            "n_test": len(task.test), "folds": [exam.name for exam in self.exams.folds],
            "chosen": {regime: {name: {"candidate": found[regime].candidate,
                                       "step": found[regime].step, "folds": found[regime].value}
                                for name, found in chosen.items()}
                       for regime in self.exams.regimes},
            "mixture": {regime: mixture.label for regime, mixture in mixtures.items()},
            "validation": self.means("val"), "results": self.means("test")}

    def means(self, split: str) -> dict[str, dict[str, float]]:
        """The primary metric of a split by regime and variant, the mean over seeds."""
        task, values = self.task, {}
        for run, splits in self.predictions.items():
            value = measure(task.primary, task.labels(split).target, splits[split],
                            task.train.target)
            values.setdefault(run.regime, {}).setdefault(run.variant, []).append(value)
        return {regime: {name: float(np.mean(found)) for name, found in by_variant.items()}
                for regime, by_variant in values.items()}
