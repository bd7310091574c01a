"""The best of very many destinations, a block at a time: all pairs are never in memory at once.

Legend: Q seeds, D destinations, W width of a representation, k recommended rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rowgraph.tasks.kinds import NO_ROW

SEEDS, DESTINATIONS = 1_024, 8_192  # scored at once: 32 MiB


def best_of_all(seed_QW: Tensor, destination_DW: Tensor, bias_D: Tensor, exists_D: Tensor,
                before_Q: Tensor, count: int, *, seeds: int = SEEDS,
                destinations: int = DESTINATIONS) -> Tensor:
    """The destinations with the highest scores, `seed · destination + bias`, that existed.

    Args:
        exists_D: int64, the destinations' own times.
        before_Q: int64; only destinations strictly older exist for a seed.
        count: k.
        seeds, destinations: of a block.

    Returns:
        int64 [Q, k], best first, of equal scores the lower row first; padded with -1.
    """
    out = torch.full((len(seed_QW), count), NO_ROW, dtype=torch.int64)
    for first in range(0, len(seed_QW), seeds):
        asked = slice(first, first + seeds)
        best = rows = None
        for start in range(0, len(destination_DW), destinations):
            block = slice(start, start + destinations)
            score = torch.addmm(bias_D[block], seed_QW[asked], destination_DW[block].T)
            score.masked_fill_(exists_D[block] >= before_Q[asked, None], -torch.inf)
            found = torch.arange(start, start + score.shape[1],
                                 device=score.device).expand_as(score)
            if best is not None:  # what was found before comes first, hence lower rows
                score, found = torch.cat([best, score], 1), torch.cat([rows, found], 1)
            best, rows = _first(score, found, count)
        if best is not None:
            out[asked, :best.shape[1]] = rows.masked_fill(best.isinf(), NO_ROW).cpu()
    return out


def _first(score: Tensor, row: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest scores and their rows; of equals the ones that stand first.

    `topk` is free to pick among equals, so those that tie with the last are put in order.
    """
    count = min(count, score.shape[1])
    last = score.topk(count, dim=1).values[:, -1:]
    above = score > last
    tied = score == last
    place = above.sum(1, keepdim=True) + tied.cumsum(1)
    kept = above | (tied & (place <= count))
    # Every seed keeps exactly `count`, in the order in which they stand.
    at = kept.nonzero()[:, 1].view(len(score), count)
    score, row = score.gather(1, at), row.gather(1, at)
    order = score.sort(dim=1, descending=True, stable=True).indices
    return score.gather(1, order), row.gather(1, order)
