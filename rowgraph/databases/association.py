"""How strongly one column follows from another: measures between 0 and 1 on sampled rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from scipy.stats import rankdata

MANY = 1_000  # different values from which on a column is no set of words
BINS = 20
ENOUGH = 30  # rows below which a correlation says nothing


def agreement(one: np.ndarray, other: np.ndarray, fewest: int) -> float:
    """The correlation of two truths (phi), 0 where either is nearly constant or it is negative.

    Args:
        one, other: bool [n].
        fewest: rows of either kind below which nothing is said.
    """
    for truth in (one, other):
        if min(truth.sum(), (~truth).sum()) < fewest:
            return 0.0
    return max(float(np.corrcoef(one, other)[0, 1]), 0.0)


def explained(values: pl.Series, truth: np.ndarray, fewest: int) -> float:
    """The share of mistakes about a truth that a column's values take away (Goodman and Kruskal's
    lambda, JASA 1954), learned on every second row and counted on the others, so that a column
    of many values explains nothing by chance.

    Args:
        values: [n]; numbers of many values are binned, texts of many values explain nothing.
        truth: bool [n].
        fewest: as in `agreement`.
    """
    if min(truth.sum(), (~truth).sum()) < 2 * fewest:
        return 0.0
    codes = binned(values, BINS, most=MANY)
    if codes is None:
        return 0.0
    learn = np.arange(len(truth)) % 2 == 0
    width = int(codes.max()) + 1
    yes = np.bincount(codes[learn], weights=truth[learn], minlength=width)
    seen = np.bincount(codes[learn], minlength=width)
    usual = truth[learn].mean() > 0.5
    guess = np.where(seen > 0, 2 * yes > seen, usual)[codes[~learn]]
    wrong, base = (guess != truth[~learn]).sum(), (usual != truth[~learn]).sum()
    return float(max(1 - wrong / base, 0.0)) if base else 0.0


def rank_correlation(values: pl.Series, other: np.ndarray) -> float:
    """Spearman's correlation of a numeric column with numbers, its size; 0 where few are given."""
    if not (values.dtype.is_numeric() or values.dtype == pl.Duration):
        return 0.0
    numbers = values.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
    both = np.isfinite(numbers) & np.isfinite(other)
    if both.sum() < ENOUGH or np.ptp(numbers[both]) == 0 or np.ptp(other[both]) == 0:
        return 0.0
    return float(abs(np.corrcoef(rankdata(numbers[both]), rankdata(other[both]))[0, 1]))


def within(order: np.ndarray, measure: Callable[[np.ndarray], float]) -> float:
    """The mean of a measure over tenths of the rows, so that a trend common to both sides is none
    of its making; over all rows where tenths are too small.

    Args:
        order: [n], by which rows are divided.
        measure: of some of the rows, bool [n].
    """
    if len(order) < 10 * ENOUGH:
        return measure(np.ones(len(order), dtype=bool))
    tenth = np.searchsorted(np.quantile(order, np.linspace(.1, .9, 9)), order)
    return float(np.mean([measure(tenth == k) for k in np.unique(tenth)]))


def growth(delay: np.ndarray, age: np.ndarray) -> float | None:
    """How a delay grows with its row's age: the exponent between the median delays of the oldest
    and of the middle third of rows. 0: written once, whenever the row was made; 1: written as
    long after the row as the row is old. None where too few rows, or all of one age.

    Args:
        delay: float64 [n], above 0.
        age: float64 [n], from the row to the end of the data, same unit.
    """
    if len(delay) < 3 * ENOUGH:
        return None
    thirds = np.quantile(age, [1 / 3, 2 / 3])
    middle, oldest = (age > thirds[0]) & (age <= thirds[1]), age > thirds[1]
    if min(middle.sum(), oldest.sum()) < ENOUGH:
        return None
    older = np.median(age[oldest]) / max(np.median(age[middle]), 1e-9)
    longer = np.median(delay[oldest]) / max(np.median(delay[middle]), 1e-9)
    return float(np.log(longer) / np.log(older)) if older >= 1.1 and longer > 0 else None


def smaller_share(new: np.ndarray, old: np.ndarray) -> float:
    """The chance that a number of one group is smaller than one of the other; ties count half.

    Args:
        new, old: float64; NaN is left out.
    """
    new, old = new[np.isfinite(new)], old[np.isfinite(old)]
    if min(len(new), len(old)) < ENOUGH:
        return 0.5
    ranks = rankdata(np.concatenate([new, old]))[:len(new)].sum()
    above = (ranks - len(new) * (len(new) + 1) / 2) / (len(new) * len(old))
    return float(1 - above)


def binned(values: pl.Series, bins: int, most: int = 100) -> np.ndarray | None:
    """int64 [n]: a number for each different value, 0 for empty ones; numbers of more than `most`
    different values fall into bins of about as many rows each. None for other values of which
    there are more."""
    values = values.alias("")
    if values.dtype.is_nested():
        return None
    if values.n_unique() > most:
        if not values.dtype.is_numeric():
            return None
        numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
        finite = np.isfinite(numbers)
        if not finite.any():
            return np.zeros(len(numbers), dtype=np.int64)
        edges = np.unique(np.quantile(numbers[finite], np.linspace(0, 1, bins + 1)[1:-1]))
        return np.where(finite, 1 + np.searchsorted(edges, numbers), 0)
    return values.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
