"""A linear model on the vectors of frozen encoders, one for each, averaged.

Beside a row's vector stand how stale the row is and what was known of the entity's own labels.
Chosen on folds: whether rows fitted on are aged, the penalty, whether vectors are also seen beside
those of the other rows of their date, and of a regression, whether the entity's own level is what
answers are deviations from.

Shapes: n label rows, V channels, K features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.linear import PENALTIES, LinearPath, fit_linear
from rowgraph.adaptation.own_labels import PLAIN, EntityHistory, FittedHistory, OwnLabels
from rowgraph.adaptation.trials import Candidate
from rowgraph.tasks.label_tables import Task

PATH = (*PENALTIES, 0.003, 0.001)
KINDS = (PLAIN, "last", "half-life 6 horizons")  # of an entity's own labels
FIELD = 3  # rows of a date from which on they are a field


@dataclass(frozen=True)
class Options:
    """Of a candidate: vectors beside those of their date; answers from the entity's level."""

    field: bool = False
    level: bool = False


@dataclass(frozen=True, eq=False)
class LinearOnVectors:
    """`untrained` and `own_past`: implements `rowgraph.adaptation.trials.Model`.

    Args:
        kind: of the encoders.
        encoders: how many are averaged.
        name: of the variant.
    """

    task: Task
    vectors: RowVectors
    own: OwnLabels
    kind: str
    encoders: int
    name: str
    steps: tuple[int, ...] = tuple(range(len(PATH)))

    def candidates(self, aged: bool) -> list[Candidate]:
        """What is tried; plain ones first."""
        fields = (False,) if self.task.autocomplete else (False, True)
        levels = ((False, True) if self.task.task_type == "regression"
                  and not self.task.autocomplete else (False,))
        words = {False: "", True: ", beside their date"}, {False: "", True: ", from own level"}
        return [Candidate(f"{'aged' if aged else 'fresh'} rows{words[0][f]}{words[1][v]}", aged,
                          Options(f, v)) for f in fields for v in levels]

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> FittedVectors:
        """Fit the paths of penalties as far as asked."""
        rows, options = exam.fitted(candidate.aged), candidate.options
        target, level = rows.labels.target, None
        if options.level:
            level = level_of(self.task, self.own, exam)
            target = target - level.predict(rows, (0,))[0]
        paths = [fit_linear(self.task.task_type, len(self.task.classes),
                            self.features(exam, number, rows, options), target, (), last, PATH)
                 for number in range(self.encoders)]
        return FittedVectors(self, exam, options, paths, level)

    def features(self, exam: Exam, number: int, rows: Rows, options: Options) -> np.ndarray:
        """float32 [n, K]."""
        found = self.vectors.of(self.kind, exam, number, rows)
        parts = [found]
        if options.field:
            parts.append(found - _of_date(found, rows))
        stale = rows.labels.times - rows.before
        parts.append(np.log1p(stale / max(self.task.timedelta, 1))[:, None])
        if not self.task.autocomplete:
            for kind in KINDS:
                own, count = self.own.of(rows, kind)
                parts.append(np.where(count[:, None] > 0, own, np.nan))
        return np.concatenate(parts, axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class FittedVectors:
    """A path for each encoder, and the level that they are deviations from."""

    model: LinearOnVectors
    exam: Exam
    options: Options
    paths: list[LinearPath]
    level: FittedHistory | None

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """The mean over encoders, at these places of the path."""
        each = [path.predict(self.model.features(self.exam, number, rows, self.options), steps)
                for number, path in enumerate(self.paths)]
        level = 0.0 if self.level is None else self.level.predict(rows, (0,))[0]
        return [np.mean(answers, axis=0) + level for answers in zip(*each, strict=True)]


def level_of(task: Task, own: OwnLabels, exam: Exam) -> FittedHistory:
    """The entity's own level: of all that `entity_history` tries, what is nearest to the labels of
    the rows fitted on. Each of these is answered from what was known before it."""
    history, rows = EntityHistory(task, own), exam.fresh
    tried = [history.fit(candidate, exam, 0, 0) for candidate in history.candidates()]
    return min(tried, key=lambda one: float(np.abs(
        one.predict(rows, (0,))[0] - rows.labels.target).mean()))


def _of_date(vectors: np.ndarray, rows: Rows) -> np.ndarray:
    """float32 [n, V]: the mean over the rows of the same date that see the same past; a row's own
    vector where there are few."""
    moments = np.stack([rows.labels.times, rows.before])
    group = np.unique(moments, axis=1, return_inverse=True)[1].ravel()
    count = np.bincount(group)
    order = np.argsort(group, kind="stable")
    sums = np.add.reduceat(vectors[order], np.cumsum(count) - count, axis=0)
    mean = sums / count[:, None]
    return np.where(count[group, None] >= FIELD, mean[group], vectors)
