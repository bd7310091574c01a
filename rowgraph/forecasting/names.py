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
from rowgraph.cells.store import STATISTICS, Cell
from rowgraph.forecasting.reader import Reader
from rowgraph.forecasting.relations import EDGE_STATISTICS, Relation, edge_vector

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
        keys: what each of `columns` and (kind `edges`) of the edge types is, in words that no two
            of a kind share.
    """

    tables: Tensor
    table: dict[str, int]
    columns: dict[str, Tensor]
    taken: dict[str, dict[str, tuple[int, int]]]
    starts: dict[str, list[int]]
    edges: Tensor
    keys: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, reader: Reader) -> Names:
        """From a reader's database."""
        graph, cells = reader.graph, reader.cells
        columns: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
        taken: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in KINDS}
        keys: dict[str, list[str]] = {kind: [] for kind in KINDS}
        starts: dict[str, list[int]] = {}
        for table in graph.node_types:
            sheets, layout = cells.sheets[table], reader.layouts[table]
            relations = reader.relations[table]
            numbers, codes = sheets["numbers"].cells, sheets["codes"].cells
            found = {
                "numbers": [_of_cell(numbers[k]) for k in layout.numbers],
                "codes": [_of_cell(codes[k]) for k in layout.codes],
                "late_numbers": [_of_cell(numbers[k]) for k in layout.late_numbers],
                "late_codes": [_of_cell(codes[k]) for k in layout.late_codes],
                "moments": [_of_cell(cell) for cell in sheets["moments"].cells],
                "windows": [(_label(relation), relation.vector) for relation in relations],
                "means": [_of_mean(relation, k) for relation in relations
                          for k in range(len(relation.columns))]}
            each = [len(relation.columns) for relation in relations]
            starts[table] = [len(columns["means"]) + sum(each[:k]) for k in range(len(each))]
            for kind, described in found.items():
                taken[kind][table] = len(columns[kind]), len(described)
                columns[kind] += [vector for _, vector in described]
                keys[kind] += [key for key, _ in described]
        width = {kind: NAME_DIM + (EDGE_STATISTICS if kind == "windows" else STATISTICS)
                 for kind in KINDS}
        edges = [edge_vector(graph, edge, reader.past) for edge in reader.edges]
        return cls(
            torch.from_numpy(np.stack([name_vector(t) for t in graph.node_types])),
            {table: k for k, table in enumerate(graph.node_types)},
            {kind: _stacked(vectors, width[kind]) for kind, vectors in columns.items()},
            taken, starts, _stacked(edges, NAME_DIM + EDGE_STATISTICS),
            {**{kind: tuple(found) for kind, found in keys.items()},
             "edges": tuple(" ".join(edge) for edge in reader.edges)})

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


def _of_cell(cell: Cell) -> tuple[str, np.ndarray]:
    return f"{cell.column.table}.{cell.column.name} {cell.column.kind}", cell.vector


def _label(relation: Relation) -> str:
    return f"{' '.join(relation.edge)}{' later' if relation.late else ''} {relation.keys[:1]}"


def _of_mean(relation: Relation, k: int) -> tuple[str, np.ndarray]:
    vector = relation.columns[k] + relation.vector[:NAME_DIM]
    return f"{_label(relation)} {relation.keys[k]}", np.pad(vector, (0, STATISTICS))


def _stacked(vectors: list[np.ndarray], width: int) -> Tensor:
    whole = np.stack(vectors) if vectors else np.zeros((0, width))
    return torch.from_numpy(whole.astype(np.float32))
