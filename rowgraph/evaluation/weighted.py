"""Every metric as a function of how often each cluster of label rows was drawn.

Shapes: N label rows, B bootstrap resamples, K clusters, C classes.

A resample draws clusters of label rows (dates, entities or rows), so it is a vector of K counts,
and what a metric needs of a row it needs only summed by cluster, or in the order of scores. Each
function here equals scikit-learn's or RelBench's metric on the rows as drawn, repeated rows
repeated, and is NaN where that metric is undefined. Targets are centred before squares are taken,
so that R² is as exact at 10^9 as at 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rowgraph.compiling import kernel
from rowgraph.tasks.label_tables import Target
from rowgraph.tasks.metrics import THRESHOLD, row_scores, spread

MEANS = ("mae", "nmae", "accuracy", "log_loss", "map", "recall")  # of scores of single rows
STRIP = 256  # resamples whose sums stay in the cache


def weighted(metric: str, target: Target, prediction: np.ndarray, cluster_N: np.ndarray,
             counts_BK: np.ndarray, train_target: Target) -> np.ndarray:
    """A metric on every resample at once.

    Args:
        metric, target, prediction, train_target: as in `rowgraph.tasks.metrics.measure`, which
            has passed them.
        cluster_N: int64, the cluster of each label row.
        counts_BK: float64, how often each resample draws each cluster.

    Returns:
        float64 [B]; NaN where the metric is undefined in a resample.
    """
    return weighted_each((metric,), target, prediction, cluster_N, counts_BK, train_target)[metric]


def weighted_each(metrics: Sequence[str], target: Target, prediction: np.ndarray,
                  cluster_N: np.ndarray, counts_BK: np.ndarray,
                  train_target: Target) -> dict[str, np.ndarray]:
    """`weighted` for several metrics; those that need the order of scores sort them once."""
    found = {}
    if not {"roc_auc", "average_precision"}.isdisjoint(metrics):
        found = dict(zip(("roc_auc", "average_precision"), _by_score(
            target == 1, prediction, cluster_N, counts_BK), strict=True))
    return {m: found[m] if m in found else _unordered(m, target, prediction, cluster_N, counts_BK,
                                                      train_target) for m in metrics}


def _unordered(metric: str, target: Target, prediction: np.ndarray, cluster_N: np.ndarray,
               counts_BK: np.ndarray, train_target: Target) -> np.ndarray:
    clusters = counts_BK.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric in MEANS:
            found = _mean(row_scores("mae" if metric == "nmae" else metric, target, prediction),
                          cluster_N, counts_BK)
            return found / spread(train_target) if metric == "nmae" else found
        if metric == "r2":
            return _r2(target, prediction, cluster_N, counts_BK)
        if metric == "roc_auc_ovr":
            each = [_by_score(target == c, prediction[:, int(c)], cluster_N, counts_BK)[0]
                    for c in np.unique(target)]
            return _mean_of_defined(np.stack(each, axis=1))
        if metric == "macro_f1":
            return _macro_f1(target, prediction, cluster_N, counts_BK)
        said = prediction >= THRESHOLD
        hits, positives, true = (counts_BK @ _sums(m, cluster_N, clusters)
                                 for m in (said & (target == 1), said, target == 1))
        return hits / positives if metric == "precision" else 2 * hits / (positives + true)


def _sums(values_N: np.ndarray, cluster_N: np.ndarray, clusters: int) -> np.ndarray:
    return np.bincount(cluster_N, weights=values_N, minlength=clusters)


def _mean(scores_N: np.ndarray, cluster_N: np.ndarray, counts_BK: np.ndarray) -> np.ndarray:
    clusters, there = counts_BK.shape[1], ~np.isnan(scores_N)
    return (counts_BK @ _sums(np.where(there, scores_N, 0.0), cluster_N, clusters)
            / (counts_BK @ _sums(there, cluster_N, clusters)))


def _mean_of_defined(values_BC: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values_BC)
    return np.where(there, values_BC, 0).sum(1) / there.sum(1)


def _r2(target: np.ndarray, prediction: np.ndarray, cluster_N: np.ndarray,
        counts_BK: np.ndarray) -> np.ndarray:
    """1 - residual / total; the total within clusters and that between their means add up."""
    clusters = counts_BK.shape[1]
    centred = target - np.mean(target)
    rows_K = _sums(np.ones(len(target)), cluster_N, clusters)
    mean_K = _sums(centred, cluster_N, clusters) / np.maximum(rows_K, 1)
    within_K = _sums((centred - mean_K[cluster_N]) ** 2, cluster_N, clusters)
    drawn_BK = counts_BK * rows_K
    between_BK = mean_K - (drawn_BK @ mean_K / drawn_BK.sum(1))[:, None]
    total = counts_BK @ within_K + (drawn_BK * between_BK**2).sum(1)
    lowest, highest = np.full(clusters, np.inf), np.full(clusters, -np.inf)
    np.minimum.at(lowest, cluster_N, target)
    np.maximum.at(highest, cluster_N, target)
    drawn = counts_BK > 0
    flat = (np.where(drawn, highest, -np.inf).max(1) == np.where(drawn, lowest, np.inf).min(1))
    residual = counts_BK @ _sums((target - prediction) ** 2, cluster_N, clusters)
    return np.where(flat, np.nan, 1 - residual / total)


def _macro_f1(target: np.ndarray, prediction: np.ndarray, cluster_N: np.ndarray,
              counts_BK: np.ndarray) -> np.ndarray:
    said, true = prediction.argmax(1), target.astype(np.int64)
    clusters, classes = counts_BK.shape[1], prediction.shape[1]

    def by_class(of_N: np.ndarray, mask_N: np.ndarray) -> np.ndarray:
        cells = np.bincount((cluster_N * classes + of_N)[mask_N], minlength=clusters * classes)
        return counts_BK @ cells.reshape(clusters, classes).astype(np.float64)

    every = np.ones(len(said), dtype=bool)
    # NaN for a class that occurs neither in the labels drawn nor in what is said of them.
    return _mean_of_defined(2 * by_class(said, said == true)
                            / (by_class(said, every) + by_class(true, every)))


def _by_score(positive_N: np.ndarray, score_N: np.ndarray, cluster_N: np.ndarray,
              counts_BK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and average precision, float64 [B] each."""
    order = np.argsort(-score_N, kind="stable")
    ranked = score_N[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(ranked))
    return _areas(positive_N[order], cluster_N[order], ends, np.ascontiguousarray(counts_BK.T))


