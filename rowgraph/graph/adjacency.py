"""Time-sorted neighbours along one edge type, and the loops that group and check them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import types

from rowgraph.compiling import kernel

EdgeType = tuple[str, str, str]  # (source, relation, destination): messages flow that way


class GraphError(ValueError):
    """A database or a folder that gives no entity graph; the message names table and column."""


@dataclass(frozen=True)
class Adjacency:
    """The neighbours along one edge type, grouped by destination.

    Args:
        indptr: int64 [num_dst + 1]; the neighbours of node i are `indices[indptr[i]:indptr[i+1]]`.
        indices: int64 [E], source rows. Within a destination they ascend by time, ties by row
            number (`EntityGraph` checks that), so that what is visible is always a prefix.
        times: int64 [E], microseconds: from when each edge is known, where that can be later than
            the source row's own time, as with a key that is written later; neighbours then ascend
            by it. None: the source rows' times say it.
    """

    indptr: np.ndarray
    indices: np.ndarray
    times: np.ndarray | None = None

    def __post_init__(self):
        if self.times is not None and self.times.shape != self.indices.shape:
            raise GraphError(f"adjacency: {len(self.times)} times for {len(self.indices)} edges")
        for name in ("indptr", "indices") + (("times",) if self.times is not None else ()):
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != np.int64:
                raise GraphError(f"adjacency: {name} must be int64 with one dimension, found "
                                 f"{array.dtype} with {array.ndim}")
        if len(self.indptr) == 0 or self.indptr[0] != 0 or self.indptr[-1] != len(self.indices):
            raise GraphError("adjacency: indptr must start at 0 and end at the number of edges "
                             f"({len(self.indices)})")
        if np.any(self.indptr[1:] < self.indptr[:-1]):
            raise GraphError("adjacency: indptr must not decrease")

    @property
    def num_dst(self) -> int:
        """Nodes of the destination type."""
        return len(self.indptr) - 1

    @property
    def num_edges(self) -> int:
        """Edges of this type."""
        return len(self.indices)

    @property
    def degree(self) -> np.ndarray:
        """int64 [num_dst]: neighbours of each destination."""
        return np.diff(self.indptr)

    def edge_index(self) -> np.ndarray:
        """int64 [2, E]: source and destination rows, ordered by destination."""
        destination = np.repeat(np.arange(self.num_dst, dtype=np.int64), self.degree)
        return np.stack([self.indices, destination])


_ints = types.Array(types.int64, 1, "C", readonly=True)  # memory-mapped arrays are read-only
_int = types.int64


@kernel(_int(_ints, _int, _int, _int))
def first_not_before(values, left, right, bound):
    """The first position in [left, right), where values ascend, of one that is not before a bound;
    right if there is none. Of times: what lies in front of it is what was before the bound.
    """
    while left < right:
        middle = (left + right) // 2
        if values[middle] < bound:
            left = middle + 1
        else:
            right = middle
    return left


@kernel(types.int64[::1](_ints, _ints, _ints))
def grouped_by_parent(by_time, parent_row, indptr):
    """Rows grouped by parent, in the order of `by_time` within a group: a counting sort.

    Args:
        by_time: int64 [num_rows], rows in order; empty where that is the order of row numbers.
        parent_row: int64 [num_rows], -1 where a row has no parent: such rows are left out.
        indptr: int64 [num_parents + 1], where each group starts.

    Returns:
        int64 [E].
    """
    place = indptr[:-1].copy()
    out = np.empty(indptr[-1], dtype=np.int64)
    for i in range(len(parent_row)):
        row = by_time[i] if len(by_time) else i
        parent = parent_row[row]
        if parent >= 0:
            out[place[parent]] = row
            place[parent] += 1
    return out


@kernel(types.boolean(_ints, _ints, _ints, _ints))
def known_in_order(indptr, indices, edge_times, times):
    """Whether every node's edges ascend by their own times and none is older than its source."""
    for node in range(len(indptr) - 1):
        for e in range(indptr[node], indptr[node + 1]):
            if edge_times[e] < times[indices[e]]:
                return False
            if e > indptr[node] and edge_times[e - 1] > edge_times[e]:
                return False
    return True


@kernel(types.boolean(_ints, _ints, _ints, types.boolean))
def in_time_order(indptr, indices, times, ascending):
    """Whether the neighbours of every node ascend by time, ties by row number.

    Where all rows of the source ascend by time (`ascending`), row numbers alone can tell, and no
    time is looked up.
    """
    for node in range(len(indptr) - 1):
        for e in range(indptr[node] + 1, indptr[node + 1]):
            before, after = indices[e - 1], indices[e]
            later = not ascending and times[before] > times[after]
            tied = ascending or times[before] == times[after]
            if later or (tied and before > after):
                return False
    return True
