"""The order of batches from several databases (Section 4.3.2).

The paper interleaves the batches of its six databases against catastrophic forgetting and does
not say how. Here each step draws a source with probability proportional to the batches that it
still has, so every batch of the epoch comes exactly once and no source is ever finished long
before the others. That is a uniformly random order of all batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rowgraph.randomness import generator


def interleave(batches: Sequence[int], *parts: object) -> list[tuple[int, int]]:
    """The order of an epoch.

    Args:
        batches: how many batches each source has.
        parts: what the draw is for; equal parts give the equal order, so a position in it is all
            that an interrupted run has to remember.

    Returns:
        (source, batch) pairs; the batches of each source in ascending order.
    """
    sources = np.repeat(np.arange(len(batches)), batches)
    order = generator("interleaving", *parts).permutation(sources)
    used = [0] * len(batches)
    pairs = []
    for source in order.tolist():
        pairs.append((source, used[source]))
        used[source] += 1
    return pairs
