"""The kernels of window features: what lies in a window of a row's past, and its summary.

The events of a row are grouped and ascend by time, so that what a seed may see is a prefix of
them, and every window ends where the prefix ends: the newest k, those of the last so many
microseconds, all. Sums are taken over the window's events and nothing else, in an order that only
visible events decide: what a seed may not know must not reach it even through rounding, so there
are no running totals across rows, and no differences of totals. Long windows are summed from
blocks of 32 and 1,024 events, counted from a row's oldest event on, which therefore hold visible
events only.

The signatures are explicit, so that everything is compiled once, in about a second, when this
module is imported, and nothing is cached on disk. Shapes: n seeds, E events, W windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import types

from rowgraph.compiling import kernel
from rowgraph.databases.database import TIMELESS
from rowgraph.graph.adjacency import first_not_before

BLOCKS = (32, 1024)  # events in a block of either level
_SMALL, _LARGE = BLOCKS
COUNT, SUM, MIN, MAX = range(4)  # of a summary

_int, _float = types.int64, types.float64
_ints = types.int64[::1]
_frozen = types.Array(types.int64, 1, "C", readonly=True)
_frozen_spans = types.Array(types.int64, 2, "C", readonly=True)
_values = types.Array(types.float64, 1, "C", readonly=True)
_summaries = types.float64[:, ::1]
_OLDEST = TIMELESS + 1  # the oldest time that is a time


@dataclass(frozen=True)
class Looks:
    """The windows of n seeds over the events of the rows that they look at.

    Args:
        begin, end: int64 [n]: the visible events are `begin[i]:end[i]`.
        sizes: int64 [n, W]: events in each window; window w is `end[i] - sizes[i, w]:end[i]`.
        order: int64 [n, W]: the windows of a seed, smallest first.
    """

    begin: np.ndarray
    end: np.ndarray
    sizes: np.ndarray
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.begin)

    def block(self, start: int, stop: int) -> Looks:
        """Those of some seeds."""
        return Looks(self.begin[start:stop], self.end[start:stop], self.sizes[start:stop],
                     self.order[start:stop])


def look_back(indptr: np.ndarray, times: np.ndarray, rows: np.ndarray, before: np.ndarray,
              lasts: tuple[int, ...], spans: tuple[int, ...] | np.ndarray) -> Looks:
    """What each seed sees of the events of a row, in windows: the newest, the recent, all.

    Args:
        indptr: int64 [rows + 1], the events of row r are `indptr[r]:indptr[r + 1]`.
        times: int64 [E], microseconds or `TIMELESS`, ascending within a row.
        rows: int64 [n], the row that each seed looks at, -1 for none.
        before: int64 [n], only what is strictly older is visible.
        lasts: numbers of newest events, a window each.
        spans: microseconds, a window each: [before - span, before), without timeless events; or
            int64 [n, windows], where every seed has its own.

    Returns:
        The windows in the order of `lasts`, `spans` and all.
    """
    spans = np.atleast_2d(np.ascontiguousarray(spans, dtype=np.int64))
    count = len(lasts) + spans.shape[1] + 1
    looks = Looks(np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64),
                  np.zeros((len(rows), count), np.int64), np.zeros((len(rows), count), np.int64))
    _look_back(indptr, times, np.ascontiguousarray(rows), np.ascontiguousarray(before),
               np.array(lasts, np.int64), spans, looks.begin, looks.end, looks.sizes, looks.order)
    return looks


def summaries(indptr: np.ndarray, values: np.ndarray, looks: Looks) -> np.ndarray:
    """Count, sum, minimum and maximum of the present values in every window.

    Args:
        indptr: as in `look_back`.
        values: float64 [E], NaN where missing.

    Returns:
        float64 [n, W, 4]; of an empty window 0, 0, inf and -inf.
    """
    return summarize(values, blocks_of(indptr, values), looks)


def blocks_of(indptr: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Summaries of the full blocks of 32 and of 1,024 events of each row.

    Block k of a row whose events begin at b has number b // size + k, which no two share.

    Returns:
        Two float64 [E // size + 1, 4].
    """
    small = np.zeros((len(values) // _SMALL + 1, 4))
    large = np.zeros((len(values) // _LARGE + 1, 4))
    _fill_blocks(indptr, values, small, large)
    return small, large


def summarize(values: np.ndarray, blocks: tuple[np.ndarray, np.ndarray],
              looks: Looks) -> np.ndarray:
    """As `summaries`, with blocks that were made before."""
    out = np.empty((*looks.sizes.shape, 4))
    _summarize(values, *blocks, looks.begin, looks.end, np.ascontiguousarray(looks.sizes),
               np.ascontiguousarray(looks.order), out)
    return out


@kernel(types.void(_frozen, _frozen, _frozen, _frozen, _frozen, _frozen_spans, _ints, _ints,
                   types.int64[:, ::1], types.int64[:, ::1]), nogil=True)
def _look_back(indptr, times, rows, before, lasts, spans, begin, end, sizes, order):
    windows, widths = sizes.shape[1], spans.shape[1]
    for i in range(len(rows)):
        own = min(i, len(spans) - 1)  # of one for all, that
        if rows[i] >= 0:
            first, last = indptr[rows[i]], indptr[rows[i] + 1]
            last = first_not_before(times, first, last, before[i])
            begin[i], end[i] = first, last
            for w in range(len(lasts)):
                sizes[i, w] = min(lasts[w], last - first)
            for w in range(widths):
                bound = _OLDEST
                if before[i] > _OLDEST + spans[own, w]:  # without an overflow
                    bound = before[i] - spans[own, w]
                sizes[i, len(lasts) + w] = last - first_not_before(times, first, last, bound)
            sizes[i, windows - 1] = last - first
        for w in range(windows):  # an insertion sort: there are few
            place = w
            while place > 0 and sizes[i, order[i, place - 1]] > sizes[i, w]:
                order[i, place] = order[i, place - 1]
                place -= 1
            order[i, place] = w


@kernel(types.void(_frozen, _values, _summaries, _summaries), nogil=True)
def _fill_blocks(indptr, values, small, large):
    for row in range(len(indptr) - 1):
        begin, end = indptr[row], indptr[row + 1]
        for k in range((end - begin) // _SMALL):
            block = begin // _SMALL + k
            small[block, MIN], small[block, MAX] = np.inf, -np.inf
            start = begin + k * _SMALL
            for e in range(start, start + _SMALL):
                value = values[e]
                if not np.isnan(value):
                    small[block, COUNT] += 1
                    small[block, SUM] += value
                    small[block, MIN] = min(small[block, MIN], value)
                    small[block, MAX] = max(small[block, MAX], value)
        each = _LARGE // _SMALL
        for k in range((end - begin) // _LARGE):
            block = begin // _LARGE + k
            large[block, MIN], large[block, MAX] = np.inf, -np.inf
            start = begin // _SMALL + k * each
            for b in range(start, start + each):
                large[block, COUNT] += small[b, COUNT]
                large[block, SUM] += small[b, SUM]
                large[block, MIN] = min(large[block, MIN], small[b, MIN])
                large[block, MAX] = max(large[block, MAX], small[b, MAX])


@kernel(types.void(_values, _summaries, _summaries, _ints, _ints, types.int64[:, ::1],
                   types.int64[:, ::1], types.float64[:, :, ::1]), nogil=True)
def _summarize(values, small, large, begin, end, sizes, order, out):
    """Walk from the newest visible event back, by the largest step that stays in the window."""
    for i in range(len(begin)):
        count, total, low, high = 0.0, 0.0, np.inf, -np.inf
        at = end[i]  # [at, end) has been summed
        for j in range(sizes.shape[1]):
            w = order[i, j]
            stop = end[i] - sizes[i, w]
            while at > stop:
                place = at - begin[i]
                if place % _LARGE == 0 and at - _LARGE >= stop:
                    block = begin[i] // _LARGE + place // _LARGE - 1
                    count += large[block, COUNT]
                    total += large[block, SUM]
                    low = min(low, large[block, MIN])
                    high = max(high, large[block, MAX])
                    at -= _LARGE
                elif place % _SMALL == 0 and at - _SMALL >= stop:
                    block = begin[i] // _SMALL + place // _SMALL - 1
                    count += small[block, COUNT]
                    total += small[block, SUM]
                    low = min(low, small[block, MIN])
                    high = max(high, small[block, MAX])
                    at -= _SMALL
                else:
                    at -= 1
                    value = values[at]
                    if not np.isnan(value):
                        count += 1
                        total += value
                        low = min(low, value)
                        high = max(high, value)
            out[i, w, COUNT], out[i, w, SUM] = count, total
            out[i, w, MIN], out[i, w, MAX] = low, high


@kernel(types.float64[::1](_frozen, _frozen, _values, types.float64), nogil=True)
def faded_means(indptr, times, values, half_life):
    """The mean of a row's values up to each of its events, older ones weighing less.

    A value weighs half as much for every `half_life` that it is older. How much later the seed is
    makes no difference: the factor is the same for all and cancels. Missing values weigh nothing.

    Args:
        indptr, times: as in `look_back`.
        values: float64 [E], NaN where missing.
        half_life: microseconds.

    Returns:
        float64 [E]: of event e, over the row's events up to and including e; NaN without any.
    """
    out = np.empty(len(values))
    for row in range(len(indptr) - 1):
        weight = total = 0.0
        for e in range(indptr[row], indptr[row + 1]):
            if e > indptr[row]:
                fade = 2.0 ** (-(float(times[e]) - float(times[e - 1])) / half_life)
                weight *= fade
                total *= fade
            if not np.isnan(values[e]):
                weight += 1.0
                total += values[e]
            out[e] = total / weight if weight > 0 else np.nan
    return out


@kernel(types.float64[::1](_frozen, _frozen), nogil=True)
def gaps(indptr, times):
    """Microseconds from a row's event before to each event; NaN for the first.

    Returns:
        float64 [E].
    """
    out = np.full(len(times), np.nan)
    for row in range(len(indptr) - 1):
        for e in range(indptr[row] + 1, indptr[row + 1]):
            out[e] = float(times[e]) - float(times[e - 1])
    return out


@kernel(types.float64[::1](_frozen, _frozen, _int), nogil=True)
def firsts(indptr, partners, num_partners):
    """1 where a row meets a partner for the first time, else 0.

    Summed over a window: partners that were new in it; over all: different partners so far.

    Args:
        indptr: as in `look_back`.
        partners: int64 [E], rows of another table.
        num_partners: its rows.

    Returns:
        float64 [E].
    """
    met_by = np.full(num_partners, -1, dtype=np.int64)
    out = np.zeros(len(partners))
    for row in range(len(indptr) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            if met_by[partners[e]] != row:
                met_by[partners[e]] = row
                out[e] = 1.0
    return out
