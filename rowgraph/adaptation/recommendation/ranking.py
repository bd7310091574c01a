"""A LightGBM ranker over pair features, and the best of each seed's candidates.

Legend: Q seeds, P pairs, k recommended rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from rowgraph.adaptation.recommendation.pairs import PairFeatures
from rowgraph.randomness import uniform_of_rows
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import Destinations
from rowgraph.trees import TREES

COMMON = {**TREES, "learning_rate": 0.1, "max_bin": 63}
SHAPES = {  # docs/decisions/recommendation.md
    "few leaves": {"num_leaves": 7, "min_sum_hessian_in_leaf": 1.0},
    "more leaves": {"num_leaves": 15, "min_sum_hessian_in_leaf": 10.0, "feature_fraction": 0.5},
}
NEGATIVES = {"few leaves": 20, "more leaves": 40}  # drawn for each seed, beside what came true


@dataclass(frozen=True, eq=False)
class Ranker:
    """Trees that say of a pair whether it comes true; None where nothing could be learnt."""

    booster: lightgbm.Booster | None

    def scores(self, pairs: PairFeatures, steps: Sequence[int]) -> list[np.ndarray]:
        """float64 [P], log odds after each number of trees (ascending), in one pass over all."""
        total, start, found = np.zeros(len(pairs.values)), 0, []
        for step in steps:
            if self.booster is not None and len(pairs.values):
                total = total + self.booster.predict(pairs.values, raw_score=True,
                                                     start_iteration=start,
                                                     num_iteration=step - start)
            found.append(total)
            start = step
        return found


def fit_ranker(pairs: PairFeatures, target: Destinations, shape: str, trees: int,
               seed: int) -> Ranker:
    """Grow trees that tell what came true from what did not.

    Every pair that came true is fitted on, and of each seed's other candidates a few. Seeds none
    of whose candidates came true teach nothing about order and are left out.

    Args:
        pairs: of the seeds to fit on. A candidate existed at its seed, so no negative is one that
            did not.
        target: what came true for each of them.
        shape: a key of `SHAPES`.
        seed: below 2^31.
    """
    true = pairs.relevance(target)
    seed_P, _ = pairs.candidates.pairs()
    some = np.bincount(seed_P[true], minlength=len(pairs.candidates)) > 0
    luck = uniform_of_rows(np.arange(len(true)), "negatives", seed)
    drawn = luck * pairs.candidates.counts[seed_P] < NEGATIVES[shape]
    kept = some[seed_P] & (true | drawn)
    if not true.any() or true[kept].all():
        return Ranker(None)
    data = lightgbm.Dataset(pairs.values[kept], true[kept].astype(np.int32), free_raw_data=True)
    parameters = {**COMMON, **SHAPES[shape], "objective": "binary", "seed": seed}
    return Ranker(lightgbm.train(parameters, data, num_boost_round=trees))


def best_first(candidates: Destinations, score: np.ndarray, count: int) -> np.ndarray:
    """The candidates of each seed with the highest scores.

    Args:
        score: float [P], in the order of `candidates.pairs()`; equal scores go by row number.

    Returns:
        int64 [Q, count], padded with -1.
    """
    seed, row = candidates.pairs()
    order = np.lexsort((row, -score, seed))
    place = np.arange(len(order)) - candidates.indptr[:-1][seed[order]]
    kept = place < count
    out = np.full((len(candidates), count), NO_ROW, dtype=np.int64)
    out[seed[order][kept], place[kept]] = row[order][kept]
    return out


def standardised(candidates: Destinations, score: np.ndarray) -> np.ndarray:
    """float64 [P]: scores in standard deviations from the mean of their seed's candidates, so
    that rankers of different scales can be averaged."""
    seed, _ = candidates.pairs()
    counts = np.maximum(candidates.counts, 1)
    centred = score - (np.bincount(seed, score, len(counts)) / counts)[seed]
    spread = np.sqrt(np.bincount(seed, centred ** 2, len(counts)) / counts)
    return centred / np.maximum(spread, 1e-12)[seed]
