"""The kernel of neighbour sampling: draw the neighbours of some nodes along one edge type.

One kernel serves temporal and static sampling; `rowgraph.graph.sampling` says what they mean. The
signatures are explicit, so that everything is compiled once, in about a second, when this module
is imported, and nothing is cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types


class FoundNodes:
    """The nodes of one type found so far, with a hash table from (tree, row) to position."""

    def __init__(self, num_rows: int):
        self.num_rows = num_rows
        self.rows = np.empty(0, dtype=np.int64)
        self.trees = np.empty(0, dtype=np.int64)
        self.slots = np.full(2, -1, dtype=np.int64)
        self.count = 0
        self.hops: list[int] = []

    def start(self, rows: np.ndarray, trees: np.ndarray) -> None:
        """Put the seeds first; equal rows are told apart by their tree."""
        self.reserve(len(rows))
        self.rows[:len(rows)], self.trees[:len(rows)] = rows, trees
        self.count = len(rows)
        _index(self.rows, self.trees, self.count, self.num_rows, self.slots)

    def reserve(self, extra: int) -> None:
        """Make room for `extra` more nodes, keeping the table at most half full."""
        needed = self.count + extra
        if needed > len(self.rows):
            room = max(needed, 2 * len(self.rows))
            self.rows = np.concatenate([self.rows[:self.count], np.empty(room - self.count, int)])
            self.trees = np.concatenate([self.trees[:self.count], np.empty(room - self.count, int)])
        if 2 * needed > len(self.slots):
            self.slots = np.full(1 << (2 * needed).bit_length(), -1, dtype=np.int64)
            _index(self.rows, self.trees, self.count, self.num_rows, self.slots)

    def close_hop(self) -> int:
        """Note how many nodes there are at the end of a hop."""
        self.hops.append(self.count)
        return self.count


_int, _uint, _flag = types.int64, types.uint64, types.boolean
_ints, _uints = types.int64[::1], types.uint64[::1]
_frozen = types.Array(types.int64, 1, "C", readonly=True)  # memory-mapped arrays are read-only


@njit(_uint(_uint))
def _mix(z):
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(_uint(_uint, _int))
def _child(key, what):
    """The key of something named by an integer below another key."""
    return _mix(key + np.uint64(what + 1) * np.uint64(0x9E3779B97F4A7C15))


@njit(_uints(_uint, _frozen, _frozen))
def tree_keys_of(base, rows, bounds):
    """A key per seed from its row and time, or the one key of a shared tree."""
    if len(rows) == 0:
        return np.full(1, base, dtype=np.uint64)
    keys = np.empty(len(rows), dtype=np.uint64)
    for i in range(len(rows)):
        keys[i] = _child(_child(base, rows[i]), bounds[i])
    return keys


@njit(_int(_ints, _int, _int, _int, _int))
def _slot(slots, tree, row, num_rows, mask):
    """Where the search for (tree, row) begins."""
    return np.int64(_mix(np.uint64(tree * num_rows + row)) & np.uint64(mask))


@njit(types.void(_ints, _ints, _int, _int, _ints))
def _index(rows, trees, count, num_rows, slots):
    """Enter the nodes found so far into an empty table."""
    mask = len(slots) - 1
    for node in range(count):
        slot = _slot(slots, trees[node], rows[node], num_rows, mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = node


@njit(_int(_frozen, _ints, _int, _int, _int))
def most_edges(indptr, rows, low, high, k):
    """An upper bound of the edges that nodes `low` to `high` can draw."""
    most = 0
    for node in range(low, high):
        most += min(k, indptr[rows[node] + 1] - indptr[rows[node]])
    return most


@njit(types.UniTuple(_int, 2)(
    _frozen, _frozen, _frozen, _ints, _ints, _int, _int, _uints, _frozen, _flag, _flag, _int, _int,
    _ints, _ints, _ints, _int, _int, types.int64[:, ::1]), nogil=True)
def expand(indptr, indices, times, dst_rows, dst_trees, low, high, tree_keys, bounds, temporal,
            latest, k, number, src_rows, src_trees, slots, src_num_rows, src_count, pairs):
    """Draw neighbours of destinations `low` to `high` along one edge type.

    Returns the number of edges written to `pairs` and the new number of source nodes.
    """
    mask = len(slots) - 1
    num_edges = 0
    chosen = np.empty(k, dtype=np.int64)
    for dst in range(low, high):
        row, tree = dst_rows[dst], dst_trees[dst]
        begin, end = indptr[row], indptr[row + 1]
        if temporal:  # neighbours ascend by time: what is strictly older is a prefix
            left = begin
            while left < end:
                middle = (left + end) // 2
                if times[indices[middle]] < bounds[tree]:
                    left = middle + 1
                else:
                    end = middle
        eligible = end - begin
        count = min(k, eligible)
        if latest or eligible <= k:
            for j in range(count):
                chosen[j] = end - 1 - j
        else:  # Floyd's sampling without replacement (Bentley and Floyd, CACM 1987)
            key = _child(_child(tree_keys[tree], number), row)
            for j in range(k):
                top = eligible - k + j
                pick = np.int64(_child(key, j) % np.uint64(top + 1))
                for i in range(j):
                    if chosen[i] == begin + pick:
                        pick = top
                        break
                chosen[j] = begin + pick
        for j in range(count):
            neighbour = indices[chosen[j]]
            slot = _slot(slots, tree, neighbour, src_num_rows, mask)
            while slots[slot] >= 0 and (src_rows[slots[slot]] != neighbour
                                        or src_trees[slots[slot]] != tree):
                slot = (slot + 1) & mask
            if slots[slot] < 0:
                slots[slot] = src_count
                src_rows[src_count], src_trees[src_count] = neighbour, tree
                src_count += 1
            pairs[0, num_edges], pairs[1, num_edges] = slots[slot], dst
            num_edges += 1
    return num_edges, src_count
