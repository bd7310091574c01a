"""The names of a database as tensors: what the encoder's weights are made from.

Everything that is about a column or a relation is in one order for the whole database, so that
weights for all of them are one matrix product; each table then takes its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rowgraph.cells.names import NAME_DIM, name_vector
from rowgraph.cells.store import STATISTICS
from rowgraph.forecasting.reader import Reader
from rowgraph.forecasting.relations import EDGE_STATISTICS, edge_vector

KINDS = ("numbers", "codes", "late_numbers", "late_codes", "moments", "windows", "means")


@dataclass(frozen=True, eq=False)
class Names:
    """Vectors of what has weights, by kind.

    Args:
        tables: float32 [tables, NAME_DIM].
        table: by name, its place in `tables`.
        columns: by kind, float32 [all of the database, NAME_DIM + statistics].
        taken: by kind and table, the first of the table's own and how many there are.
        starts: by table, of each of its relations the place of its first column in `means`.
        edges: float32 [edge types, NAME_DIM + EDGE_STATISTICS].
    """

    tables: Tensor
    table: dict[str, int]
    columns: dict[str, Tensor]
    taken: dict[str, dict[str, tuple[int, int]]]
    starts: dict[str, list[int]]
    edges: Tensor

    @classmethod
    def of(cls, reader: Reader) -> Names:
        """From a reader's database."""
        graph, cells = reader.graph, reader.cells
        columns: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
        taken: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in KINDS}
        starts: dict[str, list[int]] = {}
        for table in graph.node_types:
            sheets, layout = cells.sheets[table], reader.layouts[table]
            relations = reader.relations[table]
            found = {
                "numbers": [sheets["numbers"].cells[k].vector for k in layout.numbers],
                "codes": [sheets["codes"].cells[k].vector for k in layout.codes],
                "late_numbers": [sheets["numbers"].cells[k].vector for k in layout.late_numbers],
                "late_codes": [sheets["codes"].cells[k].vector for k in layout.late_codes],
                "moments": [cell.vector for cell in sheets["moments"].cells],
                "windows": [relation.vector for relation in relations],
                "means": [np.concatenate([name, np.zeros(STATISTICS, np.float32)])
                          + np.pad(relation.vector[:NAME_DIM], (0, STATISTICS))
                          for relation in relations for name in relation.columns]}
            each = [len(relation.columns) for relation in relations]
            starts[table] = [len(columns["means"]) + sum(each[:k]) for k in range(len(each))]
            for kind, vectors in found.items():
                taken[kind][table] = len(columns[kind]), len(vectors)
                columns[kind] += vectors
        width = {kind: NAME_DIM + (EDGE_STATISTICS if kind == "windows" else STATISTICS)
                 for kind in KINDS}
        edges = [edge_vector(graph, edge, reader.past) for edge in reader.edges]
        return cls(
            torch.from_numpy(np.stack([name_vector(t) for t in graph.node_types])),
            {table: k for k, table in enumerate(graph.node_types)},
            {kind: _stacked(vectors, width[kind]) for kind, vectors in columns.items()},
            taken, starts, _stacked(edges, NAME_DIM + EDGE_STATISTICS))

    def rotated(self, rotation: Tensor) -> Names:
        """The same with every name turned alike.

        Args:
            rotation: float32 [NAME_DIM, NAME_DIM], orthogonal.
        """
        def turned(vectors: Tensor) -> Tensor:
            return torch.cat([vectors[:, :NAME_DIM] @ rotation, vectors[:, NAME_DIM:]], dim=1)

        return replace(self, tables=turned(self.tables), edges=turned(self.edges),
                       columns={kind: turned(v) for kind, v in self.columns.items()})

    def to(self, device: torch.device) -> Names:
        """The same on a device."""
        return replace(self, tables=self.tables.to(device), edges=self.edges.to(device),
                       columns={kind: v.to(device) for kind, v in self.columns.items()})


def _stacked(vectors: list[np.ndarray], width: int) -> Tensor:
    whole = np.stack(vectors) if vectors else np.zeros((0, width))
    return torch.from_numpy(whole.astype(np.float32))
