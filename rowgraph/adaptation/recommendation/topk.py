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
    everywhere = len(exists_D) and len(before_Q) and bool(exists_D.max() < before_Q.min())
    for first in range(0, len(seed_QW), seeds):
        asked = slice(first, first + seeds)
        best = rows = None
        for start in range(0, len(destination_DW), destinations):
            block = slice(start, start + destinations)
            score = torch.addmm(bias_D[block], seed_QW[asked], destination_DW[block].T)
            if not everywhere:
                score.masked_fill_(exists_D[block] >= before_Q[asked, None], -torch.inf)
            found = torch.arange(start, start + score.shape[1],
                                 device=score.device).expand_as(score)
            score, found = _first(score, found, count)
            if best is not None:  # what was found before comes first, hence lower rows
                score, found = _first(torch.cat([best, score], 1), torch.cat([rows, found], 1),
                                      count)
            best, rows = score, found
        if best is not None:
            out[asked, :best.shape[1]] = rows.masked_fill(best.isinf(), NO_ROW).cpu()
    return out


def _first(score: Tensor, row: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest scores and their rows; of equals the ones that stand first.

    `topk` is free to pick among equals: where the last one that it picked ties with one that it
    left out, all of that seed's are put in order.
    """
    count = min(count, score.shape[1])
    picked = score.topk(min(count + 1, score.shape[1]), dim=1)
    at = picked.indices[:, :count]
    if picked.values.shape[1] > count:
        last = picked.values[:, count - 1]
        ties = (last == picked.values[:, count]) & ~last.isinf()  # what does not exist has no order
        if ties.any():
            at = at.clone()
            at[ties] = score[ties].sort(dim=1, descending=True, stable=True).indices[:, :count]
    at = at.sort(dim=1).values  # in the order in which they stand, then by score
    order = score.gather(1, at).sort(dim=1, descending=True, stable=True).indices
    at = at.gather(1, order)
    return score.gather(1, at), row.gather(1, at)
