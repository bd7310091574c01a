"""Window features with the vectors of an encoder beside them, as trees are given them."""

from __future__ import annotations

import numpy as np

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.sheets import Sheets
from rowgraph.features.store import WindowFeatures
from rowgraph.tasks.label_tables import Task


class WideSheets(Sheets):
    """Window features, and then vectors.

    Args:
        vectors: of the task's rows.
        kind: of the encoder, the first of which is used.
    """

    def __init__(self, task: Task, features: WindowFeatures, vectors: RowVectors, kind: str):
        super().__init__(task, features)
        self._vectors, self._kind = vectors, kind
        self.windows = len(self.names)
        width = vectors.settings.output
        self.names = (*self.names, *(f"vector · {k}" for k in range(width)))
        for name in ("categorical", "own", "near", "history", "vector"):
            more = np.full(width, name == "vector")
            setattr(self, name, np.concatenate([getattr(self, name), more]))
        self._exam: Exam | None = None

    def at(self, exam: Exam) -> WideSheets:
        """With the vectors of the encoder that an exam may use."""
        found = object.__new__(WideSheets)
        found.__dict__ = {**self.__dict__, "_exam": exam}
        return found

    def take(self, rows: Rows, columns: np.ndarray) -> np.ndarray:
        """float32 [n, len(columns)], NaN where missing."""
        windows = columns[columns < self.windows]
        found = [super().take(rows, windows)] if len(windows) else []
        if len(wide := columns[columns >= self.windows] - self.windows):
            found.append(self._vectors.of(self._kind, self._exam, 0, rows)[:, wide])
        return np.concatenate(found, axis=1)
