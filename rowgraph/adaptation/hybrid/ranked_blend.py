"""The blend of rankings: the mean of standardised scores, weighted equally unless folds allow more.

Each part's scores are in standard deviations from the mean of their seed's candidates, so none is
too sure of itself. Weights that make what came true likely, under a softmax over each seed's
candidates, are found on folds; how far the blend moves towards them is judged by the task's metric
on dates left out, as in `blending`.

Shapes: P parts, G pairs of a seed and a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from rowgraph.adaptation.hybrid.blending import MOVES, Mixture, blocks_of, smallest_move
from rowgraph.adaptation.hybrid.listwise import listwise
from rowgraph.adaptation.recommendation.pairs import relevance
from rowgraph.adaptation.recommendation.ranking import best_first
from rowgraph.tasks.label_tables import Destinations, Task
from rowgraph.tasks.metrics import measure


@dataclass(frozen=True, eq=False)
class Ranked:
    """What parts say of the seeds of one fold.

    Args:
        candidates: of each seed.
        scores: by part, float [G], standardised, in the order of `candidates.pairs()`.
        target: what came true.
        times: int64, of the seeds, microseconds.
    """

    candidates: Destinations
    scores: Mapping[str, np.ndarray]
    target: Destinations
    times: np.ndarray


def mix_ranked(task: Task, folds: Sequence[Ranked]) -> Mixture:
    """Find the weights of the parts."""
    names = list(folds[0].scores)
    stacked = [np.stack([fold.scores[name] for name in names]).astype(np.float64)
               for fold in folds]
    block = blocks_of(np.concatenate([fold.times for fold in folds]))
    block = np.split(block, np.cumsum([len(fold.times) for fold in folds])[:-1])
    start = np.full(len(names), 1 / len(names))
    sign = 1 if task.higher_is_better else -1
    gains: dict[float, list[float]] = {move: [] for move in MOVES}
    blocks = np.unique(np.concatenate(block))
    for left in blocks if len(blocks) > 1 else ():
        inside = [b == left for b in block]
        found = _weights(folds, stacked, [~i for i in inside])
        for move in MOVES:
            weights = (1 - move) * start + move * found
            gains[move].append(sign * _metric(task, folds, stacked, inside, weights))
    move = smallest_move(gains)
    weights = start
    if move > 0:
        found = _weights(folds, stacked, [np.ones(len(b), bool) for b in block])
        weights = (1 - move) * start + move * found
    return Mixture({name: float(w) for name, w in zip(names, weights, strict=True)},
                   dict.fromkeys(names, 1.0), move,
                   {m: sign * float(np.mean(g)) for m, g in gains.items() if g})


def _metric(task: Task, folds: Sequence[Ranked], stacked: Sequence[np.ndarray],
            inside: Sequence[np.ndarray], weights: np.ndarray) -> float:
    """The task's metric on some seeds."""
    said, true = [], []
    for fold, scores, rows in zip(folds, stacked, inside, strict=True):
        said.append(best_first(fold.candidates, weights @ scores, task.eval_k)[rows])
        true += [fold.target.of_row(row) for row in np.flatnonzero(rows)]
    return measure(task.primary, Destinations.of(true), np.concatenate(said), task.train.target)


def _weights(folds: Sequence[Ranked], stacked: Sequence[np.ndarray],
             inside: Sequence[np.ndarray]) -> np.ndarray:
    """float64 [P], at least 0 and of sum 1: in proportion to those that make what came true most
    likely. How sharp the softmax is, is found with them and does not matter to an order."""
    seed_G, true_G, score_PG, seeds = [], [], [], 0
    for fold, scores, rows in zip(folds, stacked, inside, strict=True):
        seed, _ = fold.candidates.pairs()
        true = relevance(fold.candidates, fold.target)
        kept = rows[seed]
        seed_G.append(seeds + seed[kept])
        true_G.append(true[kept])
        score_PG.append(scores[:, kept])
        seeds += len(rows)
    seed, true, scores = (np.concatenate(x, axis=-1) for x in (seed_G, true_G, score_PG))
    parts = len(scores)
    if not true.any():
        return np.full(parts, 1 / parts)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        value, wrong = listwise(weights @ scores, seed, true)
        return value, scores @ wrong

    found = scipy.optimize.minimize(loss, np.full(parts, 1 / parts), jac=True, method="L-BFGS-B",
                                    bounds=[(0, None)] * parts).x
    return found / found.sum() if found.sum() > 0 else np.full(parts, 1 / parts)
