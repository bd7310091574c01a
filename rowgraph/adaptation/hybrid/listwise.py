"""A linear model of which of its seed's candidates comes true: a softmax over each list.

The conditional logit (McFadden, "Conditional logit analysis of qualitative choice behavior", 1974):
a pair's score is linear in its features, and what is equal for all candidates of a seed drops out.
Features come in blocks; within each they are put in standard deviations of the pairs fitted on,
cut, and scaled so that every block has the same say, whatever its width. The penalty is L2.

Shapes: G pairs of a seed and a candidate, K features of all blocks, S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from rowgraph.threads import one_thread

PENALTIES = (0.1, 0.01, 0.001)  # each starts from the one before
ITERATIONS = 40  # of L-BFGS for one penalty
FAR = 5.0  # standard deviations, at which features are cut


@dataclass(frozen=True, eq=False)
class ListwisePath:
    """A model for each penalty.

    Args:
        mean, scale: float32 [width], of each block.
        weights: float64 [K], of each penalty.
    """

    mean: tuple[np.ndarray, ...]
    scale: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]

    def scores(self, blocks: Sequence[np.ndarray], steps: Sequence[int]) -> list[np.ndarray]:
        """float64 [G], at these places of the path."""
        with one_thread():
            columns = self.columns(blocks)
            return [columns @ self.weights[step] for step in steps]

    def columns(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """float32 [G, K]."""
        return np.concatenate([np.clip((block - mean) * scale, -FAR, FAR) / np.sqrt(len(mean))
                               for block, mean, scale in zip(blocks, self.mean, self.scale,
                                                             strict=True)], axis=1)


def fit_listwise(blocks: Sequence[np.ndarray], seed_G: np.ndarray, true_G: np.ndarray,
                 ) -> ListwisePath:
    """Fit a path of penalties.

    Args:
        blocks: float32 [G, width] each.
        seed_G: int64, ascending.
        true_G: bool, what came true.
    """
    mean = tuple(_over_rows(np.mean, block) for block in blocks)
    spread = (_over_rows(np.std, block) for block in blocks)
    scale = tuple(np.where(s > 1e-6, 1 / np.maximum(s, 1e-6), 0).astype(np.float32)
                  for s in spread)
    path = ListwisePath(mean, scale, ())
    columns = path.columns(blocks)
    weights, found = np.zeros(columns.shape[1]), []
    with one_thread():
        for penalty in PENALTIES if true_G.any() else ():
            def loss(w: np.ndarray, penalty: float = penalty) -> tuple[float, np.ndarray]:
                value, wrong = listwise(columns @ w.astype(np.float32), seed_G, true_G)
                slope = wrong.astype(np.float32) @ columns
                return value + penalty * float(w @ w), slope + 2 * penalty * w

            weights = scipy.optimize.minimize(loss, weights, jac=True, method="L-BFGS-B",
                                              options={"maxiter": ITERATIONS}).x
            found.append(weights)
    return ListwisePath(mean, scale, tuple(found) or (weights,) * len(PENALTIES))


def listwise(score_G: np.ndarray, seed_G: np.ndarray, true_G: np.ndarray,
             ) -> tuple[float, np.ndarray]:
    """Cross-entropy of each seed's softmax with what came true, each of it an equal share; the mean
    over seeds for which something did.

    Args:
        seed_G: int64, ascending.

    Returns:
        The loss, and float64 [G], its slope by each score.
    """
    first = np.flatnonzero(np.diff(seed_G, prepend=-1))
    size = np.diff(first, append=len(seed_G))
    score = score_G.astype(np.float64)
    score = score - np.repeat(np.maximum.reduceat(score, first), size)
    power = np.exp(score)
    total = np.repeat(np.add.reduceat(power, first), size)
    count = np.repeat(np.add.reduceat(true_G.astype(np.float64), first), size)
    seeds = max(int((count[first] > 0).sum()), 1)
    share = true_G / np.maximum(count, 1)
    wrong = np.where(count > 0, power / total, 0) - share
    return float(-(share * (score - np.log(total))).sum() / seeds), wrong / seeds


def _over_rows(what, block: np.ndarray) -> np.ndarray:
    if not len(block):
        return np.zeros(block.shape[1], np.float32)
    return what(block, axis=0, dtype=np.float64).astype(np.float32)
