"""Checks of `entity_graph/<db>`: it says what the database says, and hides what is to come."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import numpy as np

from rowgraph.databases.database import NEVER, TIMELESS, Database
from rowgraph.randomness import generator, stable_seed

GRAPH = {
    "edges_resolve": "Every row is a node, and every foreign key that names a row is an edge in "
                     "both directions (counted over all keys, followed on a sample).",
    "no_edge_from_the_future": "Neighbours that the sampler draws for rows at real times of the "
                               "database were all there before that time.",
}
KEYS = 100  # of a foreign key that are followed
SEEDS = 64  # rows of a table that are asked about
FAN_OUT = (8, 4)


def edges_resolve(graph_folder: Path, source: Path) -> dg.AssetCheckResult:
    """The edges of a graph beside the keys of its database."""
    from rowgraph.graph.entity_graph import EntityGraph

    graph, database = EntityGraph.load(graph_folder), Database.open(source)
    wrong = [f"{table}: {graph.num_nodes.get(table, 'no')} nodes, {rows} rows" for table, rows in (
        (t, database.num_rows(t)) for t in database.tables) if graph.num_nodes.get(table) != rows]
    edges, unresolved = 0, {}
    if not wrong:
        for table, schema in database.tables.items():
            for fkey, parent in schema.fkeys.items():
                keys = database.keys(table, fkey)
                there = int((keys >= 0).sum())
                edges += there
                unresolved[f"{table}.{fkey}"] = len(keys) - there
                if fault := _fault(graph, table, fkey, parent, keys, there):
                    wrong.append(f"{table}.{fkey}: {fault}")
    return dg.AssetCheckResult(
        check_name="edges_resolve", passed=not wrong,
        description="; ".join(wrong) + "; run entity_graph again with force" if wrong else
        f"{sum(graph.num_nodes.values()):,} rows are nodes, {edges:,} keys are edges; "
        f"{sum(unresolved.values()):,} keys name no row",
        metadata={"keys": edges, "keys_that_name_no_row": dg.MetadataValue.json(
            {name: count for name, count in unresolved.items() if count})})


def _fault(graph, table: str, fkey: str, parent: str, keys: np.ndarray, there: int) -> str:
    """What is wrong with the edges of one foreign key; empty where nothing is."""
    down = graph.adjacency.get((table, f"f2p_{fkey}", parent))
    up = graph.adjacency.get((parent, f"rev_f2p_{fkey}", table))
    if down is None or up is None:
        return "no edges"
    if not down.num_edges == up.num_edges == there:
        return f"{there} keys, {down.num_edges} edges and {up.num_edges} back"
    rows = generator("edges_resolve", table, fkey).permutation(len(keys))[:KEYS]
    first, degree = up.indptr[rows], up.indptr[rows + 1] - up.indptr[rows]
    named = keys[rows]
    right = degree == (named >= 0)
    hit = right & (named >= 0)
    right[hit] = up.indices[first[hit]] == named[hit]
    for one in np.unique(named[named >= 0]):
        of_parent = down.indices[down.indptr[one]:down.indptr[one + 1]]
        right &= (named != one) | np.isin(rows, of_parent)
    lost = np.flatnonzero(~right)
    return f"row {rows[lost[0]]} is not joined to the row that it names" if len(lost) else ""


class _Asked(NamedTuple):
    """Seeds of one table, each at a time."""

    table: str
    rows: np.ndarray
    times: np.ndarray


def no_edge_from_the_future(graph_folder: Path, source: Path) -> dg.AssetCheckResult:
    """Neighbours that are not older than their seed; times and keys are read from the database.

    The same seeds are asked about at the end of time too: what is drawn then and lies in their
    future shows that there was something to hide.
    """
    from rowgraph.graph.entity_graph import EntityGraph
    from rowgraph.graph.sampling import TemporalNeighborSampler

    graph, database = EntityGraph.load(graph_folder), Database.open(source)
    times = {table: database.times(table) for table in database.tables}
    known = {(t, f): at for t, schema in database.tables.items() for f in schema.fkeys
             if (at := database.known_at(t, f)) is not None}
    drawn = future = control = 0
    for strategy in ("latest", "uniform"):
        sampler = TemporalNeighborSampler(graph, FAN_OUT, strategy)
        for asked in _asked(database.name, times):
            number = stable_seed("no_edge_from_the_future", strategy)
            edges, later = _later(sampler.sample(asked.table, asked.rows, asked.times, number),
                                  asked, times, known)
            drawn, future = drawn + edges, future + later
            end = np.full(len(asked.rows), NEVER)
            control += _later(sampler.sample(asked.table, asked.rows, end, number),
                              asked, times, known)[1]
    said = f"{drawn:,} neighbours with a time, all older than the row that was asked about"
    if future:
        said = (f"{future:,} of {drawn:,} neighbours lie in the future of the row that was asked "
                "about: no figure of this database counts; run source and entity_graph again with "
                "force, and `rowgraph audit`")
    elif not control:
        said = "no row has neighbours in its future: there was nothing to hide"
    else:
        said += f"; without its time {control:,} would not be"
    return dg.AssetCheckResult(
        check_name="no_edge_from_the_future", passed=not future, description=said,
        metadata={"neighbours_with_a_time": drawn, "from_the_future": future,
                  "from_the_future_if_asked_without_times": control})


def _asked(name: str, times: Mapping[str, np.ndarray]) -> list[_Asked]:
    """Rows of every table, at times of rows of any table; nothing where no row has a time."""
    rng = generator("no_edge_from_the_future", name)
    real = [some[(some != TIMELESS) & (some != NEVER)] for some in times.values()]
    pool = np.concatenate([rng.choice(some, 1_000) for some in real if len(some)] or [[]])
    if not len(pool):
        return []
    return [_Asked(table, rng.permutation(len(of))[:SEEDS],
                   rng.choice(pool, min(SEEDS, len(of))).astype(np.int64))
            for table, of in times.items() if len(of)]


def _later(batch, asked: _Asked, times: Mapping[str, np.ndarray],
           known: Mapping[tuple[str, str], np.ndarray]) -> tuple[int, int]:
    """Edges of a `SampledBatch` that have a time, and those not older than their seed."""
    drawn = later = 0
    for (source, relation, destination), pair in batch.edge_index.items():
        ends = pair.numpy()
        moment = times[source][batch.n_id[source].numpy()[ends[0]]]
        child, end = (source, 0) if relation.startswith("f2p_") else (destination, 1)
        written = known.get((child, relation.removeprefix("rev_").removeprefix("f2p_")))
        if written is not None:
            moment = np.maximum(moment, written[batch.n_id[child].numpy()[ends[end]]])
        bound = asked.times[batch.batch[source].numpy()[ends[0]]]
        drawn += int((moment != TIMELESS).sum())
        later += int(((moment != TIMELESS) & (moment >= bound)).sum())
    return drawn, later
