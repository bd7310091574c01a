"""The relational entity graph of a database (Section 2): rows are nodes, foreign keys are edges.

Structure and times only. What a node looks like is attached when a batch is made, so that a new
language model rebuilds no edge.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from rowgraph.databases.database import TIMELESS, Database
from rowgraph.graph.adjacency import (
    Adjacency,
    EdgeType,
    GraphError,
    grouped_by_parent,
    in_time_order,
    known_in_order,
)

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["Adjacency", "EdgeType", "EntityGraph", "GraphError", "build_entity_graph"]

FORMAT_VERSION = 1
IN_ROW_ORDER = np.empty(0, dtype=np.int64)  # of a table whose rows ascend by time already


@dataclass(frozen=True)
class EntityGraph:
    """A heterogeneous graph with times: node i of a type is row i of that table.

    Args:
        node_types: table names, in manifest order.
        num_nodes: rows of each table.
        times: int64 [num_nodes] per table, microseconds since 1970, `TIMELESS` or `NEVER`.
        adjacency: by edge type, for each foreign key one in either direction.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rowgraph.example import write_example
        >>> from rowgraph.graph.entity_graph import EntityGraph, build_entity_graph
        >>> graph = build_entity_graph(write_example(tempfile.mkdtemp()))
        >>> dict(graph.num_nodes), graph.num_edges
        ({'customers': 8, 'books': 4, 'orders': 88}, 352)
        >>> graph.edge_types[0]
        ('orders', 'f2p_customer_id', 'customers')
        >>> folder = Path(tempfile.mkdtemp())
        >>> graph.save(folder)
        >>> EntityGraph.load(folder).num_edges
        352
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
        ascending = {t: _ascending(times) for t, times in self.times.items()}
        for edge_type, adjacency in self.adjacency.items():
            self._check_edges(edge_type, adjacency, ascending)

    def _check_edges(self, edge_type: EdgeType, adjacency: Adjacency,
                     ascending: Mapping[str, bool]) -> None:
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
        if adjacency.times is not None:
            if not known_in_order(adjacency.indptr, adjacency.indices, adjacency.times,
                                  self.times[source]):
                raise GraphError(f"graph: the edges of a row along {edge_type} must ascend by the "
                                 "time at which they are known, none before its source row")
        elif not in_time_order(adjacency.indptr, adjacency.indices, self.times[source],
                               ascending[source]):
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

    def without(self, columns: Iterable[tuple[str, str]]) -> EntityGraph:
        """The same nodes without the edges of some foreign keys, in either direction.

        Args:
            columns: (table, column) pairs, such as a task hides; those that are no foreign key
                change nothing.
        """
        columns = set(columns)
        gone = {(table, f"f2p_{column}") for table, column in columns}
        gone_back = {(f"rev_f2p_{column}", table) for table, column in columns}
        kept = {e: a for e, a in self.adjacency.items()
                if e[:2] not in gone and e[1:] not in gone_back}
        if len(kept) == len(self.adjacency):
            return self
        return EntityGraph(self.node_types, self.num_nodes, self.times, kept)

    def save(self, folder: Path) -> None:
        """Write npy files and, last, `graph.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        for i, node_type in enumerate(self.node_types):
            np.save(folder / f"times_{i:03d}.npy", self.times[node_type])
        for i, adjacency in enumerate(self.adjacency.values()):
            np.save(folder / f"indptr_{i:03d}.npy", adjacency.indptr)
            np.save(folder / f"indices_{i:03d}.npy", adjacency.indices)
            if adjacency.times is not None:
                np.save(folder / f"edge_times_{i:03d}.npy", adjacency.times)
        late = [i for i, a in enumerate(self.adjacency.values()) if a.times is not None]
        facts = {
            "format_version": FORMAT_VERSION,
            "node_types": [[t, int(self.num_nodes[t])] for t in self.node_types],
            "edge_types": [[*e, a.num_edges] for e, a in self.adjacency.items()],
        } | ({"edge_times": late} if late else {})
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
            late = set(facts.get("edge_times", ()))
            adjacency = {
                (source, relation, destination): Adjacency(
                    _open(folder / f"indptr_{i:03d}.npy"), _open(folder / f"indices_{i:03d}.npy"),
                    _open(folder / f"edge_times_{i:03d}.npy") if i in late else None)
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
            if adjacency.times is not None:
                data[edge_type].time = torch.from_numpy(np.array(adjacency.times))
        data.validate()
        return data


def build_entity_graph(database: Database) -> EntityGraph:
    """Turn every foreign key into edges, in both directions, with RelBench's names.

    Reads key and time columns only, one at a time: beside the graph itself, no more than a column
    and its place in the order is in memory. A null foreign key gives no edge, and neither does one
    that the database hides. A key that was written later than its row gives edges that are known
    from then on (`Database.known_at`), and from both rows' times.

    Raises:
        GraphError: a primary key is not the row number, or a foreign key names a row that its
            table does not have.

    Examples:
        >>> import tempfile
        >>> from rowgraph.example import write_example
        >>> from rowgraph.graph.entity_graph import build_entity_graph
        >>> database = write_example(tempfile.mkdtemp())
        >>> graph = build_entity_graph(database.without([("orders", "book_id")]))
        >>> [relation for _, relation, _ in graph.edge_types]
        ['f2p_customer_id', 'rev_f2p_customer_id']
    """
    num_nodes = {table: database.num_rows(table) for table in database.tables}
    times = {table: database.times(table) for table in database.tables}
    adjacency: dict[EdgeType, Adjacency] = {}
    for table, schema in database.tables.items():
        if schema.pkey_col is not None:
            _check_primary_key(database.name, table, _column(database, table, schema.pkey_col))
        by_time = _time_order(times[table]) if schema.fkeys else IN_ROW_ORDER
        one_each = np.arange(num_nodes[table] + 1, dtype=np.int64)  # shared by keys without null
        for fkey, parent in schema.fkeys.items():
            if (table, fkey) in database.hidden:
                continue
            parent_row = _parent_rows(database.name, table, _column(database, table, fkey),
                                      parent, num_nodes[parent])
            known = database.known_at(table, fkey)
            if known is not None:
                adjacency[table, f"f2p_{fkey}", parent], adjacency[
                    parent, f"rev_f2p_{fkey}", table] = _late_edges(
                        parent_row, np.maximum(known, times[table]), times[parent])
                continue
            present = parent_row >= 0
            whole = present.all()
            edges = parent_row if whole else parent_row[present]
            indptr = _indptr(np.bincount(edges, minlength=num_nodes[parent]))
            adjacency[table, f"f2p_{fkey}", parent] = Adjacency(
                indptr, grouped_by_parent(by_time, parent_row, indptr))
            adjacency[parent, f"rev_f2p_{fkey}", table] = Adjacency(
                one_each if whole else _indptr(present), edges)
    return EntityGraph(tuple(database.tables), num_nodes, times, adjacency)


def _late_edges(parent_row: np.ndarray, known: np.ndarray,
                parent_times: np.ndarray) -> tuple[Adjacency, Adjacency]:
    """Of a key that may be written later than its row: edges to the parents, and back."""
    child = np.flatnonzero(parent_row >= 0)
    parent = parent_row[child]
    edge_time = np.maximum(known[child], parent_times[parent])
    order = np.lexsort((child, edge_time, parent))
    down = Adjacency(_indptr(np.bincount(parent, minlength=len(parent_times))), child[order],
                     edge_time[order])
    return down, Adjacency(_indptr(parent_row >= 0), parent, edge_time)


def _open(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _column(database: Database, table: str, column: str) -> pl.Series:
    return database.read(table, [column], late=True)[column]


def _indptr(degree: np.ndarray) -> np.ndarray:
    indptr = np.zeros(len(degree) + 1, dtype=np.int64)
    np.cumsum(degree, out=indptr[1:])
    return indptr


def _ascending(times: np.ndarray) -> bool:
    return not np.any(times[1:] < times[:-1])


def _time_order(times: np.ndarray) -> np.ndarray:
    """int64 [num_rows]: rows by time, ties by row number; empty where they lie so already."""
    return IN_ROW_ORDER if _ascending(times) else np.argsort(times, kind="stable")


def _check_primary_key(database: str, table: str, key: pl.Series) -> None:
    name, key = key.name, key.alias("")  # for polars' methods some names are patterns
    expected = pl.int_range(len(key), eager=True)
    wrong = (key.cast(pl.Int64, strict=False) != expected).fill_null(True)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise GraphError(f"{database}: {table}.{name} must hold the row numbers 0 to "
                         f"{len(key) - 1}, found {key[row]!r} in row {row}; number the rows again")


def _parent_rows(database: str, table: str, key: pl.Series, parent: str, rows: int) -> np.ndarray:
    """int64 [num_rows]: the row that each foreign key names, -1 for null."""
    name, key = key.name, key.alias("")  # as above
    if key.dtype == pl.Null:
        key = key.cast(pl.Int64)
    if not key.dtype.is_numeric():
        raise GraphError(f"{database}: {table}.{name} must hold row numbers of {parent}, found "
                         f"{key.dtype}; number the rows again")
    if key.dtype.is_float():
        key = key.fill_nan(None)
    number, nulls = key.cast(pl.Int64, strict=False), key.null_count()
    sound = number.null_count() == nulls and (key.dtype.is_integer() or (number == key).all())
    if not sound or (nulls < len(key) and not number.is_between(0, rows - 1).all()):
        wrong = key.is_not_null() & ~(number.is_between(0, rows - 1)
                                      & (number == key)).fill_null(False)
        row = int(wrong.to_numpy().argmax())
        raise GraphError(f"{database}: {table}.{name} names row {key[row]!r} of {parent} in "
                         f"row {row}, but {parent} has rows 0 to {rows - 1} ({wrong.sum()} such "
                         "keys); make dangling keys null or resolve the database again")
    return number.fill_null(-1).to_numpy()
