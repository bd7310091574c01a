"""Dated links from anchor rows to destination rows, asked as of a moment.

Everything that is known about a pair (how often, how long ago, in which season) is counted here
from links that are strictly older than the moment, each question by itself: there is no running
total that a later link could reach.

Legend: L links, A anchor rows, G pairs that have a link, Q questions, P pairs, W windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import types

from rowgraph.compiling import kernel
from rowgraph.databases.database import NEVER
from rowgraph.graph.adjacency import first_not_before
from rowgraph.tasks.kinds import NO_ROW

COUNT, RECENCY = 0, 1  # the order of `Links.top`


@dataclass(frozen=True, eq=False)
class Links:
    """Links grouped by anchor, and by pair.

    Args:
        num_destinations: rows of the destination table.
        indptr: int64 [A + 1]; the links of anchor a are `indptr[a]:indptr[a + 1]`.
        destination, time: int64 [L], ascending by time within an anchor, ties by destination.
        pair_indptr: int64 [A + 1]; the pairs of anchor a.
        pair_destination: int64 [G], ascending within an anchor.
        pair_start: int64 [G + 1]; the links of a pair in `pair_time`.
        pair_time: int64 [L], ascending within a pair.
    """

    num_destinations: int
    indptr: np.ndarray
    destination: np.ndarray
    time: np.ndarray
    pair_indptr: np.ndarray
    pair_destination: np.ndarray
    pair_start: np.ndarray
    pair_time: np.ndarray

    @classmethod
    def of(cls, anchor: np.ndarray, destination: np.ndarray, time: np.ndarray, num_anchors: int,
           num_destinations: int) -> Links:
        """From one number of each per link; those without an anchor, a destination (-1) or a
        time (`NEVER`) are left out."""
        sound = (anchor >= 0) & (destination >= 0) & (time != NEVER)
        anchor, destination, time = (x[sound].astype(np.int64) for x in (anchor, destination, time))
        order = np.lexsort((destination, time, anchor))
        by_pair = np.lexsort((time, destination, anchor))
        a, d = anchor[by_pair], destination[by_pair]
        first = np.flatnonzero(np.diff(a, prepend=-1) | np.diff(d, prepend=-1))
        return cls(num_destinations, _indptr(anchor, num_anchors), destination[order], time[order],
                   _indptr(a[first], num_anchors), d[first],
                   np.append(first, len(a)).astype(np.int64), time[by_pair])

    def __len__(self) -> int:
        return len(self.time)

    @property
    def num_anchors(self) -> int:
        """Rows of the table that links start from."""
        return len(self.indptr) - 1

    def latest(self, anchor_Q: np.ndarray, before_Q: np.ndarray) -> np.ndarray:
        """int64 [Q]: where each anchor's newest link older than `before` leads; -1 without one."""
        low, high = self._range(anchor_Q, None, before_Q)
        found = np.full(len(anchor_Q), NO_ROW, dtype=np.int64)
        some = high > low
        found[some] = self.destination[high[some] - 1]
        return found

    def totals(self, anchor_Q: np.ndarray, since_Q: np.ndarray | None,
               before_Q: np.ndarray) -> np.ndarray:
        """int64 [Q]: links of each anchor in [since, before); since None: from the beginning."""
        low, high = self._range(anchor_Q, since_Q, before_Q)
        return np.maximum(high - low, 0)

    def top(self, anchor_Q: np.ndarray, since_Q: np.ndarray | None, before_Q: np.ndarray,
            count: int, order: int) -> np.ndarray:
        """The destinations that each anchor linked in [since, before), best first.

        Args:
            order: `COUNT`: most links first, of equals the newest; `RECENCY`: the newest first,
                of equals that with most links. What is then still equal goes by row number.

        Returns:
            int64 [Q, count], padded with -1.
        """
        low, high = self._range(anchor_Q, since_Q, before_Q)
        questions = np.stack([low, np.maximum(high, low)], axis=1)
        distinct, back = np.unique(questions, axis=0, return_inverse=True)
        out = np.full((len(distinct), count), NO_ROW, dtype=np.int64)
        _top(self.destination, self.time, np.ascontiguousarray(distinct[:, 0]),
             np.ascontiguousarray(distinct[:, 1]), order, self.num_destinations, out)
        return out[back.reshape(-1)]

    def about(self, anchor_Q: np.ndarray, begin_QW: np.ndarray, end_QW: np.ndarray,
              question_P: np.ndarray, destination_P: np.ndarray
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is known of pairs.

        Args:
            anchor_Q: -1 where a question has none.
            begin_QW, end_QW: windows [begin, end) of each question. The newest link is looked for
                before the first window's end.
            question_P, destination_P: of each pair.

        Returns:
            int64 [P, W] links in each window; int64 [P] times of the first and of the newest link
            before the first window's end, `NEVER` without one.
        """
        pairs, windows = len(question_P), begin_QW.shape[1]
        counts = np.zeros((pairs, windows), dtype=np.int64)
        first = np.full(pairs, NEVER, dtype=np.int64)
        last = np.full(pairs, NEVER, dtype=np.int64)
        _about(self.pair_indptr, self.pair_destination, self.pair_start, self.pair_time,
               _whole(anchor_Q), _whole(begin_QW), _whole(end_QW), _whole(question_P),
               _whole(destination_P), counts, first, last)
        return counts, first, last

    def _range(self, anchor_Q: np.ndarray, since_Q: np.ndarray | None,
               before_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of each anchor's links in [since, before); none for anchor -1."""
        anchor_Q, before_Q = _whole(anchor_Q), _whole(before_Q)
        high = _firsts_not_before(self.indptr, self.time, anchor_Q, before_Q)
        if since_Q is None:
            return np.where(anchor_Q < 0, 0, self.indptr[anchor_Q]), high
        return _firsts_not_before(self.indptr, self.time, anchor_Q, _whole(since_Q)), high


def _indptr(group: np.ndarray, count: int) -> np.ndarray:
    indptr = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(group, minlength=count), out=indptr[1:])
    return indptr


