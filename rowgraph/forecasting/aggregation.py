"""What a node hears from the neighbours of one edge type: mean, newest, largest, smallest.

On a CPU one compiled pass over the edges, without a copy of a vector for every edge; elsewhere
plain torch operations. Both give the same. Shapes: N nodes, E edges, S segments, D channels.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import types
from torch import Tensor

from rowgraph.compiling import kernel

PARTS = 4
COMPILED = "cpu"  # the device that has the compiled pass
_vectors = types.float32[:, ::1]
_read = types.Array(types.float32, 2, "C", readonly=True)
_ints = types.Array(types.int64, 1, "C", readonly=True)
_which = types.int32[:, ::1]


def aggregate(vectors: Tensor, sources: Tensor, starts: Tensor) -> Tensor:
    """float32 [S, PARTS * D]: mean, newest, largest and smallest of each segment's sources.

    Args:
        vectors: float32 [N, D].
        sources: int64 [E], the newest of a segment first.
        starts: int64 [S + 1]; no segment is empty.
    """
    if vectors.device.type == COMPILED:
        return _Aggregate.apply(vectors, sources, starts)
    sizes = starts[1:] - starts[:-1]
    segment = torch.repeat_interleave(torch.arange(len(sizes), device=vectors.device), sizes)
    heard, shape = vectors[sources], (len(sizes), vectors.shape[1])
    mean = vectors.new_zeros(shape).index_add(0, segment, heard) / sizes[:, None]
    where = segment[:, None].expand_as(heard)
    largest, smallest = (vectors.new_zeros(shape).scatter_reduce(
        0, where, heard, how, include_self=False) for how in ("amax", "amin"))
    return torch.cat([mean, vectors[sources[starts[:-1]]], largest, smallest], dim=1)


class _Aggregate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vectors: Tensor, sources: Tensor, starts: Tensor) -> Tensor:
        count, channels = len(starts) - 1, vectors.shape[1]
        out = torch.empty(count, PARTS * channels)
        highest = np.empty((count, channels), np.int32)
        lowest = np.empty((count, channels), np.int32)
        _forward(vectors.detach().contiguous().numpy(), sources.numpy(), starts.numpy(),
                 out.numpy(), highest, lowest)
        ctx.save_for_backward(sources, starts)
        ctx.extremes, ctx.nodes = (highest, lowest), len(vectors)
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor):
        sources, starts = ctx.saved_tensors
        back = torch.zeros(ctx.nodes, gradient.shape[1] // PARTS)
        _backward(gradient.contiguous().numpy(), sources.numpy(), starts.numpy(), *ctx.extremes,
                  back.numpy())
        return back, None, None


@kernel(types.void(_read, _ints, _ints, _vectors, _which, _which), nogil=True, fastmath=False)
def _forward(vectors, sources, starts, out, highest, lowest):
    channels = vectors.shape[1]
    for s in range(len(starts) - 1):
        begin, end = starts[s], starts[s + 1]
        first = sources[begin]
        for d in range(channels):
            value = vectors[first, d]
            out[s, d] = out[s, channels + d] = value
            out[s, 2 * channels + d] = out[s, 3 * channels + d] = value
            highest[s, d] = lowest[s, d] = first
        for e in range(begin + 1, end):
            source = sources[e]
            for d in range(channels):
                value = vectors[source, d]
                out[s, d] += value
                if value > out[s, 2 * channels + d]:
                    out[s, 2 * channels + d] = value
                    highest[s, d] = source
                if value < out[s, 3 * channels + d]:
                    out[s, 3 * channels + d] = value
                    lowest[s, d] = source
        share = np.float32(1.0) / np.float32(end - begin)
        for d in range(channels):
            out[s, d] *= share


@kernel(types.void(_read, _ints, _ints, _which, _which, _vectors), nogil=True)
def _backward(gradient, sources, starts, highest, lowest, back):
    channels = back.shape[1]
    for s in range(len(starts) - 1):
        begin, end = starts[s], starts[s + 1]
        share = np.float32(1.0) / np.float32(end - begin)
        first = sources[begin]
        for d in range(channels):
            back[first, d] += gradient[s, channels + d]
            back[highest[s, d], d] += gradient[s, 2 * channels + d]
            back[lowest[s, d], d] += gradient[s, 3 * channels + d]
        for e in range(begin, end):
            source = sources[e]
            for d in range(channels):
                back[source, d] += gradient[s, d] * share
