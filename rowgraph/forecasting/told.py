"""What a question is told of the past of what it asks about, and what then came.

One kernel tells both questions and their precedents, so that both are told alike.

Shapes: q questions, E events, C columns.
"""

from __future__ import annotations

import numpy as np
from numba import types

from rowgraph.cells.scales import UNIT
from rowgraph.compiling import kernel
from rowgraph.databases.database import TIMELESS
from rowgraph.forecasting.reader import HORIZONS
from rowgraph.forecasting.relations import Relation
from rowgraph.graph.adjacency import first_not_before

KINDS = ("exists", "count", "mean")
EXISTS, COUNT, MEAN = range(len(KINDS))
PER_PAST = 14
RULE = 3  # horizons over which the rule looks back
NOBODY = 5.0  # the age of a newest event that is not there

_RULED = HORIZONS.index(RULE)
_WIDTHS = np.array(HORIZONS)
_EVER = len(HORIZONS)
_MEANS = _EVER + 3  # first column of the means, behind counts, age and whether there is none
_OLDEST = TIMELESS + 1  # the oldest time that is a time

_int = types.int64
ints = types.Array(types.int64, 1, "C", readonly=True)
sums = types.Array(types.int64, 2, "C", readonly=True)
numbers = types.Array(types.int32, 2, "C", readonly=True)


def told(relation: Relation, rows: np.ndarray, before: np.ndarray, horizon: np.ndarray,
         kind: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The past of what is asked, and what the rule makes of it.

    Args:
        rows, before, horizon, kind, column: int64 [q].

    Returns:
        float32 [q, PER_PAST]: log counts over horizons and ever; age of the newest in horizons;
        whether there is none; of a column the means, and whether there is none. And float32 [q].
    """
    past, rule = np.zeros((len(rows), PER_PAST), np.float32), np.zeros(len(rows), np.float32)
    _tell(*arrays_of(relation), rows, before, horizon, kind, column, past, rule)
    return past, rule


def came(relation: Relation, rows: np.ndarray, at: np.ndarray, horizon: np.ndarray,
         kind: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What came in (at, at + horizon]: float32 [q], and whether that is an answer: bool [q].

    Args:
        rows, at, horizon, kind, column: int64 [q].
    """
    answer, there = np.zeros(len(rows), np.float32), np.zeros(len(rows), bool)
    _answer(*arrays_of(relation), rows, at, horizon, kind, column, answer, there)
    return answer, there


def arrays_of(relation: Relation) -> tuple[np.ndarray, ...]:
    """What the kernels read of a relation."""
    events = relation.events
    return events.indptr, events.times, relation.totals, relation.counts


@kernel(types.float64(ints, ints, sums, numbers, _int, _int, _int, _int, _int,
                      types.float32[::1]), nogil=True)
def tell_one(indptr, times, totals, counts, row, before, horizon, kind, column, past):
    """Fill a question's past, which is zero, and return what the rule says."""
    begin = end = newest = recent = 0
    if row >= 0:
        begin, end = indptr[row], indptr[row + 1]
        end = first_not_before(times, begin, end, before)
    said = 0.0
    for w in range(_EVER, -1, -1):
        start = begin
        if w < _EVER:
            bound = _OLDEST
            if before > _OLDEST + horizon * _WIDTHS[w]:  # without an overflow
                bound = before - horizon * _WIDTHS[w]
            start = first_not_before(times, begin, end, bound)
        past[w] = np.log1p(float(end - start))
        if w == _RULED:
            recent = end - start
        if kind == MEAN:
            number = counts[end, column] - counts[start, column]
            past[_MEANS + _EVER + 1 + w] = number == 0
            if number > 0:
                value = (totals[end, column] - totals[start, column]) / (number * float(UNIT))
                past[_MEANS + w] = value
                if w in (_EVER, _RULED):
                    said = value
    past[_EVER + 1], past[_EVER + 2] = NOBODY, 1
    if end > begin:
        newest = times[end - 1]
        age = 0.0 if newest == TIMELESS else float(before - newest) / horizon
        past[_EVER + 1], past[_EVER + 2] = np.log1p(max(age, 0.0)), 0
    if kind == MEAN:
        return said
    if kind == COUNT:
        return np.log1p(recent / RULE)
    return recent / RULE - min(past[_EVER + 1], 20) / 100


@kernel(types.Tuple((types.float64, types.boolean))(ints, ints, sums, numbers, _int, _int, _int,
                                                    _int, _int), nogil=True)
def came_one(indptr, times, totals, counts, row, at, horizon, kind, column):
    """A question's answer, and whether there is one."""
    first = first_not_before(times, indptr[row], indptr[row + 1], at + 1)
    last = first_not_before(times, first, indptr[row + 1], at + horizon + 1)
    if kind == EXISTS:
        return 1.0 if last > first else 0.0, True
    if kind == COUNT:
        return np.log1p(float(last - first)), True
    number = counts[last, column] - counts[first, column]
    total = totals[last, column] - totals[first, column]
    return total / (max(number, 1) * float(UNIT)), number > 0


@kernel(types.void(ints, ints, sums, numbers, ints, ints, ints, ints, ints, types.float32[:, ::1],
                   types.float32[::1]), nogil=True)
def _tell(indptr, times, totals, counts, rows, before, horizon, kind, column, past, rule):
    for q in range(len(rows)):
        rule[q] = tell_one(indptr, times, totals, counts, rows[q], before[q], horizon[q], kind[q],
                           column[q], past[q])


@kernel(types.void(ints, ints, sums, numbers, ints, ints, ints, ints, ints, types.float32[::1],
                   types.boolean[::1]), nogil=True)
def _answer(indptr, times, totals, counts, rows, at, horizon, kind, column, answer, there):
    for q in range(len(rows)):
        answer[q], there[q] = came_one(indptr, times, totals, counts, rows[q], at[q], horizon[q],
                                       kind[q], column[q])
