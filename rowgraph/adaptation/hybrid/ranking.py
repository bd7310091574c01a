"""RowGraph's own model of one recommendation task: every part, and their blend, under every regime.

Every part scores the same candidates of a seed (`rowgraph.adaptation.recommendation.candidates`);
the blend is the weighted mean of their standardised scores. Time discipline is that of
docs/decisions/recommendation.md.

Shapes: G pairs of a seed and a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rowgraph.adaptation.hybrid.blending import Mixture
from rowgraph.adaptation.hybrid.both_ends import BothEnds
from rowgraph.adaptation.hybrid.finetuning import Ground
from rowgraph.adaptation.hybrid.pair_models import (
    Basis,
    FittedPairs,
    LinearOnPairs,
    PairModel,
    PastLists,
    Trees,
)
from rowgraph.adaptation.hybrid.ranked_blend import Ranked, mix_ranked
from rowgraph.adaptation.hybrid.variants import NAME, VARIANTS, write_mixtures
from rowgraph.adaptation.hybrid.vectors import OWN_PAST, PRETRAINED, UNTRAINED
from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.exams import Exam, Exams, without_test_labels
from rowgraph.adaptation.recommendation.lists import PastList
from rowgraph.adaptation.recommendation.ranking import best_first, standardised
from rowgraph.artifacts import Draft
from rowgraph.progress import Log
from rowgraph.randomness import uniform_of_rows
from rowgraph.tasks.choosing import Chosen, Score, choice_table, choose
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Destinations
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import SPLITS, Run, write_predictions
from rowgraph.tasks.regimes import Regime

SCORED = 2_000  # label rows of a fold by which choices are made


def run_ranking(ground: Ground, draft: Draft, *, log: Log) -> dict[str, Any]:
    """As `rowgraph.adaptation.hybrid.running.run_rowgraph`, for a recommendation."""
    return _Bench(ground, draft, log).run()


def models_of(ground: Ground, basis: Basis,
              popular: Callable[[PastLists], Mapping[Regime, PastList]]) -> list[PairModel]:
    """Every part that is asked for and can be had: no fine-tuning, no zero-shot answers, and no
    history of rows that are asked about once.

    Args:
        popular: says by regime which of the lists of what is popular fills up past links.

    Raises:
        ValueError: no part of the blend answers this recommendation.
    """
    settings, evidence, exams = ground.settings, basis.evidence, basis.exams
    ends = BothEnds(ground.vectors())
    vectors = ends.vectors
    encoders = {UNTRAINED: settings.untrained, PRETRAINED: 1}
    if vectors.own_past.serves(exam.cut for exam in (*exams.folds, exams.test)):
        encoders[OWN_PAST] = vectors.count(OWN_PAST, 0)
    found: list[PairModel] = []
    for name in (*settings.parts, *settings.beside):
        if name in encoders:
            found.append(LinearOnPairs(basis, name, ends, name, encoders[name]))
        elif name == "windows":
            found.append(LinearOnPairs(basis, name))
        elif name == "trees":
            found.append(Trees(basis, settings.trees))
        elif name == "history" and any(t.kind == "own" for t in evidence.trails):
            found.append(PastLists.history(evidence, popular(PastLists.popularity(evidence))))
    if not any(model.name in settings.parts for model in found):
        who = f"{ground.task.database.name}/{ground.task.name}"
        raise ValueError(f"{who}: none of the parts {', '.join(settings.parts)} answers this "
                         "recommendation; name trees or windows among them")
    return found


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
        self.ground, self.task, self.settings = ground, ground.task, ground.settings
        self.draft, self.log = draft, log
        self.evidence = Evidence(self.task)
        self.evidence.trails  # noqa: B018  made now: past test labels are facts under `rolling`
        self.exams = Exams(without_test_labels(self.task), self.settings, self.settings.fit_rows)
        self.basis = Basis(self.evidence, self.exams)
        self.scores: list[Score] = []
        self.fillers: dict[str, dict[Regime, Chosen]] = {}  # the popularity that lists end with
        self.predictions: dict[Run, dict[str, np.ndarray]] = {}
        self._candidates: dict[str, Destinations] = {}
        self._fitted: dict[tuple[str, str, str, int, Regime | None], FittedPairs] = {}
        self.steps = 0

    def run(self) -> dict[str, Any]:
        """Everything."""
        parts = [self.tried(model) for model in self.models()]
        blended = [part for part in parts if part.model.name in self.settings.parts]
        mixtures = {regime: self.mixture(blended, regime) for regime in self.exams.regimes}
        for split in SPLITS:
            exam = self.exams.folds[-1] if split == "val" else self.exams.test
            for regime in self.exams.regimes:
                self.answer(parts, mixtures[regime], exam, split, regime)
        write_predictions(self.task, self.predictions, self.draft.path("predictions.parquet"))
        chosen = {part.model.name: part.chosen for part in parts}
        choice_table(self.scores, chosen | self.fillers).write_parquet(
            self.draft.path("choices.parquet"))
        write_mixtures(mixtures, self.draft.path("mixtures.parquet"))
        return self.summary(chosen, mixtures)

    def models(self) -> list[PairModel]:
        """Every part that is asked for and can be had."""
        return models_of(self.ground, self.basis, self.popular)

    def popular(self, everyone: PastLists) -> dict[Regime, PastList]:
        """The popularity that folds choose, with which past links are filled up."""
        chosen = self.tried(everyone).chosen if everyone.lists else {}
        self.fillers = {everyone.name: chosen} if chosen else {}
        return {regime: everyone.lists[one.candidate] for regime, one in chosen.items()}

    def tried(self, model: PairModel) -> _Part:
        """Every candidate and step of a part on every fold, and the best of them."""
        said: dict[tuple[Regime, str, str, int], np.ndarray] = {}
        scores: list[Score] = []
        for exam in self.exams.folds:
            for candidate in model.candidates():
                same: dict[tuple[object, ...], list[np.ndarray]] = {}
                for regime in self.exams.regimes:
                    view = self.scored(exam, regime)
                    fitted = self.fitted(model, candidate, exam, regime, self.settings.seeds[0])
                    key = id(fitted), view.name
                    if key not in same:
                        same[key] = self.said(fitted, view, model.steps)
                    for step, found in zip(model.steps, same[key], strict=True):
                        said[regime, exam.name, candidate, step] = found
                        scores.append(Score(model.name, candidate, step, exam.name, regime,
                                            self.task.primary, self.value(view, found)))
        chosen = choose(scores, higher_is_better=self.task.higher_is_better)
        self.scores += scores
        self.log(self.steps, {f"{regime}/{model.name}/folds_{self.task.primary}": one.value
                              for regime, one in chosen.items() if one.value is not None})
        self.steps += 1
        return _Part(model, chosen, {
            (regime, exam.name): said[regime, exam.name, one.candidate, one.step]
            for regime, one in chosen.items() for exam in self.exams.folds})

    def fitted(self, model: PairModel, candidate: str, exam: Exam, regime: Regime,
               seed: int) -> FittedPairs:
        """Fit, unless it is done: regimes that are fitted on the same share it."""
        seed = seed if model.drawn else self.settings.seeds[0]
        of_regime = regime if isinstance(model, PastLists) else None
        key = (model.name, candidate, self.exams.fitted(exam, regime).name, seed, of_regime)
        if key not in self._fitted:
            self._fitted[key] = model.fit(candidate, exam, regime, seed)
        return self._fitted[key]

    def said(self, fitted: FittedPairs, view: View, steps: Sequence[int]) -> list[np.ndarray]:
        """float32 [G] at each step: standardised scores of a view's candidates."""
        parts: list[list[np.ndarray]] = [[np.empty(0, np.float32)] for _ in steps]
        lists: list[Destinations] = []
        for at, pairs in self.evidence.blocks(view):
            lists.append(pairs.candidates)
            for part, score in zip(parts, fitted.scores(view, at, pairs, steps), strict=True):
                part.append(standardised(pairs.candidates, score).astype(np.float32))
        if view.name not in self._candidates:
            self._candidates[view.name] = _end_to_end(lists)
        return [np.concatenate(part) for part in parts]

    def scored(self, exam: Exam, regime: Regime) -> View:
        """The label rows of a fold by which choices are made, drawn where there are very many."""
        view, index = exam.asked[regime], exam.scored
        if len(index) > SCORED:
            luck = uniform_of_rows(index, "scored", self.task.database.name, self.task.name)
            index = np.sort(index[np.argsort(luck, kind="stable")[:SCORED]])
        return View(f"{view.name} scored", view.labels.take(index), view.before[index])

    def value(self, view: View, scores: np.ndarray) -> float:
        """The primary metric of scores of a view's candidates."""
        answer = best_first(self._candidates[view.name], scores, self.task.eval_k)
        return measure(self.task.primary, view.labels.target, answer, self.task.train.target)

    def mixture(self, parts: Sequence[_Part], regime: Regime) -> Mixture:
        """The blend of a regime, from the folds."""
        folds = []
        for exam in self.exams.folds:
            view = self.scored(exam, regime)
            folds.append(Ranked(self._candidates[view.name], {
                part.model.name: part.on_folds[regime, exam.name] for part in parts},
                view.labels.target, view.labels.times))
        return mix_ranked(self.task, folds)

    def answer(self, parts: Sequence[_Part], mixture: Mixture, exam: Exam, split: str,
               regime: Regime) -> None:
        """A split's recommendations of every part that stands alone, and of the blend."""
        view, once = exam.asked[regime], {}
        for seed in self.settings.seeds:
            found = {}
            for part in parts:
                name, one = part.model.name, part.chosen[regime]
                if part.model.drawn or name not in once:
                    once[name] = self.said(self.fitted(part.model, one.candidate, exam, regime,
                                                       seed), view, [one.step])[0]
                    if name in VARIANTS:
                        self.note(Run(regime, VARIANTS[name], seed), split, view, once[name])
                found[name] = once[name]
            self.note(Run(regime, NAME, seed), split, view, mixture.of(found))

    def note(self, run: Run, split: str, view: View, scores: np.ndarray) -> None:
        """Keep recommendations."""
        answer = best_first(self._candidates[view.name], scores, self.task.eval_k)
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


def _end_to_end(lists: Sequence[Destinations]) -> Destinations:
    """The candidates of blocks of label rows, one after the other."""
    counts = np.concatenate([np.zeros(1, np.int64), *(one.counts for one in lists)])
    return Destinations(np.cumsum(counts), np.concatenate(
        [np.empty(0, np.int64), *(one.rows for one in lists)]))
