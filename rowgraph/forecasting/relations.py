"""The children of every row as events, and what they say in windows before a seed.

A relation is a foreign key seen from the row that it names. Cells that were known later than their
row are events of the moment at which they were known: they make a relation of their own, beside
that of the rows. Sums are of whole numbers (`rowgraph.cells.scales`), hence exact: a difference of
running totals holds nothing of what lies outside of it.

Shapes: E events, C columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rowgraph.cells.names import NAME_DIM, WORD_DIM, name_vector, word_vector
from rowgraph.cells.scales import MISSING, UNIT
from rowgraph.cells.store import FIRST_WORD, NO_WORD, Cells, Sheet
from rowgraph.features.events import Events
from rowgraph.features.windows import look_back
from rowgraph.graph.entity_graph import EdgeType, EntityGraph

MOST_COLUMNS = 40  # of a relation
FREQUENT = 3  # words of a column whose share is a column of its own
SHARES = (0.02, 0.97)  # a word between these shares of the past is frequent
EDGE_STATISTICS = 4
OWN_KEY, CHILD_KEY = "rev_f2p_", "f2p_"


@dataclass(frozen=True, eq=False)
class Relation:
    """The events of each row of a parent table along one foreign key.

    Args:
        edge: (child, relation, parent).
        vector: float32 [NAME_DIM + EDGE_STATISTICS], of the edge; `late` ones differ in it.
        events: grouped by parent row.
        keys: C, what the events say, in words.
        columns: float32 [C, NAME_DIM]: vectors of these.
        totals, counts: int64 and int32 [E + 1, C]: sums over all events before each.
        late: of cells that were known later than their row.
    """

    edge: EdgeType
    vector: np.ndarray
    events: Events
    keys: tuple[str, ...]
    columns: np.ndarray
    totals: np.ndarray
    counts: np.ndarray
    late: bool

    @property
    def child(self) -> str:
        """The table whose rows are the events."""
        return self.edge[0]

    @property
    def parent(self) -> str:
        """The table whose rows have them."""
        return self.edge[2]

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.child} by {self.edge[1].removeprefix(CHILD_KEY)}" + (
            ", later cells" if self.late else "")


def relations_of(graph: EntityGraph, cells: Cells, past: int) -> dict[str, list[Relation]]:
    """Every relation with events, by parent table.

    Args:
        past: microseconds; statistics of a relation are of events strictly older.
    """
    found: dict[str, list[Relation]] = {table: [] for table in graph.node_types}
    for edge, adjacency in graph.adjacency.items():
        child, relation, parent = edge
        if relation.startswith(OWN_KEY) or not adjacency.num_edges:
            continue
        rows = np.asarray(adjacency.indices)
        times = adjacency.times if adjacency.times is not None else graph.times[child][rows]
        events = Events(np.asarray(adjacency.indptr), np.asarray(times), rows)
        vector = edge_vector(graph, edge, past)
        moments: dict[bytes, list[_Said]] = {}
        for said in _columns(cells, child):
            when = b"" if said.known is None else said.known.tobytes()
            moments.setdefault(when, []).append(said)
        found[parent].append(_relation(edge, vector, events, moments.pop(b"", []), False))
        for columns in moments.values():
            owners = np.repeat(np.arange(graph.num_nodes[parent]), np.diff(events.indptr))
            later = Events.grouped(owners, np.maximum(events.times, columns[0].known[rows]), rows,
                                   graph.num_nodes[parent])
            if len(later):
                turned = vector + np.pad(name_vector("known later"), (0, EDGE_STATISTICS))
                found[parent].append(_relation(edge, turned, later, columns, True))
    return found


def edge_vector(graph: EntityGraph, edge: EdgeType, past: int) -> np.ndarray:
    """float32 [NAME_DIM + EDGE_STATISTICS]: names of both tables and of the key; whether it leads
    up, and how many neighbours the rows of the past had in the past."""
    source, relation, destination = edge
    up = relation.startswith(OWN_KEY)
    key = relation.removeprefix(OWN_KEY if up else CHILD_KEY)
    adjacency = graph.adjacency[edge]
    times = adjacency.times
    if times is None:
        times = graph.times[source][np.asarray(adjacency.indices)]
    there = np.flatnonzero(np.asarray(graph.times[destination]) < past)
    looks = look_back(np.asarray(adjacency.indptr), np.asarray(times), there,
                      np.full(len(there), past), (), ())
    degree = looks.end - looks.begin
    some = degree[degree > 0]
    return np.concatenate([name_vector(source, key, destination), np.array([
        up, np.log1p(degree.mean() if len(degree) else 0), len(some) / max(len(degree), 1),
        np.log1p(some.mean() if len(some) else 0)], np.float32)]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Said:
    """What events of a table say: in words, as a vector [NAME_DIM], places of all its rows, and
    from when each is known."""

    key: str
    vector: np.ndarray
    places: np.ndarray
    known: np.ndarray | None


def _columns(cells: Cells, table: str) -> list[_Said]:
    sheets, found = cells.sheets[table], []
    numbers: Sheet = sheets["numbers"]
    for place, cell in enumerate(numbers.cells):
        found.append(_Said(f"{cell.column.name} {cell.column.kind}", cell.vector[:NAME_DIM],
                           numbers.values[:, numbers.kept[place]], numbers.known.get(place)))
    codes: Sheet = sheets["codes"]
    for place, cell in enumerate(codes.cells):
        often = [w for w in np.argsort(-cell.shares, kind="stable")[:FREQUENT]
                 if SHARES[0] <= cell.shares[w] <= SHARES[1]]
        for word in often:
            values = codes.values[:, codes.kept[place]]
            is_it = np.where(values == FIRST_WORD + word, UNIT, -UNIT)
            value = cell.column.words[word]
            vector = cell.vector[:NAME_DIM] + np.pad(word_vector(value), (0, NAME_DIM - WORD_DIM))
            found.append(_Said(f"{cell.column.name} is {value}", vector, np.where(
                values == NO_WORD, MISSING, is_it).astype(np.int16), codes.known.get(place)))
    return found


def _relation(edge: EdgeType, vector: np.ndarray, events: Events, said: list[_Said],
              late: bool) -> Relation:
    said = said[:MOST_COLUMNS]
    names = np.stack([one.vector for one in said]) if said else np.zeros((0, NAME_DIM))
    totals = np.zeros((len(events) + 1, len(said)), np.int64)
    counts = np.zeros((len(events) + 1, len(said)), np.int32)
    for c, one in enumerate(said):
        places = one.places[events.rows]
        there = places != MISSING
        np.cumsum(np.where(there, places, 0), out=totals[1:, c])
        np.cumsum(there, out=counts[1:, c])
    return Relation(edge, vector, events, tuple(one.key for one in said),
                    names.astype(np.float32), totals, counts, late)
