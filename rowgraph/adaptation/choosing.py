"""Choosing on folds, then the final fits (docs/decisions/folds.md).

1. The reference variant tries every candidate on every fold with the first seed and the first
   language model; each regime chooses one.
2. Every variant is trained on the folds with its regimes' candidates, and each regime chooses the
   number of epochs. Every further seed and language model is trained on the newest fold, for
   curves and validation predictions.
3. Every variant, seed and language model is fitted on all that is known for so many epochs, and
   answers the test rows.

Where two regimes chose the same candidate one training serves both, at the epoch of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rowgraph.adaptation.ground import FINAL, Ground, Trained, Training
from rowgraph.tasks.choosing import Chosen, Score, choose
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run
from rowgraph.tasks.regimes import Regime

Do = Callable[[Sequence[Training]], Mapping[Training, Trained]]


@dataclass(frozen=True, eq=False)
class Adapted:
    """What adaptation to a task gave.

    Args:
        predictions: by run and split.
        scores: of everything that was tried.
        chosen: by variant and regime.
        curve: of every training on the newest fold: `Trained.curve`, with variant, bart, seed.
    """

    predictions: dict[Run, dict[str, np.ndarray]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    chosen: dict[str, dict[Regime, Chosen]] = field(default_factory=dict)
    curve: list[dict[str, object]] = field(default_factory=list)


def adapt(ground: Ground, do: Do) -> Adapted:
    """Choose on folds, fit on what is known, predict.

    Args:
        ground: of the task.
        do: does trainings, or finds them done.

    Raises:
        ValueError: nothing can be chosen, or a training diverged.
    """
    return _Adaptation(ground, do).whole()


class _Adaptation:
    def __init__(self, ground: Ground, do: Do):
        self.ground, self.do = ground, do
        self.settings, self.newest = ground.settings, len(ground.folds) - 1
        self.done: dict[Training, Trained] = {}
        self.scored: dict[str, list[Score]] = {name: [] for name in self.settings.variants}

    def whole(self) -> Adapted:
        picks = self.candidates()
        chosen = self.epochs(picks)
        adapted = Adapted(scores=[s for scores in self.scored.values() for s in scores],
                          chosen=chosen)
        self.finals(picks, chosen, adapted)
        return adapted

    def candidates(self) -> dict[Regime, int]:
        """By regime, the position of the candidate that the reference variant chose."""
        ground, judge = self.ground, self.settings.judge
        if len(ground.candidates) == 1:
            return dict.fromkeys(self.settings.regimes, 0)
        tried = [self.on_fold(judge, fold, i, ground.regimes_of(i))
                 for fold in range(len(ground.folds)) for i in range(len(ground.candidates))]
        self.perform(tried)
        self.scored[judge] = [s for training in tried for s in self.scores(training)]
        labels = {ground.label_of(i): i for i in range(len(ground.candidates))}
        found = choose(self.scored[judge], higher_is_better=ground.task.higher_is_better)
        return {regime: labels[found[regime].candidate] for regime in self.settings.regimes}

    def epochs(self, picks: Mapping[Regime, int]) -> dict[str, dict[Regime, Chosen]]:
        """By variant and regime, what was chosen."""
        ground, trainings = self.ground, []
        for fold in range(len(ground.folds)):
            for name in self.settings.variants:
                if not self.scored[name]:
                    trainings += [self.on_fold(name, fold, i, regimes)
                                  for i, regimes in _together(picks)]
        further = [self.on_fold(name, self.newest, i, regimes, seed, bart)
                   for seed in self.settings.seeds for name in self.settings.variants
                   for bart in ground.barts_of(name) for i, regimes in _together(picks)
                   if (seed, bart) != self.first(name)]
        self.perform([*trainings, *further])
        for training in trainings:
            self.scored[training.variant] += self.scores(training)
        return {name: choose(scores, higher_is_better=ground.task.higher_is_better)
                for name, scores in self.scored.items()}

    def finals(self, picks: Mapping[Regime, int],
               chosen: Mapping[str, Mapping[Regime, Chosen]], adapted: Adapted) -> None:
        """Fit, and gather predictions and curves."""
        finals = []
        for seed in self.settings.seeds:
            for name in self.settings.variants:
                for bart in self.ground.barts_of(name):
                    for i, regimes in _together(picks):
                        at = tuple((r, chosen[name][r].step) for r in regimes)
                        finals.append(Training(name, seed, bart, i, FINAL,
                                               max(epoch for _, epoch in at), at))
        self.perform(finals)
        for final in finals:
            on_newest = self.newest_of(final)
            validated, tested = self.done[on_newest], self.done[final]
            of_newest, of_final = self.ground.answer(on_newest), self.ground.answer(final)
            for regime, epoch in final.at:
                adapted.predictions[Run(regime, final.variant, final.seed, final.bart)] = {
                    "val": of_newest.prediction(validated.raw[regime][epoch - 1]),
                    "test": of_final.prediction(tested.raw[regime])}
            adapted.curve.extend(_told(final, validated.curve, self.settings.regimes))

    def first(self, name: str) -> tuple[int, int | None]:
        """Seed and language model that a variant's choices are made with."""
        return self.settings.seeds[0], self.ground.barts_of(name)[0]

    def on_fold(self, name: str, fold: int, candidate: int, regimes: Iterable[Regime],
                seed: int | None = None, bart: int | None = None) -> Training:
        """A training on a fold, scored after every epoch; with the first seed and language model
        unless others are named."""
        if seed is None:
            seed, bart = self.first(name)
        return Training(name, seed, bart, candidate, fold, self.settings.epochs,
                        tuple((regime, 0) for regime in regimes))

    def newest_of(self, final: Training) -> Training:
        """The training on the newest fold that stands beside a final fit."""
        regimes = tuple(regime for regime, _ in final.at)
        tried = self.on_fold(final.variant, self.newest, final.candidate,
                             self.ground.regimes_of(final.candidate), final.seed, final.bart)
        alone = self.on_fold(final.variant, self.newest, final.candidate, regimes, final.seed,
                             final.bart)
        return alone if alone in self.done else tried

    def perform(self, trainings: Sequence[Training]) -> None:
        self.done |= self.do(trainings)

    def scores(self, training: Training) -> list[Score]:
        """The primary metric of a training on a fold, after every epoch under every regime."""
        ground, task = self.ground, self.ground.task
        labels = ground.scored(training.fold).take(ground.judged(training.fold))
        answer, found = ground.answer(training), []
        for regime, raw in self.done[training].raw.items():
            for step, values in enumerate(raw[:, ground.judged(training.fold)], start=1):
                prediction = answer.prediction(values)
                value = None
                if np.isfinite(prediction).all() or len(ground.candidates) == 1:
                    value = measure(task.primary, labels.target, prediction, task.train.target)
                found.append(Score(training.variant, ground.label_of(training.candidate), step,
                                   ground.folds[training.fold].name, regime, task.primary, value))
        return found


def _together(picks: Mapping[Regime, int]) -> list[tuple[int, tuple[Regime, ...]]]:
    """Chosen candidates, each with the regimes that chose it."""
    return [(i, tuple(r for r in picks if picks[r] == i)) for i in dict.fromkeys(picks.values())]


def _told(final: Training, curve: Iterable[Mapping[str, object]],
          regimes: Sequence[Regime]) -> list[dict[str, object]]:
    """A training's curve with whose it is. Its training rows have no regime where it serves all
    regimes, else that which it serves."""
    mine = [regime for regime, _ in final.at]
    who = {"variant": final.variant, "bart": final.bart, "seed": final.seed}
    rows = []
    for row in curve:
        if row["regime"] in mine:
            rows.append({**who, **row})
        elif row["regime"] is None:
            served = [None] if len(mine) == len(regimes) else mine
            rows += [{**who, **row, "regime": regime} for regime in served]
    return rows
