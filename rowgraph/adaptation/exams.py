"""Which label rows a baseline is fitted on, and which it then answers.

An exam is a fold, the validation split, or the test split: rows to fit on, and under each regime
rows to answer, as views (`rowgraph.tasks.folds.views_of`) show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rowgraph.tasks.folds import View, folds_of, views_of
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.regimes import Regime
from rowgraph.tasks.settings import SplitSettings


@dataclass(frozen=True, eq=False)
class Rows:
    """Some label rows of a view.

    Args:
        view: who, when, and what is hidden.
        index: int64 [n], positions in the view.
    """

    view: View
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels(self) -> LabelTable:
        """The label rows."""
        return self.view.labels.take(self.index)

    @property
    def before(self) -> np.ndarray:
        """int64 [n], microseconds: only what is strictly older may be seen."""
        return self.view.before[self.index]


@dataclass(frozen=True, eq=False)
class Exam:
    """Rows to fit on and rows to answer.

    Args:
        name: of the fold, `validation` or `test`; each is fitted on rows of its own.
        cut: microseconds: what is fitted knew nothing that was not known by then.
        fresh: rows to fit on, each as of its own time.
        aged: the same rows, as stale as test rows are under `frozen_db`; None without that regime.
        asked: rows to answer, by regime.
    """

    name: str
    cut: int
    fresh: Rows
    aged: Rows | None
    asked: Mapping[Regime, Rows]

    def fitted(self, aged: bool) -> Rows:
        """The rows to fit on, fresh or aged."""
        return self.aged if aged else self.fresh


@dataclass(frozen=True, eq=False)
class Exams:
    """All exams of a task.

    Args:
        task: what is asked.
        regimes: under which every exam asks.
        folds: oldest first; choices are made on them.
        validation: all validation rows, answered by what was fitted on the training split.
        test: the test rows, answered by the final fit.
    """

    task: Task
    regimes: tuple[Regime, ...]
    folds: tuple[Exam, ...]
    validation: Exam
    test: Exam

    @classmethod
    def of(cls, task: Task, settings: SplitSettings, fit_rows: int | None = None,
           choice_rows: int | None = None) -> Exams:
        """From a task and its splits.

        Args:
            fit_rows: at most so many rows, the newest, are fitted on; None is all.
            choice_rows: the same where folds choose.
        """
        regimes, folds = settings.regimes, folds_of(task, settings.folds)
        views = views_of(task, regimes, folds)
        train = len(task.train)

        def exam(name: str, cut: int, fit: np.ndarray, asked: dict[Regime, Rows]) -> Exam:
            most = fit_rows if name in ("validation", "test") else choice_rows
            if most is not None and len(fit) > most:
                newest = np.argsort(task.known.times[fit], kind="stable")[-most:]
                fit = fit[np.sort(newest)]
            aged = Rows(views["known_aged"], fit) if "known_aged" in views else None
            return Exam(name, cut, Rows(views["known"], fit), aged, asked)

        def known(view: str, positions: np.ndarray, first: int) -> dict[Regime, Rows]:
            found = {"rolling": Rows(views["known"], positions)}
            if view in views:
                found["frozen_db"] = Rows(views[view], positions - first)
            return {regime: found[regime] for regime in regimes}

        exams = []
        for fold in folds[:-1]:
            asked = {"rolling": Rows(views["known"], fold.score)}
            if "frozen_db" in regimes:
                asked["frozen_db"] = Rows(views[f"fold_{fold.name}_frozen_db"],
                                          np.arange(len(fold.score)))
            exams.append(exam(fold.name, fold.cut, fold.fit, {r: asked[r] for r in regimes}))
        newest = folds[-1]
        exams.append(exam(newest.name, newest.cut, newest.fit,
                          known("val_frozen_db", newest.score, train)))
        every = np.arange(train, len(task.known))
        whole = settings.final_fit == "train_and_validation"
        final = np.arange(len(task.known) if whole else train)
        return cls(task, regimes, tuple(exams),
                   exam("validation", newest.cut, np.arange(train),
                        known("val_frozen_db", every, train)),
                   exam("test", task.database.test_timestamp, final,
                        {r: Rows(views[f"test_{r}"], np.arange(len(task.test)))
                         for r in regimes}))

    def named(self, name: str) -> Exam:
        """A fold's exam by its name, or `validation` or `test`."""
        return next(e for e in (*self.folds, self.validation, self.test) if e.name == name)

    def of_split(self, split: str) -> Exam:
        """The exam whose answers are the predictions of a split, `val` or `test`."""
        return {"val": self.validation, "test": self.test}[split]
