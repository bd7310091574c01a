"""The loops of the encoder's inputs: numbers, ages and windows spread out as features.

Shapes: n nodes, N columns, E events. Nothing here is trained; gradients begin behind it.
"""

from __future__ import annotations

import numpy as np
from numba import types

from rowgraph.cells.scales import MISSING, UNIT
from rowgraph.compiling import kernel
from rowgraph.databases.database import NEVER, TIMELESS

STEPS = 8  # places of a number are spread over so many
PER_NUMBER = STEPS + 2
DAYS = np.log1p(np.array([0.0, 0.04, 1.0, 7.0, 30.0, 120.0, 365.0, 1500.0, 10_000.0]))
PER_MOMENT = len(DAYS) - 1 + 5
PER_AGE = 5
PER_MEAN = 2
DAY = 86_400e6
TOP = 3000.0  # an age as long as the whole span counts so many units

_int, _float = types.int64, types.float64
_ints = types.Array(types.int64, 1, "C", readonly=True)
_grid = types.Array(types.int64, 2, "C", readonly=True)
_out = types.float32[:, ::1]


@kernel(types.void(_int, _int, _int, _float, types.float32[::1], _int), nogil=True)
def _age(moment, before, horizon, span, out, at):
    """Logs of an age in days, in horizons and in shares of the span; to come; missing."""
    if moment in (NEVER, TIMELESS):
        out[at + 4] = 1
        return
    age = float(before) - float(moment)
    far = abs(age)
    out[at] = np.log1p(far / DAY) / 5
    out[at + 1] = np.log1p(far / horizon) / 2
    out[at + 2] = np.log1p(far / span * TOP) / 4
    out[at + 3] = 1 if age < 0 else 0


@kernel(types.void(_int, _int, _int, _float, types.float32[::1], _int), nogil=True)
def _since(moment, before, horizon, span, out, at):
    age = float(before) - float(moment)
    out[at] = np.log1p(age / DAY) / 5
    out[at + 1] = np.log1p(age / horizon) / 2
    out[at + 2] = np.log1p(age / span * TOP) / 4


@kernel(types.void(types.int16[:, ::1], _out), nogil=True)
def spread_numbers(places, out):
    """float32 [n, N * PER_NUMBER] of places in `UNIT`: how far each of `STEPS` steps is climbed,
    the place itself, and whether it is missing."""
    for i in range(places.shape[0]):
        for c in range(places.shape[1]):
            at = c * PER_NUMBER
            if places[i, c] == MISSING:
                out[i, at + STEPS + 1] = 1
                continue
            place = places[i, c] / UNIT
            for k in range(STEPS):
                out[i, at + k] = min(max((place + 1) * (STEPS / 2) - k, 0.0), 1.0)
            out[i, at + STEPS] = place


@kernel(types.void(types.int64[:, ::1], _ints, _ints, _float, _out), nogil=True)
def spread_moments(moments, before, horizon, span, out):
    """float32 [n, N * PER_MOMENT] of moments as ages at the seed: steps of log days, then what
    `_age` says.

    Args:
        moments: int64 [n, N], microseconds, `NEVER` where missing.
        before, horizon: int64 [n], of each node's seed.
        span: microseconds of the whole past.
    """
    for i in range(moments.shape[0]):
        for c in range(moments.shape[1]):
            at = c * PER_MOMENT
            if moments[i, c] != NEVER and moments[i, c] != TIMELESS:
                days = np.log1p(abs(float(before[i]) - float(moments[i, c])) / DAY)
                for k in range(len(DAYS) - 1):
                    step = (days - DAYS[k]) / (DAYS[k + 1] - DAYS[k])
                    out[i, at + k] = min(max(step, 0.0), 1.0)
            _age(moments[i, c], before[i], horizon[i], span, out[i], at + len(DAYS) - 1)


@kernel(types.void(_ints, _ints, _ints, _float, _out), nogil=True)
def spread_ages(times, before, horizon, span, out):
    """float32 [n, PER_AGE] of one moment a node: `_age`."""
    for i in range(len(times)):
        _age(times[i], before[i], horizon[i], span, out[i], 0)


@kernel(types.void(_ints, _ints, _ints, _grid, _ints, _ints, _ints, _float, _int, _out), nogil=True)
def spread_windows(times, begin, end, sizes, before, horizon, which, span, at, out):
    """Of each node's events, into the columns from `at` on: log counts in every window, whether
    there is one in those of horizons (`which`), ages of the newest and of the first, and whether
    there is any."""
    windows = sizes.shape[1]
    for i in range(len(begin)):
        for w in range(windows):
            out[i, at + w] = np.log1p(float(sizes[i, w])) / 2
        for k in range(len(which)):
            out[i, at + windows + k] = 1 if sizes[i, which[k]] > 0 else 0
        place = at + windows + len(which)
        if end[i] > begin[i]:
            if times[end[i] - 1] != TIMELESS:
                _since(times[end[i] - 1], before[i], horizon[i], span, out[i], place)
            if times[begin[i]] != TIMELESS:
                _since(times[begin[i]], before[i], horizon[i], span, out[i], place + 3)
            out[i, place + 6] = 1


@kernel(types.void(types.Array(types.int64, 2, "C", readonly=True),
                   types.Array(types.int32, 2, "C", readonly=True), _ints, _grid, _int, _out),
        nogil=True)
def spread_means(totals, counts, end, starts, at, out):
    """Means of columns of the events in some windows, and whether there is none.

    Args:
        totals: int64 [E + 1, N]: sums of places over all events before each.
        counts: int32 [E + 1, N]: how many of them are not missing.
        end: int64 [n]; starts: int64 [n, windows]: window w is `starts[i, w]:end[i]`.
        at: first column of `out`, which gets [N, windows, PER_MEAN] of each node.
    """
    for i in range(len(end)):
        place = at
        for c in range(totals.shape[1]):
            for w in range(starts.shape[1]):
                count = counts[end[i], c] - counts[starts[i, w], c]
                if count > 0:
                    total = totals[end[i], c] - totals[starts[i, w], c]
                    out[i, place] = total / (count * float(UNIT))
                else:
                    out[i, place + 1] = 1
                place += PER_MEAN
