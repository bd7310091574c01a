"""From resamples to what is said of a figure: intervals, p-values and their correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

Part = tuple[float, float]  # a variance, and the degrees of freedom that it was estimated with


def degrees_of_freedom(total: float, parts: Sequence[Part]) -> float:
    """Of a variance that is mostly a sum of others (Satterthwaite 1946).

    Args:
        total: the whole variance, from the resamples.
        parts: what is known of it apart; the rest of `total` is the first part's.
    """
    (_, first), others = parts[0], [p for p in parts[1:] if p[0] > 0]
    rest = max(total - sum(variance for variance, _ in others), 0.0)
    below = sum(variance**2 / df for variance, df in [(rest, first), *others] if df > 0)
    whole = rest + sum(variance for variance, _ in others)
    return whole**2 / below if below > 0 else first


def percentile_interval(draws: np.ndarray, level: float, df: float) -> tuple[float, float]:
    """The range of the middle draws, widened for few degrees of freedom (Hesterberg 2015).

    For draws that are normal it is the t interval; else it keeps their shape and stays within
    what the figure can be.

    Args:
        draws: float64, at least one.
        level: of confidence, as .95.
    """
    tail = stats.norm.cdf(stats.t.ppf((1 - level) / 2, df))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def t_interval(value: float, sd: float, level: float, df: float) -> tuple[float, float]:
    """The value and so many standard deviations to either side as `level` asks for."""
    reach = sd * stats.t.ppf((1 + level) / 2, df)
    return float(value - reach), float(value + reach)


def p_value(value: float, sd: float, df: float) -> float:
    """Two-sided: how often chance alone would move nought so far; 1 for nought that is still."""
    if sd == 0:
        return float(value == 0)
    return float(2 * stats.t.sf(abs(value) / sd, df))


def holm(p_values: Sequence[float], alpha: float,
         weights: Sequence[float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Holm's step-down correction (1979) for as many comparisons as there are.

    Args:
        weights: how much of `alpha` each comparison begins with; None = all alike.

    Returns:
        The adjusted p-values, and for each comparison the level of confidence at which it was
        tested: its interval at that level leaves out nought exactly where the adjusted p-value
        is at most `alpha`.
    """
    p = np.asarray(p_values, dtype=np.float64)
    share = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(p / share, kind="stable")
    left = np.cumsum(share[order][::-1])[::-1]  # the weight of what is not yet decided
    times = left / share[order]
    stepped = np.minimum(np.maximum.accumulate(p[order] * times), 1.0)
    rejected = int((stepped <= alpha).sum())
    if rejected < len(p):  # the test stopped there: what follows is judged with what was left
        times[rejected:] = left[rejected] / share[order][rejected:]
    adjusted, level = np.empty(len(p)), np.empty(len(p))
    adjusted[order], level[order] = stepped, 1 - alpha / times
    return adjusted, level
