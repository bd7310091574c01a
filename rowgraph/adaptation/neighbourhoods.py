"""Sampled neighbourhoods made ready for a model: indices only, no vectors.

A sampled batch says which node neighbours which. Here each table's rows are counted once however
many trees they stand in, and along each edge type the neighbours of each node are a bag, with the
way back for gradients. What is made ready does not depend on the variant, on its vectors or on its
weights, so one neighbourhood serves every variant, every seed that draws alike and every epoch.

Legend: n nodes of a type, U distinct rows of a type, E edges of an edge type, L hops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rowgraph.graph.entity_graph import EdgeType
from rowgraph.graph.sampling import SampledBatch

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings

SILENT = -1  # the row of a node that says nothing: its vector is zero


@dataclass(frozen=True, eq=False)
class Bags:
    """The neighbours of some nodes along one edge type.

    Args:
        source: int32 [E], positions of the neighbours, grouped by the node they belong to.
        starts: int32 [n], where each node's group begins.
        share: float32 [n], one over the size of its group; 0 where it is empty.
        node: int32 [E], the nodes, grouped by the source that they have as a neighbour.
        node_starts: int32 [sources], where each source's group begins.
    """

    source: Tensor
    starts: Tensor
    share: Tensor
    node: Tensor
    node_starts: Tensor

    @classmethod
    def of(cls, source: np.ndarray, node: np.ndarray, sources: int, nodes: int) -> Bags:
        """From pairs (int64 [E] each), ordered by node."""
        size = np.bincount(node, minlength=nodes)
        back = np.argsort(source, kind="stable")
        share = np.where(size > 0, 1 / np.maximum(size, 1), 0)
        return cls(_short(source), _short(np.cumsum(size) - size),
                   torch.from_numpy(share.astype(np.float32)), _short(node[back]),
                   _short(np.searchsorted(source[back], np.arange(sources))))

    @property
    def nodes(self) -> int:
        """n."""
        return len(self.starts)

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in the order of the fields."""
        return self.source, self.starts, self.share, self.node, self.node_starts

    def to(self, device: torch.device) -> Bags:
        """The same on a device."""
        return Bags(*(t.to(device) for t in self.tensors()))


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The neighbourhoods of some seeds.

    Args:
        rows: int64 [U] by node type, ascending, none twice; `SILENT` first where there is one.
        own: int32 [n] by node type, positions in `rows` of the nodes that the first layer updates.
        counts: by layer, how many nodes of each type it updates; those of the seeds' type come
            first, and a layer's nodes are the first of the layer before.
        bags: by layer and edge type; sources are positions in `rows` for the first layer, then
            nodes of the layer before.
        incoming: by node type, how many edge types lead to it in the whole graph.
        seed_type: node type of the seeds.
        seeds: how many.
    """

    rows: Mapping[str, np.ndarray]
    own: Mapping[str, Tensor]
    counts: tuple[Mapping[str, int], ...]
    bags: tuple[Mapping[EdgeType, Bags], ...]
    incoming: Mapping[str, int]
    seed_type: str
    seeds: int

    @classmethod
    def of(cls, batch: SampledBatch, silent: np.ndarray) -> Neighbourhoods:
        """Make a batch ready.

        Args:
            batch: with one hop for each layer of the model.
            silent: bool [seeds], seeds whose own rows must not be seen.
        """
        hops = batch.num_hops
        rows, place = {}, {}
        for node_type, n_id in batch.n_id.items():
            ids = n_id.numpy()
            if node_type == batch.input_type and silent.any():
                ids = ids.copy()
                ids[:len(silent)][silent] = SILENT
            rows[node_type], place[node_type] = np.unique(ids, return_inverse=True)
        counts, bags = [], []
        for layer in range(hops):
            updated = {t: sum(batch.num_sampled_nodes[t][:hops - layer]) for t in batch.n_id}
            found = {}
            for edge_type, edge_index in batch.edge_index.items():
                source_type, _, node_type = edge_type
                edges = sum(batch.num_sampled_edges[edge_type][:hops - layer])
                if edges:
                    source, node = edge_index[:, :edges].numpy()
                    sources = counts[-1][source_type] if layer else len(rows[source_type])
                    found[edge_type] = Bags.of(source if layer else place[source_type][source],
                                               node, sources, updated[node_type])
            counts.append({t: n for t, n in updated.items() if n})
            bags.append(found)
        incoming = {t: sum(e[2] == t for e in batch.edge_index) for t in batch.n_id}
        own = {t: _short(place[t][:n]) for t, n in counts[0].items()}
        return cls({t: r for t, r in rows.items() if len(r)}, own, tuple(counts), tuple(bags),
                   incoming, batch.input_type, batch.num_seeds)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        tensors = [*self.own.values(), *(t for layer in self.bags for b in layer.values()
                                         for t in b.tensors())]
        return sum(r.nbytes for r in self.rows.values()) + sum(t.nbytes for t in tensors)

    def to(self, device: torch.device) -> Neighbourhoods:
        """The same with its tensors on a device."""
        if device.type == "cpu":
            return self
        return Neighbourhoods(
            self.rows, {t: v.to(device) for t, v in self.own.items()}, self.counts,
            tuple({e: b.to(device) for e, b in layer.items()} for layer in self.bags),
            self.incoming, self.seed_type, self.seeds)

    def vectors(self, embeddings: Embeddings, device: torch.device) -> dict[str, Tensor]:
        """float32 [U, D] by node type: the vectors of `rows`."""
        return {t: vectors_of(embeddings, t, rows, device) for t, rows in self.rows.items()}


def vectors_of(embeddings: Embeddings, table: str, rows: np.ndarray,
               device: torch.device) -> Tensor:
    """float32 [len(rows), D]: the vectors of rows in any order, zero where a row is `SILENT`."""
    silent = rows == SILENT
    found = embeddings.gather(table, np.where(silent, 0, rows) if silent.any() else rows)
    if silent.any():
        found = found.masked_fill(torch.from_numpy(silent)[:, None].to(found.device), 0.0)
    return found.to(device)


def _short(positions: np.ndarray) -> Tensor:
    return torch.from_numpy(positions.astype(np.int32))
