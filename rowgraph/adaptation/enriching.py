"""The network of `rowgraph.sage.model` over neighbourhoods that were made ready: the same function
of the same weights, up to rounding, at a third of the cost.

Three facts make it cheap (docs/decisions/downstream.md):

1. Nothing lies between a projection and the first convolution, so their matrices can be multiplied
   with each other once instead of with every node one after the other.
2. A parent row (a race) is the neighbour of many nodes of a batch. Where there are fewer distinct
   rows than nodes, rows go through the product first and are averaged after it; else, as in
   `HeteroGraphSAGE`, neighbours are averaged first.
3. The way back from a mean to its sources is a sum over bags too; its order is prepared.

Legend: n nodes of a type, U distinct rows of a type, D width of a vector, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from rowgraph.adaptation.neighbourhoods import Bags, Neighbourhoods
from rowgraph.sage.model import HeteroGraphSAGE, ModelError


class EnrichingSAGE(HeteroGraphSAGE):
    """`HeteroGraphSAGE`, asked about `Neighbourhoods`."""

    def forward(self, x: Mapping[str, Tensor], near: Neighbourhoods) -> Tensor:
        """Enrich the seeds.

        Args:
            x: float [U, D] by node type, the vectors of `near.rows`.
            near: the seeds' neighbourhoods, with one hop per layer.

        Returns:
            float [seeds, H].
        """
        if len(near.counts) != len(self.convs):
            raise ModelError(f"neighbourhoods have {len(near.counts)} hops, expected "
                             f"{len(self.convs)}: one per layer; set fan_out accordingly")
        h = self._first(x, near)
        for layer, conv in enumerate(self.convs[1:], start=1):
            h = self._next(conv, {t: v.relu() for t, v in h.items()}, near, layer)
        empty = next(self.convs.parameters()).new_zeros(0, self.convs[0].out_channels)
        return h.get(near.seed_type, empty)

    def _first(self, x: Mapping[str, Tensor], near: Neighbourhoods) -> dict[str, Tensor]:
        conv = self.convs[0]
        told = _Products(self, conv.lin_l.weight)
        kept = _Products(self, conv.lin_r.weight)
        told_rows: dict[str, Tensor] = {}
        h = {}
        for node_type, count in near.counts[0].items():
            messages = []
            for edge_type, bags in near.bags[0].items():
                source, _, destination = edge_type
                if destination != node_type:
                    continue
                if len(x[source]) < count:
                    if source not in told_rows:
                        told_rows[source] = told(source, x[source])
                    messages.append(mean(told_rows[source], bags))
                else:
                    found = (bags.share > 0).to(x[source].dtype)
                    messages.append(told(source, mean(x[source], bags), found))
            own = near.own[node_type]
            if 2 * len(x[node_type]) <= count:
                rows = kept(node_type, x[node_type]).index_select(0, own)
            else:
                rows = kept(node_type, x[node_type].index_select(0, own))
            h[node_type] = self._joined(rows + conv.lin_l.bias, messages, near.incoming[node_type])
        return h

    def _next(self, conv: nn.Module, h: Mapping[str, Tensor], near: Neighbourhoods,
              layer: int) -> dict[str, Tensor]:
        out = {}
        for node_type, count in near.counts[layer].items():
            messages = [mean(h[e[0]], bags) for e, bags in near.bags[layer].items()
                        if e[2] == node_type]
            own = F.linear(h[node_type][:count], conv.lin_r.weight, conv.lin_l.bias)
            total = [F.linear(sum(messages), conv.lin_l.weight)] if messages else []
            out[node_type] = self._joined(own, total, near.incoming[node_type])
        return out

    def _joined(self, own: Tensor, messages: list[Tensor], incoming: int) -> Tensor:
        """`own` and the mean of the messages over the edge types that lead to a node."""
        if messages:
            own = own.add(sum(messages), alpha=1 / incoming)
        return own * max(incoming, 1) if self.edge_type_reduce == "sum" else own


class _Products:
    """x -> W (P x + p) for the projection P, p of a node type and one matrix W of a convolution.

    The matrices are multiplied with each other where that is fewer operations than taking the
    rows through both.
    """

    def __init__(self, model: HeteroGraphSAGE, weight: Tensor):
        self.model, self.weight = model, weight
        self._joint: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, node_type: str, x: Tensor, found: Tensor | None = None) -> Tensor:
        """float [n, H] of float [n, D]; rows where `found` (float [n]) is 0 get no bias."""
        layer = self.model._projection(node_type)
        if node_type not in self._joint and len(x) <= layer.in_features:
            return F.linear(_affine(x, layer.weight, layer.bias, found), self.weight)
        if node_type not in self._joint:
            self._joint[node_type] = self.weight @ layer.weight, self.weight @ layer.bias
        return _affine(x, *self._joint[node_type], found)


def _affine(x: Tensor, weight: Tensor, bias: Tensor, found: Tensor | None) -> Tensor:
    if found is None:
        return F.linear(x, weight, bias)
    return F.linear(x, weight) + found[:, None] * bias


def mean(x: Tensor, bags: Bags) -> Tensor:
    """float [n, F]: the mean of each bag of rows of x, zero where a bag is empty."""
    return _Mean.apply(x, *bags.tensors())


class _Mean(torch.autograd.Function):
    """As `embedding_bag`, with a way back that needs no sorting."""

    @staticmethod
    def forward(ctx, x, source, starts, share, node, node_starts):
        ctx.save_for_backward(share, node, node_starts)
        return F.embedding_bag(source, x, starts, mode="mean")

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        share, node, node_starts = ctx.saved_tensors
        back = F.embedding_bag(node, gradient * share[:, None], node_starts, mode="sum")
        return back, None, None, None, None, None
