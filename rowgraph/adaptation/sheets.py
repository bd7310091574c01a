"""Window features as matrices, whole or in part, and where a row stands among those of its date.

Shapes: n label rows, F features.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.features.label_history import ALL, OWN
from rowgraph.features.paths import Path, paths_of
from rowgraph.features.store import WindowFeatures
from rowgraph.tasks.label_tables import Task

SEED = "seed"  # the path of what seeds say themselves
RANK = "rank among the rows of its date"


class Sheets:
    """The window features of a task, view by view.

    Args:
        names: of the features; `described`: as `WindowFeatures.columns`.
        categorical, own, near, history, vector: bool [F]: codes; of the entity's own row and the
            seed; of these, of parents and children by one foreign key, and of labels; of labels;
            of an encoder's vector.
    """

    def __init__(self, task: Task, features: WindowFeatures):
        self._features = features
        self._matrices: dict[str, np.ndarray] = {}
        self.names, self.described = features.names, features.columns
        self.categorical = np.zeros(len(self.names), dtype=bool)
        self.categorical[list(features.categorical)] = True
        near = {str(path) for path in _paths(task, two_hops=False)}
        far = {str(path) for path in _paths(task, two_hops=True)} - near
        paths = [column["path"] for column in features.columns]
        self.own = np.array([path in (task.entity_table, SEED) for path in paths], dtype=bool)
        self.near = np.array([path not in far for path in paths], dtype=bool)
        self.history = np.array([path in (OWN, ALL) for path in paths], dtype=bool)
        self.vector = np.zeros(len(self.names), dtype=bool)

    def at(self, exam: Exam) -> Sheets:
        """As they are for an exam: window features are the same for all."""
        return self

    def take(self, rows: Rows, columns: np.ndarray) -> np.ndarray:
        """float32 [n, len(columns)], NaN where missing.

        Raises:
            ValueError: the features are of other label rows.
        """
        matrix = self._matrix(rows)
        if len(columns) == matrix.shape[1]:
            return matrix[rows.index]
        return matrix[np.ix_(rows.index, columns)]

    def ranks(self, rows: Rows, columns: np.ndarray) -> np.ndarray:
        """Where each row stands among the rows of its view that have the same date and see the
        same past: 0 is below all, 1 above all, NaN where missing.

        Each row's features are as of its own seed, so that nothing later than it is looked at.

        Returns:
            float32 [n, len(columns)].
        """
        view, matrix = rows.view, self._matrix(rows)[:, columns]
        moments = np.stack([view.labels.times, view.before])
        group = np.unique(moments, axis=1, return_inverse=True)[1].ravel()
        order = np.argsort(group, kind="stable")
        out = np.empty(matrix.shape, dtype=np.float32)
        for place in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            out[place] = _ranks(matrix[place])
        return out[rows.index]

    def _matrix(self, rows: Rows) -> np.ndarray:
        name = rows.view.name
        if name not in self._matrices:
            matrix = self._features.matrix(name)
            if len(matrix) != len(rows.view.labels):
                raise ValueError(f"window features of view {name} are of {len(matrix)} label rows, "
                                 f"the task has {len(rows.view.labels)}; run window_features again")
            self._matrices[name] = matrix
        return self._matrices[name]


def _paths(task: Task, two_hops: bool) -> list[Path]:
    tables = task.database.tables
    return paths_of(tables, task.entity_table, dict.fromkeys(tables, 0), two_hops=two_hops)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Middle ranks within each column as shares of its present values."""
    missing = np.isnan(values)
    count = np.maximum((~missing).sum(axis=0), 1)
    rank = scipy.stats.rankdata(np.where(missing, np.inf, values), axis=0)
    return np.where(missing, np.nan, (rank - 0.5) / count)
