"""Trying a baseline's candidates on folds, choosing, and answering with what was chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rowgraph.adaptation.exams import Exam, Exams, Rows
from rowgraph.tasks.choosing import Chosen, Score, choose
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run
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


class Trials:
    """What a model's candidates reach on folds.

    Args:
        model: fitted with `seed`.
        exams: whose folds are tried.
    """

    def __init__(self, model: Model, exams: Exams, seed: int):
        self.model, self.exams, self.seed = model, exams, seed
        self.scores: list[Score] = []
        self._tried: dict[str, Candidate] = {}
        self._answers: dict[tuple[Regime, str, int], list[np.ndarray]] = {}

    def run(self, candidates: Iterable[Candidate]) -> None:
        """Fit candidates that were not tried yet on every fold, and score them at every step."""
        fresh = list({c.label: c for c in candidates if c.label not in self._tried}.values())
        self._tried |= {candidate.label: candidate for candidate in fresh}
        for exam in self.exams.folds:
            for candidate in fresh:
                if candidate.aged and exam.aged is None:
                    continue
                fitted = self.model.fit(candidate, exam, self.seed, self.model.steps[-1])
                for regime in self._regimes(candidate):
                    rows = exam.asked[regime]
                    answers = fitted.predict(rows, self.model.steps)
                    for step, answer in zip(self.model.steps, answers, strict=True):
                        self._note(candidate.label, step, exam.name, regime, rows, answer)

    def _regimes(self, candidate: Candidate) -> list[Regime]:
        return [r for r in self.exams.regimes if r == "frozen_db" or not candidate.aged]

    def _note(self, label: str, step: int, fold: str, regime: Regime, rows: Rows,
              answer: np.ndarray) -> None:
        task = self.exams.task
        self._answers.setdefault((regime, label, step), []).append(answer)
        self.scores.append(Score(self.model.name, label, step, fold, regime, task.primary,
                                 score_of(task, rows.labels.target, answer)))

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

    def answers(self, asked: Mapping[Regime, Iterable[Chosen]], seed: int, split: str,
                keep: dict[str, Fitted] | None = None) -> dict[tuple[Regime, Chosen], np.ndarray]:
        """Fit what was chosen, and answer a split's rows.

        Every candidate is fitted once, as far as the furthest of its steps asks.

        Args:
            asked: choices by regime.
            split: `val` or `test`.
            keep: gets what was fitted, by label of the candidate.
        """
        exam = self.exams.of_split(split)
        steps: dict[str, dict[Regime, set[int]]] = {}
        for regime, choices in asked.items():
            for one in choices:
                steps.setdefault(one.candidate, {}).setdefault(regime, set()).add(one.step)
        found = {}
        for label, by_regime in steps.items():
            fitted = self.model.fit(self._tried[label], exam, seed,
                                    max(max(s) for s in by_regime.values()))
            if keep is not None:
                keep[label] = fitted
            for regime, some in by_regime.items():
                ordered = sorted(some)
                answers = fitted.predict(exam.asked[regime], ordered)
                found |= {(regime, label, step): answer
                          for step, answer in zip(ordered, answers, strict=True)}
        return {(regime, one): found[regime, one.candidate, one.step]
                for regime, choices in asked.items() for one in choices}


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
