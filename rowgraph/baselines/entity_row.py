"""`lightgbm_entity`: LightGBM on the entity row's own columns and the timestamp, RelBench's
single-table baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.trials import Candidate
from rowgraph.databases.database import Database
from rowgraph.randomness import stable_seed
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.regimes import hidden
from rowgraph.trees import TREES, Forest, binned, grow, numbers_of, steps_upto

STEPS = (5, 10, 20, 40, 70, 100, 150, 200, 300, 500, 1000)  # trees at which folds are scored


@dataclass(frozen=True, eq=False)
class EntityColumns:
    """The entity row's own columns as numbers, fitted on the entities that label rows name.

    Numbers stay; dates become days; strings and booleans become codes of the values that these
    entities have (others: missing), and a string column with more than 255 distinct ones is text
    and left out. Keys are left out.

    Args:
        values: float64 [rows of the entity table, columns]; NaN = missing or never fitted on.
        times: int64 [rows]: the entity rows' own times; a row that its seed may not see has no
            features.
        names: of the columns, without the timestamp that `features` adds.
        categorical: positions of the coded columns.
        own_row: the row is visible whatever its time (autocomplete).
        known: int64 [rows of the entity table] by position, of columns that may be known later
            than their row (`Database.known_at`).
    """

    values: np.ndarray
    times: np.ndarray
    names: tuple[str, ...]
    categorical: tuple[int, ...]
    own_row: bool
    known: dict[int, np.ndarray]

    @classmethod
    def fit(cls, database: Database, task: Task, rows: Rows) -> EntityColumns:
        """From the entity table; vocabularies from the entities of these rows, where their seeds
        see them."""
        table = task.entity_table
        names, columns, categorical = [], [], []
        times, entities, before = database.times(table), rows.labels.rows, rows.before
        if not task.autocomplete:
            there = ~hidden(times[entities], before)
            entities, before = entities[there], before[there]
        fitted, known = np.unique(entities), {}
        for series in database.read(table, database.attributes(table), late=True).iter_columns():
            late = database.known_at(table, series.name)
            seen = fitted
            if late is not None:
                seen = np.unique(entities[~hidden(late[entities], before)])
            if (found := numbers_of(series, seen)) is None:
                continue
            if late is not None:
                known[len(names)] = late
            if found[1]:
                categorical.append(len(names))
            names.append(series.name)
            columns.append(found[0])
        values = np.stack(columns, axis=1) if columns else np.empty((len(times), 0))
        return cls(values, times, tuple(names), tuple(categorical), task.autocomplete, known)

    def features(self, rows: Rows) -> np.ndarray:
        """float64 [n, columns + 1]: the entity's columns as the seed sees them, and its date in
        days."""
        labels = rows.labels
        own = self.values[labels.rows]
        if not self.own_row:
            own[hidden(self.times[labels.rows], rows.before)] = np.nan
        for column, known in self.known.items():
            own[hidden(known[labels.rows], rows.before), column] = np.nan
        return np.column_stack([own, labels.times / 86_400e6])


@dataclass(frozen=True, eq=False)
class EntityRow:
    """`lightgbm_entity`: implements `rowgraph.adaptation.trials.Model`."""

    task: Task
    trees: int
    name: str = "lightgbm_entity"
    _columns: dict[str, EntityColumns] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of trees that may be chosen."""
        return steps_upto(self.trees, STEPS)

    def candidates(self) -> list[Candidate]:
        """One: only the number of trees is chosen."""
        return [Candidate("own row")]

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> FittedRow:
        """Grow trees on the exam's fresh rows."""
        task = self.task
        if exam.name not in self._columns:
            self._columns[exam.name] = EntityColumns.fit(task.database, task, exam.fresh)
        columns = self._columns[exam.name]
        data = binned(columns.features(exam.fresh), exam.fresh.labels.target,
                      columns.categorical, TREES)
        forest = grow(task.task_type, len(task.classes), data, last,
                      stable_seed("baseline_metrics", task.database.name, task.name, seed), TREES)
        return FittedRow(columns, forest)


@dataclass(frozen=True, eq=False)
class FittedRow:
    """Trees, and the columns that they split on."""

    columns: EntityColumns
    forest: Forest

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """Predictions with so many trees."""
        return self.forest.predict(self.columns.features(rows), steps)
