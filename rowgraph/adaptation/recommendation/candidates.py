"""Candidates: the destinations that are ranked for a seed, a few hundred of however many.

From every trail the destinations that its anchor linked most, most recently, and in the season of
a year ago. Where there are few destinations all are candidates. Nothing is a candidate that did
not exist at the seed by its own time column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rowgraph.adaptation.recommendation.links import COUNT, RECENCY
from rowgraph.adaptation.recommendation.trails import Trail
from rowgraph.adaptation.recommendation.windows import Windows
from rowgraph.tasks.folds import View
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import Destinations

FEW = 128  # destinations: all are candidates
MOST = 192  # candidates of a seed
DEPTH = 96  # best destinations of one order of one trail that are looked at


def candidates_of(trails: Sequence[Trail], windows: Windows, view: View, exists: np.ndarray,
                  ) -> Destinations:
    """The candidates of each seed of a view.

    The best of every list come first, then the second best, until `MOST` are found.

    Args:
        exists: int64 [destinations], their own times.

    Returns:
        Candidates as destinations of each label row, ascending.
    """
    if len(exists) <= FEW:
        seed, row = np.nonzero(exists[None, :] < view.before[:, None])
        return _ragged(seed, row, len(view.labels))
    seeds, rows, ranks = [], [], []
    for trail in trails:
        for best in lists_of(trail, windows, view):
            seed, rank = np.nonzero(best != NO_ROW)
            seeds.append(seed)
            ranks.append(rank)
            rows.append(best[seed, rank])
    seed, row, rank = (np.concatenate([*x, np.empty(0, dtype=np.int64)])
                       for x in (seeds, rows, ranks))
    order = np.lexsort((rank, row, seed))  # the best rank of each pair first
    seed, row, rank = seed[order], row[order], rank[order]
    new = np.flatnonzero(np.diff(seed, prepend=-1) | np.diff(row, prepend=-1))
    seed, row, rank = seed[new], row[new], rank[new]
    order = np.lexsort((row, rank, seed))
    seed, row = seed[order], row[order]
    starts = np.searchsorted(seed, np.arange(len(view.labels) + 1))
    kept = np.arange(len(seed)) - starts[seed] < MOST
    seed, row = seed[kept], row[kept]
    order = np.lexsort((row, seed))
    return _ragged(seed[order], row[order], len(view.labels))


def lists_of(trail: Trail, windows: Windows, view: View) -> list[np.ndarray]:
    """int64 [n, DEPTH] each: a trail's best destinations in several orders, padded with -1."""
    anchor = trail.anchors(view.labels.rows, view.before)
    begin, end = windows.bounds(view.labels.times, view.before)
    found = [trail.links.top(anchor, begin[:, w], end[:, w], DEPTH, COUNT)
             for w in range(len(windows))]
    return [*found, trail.links.top(anchor, None, view.before, DEPTH, RECENCY)]


def joined(one: Destinations, other: Destinations) -> Destinations:
    """The candidates that either has, each once."""
    seed, row = (np.concatenate(x) for x in zip(one.pairs(), other.pairs(), strict=True))
    order = np.lexsort((row, seed))
    seed, row = seed[order], row[order]
    new = np.flatnonzero(np.diff(seed, prepend=-1) | np.diff(row, prepend=-1))
    return _ragged(seed[new], row[new], len(one))


def _ragged(seed: np.ndarray, row: np.ndarray, count: int) -> Destinations:
    indptr = np.searchsorted(seed, np.arange(count + 1)).astype(np.int64)
    return Destinations(indptr, row.astype(np.int64))
