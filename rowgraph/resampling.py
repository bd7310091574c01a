"""Bootstrap resamples as weights."""

from __future__ import annotations

import numpy as np

from rowgraph.randomness import generator


def resample_weights(count: int, draws: int, *parts: object) -> np.ndarray:
    """How often each test row is drawn in each bootstrap resample.

    Args:
        count: rows N.
        draws: resamples B.
        parts: what the resamples are for; they depend on this alone.

    Returns:
        float64 [B, N], each row summing to N.
    """
    random = generator("bootstrap", *parts)
    return np.stack([np.bincount(random.integers(0, count, count), minlength=count)
                     for _ in range(draws)]).astype(np.float64)
