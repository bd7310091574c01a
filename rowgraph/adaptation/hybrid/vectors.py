"""Vectors of label rows, by encoder, each made once.

Shapes: n label rows, V channels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.cells.store import Cells
from rowgraph.forecasting.answers import with_answers
from rowgraph.forecasting.batches import Batch
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.own_past import OwnPast
from rowgraph.forecasting.pretraining import load_forecast_weights
from rowgraph.forecasting.reader import Reader
from rowgraph.forecasting.training import Weights
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.tasks.label_tables import Task

UNTRAINED, OWN_PAST, PRETRAINED = "untrained", "own_past", "pretrained"
AT_ONCE = 512  # rows that are encoded at a time


class RowVectors:
    """What encoders say of a task's label rows.

    Args:
        task: of a held-out database; known answers become a table beside it.
        graph, cells: of the database as the task sees it.
        own_past: of the database; untrained encoders have the shape of its weights.
        forecast: folder of weights that were trained on other databases.
        device: as torch names it.
    """

    def __init__(self, task: Task, graph: EntityGraph, cells: Cells, own_past: OwnPast,
                 forecast: Path, device: str | torch.device):
        self.task, self.own_past = task, own_past
        self.settings, self._forecast = own_past.settings, forecast
        self.device = torch.device(device)
        graph, cells = with_answers(graph.without(task.database.hidden), cells, task)
        self.reader = Reader(graph, cells, task.database.val_timestamp, self.settings.fan_out)
        self.names = Names.of(self.reader).to(self.device)
        self._weights: dict[tuple[str, str, int], Weights] = {}
        self._made: dict[tuple[str, str, int, str], np.ndarray] = {}

    def end(self, kind: str, exam: Exam) -> str:
        """Until when the encoders of a kind were trained that an exam may use."""
        return self.own_past.end_for(exam.cut) if kind == OWN_PAST else ""

    def weights(self, kind: str, exam: Exam, number: int) -> Weights:
        """An encoder for an exam."""
        key = kind, self.end(kind, exam), number
        if key not in self._weights:
            if kind == UNTRAINED:
                made = Weights.fresh(self.settings, number)
            elif kind == PRETRAINED:
                made = load_forecast_weights(self._forecast)
            else:
                made = self.own_past.weights(key[1], self.own_past.seeds[number])
            for module in made.parts.values():
                module.to(self.device).eval()
            self._weights[key] = made
        return self._weights[key]

    def count(self, kind: str, untrained: int) -> int:
        """Encoders of a kind."""
        return {UNTRAINED: untrained, PRETRAINED: 1}.get(kind, len(self.own_past.seeds))

    def batch(self, rows: Rows) -> Batch:
        """What some label rows may see."""
        labels, before = rows.labels, rows.before
        return self.seen(self.task.entity_table, labels.rows, before, labels.times - before,
                         self.task.autocomplete)

    def seen(self, table: str, rows: np.ndarray, before: np.ndarray, ahead: np.ndarray,
             own_row: bool) -> Batch:
        """What rows of any table may see, asked about the task's horizon.

        Args:
            rows, before, ahead, own_row: as in `rowgraph.forecasting.reader.Reader.batch`.
        """
        horizon = np.full(len(rows), max(self.task.timedelta, 1), np.int64)
        if self.task.autocomplete:
            horizon[:] = max(int(self.reader.span / 100), 1)
        return self.reader.batch(table, rows, before, horizon, ahead, own_row)

    @torch.no_grad()
    def of(self, kind: str, exam: Exam, number: int, rows: Rows) -> np.ndarray:
        """float32 [n, V]: the vectors of some label rows by one encoder."""
        key = kind, self.end(kind, exam), number, rows.view.name
        weights = self.weights(kind, exam, number)
        if key not in self._made:
            width = weights.encoder.shape.output
            self._made[key] = np.full((len(rows.view.labels), width), np.nan, np.float32)
        made = self._made[key]
        missing = rows.index[np.isnan(made[rows.index, 0])]
        for first in range(0, len(missing), AT_ONCE):
            some = Rows(rows.view, missing[first:first + AT_ONCE])
            found = weights.encoder(self.batch(some).to(self.device), self.names,
                                    weights.corrections)
            made[some.index] = found.cpu().numpy()
        return made[rows.index]
