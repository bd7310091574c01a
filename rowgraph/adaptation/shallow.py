"""Trees and linear models on sheets of features, all as of each seed.

On window features and label history alone they are the Data Scientist: what a user would have
without us, as strong as we can make it. Features, size, penalty, number of trees, and whether the
rows fitted on are aged are chosen on folds. See docs/decisions/baselines.md.

Shapes: n label rows, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import lightgbm
import numpy as np

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.linear import PENALTIES, LinearPath, fit_linear
from rowgraph.adaptation.sheets import RANK, Sheets
from rowgraph.adaptation.trials import Candidate
from rowgraph.randomness import stable_seed
from rowgraph.tasks.label_tables import Task
from rowgraph.trees import Forest, binned, grow, steps_upto

GROWTH = {  # of every tree; column by column is several times faster where few are drawn for a tree
    "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 20, "lambda_l2": 1.0,
    "feature_fraction": 0.1, "bagging_fraction": 0.7, "bagging_freq": 1, "max_bin": 63,
    "feature_pre_filter": False, "deterministic": True, "force_col_wise": True, "num_threads": 1,
    "verbosity": -1}
SIZES = {
    "15 leaves": {},
    "7 leaves, smooth": {"num_leaves": 7, "min_data_in_leaf": 60, "lambda_l2": 30.0},
    "31 leaves": {"num_leaves": 31, "feature_fraction": 0.2},
}
PLAIN = next(iter(SIZES))
STEPS = (25, 50, 75, 100, 150, 200, 300, 400, 600, 1000)
FEW = 40  # features: below, a tenth of them is too few for a tree
RANKED = 100  # numbers of highest gain whose rank among the rows of a date may be a feature
LOOK = {**GROWTH, "learning_rate": 0.1}  # a quick look at which features gain
LOOK_TREES = 60
ALL, NEAR, NO_HISTORY, OWN_ROW = "all features", "one foreign key", "no label history", "own row"
RANKS, VECTORS, RANKS_AND_VECTORS = (
    "all features and ranks", "all features and vectors", "all features, ranks and vectors")
HELD = 24  # binned features that are held at a time, a byte a number
CLASS_TREES = 3_000  # trees of all classes together, at most


@dataclass(frozen=True)
class Options:
    """Of a candidate: which features, and the size of the trees."""

    features: str
    size: str = PLAIN


class Picks:
    """Which features a model is given: by part, by gain on the rows fitted on, and with ranks."""

    def __init__(self, task: Task, sheets: Sheets):
        self.task, self.sheets = task, sheets
        self._gains: dict[tuple[str, bool], np.ndarray] = {}

    def parts(self) -> list[str]:
        """The parts that differ; of sheets with vectors those that hold all features. A row of an
        autocomplete task may not be ranked: the others of its date are no older than it."""
        sheets = self.sheets
        ranked = not self.task.autocomplete and not sheets.categorical.all()
        if sheets.vector.any():
            return [VECTORS, RANKS, RANKS_AND_VECTORS] if ranked else [VECTORS, ALL]
        kept = {NEAR: sheets.near, NO_HISTORY: ~sheets.history, OWN_ROW: sheets.own}
        return [ALL, *(part for part, some in kept.items() if some.any() and not some.all()),
                *([RANKS] if ranked else [])]

    def columns(self, part: str) -> np.ndarray:
        """int64: the features of a part, without ranks."""
        sheets = self.sheets
        if part in (VECTORS, RANKS_AND_VECTORS):
            return np.arange(len(sheets.names))
        kept = {NEAR: sheets.near, NO_HISTORY: ~sheets.history, OWN_ROW: sheets.own}
        return np.flatnonzero(kept.get(part, True) & ~sheets.vector)

    def best(self, part: str, exam: Exam, aged: bool, count: int,
             numbers: bool = False) -> np.ndarray:
        """int64: at most so many features of a part, those of highest gain, in their order.

        Args:
            numbers: no codes.
        """
        columns = self.columns(part)
        if numbers:
            columns = columns[~self.sheets.categorical[columns]]
        if len(columns) <= count:
            return columns
        gains = self._gains_on(exam, aged)[columns]
        return np.sort(columns[np.argsort(-gains, kind="stable")[:count]])

    def _gains_on(self, exam: Exam, aged: bool) -> np.ndarray:
        key = exam.name, aged
        if key not in self._gains:
            rows, every = exam.fitted(aged), self.columns(ALL)
            data = binned(self.sheets.take(rows, every), rows.labels.target,
                          np.flatnonzero(self.sheets.categorical[every]), LOOK)
            forest = grow(self.task.task_type, len(self.task.classes), data, LOOK_TREES,
                          _seed(self.task, "gains"), LOOK)
            self._gains[key] = np.zeros(len(self.sheets.names))
            self._gains[key][every] = forest.gains()
        return self._gains[key]


@dataclass(frozen=True, eq=False)
class TreesOnWindows:
    """`data_scientist`: implements `rowgraph.adaptation.trials.Model`.

    Args:
        trees: at most.
        bags: forests whose mean answers.
    """

    task: Task
    picks: Picks
    trees: int
    bags: int
    name: str = "data_scientist"
    _held: dict[tuple[str, bool, str], lightgbm.Dataset] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of trees that may be chosen."""
        most = min(self.trees, max(1, CLASS_TREES // max(len(self.task.classes), 1)))
        return steps_upto(most, STEPS)

    def parts(self, aged: bool) -> list[Candidate]:
        """The first candidates: every part of the features, at a plain size."""
        return [self._candidate(Options(part), aged) for part in self.picks.parts()]

    def sizes(self, chosen: Candidate) -> list[Candidate]:
        """The next: every size, with the features that were chosen."""
        return [self._candidate(Options(chosen.options.features, size), chosen.aged)
                for size in SIZES]

    def _candidate(self, options: Options, aged: bool) -> Candidate:
        label = f"{options.features}, {'aged' if aged else 'fresh'} rows, {options.size}"
        return Candidate(label, aged, options)

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> FittedTrees:
        """Grow the forests."""
        sheets, options = self.picks.sheets.at(exam), candidate.options
        columns = self.picks.columns(options.features)
        ranked = np.empty(0, np.int64)
        if options.features in (RANKS, RANKS_AND_VECTORS):
            ranked = self.picks.best(ALL, exam, candidate.aged, RANKED, numbers=True)
        fitted = FittedTrees(sheets, columns, ranked, [])
        growth = {**GROWTH, **SIZES[options.size]}
        if len(columns) + len(ranked) <= FEW:
            growth["feature_fraction"] = 0.8
        data = self._data(candidate, exam, fitted)
        for bag in range(self.bags):
            fitted.forests.append(grow(self.task.task_type, len(self.task.classes), data, last,
                                       _seed(self.task, self.name, seed, bag), growth))
        return fitted

    def _data(self, candidate: Candidate, exam: Exam, fitted: FittedTrees) -> lightgbm.Dataset:
        """The bins of an exam's rows; a few are held, for other sizes and seeds."""
        key = exam.name, candidate.aged, candidate.options.features
        if key not in self._held:
            if len(self._held) >= HELD:
                del self._held[next(iter(self._held))]
            rows = exam.fitted(candidate.aged)
            self._held[key] = binned(
                fitted.features(rows), rows.labels.target,
                np.flatnonzero(self.picks.sheets.categorical[fitted.columns]), GROWTH)
        return self._held[key]


@dataclass(frozen=True, eq=False)
class FittedTrees:
    """Forests, and the features and ranks that they split on."""

    sheets: Sheets
    columns: np.ndarray
    ranked: np.ndarray
    forests: list[Forest]

    def features(self, rows: Rows) -> np.ndarray:
        """float32 [n, columns and ranks]."""
        found = self.sheets.take(rows, self.columns)
        if not len(self.ranked):
            return found
        return np.concatenate([found, self.sheets.ranks(rows, self.ranked)], axis=1)

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """The mean over forests, with so many trees of each."""
        features = self.features(rows)
        each = [forest.predict(features, steps) for forest in self.forests]
        return [np.mean(answers, axis=0) for answers in zip(*each, strict=True)]

    def importances(self, trees: int) -> list[tuple[str, float]]:
        """Features and their share of all gain, highest first."""
        gain = np.sum([forest.gains(trees) for forest in self.forests], axis=0)
        names = [self.sheets.names[i] for i in self.columns]
        names += [f"{self.sheets.names[i]} · {RANK}" for i in self.ranked]
        total = gain.sum() or 1.0
        order = [int(i) for i in np.argsort(-gain, kind="stable") if gain[i] > 0]
        return [(names[i], float(gain[i] / total)) for i in order]


@dataclass(frozen=True, eq=False)
class LinearOnWindows:
    """`data_scientist_linear`: implements `rowgraph.adaptation.trials.Model`.

    Its steps are places in `PENALTIES`, 0 being the strongest.

    Args:
        features: at most so many, those that gain most.
    """

    task: Task
    picks: Picks
    features: int
    name: str = "data_scientist_linear"

    @property
    def steps(self) -> tuple[int, ...]:
        """Places of the penalties that may be chosen."""
        return tuple(range(len(PENALTIES)))

    def candidates(self, aged: bool) -> list[Candidate]:
        """All features, with and without the label history, of those the ones that gain most."""
        return [Candidate(f"{part}, {'aged' if aged else 'fresh'} rows", aged, Options(part))
                for part in self.picks.parts() if part != RANKS]

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> FittedLinear:
        """Fit the path of penalties as far as asked."""
        sheets = self.picks.sheets.at(exam)
        columns = self.picks.best(candidate.options.features, exam, candidate.aged, self.features)
        rows = exam.fitted(candidate.aged)
        path = fit_linear(self.task.task_type, len(self.task.classes), sheets.take(rows, columns),
                          rows.labels.target, np.flatnonzero(sheets.categorical[columns]), last)
        return FittedLinear(sheets, columns, path)


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """A linear model and its features."""

    sheets: Sheets
    columns: np.ndarray
    path: LinearPath

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """Predictions at these places of the path."""
        return self.path.predict(self.sheets.take(rows, self.columns), steps)


def _seed(task: Task, *parts: object) -> int:
    return stable_seed("baseline_metrics", task.database.name, task.name, *parts)
