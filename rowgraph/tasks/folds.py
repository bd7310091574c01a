"""Folds: where everything is chosen. Test labels are never part of one.

A fold is the test split played on what is known: a cut in the past, label rows that were known by
then to fit on, and the label rows of the following span, as long as the test split's, to score.
The newest fold is RelBench's own validation split; each older one ends where the next begins. The
cuts are label times of the data, and under `frozen_db` the scored rows see the database up to the
cut, so that they age as the test rows do. See docs/decisions/folds.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rowgraph.databases.database import Database
from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.regimes import INCLUSIVE, Regime, seen_before


@dataclass(frozen=True, eq=False)
class Fold:
    """One forward-chained fold.

    Args:
        cut: microseconds; what is fitted knew nothing that was not known by then.
        fit, score: int64, positions in `Task.known`.
    """

    cut: int
    fit: np.ndarray
    score: np.ndarray

    @property
    def name(self) -> str:
        """The day of the cut."""
        return str(np.datetime64(self.cut, "us").astype("datetime64[D]"))

    def before(self, task: Task, regime: Regime) -> np.ndarray:
        """int64 [len(score)]: the effective seed times of the scored rows."""
        return seen_before(task.known.times[self.score], regime, self.cut)


def folds_of(task: Task, count: int) -> tuple[Fold, ...]:
    """At most `count` folds, oldest first; the last is the validation split itself.

    Args:
        task: train and validation labels are dealt out.
        count: folds wanted, at least 1. Older ones that would have less than a tenth of the
            training rows to fit on, or labels of one class only on either side, are left out.

    Examples:
        >>> import tempfile
        >>> from rowgraph.example import write_example, write_example_task
        >>> from rowgraph.tasks.folds import folds_of
        >>> task = write_example_task(write_example(tempfile.mkdtemp()))
        >>> [(fold.name, len(fold.fit), len(fold.score)) for fold in folds_of(task, 3)]
        [('2024-09-01', 64, 8)]
    """
    known, train, dates = task.known, len(task.train), task.dates
    cut = task.database.val_timestamp
    span = int(task.test.times.max() - task.test.times.min())
    validation = np.arange(train, len(known))
    aged = validation[known.times[validation] <= known.times[validation].min() + span]
    folds = [Fold(cut, np.arange(train), aged if len(aged) else validation)]
    while len(folds) < count:
        older = dates[dates <= cut - task.timedelta]  # whose outcomes were known by the cut
        if not len(older):
            break
        ends = older[-1]
        cut = int(older[older >= ends - span][0])
        score = np.flatnonzero((known.times[:train] >= cut) & (known.times[:train] <= ends))
        fit = np.flatnonzero(known.times[:train] + task.timedelta <= cut)
        if len(fit) < max(train // 10, 2) or not (_varied(task, fit) and _varied(task, score)):
            break
        folds.append(Fold(cut, fit, score))
    return tuple(reversed(folds))


def _varied(task: Task, index: np.ndarray) -> bool:
    if task.task_type == "recommendation":
        return True
    return len(np.unique(task.known.numbers[index])) > 1


@dataclass(frozen=True, eq=False)
class View:
    """Label rows as a model is asked about them: who, when, and what is hidden.

    Args:
        name: for people and file names.
        labels: the label rows.
        before: int64 [n], microseconds: only what is strictly older may be seen.
    """

    name: str
    labels: LabelTable
    before: np.ndarray


def views_of(task: Task, regimes: tuple[Regime, ...], folds: tuple[Fold, ...]) -> dict[str, View]:
    """Every way in which label rows of a task are looked at, by name.

    - `known`: `Task.known`, each row at its own time: to fit on, and rolling validation and folds;
    - `known_aged` (frozen_db): the same, each aged as a test row is (`aged`): to fit on;
    - `val_frozen_db`, `fold_<cut>_frozen_db`: rows to score with the database frozen at a cut;
    - `test_<regime>`: the test rows.
    """
    known, database = task.known, task.database
    views = {"known": View("known", known, known.times.copy())}

    def add(name: str, labels: LabelTable, before: np.ndarray) -> None:
        views[name] = View(name, labels, before)

    if "frozen_db" in regimes:
        add("known_aged", known, aged(task))
        add("val_frozen_db", task.val,
            seen_before(task.val.times, "frozen_db", database.val_timestamp))
        for fold in folds[:-1]:
            add(f"fold_{fold.name}_frozen_db", known.take(fold.score),
                fold.before(task, "frozen_db"))
    for regime in regimes:
        add(f"test_{regime}", task.test,
            seen_before(task.test.times, regime, database.test_timestamp))
    return views


def aged(task: Task) -> np.ndarray:
    """Effective seed times for training rows that are as stale as test rows are under `frozen_db`.

    Each training row gets the age (distance between its own time and what it sees) of a test row
    that is drawn for it. A model for `frozen_db` that was fitted on fresh rows alone has never
    seen a stale one.

    Returns:
        int64 [len(task.known)], microseconds, never later than the row's own time.
    """
    ages = ages_of(task.test.times, task.database)
    draw = generator("aged", task.database.name, task.name).integers(0, len(ages),
                                                                     len(task.known))
    return task.known.times - ages[draw]


def ages_of(times: np.ndarray, database: Database) -> np.ndarray:
    """int64 [n], microseconds: how stale each test row is under `frozen_db`."""
    return times - np.minimum(times, database.test_timestamp + INCLUSIVE)
