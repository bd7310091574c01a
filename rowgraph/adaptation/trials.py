"""Trying a baseline's candidates on folds, choosing, and answering with what was chosen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rowgraph.adaptation.exams import Exam, Exams, Rows
from rowgraph.tasks.choosing import Chosen, Score, choose
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import SPLITS, Run
from rowgraph.tasks.regimes import Regime


@dataclass(frozen=True)
class Candidate:
    """One way in which a baseline may be fitted.

    Args:
        label: in words, as in `choices.parquet`.
        aged: fitted on aged rows, hence for `frozen_db` alone.
        options: of the baseline.
    """

    label: str
    aged: bool = False
    options: Any = None


class Fitted(Protocol):
    """A candidate that was fitted."""

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """Predictions after each of these ascending steps, as `rowgraph.tasks.kinds` says."""


class Model(Protocol):
    """A baseline that has something to choose.

    Args:
        name: of its variant.
        steps: ascending, at which a fitted candidate is scored; (0,) where there is none to count.
    """

    name: str
    steps: tuple[int, ...]

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> Fitted:
        """Fit on the exam's rows, up to a step, reading no label of the rows that it asks."""


@dataclass(frozen=True)
class Attempt:
    """One fit, and what is asked of it.

    Args:
        exam: name of the one whose rows are fitted on and answered.
        asked: by regime the ascending steps at which its rows are answered.
        weighed: steps at which the importance of features is told.
    """

    candidate: Candidate
    exam: str
    seed: int
    asked: Mapping[Regime, tuple[int, ...]]
    weighed: tuple[int, ...] = ()

    @property
    def last(self) -> int:
        """The step up to which is fitted."""
        return max(max(steps) for steps in self.asked.values())


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an attempt: predictions by regime and step; importances by step."""

    answers: dict[tuple[Regime, int], np.ndarray]
    importances: dict[int, list[tuple[str, float]]] = field(default_factory=dict)


Perform = Callable[[Sequence[Attempt]], Iterable[Outcome]]


def perform(model: Model, exams: Exams, attempts: Iterable[Attempt]) -> Iterable[Outcome]:
    """Fit and answer here, one attempt after the other."""
    for one in attempts:
        exam = exams.named(one.exam)
        fitted = model.fit(one.candidate, exam, one.seed, one.last)
        answers = {(regime, step): answer for regime, steps in one.asked.items()
                   for step, answer in zip(steps, fitted.predict(exam.asked[regime], steps),
                                           strict=True)}
        yield Outcome(answers, {step: fitted.importances(step) for step in one.weighed})


class Trials:
    """What a model's candidates reach on folds.

    Args:
        model: fitted with `seed`.
        exams: whose folds are tried.
        performed: who fits and answers, in the order of the attempts; None is `perform`.
    """

    def __init__(self, model: Model, exams: Exams, seed: int, performed: Perform | None = None):
        self.model, self.exams, self.seed = model, exams, seed
        self._perform = performed or functools.partial(perform, model, exams)
        self.scores: list[Score] = []
        self._tried: dict[str, Candidate] = {}
        self._answers: dict[tuple[Regime, str, int], list[np.ndarray]] = {}

    def run(self, candidates: Iterable[Candidate]) -> None:
        """Fit candidates that were not tried yet on every fold, and score them at every step."""
        fresh = list({c.label: c for c in candidates if c.label not in self._tried}.values())
        self._tried |= {candidate.label: candidate for candidate in fresh}
        attempts = [Attempt(c, exam.name, self.seed,
                            dict.fromkeys(self._regimes(c), self.model.steps))
                    for exam in self.exams.folds for c in fresh
                    if not (c.aged and exam.aged is None)]
        for one, outcome in zip(attempts, self._perform(attempts), strict=True):
            for (regime, step), answer in outcome.answers.items():
                self._note(one, regime, step, answer)

    def _regimes(self, candidate: Candidate) -> list[Regime]:
        return [r for r in self.exams.regimes if r == "frozen_db" or not candidate.aged]

    def _note(self, one: Attempt, regime: Regime, step: int, answer: np.ndarray) -> None:
        task, label = self.exams.task, one.candidate.label
        target = self.exams.named(one.exam).asked[regime].labels.target
        self._answers.setdefault((regime, label, step), []).append(answer)
        self.scores.append(Score(self.model.name, label, step, one.exam, regime, task.primary,
                                 score_of(task, target, answer)))

    def chosen(self, aged: bool | None = None) -> dict[Regime, Chosen]:
        """The best candidate and step by regime, of all, or of those fitted on aged (or fresh)
        rows."""
        return choose([s for s in self.scores
                       if aged is None or self._tried[s.candidate].aged == aged],
                      higher_is_better=self.exams.task.higher_is_better)

    def tried(self, regime: Regime, aged: bool | None = None) -> list[Chosen]:
        """Everything that was scored on every fold, in order, as if it were chosen."""
        values: dict[tuple[str, int], list[float | None]] = {}
        for s in self.scores:
            if s.regime == regime and aged in (None, self._tried[s.candidate].aged):
                values.setdefault((s.candidate, s.step), []).append(s.value)
        found = [(key, [v for v in each if v is not None]) for key, each in values.items()]
        if not any(each for _, each in found):  # no fold can say anything of any of them
            return [Chosen(*key, None) for key, _ in found]
        return [Chosen(*key, sum(each) / len(each)) for key, each in found if each]

    def candidate(self, chosen: Chosen) -> Candidate:
        """What was chosen."""
        return self._tried[chosen.candidate]

    def on_folds(self, regime: Regime, chosen: Chosen) -> list[np.ndarray]:
        """Its predictions of every fold's rows, oldest fold first."""
        return self._answers[regime, chosen.candidate, chosen.step]

    @property
    def tried_aged(self) -> bool:
        """Some candidate was fitted on aged rows."""
        return any(candidate.aged for candidate in self._tried.values())

    def answers(self, asked: Mapping[Regime, Collection[Chosen]], seeds: Sequence[int],
                weighed: Mapping[Regime, Chosen] | None = None) -> Answered:
        """Fit what was chosen, and answer validation and test rows with every seed.

        Every candidate is fitted once for a split and seed, as far as the furthest of its steps
        asks.

        Args:
            asked: choices by regime.
            weighed: those whose importances are told, of the first seed's final fit.
        """
        steps: dict[str, dict[Regime, set[int]]] = {}
        for regime, choices in asked.items():
            for one in choices:
                steps.setdefault(one.candidate, {}).setdefault(regime, set()).add(one.step)
        weighed = weighed or {}
        finals = [(seed, split, label) for seed in seeds for split in SPLITS for label in steps]
        attempts = [Attempt(
            self._tried[label], self.exams.of_split(split).name, seed,
            {regime: tuple(sorted(some)) for regime, some in steps[label].items()},
            tuple(sorted({one.step for one in weighed.values() if one.candidate == label}))
            if (seed, split) == (seeds[0], "test") else ()) for seed, split, label in finals]
        outcomes = dict(zip(finals, self._perform(attempts), strict=True))
        return Answered(
            {(seed, split, regime, one): outcomes[seed, split, one.candidate].answers[
                regime, one.step] for seed in seeds for split in SPLITS
             for regime, choices in asked.items() for one in choices},
            {regime: outcomes[seeds[0], "test", one.candidate].importances[one.step]
             for regime, one in weighed.items()})


@dataclass(frozen=True, eq=False)
class Answered:
    """Predictions by seed, split, regime and choice; importances by regime, where asked for."""

    predictions: dict[tuple[int, str, Regime, Chosen], np.ndarray]
    importances: dict[Regime, list[tuple[str, float]]]


def mean_scores(task: Task, predictions: Mapping[Run, Mapping[str, np.ndarray]],
                split: str) -> dict[str, dict[str, float | None]]:
    """The primary metric of a split by regime and variant, the mean over seeds; None where it is
    undefined."""
    values: dict[str, dict[str, list[float | None]]] = {}
    for run, splits in predictions.items():
        value = score_of(task, task.labels(split).target, splits[split])
        values.setdefault(run.regime, {}).setdefault(run.variant, []).append(value)
    return {regime: {name: None if None in found else float(np.mean(found))
                     for name, found in by_variant.items()}
            for regime, by_variant in values.items()}


def score_of(task: Task, target: np.ndarray, answer: np.ndarray) -> float | None:
    """The primary metric of answers to a fold; None where its labels are of one class."""
    if task.task_type != "regression" and len(np.unique(target)) < 2:
        return None
    return measure(task.primary, target, answer, task.train.target)
