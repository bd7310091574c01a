"""Precedents: what became of others of whom the same could have been asked before.

A question about a row at time t and horizon h, seen as of some time before, has precedents: rows of
the same table at earlier times t', seen as stale, whose spans (t', t' + h] had ended before what
the question sees. What was told of their past and what then happened shows what such a past is
worth in this database, at this horizon and this staleness; no weight has to know it.

Shapes: q questions, P precedents of each, E events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import types

from rowgraph.compiling import kernel
from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.forecasting.relations import Relation
from rowgraph.forecasting.told import (
    MEAN,
    PER_PAST,
    arrays_of,
    came_one,
    ints,
    numbers,
    sums,
    tell_one,
)
from rowgraph.graph.adjacency import first_not_before

NEW = 2.0  # power of a uniform number: how much newer precedents are preferred
AFTER = 1.5  # horizons: how long after an event questions are asked

_draws = types.Array(types.float64, 3, "C", readonly=True)


@dataclass(frozen=True, eq=False)
class Precedents:
    """Of some questions.

    Args:
        rows, times: int64 [q, P]: who, and t' in microseconds.
        past: float32 [q, P, PER_PAST], of each precedent as `told` of a question.
        answer: float32 [q, P], in the unit of the question's.
        there: bool [q, P]; the rest of what is not there is zero.
    """

    rows: np.ndarray
    times: np.ndarray
    past: np.ndarray
    answer: np.ndarray
    there: np.ndarray

    def take(self, index: np.ndarray) -> Precedents:
        """Those of some questions."""
        return Precedents(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: list[Precedents]) -> Precedents:
        """Those of all questions, one part after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts])
                     for name in cls.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Line:
    """The events of a relation in the order of time.

    Args:
        relation: whose they are.
        times, rows: int64 [events with times]: when, and of which row.
    """

    relation: Relation
    times: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, relation: Relation) -> Line:
        """All that have times; those of one time by row."""
        times, indptr = relation.events.times, relation.events.indptr
        timed = (times != TIMELESS) & (times != NEVER)
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))[timed]
        order = np.argsort(times[timed], kind="stable")
        return cls(relation, times[timed][order], rows[order])

    def precedents(self, before: np.ndarray, horizon: np.ndarray, ahead: np.ndarray,
                   kind: np.ndarray, column: np.ndarray, draws: np.ndarray,
                   at_end: bool = False) -> Precedents:
        """Those of some questions, newer ones preferred.

        Each is drawn by an event of its own. Where a mean is asked, that lies in the span, as
        there is no mean of nothing; else the span begins some time after it, as a question's does.

        Args:
            before, horizon, ahead, kind, column: int64 [q], of the questions.
            draws: float64 [2, q, P], uniform: which event, and how long before or after it.
            at_end: the event of a mean is the very end of the span, as a known answer is.
        """
        shape = draws.shape[1:]
        found = Precedents(np.zeros(shape, np.int64), np.zeros(shape, np.int64),
                           np.zeros((*shape, PER_PAST), np.float32), np.zeros(shape, np.float32),
                           np.zeros(shape, bool))
        _draw(self.times, self.rows, *arrays_of(self.relation), before, horizon, ahead, kind,
              column, draws, at_end, found.rows, found.times, found.past, found.answer,
              found.there)
        return found


@kernel(types.void(ints, ints, ints, ints, sums, numbers, ints, ints, ints, ints, ints, _draws,
                 types.boolean, types.int64[:, ::1], types.int64[:, ::1], types.float32[:, :, ::1],
                   types.float32[:, ::1], types.boolean[:, ::1]), nogil=True)
def _draw(line_times, line_rows, indptr, times, totals, counts, before, horizon, ahead, kind,
          column, draws, at_end, rows, at, past, answer, there):
    for q in range(len(before)):
        h, end = horizon[q], before[q] - 1  # the last moment at which a span may end
        holds = kind[q] == MEAN
        bound = end if holds else end - h - 1
        count = first_not_before(line_times, 0, len(line_times), bound)
        if count == 0:
            continue
        for p in range(draws.shape[2]):
            pick = count - 1 - int(draws[0, q, p] ** NEW * count)
            row, event, some = line_rows[pick], line_times[pick], draws[1, q, p]
            if not holds:
                room = min(AFTER * h, end - h - event - 1)
                moment = event + 1 + int(some * max(room, 0))
            elif at_end:
                moment = event - h
            else:  # the span ends at or after the event, and at `end` or before
                least = max(h + event - end, 1)
                moment = event - least - int(some * max(h - least, 0))
            found, known = came_one(indptr, times, totals, counts, row, moment, h, kind[q],
                                    column[q])
            if not known:
                continue
            rows[q, p], at[q, p], answer[q, p], there[q, p] = row, moment, found, True
            tell_one(indptr, times, totals, counts, row, moment - ahead[q], h, kind[q], column[q],
                     past[q, p])
