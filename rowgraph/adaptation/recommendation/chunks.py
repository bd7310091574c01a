"""The steps of a training: label rows of about one moment, and the destinations that they choose
from.

Seeds of a chunk share their destinations, which are seen as of the oldest seed of the chunk, so
that no seed sees a destination's future. A destination that is no older than a seed is masked for
it, and what came true for a seed is never its negative.

Legend: B seeds, U destinations, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.pairs import PairFeatures
from rowgraph.randomness import generator
from rowgraph.tasks.folds import View

LEAST = 16  # seeds, above which a chunk ends where the next seed is much newer
SPAN = 4  # much newer: by a quarter of the horizon
WIDE = 1_024  # destinations of a chunk; where there are no more, all of them
OF_TRUTH, OF_CANDIDATES = 256, 640  # of them, where there are more; the rest are any
AMONG_MANY = 32  # seeds that share a draw of destinations: each needs candidates of its own


@dataclass(frozen=True, eq=False)
class Chunk:
    """One step.

    Args:
        rows: int64 [B], positions in the fitted view.
        time, moment: microseconds: own time and effective time of the oldest seed.
        destinations: int64 [U], ascending.
        asked: bool [B, U], destinations that existed at the seed.
        true: bool [B, U], what came true.
        pair: int64 [P], positions of pair features.
        pair_seed, pair_destination: int64 [P], where in the chunk each pair lies.
    """

    rows: np.ndarray
    time: int
    moment: int
    destinations: np.ndarray
    asked: Tensor
    true: Tensor
    pair: np.ndarray
    pair_seed: Tensor
    pair_destination: Tensor


def chunks_of(evidence: Evidence, view: View, pairs: PairFeatures, most: int,
              draw: Sequence[object]) -> list[Chunk]:
    """Deal the rows of a fitted view into chunks of at most `most` seeds, oldest first.

    Args:
        pairs: features of the view's rows.
        most: of them; fewer where destinations have to be drawn.
        draw: what destinations are drawn for, where there are too many.
    """
    dealt = dealt_out(view.before, evidence.windows.horizon, seeds_of(evidence, most))
    return [_chunk(evidence, view, pairs, rows, (*draw, number))
            for number, rows in enumerate(dealt)]


def seeds_of(evidence: Evidence, most: int) -> int:
    """Seeds of a chunk at most."""
    return most if len(evidence.exists) <= WIDE else min(most, AMONG_MANY)


def dealt_out(before: np.ndarray, horizon: int, most: int) -> list[np.ndarray]:
    """Positions of the seeds of each chunk, ascending.

    Args:
        before: int64, effective times of the seeds, microseconds.
    """
    order = np.argsort(before, kind="stable")
    ascending, found, start = before[order], [], 0
    for i in range(1, len(order) + 1):
        size = i - start
        newer = i < len(order) and ascending[i] - ascending[start] > horizon // SPAN
        if i == len(order) or size == most or (size >= LEAST and newer):
            found.append(np.sort(order[start:i]))
            start = i
    return found


def _chunk(evidence: Evidence, view: View, pairs: PairFeatures, rows: np.ndarray,
           draw: Sequence[object]) -> Chunk:
    oldest = rows[np.argmin(view.before[rows])]
    before, target = view.before[rows], view.labels.target[rows]
    candidates = pairs.candidates[rows]
    true_seed, true_row = target.pairs()
    there = evidence.exists[true_row] < before[true_seed]
    true_seed, true_row = true_seed[there], true_row[there]
    pair_seed, pair_row = candidates.pairs()
    destinations = _drawn(evidence, int(before.max()), true_row, pair_row, draw)
    asked = evidence.exists[destinations][None, :] < before[:, None]
    true = np.zeros(asked.shape, dtype=bool)
    place, found = _places(destinations, true_row)
    true[true_seed[found], place[found]] = True
    place, found = _places(destinations, pair_row)
    return Chunk(rows, int(view.labels.times[oldest]), int(view.before[oldest]), destinations,
                 torch.from_numpy(asked), torch.from_numpy(true),
                 pairs.pairs_of(rows)[found], torch.from_numpy(pair_seed[found]),
                 torch.from_numpy(place[found]))


def _drawn(evidence: Evidence, before: int, true: np.ndarray, candidates: np.ndarray,
           draw: Sequence[object]) -> np.ndarray:
    """int64 [U]: destinations of a chunk, ascending: what came true, candidates, and any."""
    there = np.flatnonzero(evidence.exists < before)
    if len(evidence.exists) <= WIDE:
        return there
    random = generator(*draw)

    def some(rows: np.ndarray, count: int) -> np.ndarray:
        return rows if len(rows) <= count else random.choice(rows, count, replace=False)

    kept = some(np.unique(true), OF_TRUTH)
    kept = np.union1d(kept, some(np.setdiff1d(candidates, kept), OF_CANDIDATES))
    return np.union1d(kept, some(np.setdiff1d(there, kept), max(WIDE - len(kept), 0)))


def _places(destinations: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rows lie among destinations, and whether they do."""
    place = np.searchsorted(destinations, rows)
    found = place < len(destinations)
    found[found] = destinations[place[found]] == rows[found]
    return place, found
