"""Which label rows a ranker is fitted on, and which it then recommends to: folds and test.

Under both regimes label rows often see the same (a test split of one date that is the cut itself);
then one view, one fit and one answer serve both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.pairs import PairFeatures
from rowgraph.randomness import uniform_of_rows
from rowgraph.tasks.folds import Fold, View, aged, folds_of
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task
from rowgraph.tasks.regimes import Regime, visible_before
from rowgraph.tasks.settings import SplitSettings

SEEDS = 2_000  # label rows that a ranker is fitted on
TEST = "test"


@dataclass(frozen=True, eq=False)
class Exam:
    """Rows to fit on and rows to recommend to.

    Args:
        name: of the fold, or `test`.
        cut: microseconds; what is fitted knew nothing that was not known by then.
        fit: int64, positions in `Task.known`.
        asked: label rows, by regime; one view where regimes see the same. The newest fold asks
            all of validation.
        scored: int64, positions in `asked` by which choices are made.
    """

    name: str
    cut: int
    fit: np.ndarray
    asked: Mapping[Regime, View]
    scored: np.ndarray


class Exams:
    """The exams of one task.

    Args:
        task: of type recommendation.
        settings: regimes, folds and the final fit.
        newest: at most so many of the newest label rows are drawn from; None: all.
        static: as in `rowgraph.tasks.regimes.visible_before`.
    """

    def __init__(self, task: Task, settings: SplitSettings, newest: int | None = None,
                 static: bool = False):
        self.task, self.regimes, self._newest = task, settings.regimes, newest
        self._static = static
        known, train = np.arange(len(task.known)), np.arange(len(task.train))
        folds = folds_of(task, settings.folds)
        self.folds = tuple(self._of_fold(f, f is folds[-1]) for f in folds)
        last = known if settings.final_fit == "train_and_validation" else train
        self.test = Exam(TEST, task.database.test_timestamp, self.drawn(last),
                         self._asked(TEST, task.test), np.empty(0, int))
        self._rows = np.unique(np.concatenate([e.fit for e in (*self.folds, self.test)]))
        self._befores = self._how_fitted()
        self._pairs: dict[str, PairFeatures] = {}

    def drawn(self, index: np.ndarray) -> np.ndarray:
        """The known label rows that a ranker is fitted on, of those at `index`.

        Returns:
            int64, ascending: at most `SEEDS` positions, drawn without regard to their labels. A
            row's luck is its own, so that folds share most of them.
        """
        times, newest = self.task.known.times, self._newest
        if newest is not None and len(index) > newest:
            index = index[np.argsort(times[index], kind="stable")[-newest:]]
        if len(index) > SEEDS:
            luck = uniform_of_rows(index, "recommendation", self.task.database.name,
                                   self.task.name)
            index = index[np.argsort(luck, kind="stable")[:SEEDS]]
        return np.sort(index)

    def alike(self) -> list[tuple[Regime, ...]]:
        """Regimes that are fitted on the same, together."""
        found: dict[str, list[Regime]] = {}
        for regime in self.regimes:
            found.setdefault(self._befores[regime].name, []).append(regime)
        return [tuple(regimes) for regimes in found.values()]

    def first_alike(self, exam: Exam, regime: Regime) -> Regime:
        """The first regime that fits and asks an exam's label rows as this one does."""
        return next(r for r in self.regimes if exam.asked[r] is exam.asked[regime]
                    and self._befores[r] is self._befores[regime])

    def fitted(self, exam: Exam, regime: Regime) -> View:
        """The label rows that an exam is fitted on: under `frozen_db` as stale as test rows are."""
        whole = self._befores[regime]
        return View(f"{whole.name} {exam.name}", whole.labels.take(exam.fit),
                    whole.before[exam.fit])

    def fitted_pairs(self, evidence: Evidence, exam: Exam, regime: Regime) -> PairFeatures:
        """Pair features of `fitted`; those of all exams are worked out once, together."""
        whole = self._befores[regime]
        if whole.name not in self._pairs:
            self._pairs[whole.name] = evidence.pairs(View(
                whole.name, whole.labels.take(self._rows), whole.before[self._rows]))
        return self._pairs[whole.name].take(np.searchsorted(self._rows, exam.fit))

    def _of_fold(self, fold: Fold, newest: bool) -> Exam:
        if newest:  # validation whole; those of its rows that count for choices
            scored = fold.score - len(self.task.train)
            return Exam(fold.name, fold.cut, self.drawn(fold.fit),
                        self._asked("val", self.task.val), scored)
        labels = self.task.known.take(fold.score)
        before = {r: visible_before(labels.times, "rolling", "val", self.task.database,
                                    static=True) if self._static else fold.before(self.task, r)
                  for r in self.regimes}
        return Exam(fold.name, fold.cut, self.drawn(fold.fit),
                    _views(fold.name, labels, before), np.arange(len(labels)))

    def _asked(self, split: str, labels: LabelTable) -> dict[Regime, View]:
        return _views(split, labels, {
            r: visible_before(labels.times, r, split, self.task.database, static=self._static)
            for r in self.regimes})

    def _how_fitted(self) -> dict[Regime, View]:
        """All known label rows as each regime fits on them."""
        known = self.task.known
        if self._static:
            fresh = visible_before(known.times, "rolling", "train", self.task.database, static=True)
            return _views("static", known, dict.fromkeys(self.regimes, fresh))
        return _views("known", known, {r: aged(self.task) if r == "frozen_db" else known.times
                                       for r in self.regimes})


def without_test_labels(task: Task) -> Task:
    """A task none of whose test rows has come true: nothing that is fitted or asked can look."""
    nothing = Destinations(np.zeros(len(task.test) + 1, dtype=np.int64),
                           np.empty(0, dtype=np.int64))
    return dataclasses.replace(
        task, test=LabelTable(task.test.rows, task.test.times, nothing))


def _views(name: str, labels: LabelTable,
           before: Mapping[Regime, np.ndarray]) -> dict[Regime, View]:
    """A view by regime; those that see the same are one."""
    found: dict[Regime, View] = {}
    for regime, seen in before.items():
        same = next((v for v in found.values() if np.array_equal(v.before, seen)), None)
        found[regime] = same or View(f"{name} {regime}", labels, seen)
    return found