def _whole(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.int64)


_int, _out, _outs = types.int64, types.int64[::1], types.int64[:, ::1]
_ints = types.Array(types.int64, 1, "C", readonly=True)
_table = types.Array(types.int64, 2, "C", readonly=True)


@kernel(_out(_ints, _ints, _ints, _ints))
def _firsts_not_before(indptr, time, anchor, bound):
    out = np.zeros(len(anchor), dtype=np.int64)
    for q in range(len(anchor)):
        if anchor[q] >= 0:
            out[q] = first_not_before(time, indptr[anchor[q]], indptr[anchor[q] + 1], bound[q])
    return out


@kernel(types.void(_ints, _ints, _ints, _ints, _int, _int, _outs))
def _top(destination, time, low, high, order, num_destinations, out):
    """Fills `out` [Q, k] with the best destinations of each range of links."""
    count = np.zeros(num_destinations, dtype=np.int64)
    newest = np.zeros(num_destinations, dtype=np.int64)
    k = out.shape[1]
    for q in range(len(low)):
        met = np.empty(min(high[q] - low[q], num_destinations), dtype=np.int64)
        size = 0
        for i in range(low[q], high[q]):
            d = destination[i]
            if count[d] == 0:
                met[size] = d
                size += 1
            count[d] += 1
            newest[d] = time[i]  # ascending
        for i in range(size):
            d = met[i]
            # Insertion into the k best so far: k is small, and most are turned away at once.
            place = k
            while place > 0:
                other = out[q, place - 1]
                if other >= 0:
                    a, b = count[d], count[other]
                    c, e = newest[d], newest[other]
                    if order == 1:
                        a, b, c, e = c, e, a, b
                    if a < b or (a == b and (c < e or (c == e and d > other))):
                        break
                place -= 1
            if place < k:
                for j in range(k - 1, place, -1):
                    out[q, j] = out[q, j - 1]
                out[q, place] = d
        for i in range(size):
            count[met[i]] = 0


@kernel(types.void(_ints, _ints, _ints, _ints, _ints, _table, _table, _ints, _ints, _outs, _out,
                   _out))
def _about(pair_indptr, pair_destination, pair_start, pair_time, anchor, begin, end, question,
           destination, counts, first, last):
    for p in range(len(question)):
        q = question[p]
        if anchor[q] < 0:
            continue
        stop = pair_indptr[anchor[q] + 1]
        pair = first_not_before(pair_destination, pair_indptr[anchor[q]], stop, destination[p])
        if pair == stop or pair_destination[pair] != destination[p]:
            continue
        low, high = pair_start[pair], pair_start[pair + 1]
        for w in range(begin.shape[1]):
            until = first_not_before(pair_time, low, high, end[q, w])
            if w == 0 and until > low:
                first[p], last[p] = pair_time[low], pair_time[until - 1]
            counts[p, w] = max(until - first_not_before(pair_time, low, high, begin[q, w]), 0)
