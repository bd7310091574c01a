"""The kernel of neighbour sampling: draw the neighbours of some nodes along one edge type.

`rowgraph.graph.sampling` says what temporal and static sampling mean; one kernel serves both. It
goes over the nodes several times, and each pass reads one kind of thing: a large graph lies in no
cache, and reads that do not wait for each other overlap (docs/decisions/sampler.md). The
signatures are explicit, so that everything is compiled once, in about a second, when this module
is imported, and nothing is cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import types

from rowgraph.compiling import kernel


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


_NODE = np.int64(2**32 - 1)  # a slot holds a node in its low bits and a tag above; -1 is free

_int, _uint, _flag = types.int64, types.uint64, types.boolean
_ints, _uints, _pairs = types.int64[::1], types.uint64[::1], types.int64[:, ::1]
_frozen = types.Array(types.int64, 1, "C", readonly=True)  # memory-mapped arrays are read-only


@kernel(_uint(_uint))
def _mix(z):
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel(_uint(_uint, _int))
def _child(key, what):
    """The key of something named by an integer below another key."""
    return _mix(key + np.uint64(what + 1) * np.uint64(0x9E3779B97F4A7C15))


@kernel(_uints(_uint, _frozen, _frozen), nogil=True)
def tree_keys_of(base, rows, bounds):
    """A key per seed from its row and time, or the one key of a shared tree."""
    if len(rows) == 0:
        return np.full(1, base, dtype=np.uint64)
    keys = np.empty(len(rows), dtype=np.uint64)
    for i in range(len(rows)):
        keys[i] = _child(_child(base, rows[i]), bounds[i])
    return keys


@kernel(_uint(_int, _int, _int))
def _hash(tree, row, num_rows):
    """Of a node in its tree: its low bits say where the search for it begins."""
    return _mix(np.uint64(tree * num_rows + row))


@kernel(_int(_uint))
def _tag(key):
    """The high bits of a hash, kept in a slot so that few other nodes have to be looked at."""
    return np.int64((key >> np.uint64(33)) << np.uint64(32))


@kernel(types.void(_ints, _ints, _int, _int, _ints), nogil=True)
def _index(rows, trees, count, num_rows, slots):
    """Enter the nodes found so far into an empty table."""
    mask = np.int64(len(slots) - 1)
    for node in range(count):
        key = _hash(trees[node], rows[node], num_rows)
        slot = np.int64(key) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = _tag(key) | node


@kernel(_int(_frozen, _frozen, _frozen, _ints, _ints, _frozen, _flag, _int, _pairs), nogil=True)
def eligible(indptr, indices, times, rows, trees, bounds, bounded, k, spans):
    """Where the neighbours lie that each of some nodes may see; returns the edges to draw.

    `spans` receives their first position in `indices` and the one after their last.
    """
    num_edges = 0
    for node in range(len(rows)):
        spans[0, node], spans[1, node] = indptr[rows[node]], indptr[rows[node] + 1]
    for node in range(len(rows)):
        begin, end = spans[0, node], spans[1, node]
        if bounded and begin < end:
            bound = bounds[trees[node]]
            left = begin
            if times[indices[end - 1]] < bound:
                left = end
            while left < end:  # neighbours ascend by time: what is strictly older is a prefix
                middle = (left + end) // 2
                if times[indices[middle]] < bound:
                    left = middle + 1
                else:
                    end = middle
            spans[1, node] = end
        num_edges += min(k, end - begin)
    return num_edges


@kernel(types.void(_frozen, _ints, _ints, _pairs, _int, _uints, _flag, _int, _int, _pairs),
        nogil=True)
def draw(indices, rows, trees, spans, low, tree_keys, latest, k, number, pairs):
    """Draw up to k neighbours of each of some nodes: their rows and the node's position."""
    num_edges = 0
    for node in range(len(rows)):
        begin, end = spans[0, node], spans[1, node]
        first = num_edges
        num_edges += min(k, end - begin)
        if latest or end - begin <= k:
            for e in range(first, num_edges):
                pairs[0, e] = end - 1 - (e - first)
        else:  # Floyd's sampling without replacement (Bentley and Floyd, CACM 1987)
            key = _child(_child(tree_keys[trees[node]], number), rows[node])
            for j in range(k):
                top = end - begin - k + j
                pick = begin + np.int64(_child(key, j) % np.uint64(top + 1))
                for e in range(first, first + j):
                    if pairs[0, e] == pick:
                        pick = begin + top
                        break
                pairs[0, first + j] = pick
        for e in range(first, num_edges):
            pairs[1, e] = low + node
    for e in range(num_edges):
        pairs[0, e] = indices[pairs[0, e]]


@kernel(_int(_pairs, _ints, _ints, _ints, _ints, _int, _int), nogil=True)
def enter(pairs, dst_trees, rows, trees, slots, num_rows, count):
    """Replace each row in `pairs[0]` by its node, a new one where the tree has none yet.

    Returns the new number of nodes.
    """
    mask = np.int64(len(slots) - 1)
    for e in range(pairs.shape[1]):
        row, tree = pairs[0, e], dst_trees[pairs[1, e]]
        key = _hash(tree, row, num_rows)
        tag = _tag(key)
        slot = np.int64(key) & mask
        while True:
            found = slots[slot]
            if found < 0:
                slots[slot] = tag | count
                rows[count], trees[count] = row, tree
                pairs[0, e] = count
                count += 1
                break
            if found & ~_NODE == tag:
                node = found & _NODE
                if rows[node] == row and trees[node] == tree:
                    pairs[0, e] = node
                    break
            slot = (slot + 1) & mask
    return count
