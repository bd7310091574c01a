"""The relational entity graph of a database (Section 2): rows are nodes, foreign keys are edges.

Structure and times only. What a node looks like is attached when a batch is made, so that a new
language model rebuilds no edge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numba import njit, types

from rowgraph.databases.database import TIMELESS, Database

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

EdgeType = tuple[str, str, str]  # (source, relation, destination): messages flow that way

FORMAT_VERSION = 1


class GraphError(ValueError):
    """A database or a folder that gives no entity graph; the message names table and column."""


@dataclass(frozen=True)
class Adjacency:
    """The neighbours along one edge type, grouped by destination.

    Args:
        indptr: int64 [num_dst + 1]; the neighbours of node i are `indices[indptr[i]:indptr[i+1]]`.
        indices: int64 [E], source rows. Within a destination they ascend by time, ties by row
            number (`EntityGraph` checks that), so that what is visible is always a prefix.
    """

    indptr: np.ndarray
    indices: np.ndarray

    def __post_init__(self):
        for name in ("indptr", "indices"):
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != np.int64:
                raise GraphError(f"adjacency: {name} must be int64 with one dimension, found "
                                 f"{array.dtype} with {array.ndim}")
        if len(self.indptr) == 0 or self.indptr[0] != 0 or self.indptr[-1] != len(self.indices):
            raise GraphError("adjacency: indptr must start at 0 and end at the number of edges "
                             f"({len(self.indices)})")
        if np.any(np.diff(self.indptr) < 0):
            raise GraphError("adjacency: indptr must not decrease")

    @property
    def num_dst(self) -> int:
        """Nodes of the destination type."""
        return len(self.indptr) - 1

    @property
    def num_edges(self) -> int:
        """Edges of this type."""
        return len(self.indices)

    @property
    def degree(self) -> np.ndarray:
        """int64 [num_dst]: neighbours of each destination."""
        return np.diff(self.indptr)

    def edge_index(self) -> np.ndarray:
        """int64 [2, E]: source and destination rows, ordered by destination."""
        destination = np.repeat(np.arange(self.num_dst, dtype=np.int64), self.degree)
        return np.stack([self.indices, destination])


@dataclass(frozen=True)
class EntityGraph:
    """A heterogeneous graph with times: node i of a type is row i of that table.

    Args:
        node_types: table names, in manifest order.
        num_nodes: rows of each table.
        times: int64 [num_nodes] per table, microseconds since 1970, `TIMELESS` or `NEVER`.
        adjacency: by edge type, for each foreign key one in either direction.
    """

    node_types: tuple[str, ...]
    num_nodes: Mapping[str, int]
    times: Mapping[str, np.ndarray]
    adjacency: Mapping[EdgeType, Adjacency]

    def __post_init__(self):
        for name in ("num_nodes", "times"):
            if set(getattr(self, name)) != set(self.node_types):
                raise GraphError(f"graph: {name} must have exactly the node types "
                                 f"{list(self.node_types)}, found {list(getattr(self, name))}")
        for node_type, times in self.times.items():
            if times.dtype != np.int64 or times.shape != (self.num_nodes[node_type],):
                raise GraphError(f"graph: times of {node_type} must be int64 "
                                 f"[{self.num_nodes[node_type]}], found {times.dtype} "
                                 f"{list(times.shape)}")
        for edge_type, adjacency in self.adjacency.items():
            self._check_edges(edge_type, adjacency)

    def _check_edges(self, edge_type: EdgeType, adjacency: Adjacency) -> None:
        source, _, destination = edge_type
        if source not in self.num_nodes or destination not in self.num_nodes:
            raise GraphError(f"graph: edge type {edge_type} joins a table that is not among "
                             f"{list(self.node_types)}")
        if adjacency.num_dst != self.num_nodes[destination]:
            raise GraphError(f"graph: {edge_type} has neighbours for {adjacency.num_dst} rows of "
                             f"{destination}, expected {self.num_nodes[destination]}")
        if adjacency.num_edges == 0:
            return
        low, high = adjacency.indices.min(), adjacency.indices.max()
        if low < 0 or high >= self.num_nodes[source]:
            raise GraphError(f"graph: {edge_type} names rows {low} to {high} of {source}, which "
                             f"has {self.num_nodes[source]}")
        # An unsorted adjacency would let a seed see the future, hence the check of every edge.
        if not _in_time_order(adjacency.indptr, adjacency.indices, self.times[source]):
            raise GraphError(f"graph: the neighbours of a row along {edge_type} must ascend by "
                             "time, ties by row number")

    @property
    def edge_types(self) -> tuple[EdgeType, ...]:
        """Edge types, in the order of foreign keys in the manifest."""
        return tuple(self.adjacency)

    @cached_property
    def num_edges(self) -> int:
        """Directed edges of all types; each foreign key value counts twice."""
        return sum(a.num_edges for a in self.adjacency.values())

    def save(self, folder: Path) -> None:
        """Write npy files and, last, `graph.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        for i, node_type in enumerate(self.node_types):
            np.save(folder / f"times_{i:03d}.npy", self.times[node_type])
        for i, adjacency in enumerate(self.adjacency.values()):
            np.save(folder / f"indptr_{i:03d}.npy", adjacency.indptr)
            np.save(folder / f"indices_{i:03d}.npy", adjacency.indices)
        facts = {
            "format_version": FORMAT_VERSION,
            "node_types": [[t, int(self.num_nodes[t])] for t in self.node_types],
            "edge_types": [[*e, a.num_edges] for e, a in self.adjacency.items()],
        }
        (folder / "graph.json").write_text(json.dumps(facts, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> EntityGraph:
        """Open a saved graph; the arrays stay on disk until they are read.

        Raises:
            GraphError: a file is missing or the arrays do not make a graph.
        """
        try:
            facts = json.loads((folder / "graph.json").read_text())
            if facts["format_version"] != FORMAT_VERSION:
                raise GraphError(f"{folder}: graph format {facts['format_version']}, expected "
                                 f"{FORMAT_VERSION}; build the graph again")
            num_nodes = dict(facts["node_types"])
            times = {t: _open(folder / f"times_{i:03d}.npy") for i, t in enumerate(num_nodes)}
            adjacency = {
                (source, relation, destination): Adjacency(
                    _open(folder / f"indptr_{i:03d}.npy"), _open(folder / f"indices_{i:03d}.npy"))
                for i, (source, relation, destination, _) in enumerate(facts["edge_types"])
            }
        except FileNotFoundError as error:
            raise GraphError(f"{folder}: {Path(error.filename).name} is missing; build the graph "
                             "again") from error
        return cls(tuple(num_nodes), num_nodes, times, adjacency)

    def to_hetero_data(self) -> HeteroData:
        """The same graph as a plain PyG `HeteroData`; `time` in microseconds where there is one."""
        import torch
        from torch_geometric.data import HeteroData

        data = HeteroData()
        for node_type in self.node_types:
            times = self.times[node_type]
            data[node_type].num_nodes = self.num_nodes[node_type]
            if not np.all(times == TIMELESS):
                data[node_type].time = torch.from_numpy(np.array(times))
        for edge_type, adjacency in self.adjacency.items():
            data[edge_type].edge_index = torch.from_numpy(adjacency.edge_index())
        data.validate()
        return data


def build_entity_graph(database: Database) -> EntityGraph:
    """Turn every foreign key into edges, in both directions, with RelBench's names.

    Reads key and time columns only. A null foreign key gives no edge.

    Raises:
        GraphError: a primary key is not the row number, or a foreign key names a row that its
            table does not have.
    """
    num_nodes = {table: database.num_rows(table) for table in database.tables}
    times = {table: database.times(table) for table in database.tables}
    adjacency: dict[EdgeType, Adjacency] = {}
    for table, schema in database.tables.items():
        frame = database.read(table, list(schema.key_cols))
        if schema.pkey_col is not None:
            _check_primary_key(database.name, table, frame[schema.pkey_col])
        by_time = np.argsort(times[table], kind="stable") if schema.fkeys else None
        for fkey, parent in schema.fkeys.items():
            parent_row = _parent_rows(database.name, table, frame[fkey], parent, num_nodes[parent])
            present = parent_row >= 0
            degree = np.bincount(parent_row[present], minlength=num_nodes[parent])
            adjacency[table, f"f2p_{fkey}", parent] = Adjacency(
                indptr := _indptr(degree), _grouped(by_time, parent_row, indptr))
            adjacency[parent, f"rev_f2p_{fkey}", table] = Adjacency(
                _indptr(present), np.ascontiguousarray(parent_row[present]))
    return EntityGraph(tuple(database.tables), num_nodes, times, adjacency)


def _open(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _indptr(degree: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)


def _check_primary_key(database: str, table: str, key: pl.Series) -> None:
    expected = pl.int_range(len(key), eager=True)
    wrong = (key.cast(pl.Int64, strict=False) != expected).fill_null(True)
    if wrong.any():
        row = wrong.arg_max()
        raise GraphError(f"{database}: {table}.{key.name} must hold the row numbers 0 to "
                         f"{len(key) - 1}, found {key[row]!r} in row {row}; number the rows again")


def _parent_rows(database: str, table: str, key: pl.Series, parent: str, rows: int) -> np.ndarray:
    """int64 [num_rows]: the row that each foreign key names, -1 for null."""
    if key.dtype == pl.Null:
        key = key.cast(pl.Int64)
    if not key.dtype.is_numeric():
        raise GraphError(f"{database}: {table}.{key.name} must hold row numbers of {parent}, found "
                         f"{key.dtype}; number the rows again")
    if key.dtype.is_float():
        key = key.fill_nan(None)
    number = key.cast(pl.Int64, strict=False)
    wrong = key.is_not_null() & ~(number.is_between(0, rows - 1) & (number == key)).fill_null(False)
    if wrong.any():
        row = wrong.arg_max()
        raise GraphError(f"{database}: {table}.{key.name} names row {key[row]!r} of {parent} in "
                         f"row {row}, but {parent} has rows 0 to {rows - 1} ({wrong.sum()} such "
                         "keys); make dangling keys null or resolve the database again")
    return number.fill_null(-1).to_numpy().astype(np.int64)


_ints = types.Array(types.int64, 1, "C", readonly=True)  # memory-mapped arrays are read-only


@njit(types.int64[::1](_ints, _ints, _ints))
def _grouped(by_time, parent_row, indptr):
    """Rows by parent, keeping the order of `by_time` (a counting sort; -1 is left out)."""
    place = indptr.copy()
    out = np.empty(indptr[-1], dtype=np.int64)
    for row in by_time:
        parent = parent_row[row]
        if parent >= 0:
            out[place[parent]] = row
            place[parent] += 1
    return out


@njit(types.boolean(_ints, _ints, _ints))
def _in_time_order(indptr, indices, times):
    for node in range(len(indptr) - 1):
        for e in range(indptr[node] + 1, indptr[node + 1]):
            before, after = indices[e - 1], indices[e]
            if times[before] > times[after] or (times[before] == times[after] and before > after):
                return False
    return True
