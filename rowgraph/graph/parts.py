"""A part of a static batch: what some of its seeds see, just as the whole batch sampled it.

The seeds of a static batch share their nodes, so what one of them sees depends on the others: a row
is expanded in the hop that reaches it first. Sampling a part anew would therefore be another step.

Legend: n nodes of a type, E edges of an edge type, L hops.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rowgraph.graph.entity_graph import EdgeType
from rowgraph.graph.sampling import SampledBatch


def part_of(batch: SampledBatch, seeds: slice) -> tuple[SampledBatch, dict[str, np.ndarray]]:
    """The batch of some seeds, and which nodes of the whole it holds.

    A node's neighbours are those that it has in the whole batch; its hop is how far it is from
    these seeds. Other seeds may be among the neighbours.

    Args:
        batch: sampled without seed times.
        seeds: places among the batch's seeds, in one piece.

    Returns:
        The part, and int64 [n] per node type: places in the whole batch's `n_id`.
    """
    hops = batch.num_hops
    edges = {e: pairs.numpy() for e, pairs in batch.edge_index.items()}
    far = {t: np.full(len(n_id), hops + 1) for t, n_id in batch.n_id.items()}
    far[batch.input_type][seeds] = 0
    for hop in range(hops):
        for (source, _, destination), (up, down) in edges.items():
            reached = up[far[destination][down] == hop]
            far[source][reached] = np.minimum(far[source][reached], hop + 1)
    kept, place = {}, {}
    for node_type, distance in far.items():
        order = np.argsort(distance, kind="stable")
        kept[node_type] = order[:int((distance <= hops).sum())]
        place[node_type] = np.empty(len(order), np.int64)
        place[node_type][order] = np.arange(len(order))
    edge_index: dict[EdgeType, Tensor] = {}
    num_sampled_edges = {}
    for edge, (up, down) in edges.items():
        source, _, destination = edge
        mine = np.flatnonzero(far[destination][down] < hops)
        mine = mine[np.argsort(place[destination][down[mine]], kind="stable")]
        edge_index[edge] = torch.from_numpy(np.stack([place[source][up[mine]],
                                                      place[destination][down[mine]]]))
        num_sampled_edges[edge] = _counts(far[destination][down[mine]], hops)
    part = SampledBatch(
        {t: n_id[torch.from_numpy(kept[t])] for t, n_id in batch.n_id.items()}, edge_index,
        {t: _counts(far[t][places], hops + 1) for t, places in kept.items()},
        num_sampled_edges, None, batch.input_type, batch.input_id[seeds])
    return part, kept


def _counts(hop: np.ndarray, hops: int) -> list[int]:
    return np.bincount(hop, minlength=hops).tolist()
