"""Some seeds with all that they may see, as tensors without weights.

A batch holds, for the sampled nodes of each table, cells that depend on the row alone (once for
every distinct row), cells that depend on the seed too (ages, cells known later than their row), and
windows over the full adjacency for seeds and first-hop rows. Nodes of all tables are then in one
order, by hop, so that each layer is a few large operations however many tables and keys there are.

Legend: n nodes of a table, U distinct rows, N nodes of all tables, S segments (the neighbours of
one node along one edge type), E edges, K features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TableBatch:
    """The nodes of one table.

    Args:
        table: its name.
        static: float32 [U, K]: cells of distinct rows.
        place: int64 [n], of each node's row among these.
        own: float32 [n, K]: cells that depend on the seed too.
        windows: float32 [nodes of the seeds and the first hop, K].
    """

    table: str
    static: Tensor
    place: Tensor
    own: Tensor
    windows: Tensor


@dataclass(frozen=True, eq=False)
class Messages:
    """What the first nodes hear in one layer.

    Args:
        nodes: how many hear.
        up: int64 [3, E]: edges from the row that a key names: source, node, edge type.
        down: int64 [E]: sources of the other edges, grouped by segment, newest first.
        starts: int64 [S + 1]: where each segment begins.
        node, kind: int64 [S]: of each segment.
        share: float32 [nodes, 1]: one over the root of how many things each node hears.
    """

    nodes: int
    up: Tensor
    down: Tensor
    starts: Tensor
    node: Tensor
    kind: Tensor
    share: Tensor

    def to(self, device: torch.device) -> Messages:
        """The same on a device."""
        return Messages(self.nodes, *(getattr(self, name).to(device) for name in (
            "up", "down", "starts", "node", "kind", "share")))


@dataclass(frozen=True, eq=False)
class Batch:
    """Some seeds with all that they may see.

    Args:
        table: of the seeds.
        seeds: how many.
        tables: nodes by table.
        order: int64 [N]: nodes of all tables, one table after the other, by hop; seeds first.
        window_order: the same for those with windows.
        means: float32 [seeds, K]: of the columns of the seeds' relations.
        horizon: float32 [seeds, PER_HORIZON]: how long and how far ahead is asked.
        layers: of the first hop and the seeds, then of the seeds.
    """

    table: str
    seeds: int
    tables: tuple[TableBatch, ...]
    order: Tensor
    window_order: Tensor
    means: Tensor
    horizon: Tensor
    layers: tuple[Messages, ...]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        if device.type == "cpu":
            return self
        tables = tuple(TableBatch(t.table, *(getattr(t, name).to(device) for name in (
            "static", "place", "own", "windows"))) for t in self.tables)
        return Batch(self.table, self.seeds, tables, *(getattr(self, name).to(device) for name in (
            "order", "window_order", "means", "horizon")),
            tuple(layer.to(device) for layer in self.layers))