@kernel()
def _areas(positive_N, cluster_N, ends_G, counts_KB):  # pragma: no cover
    """Rows come highest score first; `ends_G` is where each group of equal scores ends.

    All resamples go through the rows together, so that the inner loops are over neighbours in
    memory; STRIP of them at a time stay in the cache.
    """
    resamples = counts_KB.shape[1]
    auc, precision = np.empty(resamples), np.empty(resamples)
    hits, misses = np.empty(STRIP), np.empty(STRIP)
    above, steps = np.empty(STRIP), np.empty(STRIP)  # above: pairs whose positive ranks lower
    pos, neg = np.empty(STRIP), np.empty(STRIP)
    for first in range(0, resamples, STRIP):
        width = min(STRIP, resamples - first)
        hits[:], misses[:], above[:], steps[:] = 0.0, 0.0, 0.0, 0.0
        start = 0
        for end in ends_G:
            pos[:], neg[:] = 0.0, 0.0
            some = False
            for i in range(start, end):
                counts = counts_KB[cluster_N[i]]
                if positive_N[i]:
                    some = True
                    for b in range(width):
                        pos[b] += counts[first + b]
                else:
                    for b in range(width):
                        neg[b] += counts[first + b]
            start = end
            if some:
                for b in range(width):
                    above[b] += pos[b] * (misses[b] + neg[b] / 2)
                    hits[b] += pos[b]
                    misses[b] += neg[b]
                    steps[b] += pos[b] * hits[b] / max(hits[b] + misses[b], 1.0)
            else:
                for b in range(width):
                    misses[b] += neg[b]
        for b in range(width):
            pairs = hits[b] * misses[b]
            auc[first + b] = 1 - above[b] / pairs if pairs > 0 else np.nan
            precision[first + b] = steps[b] / hits[b] if hits[b] > 0 else np.nan
    return auc, precision

