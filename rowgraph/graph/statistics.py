"""How large an entity graph is (Table 1 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.graph.entity_graph import EntityGraph

FORWARD, REVERSE = "f2p_", "rev_"
COLUMNS = {"nodes": "nodes", "edges": "edges", "unresolved": "unresolved",
           "isolated": "isolated_nodes"}


def graph_statistics(graph: EntityGraph) -> dict[str, Any]:
    """Nodes and edges, in total and by type; JSON-able.

    `edges` counts a foreign key value once, as Table 1 does (its rel-amazon has exactly two edges
    per review); the graph that a network sees holds each in both directions (`directed_edges`).
    `isolated_nodes` have no neighbour at all: for them message passing adds nothing.
    `unresolved` counts the foreign key cells that give no edge because they are null in the
    resolved database: those that were empty in the source, those that dangled there and were
    nulled, and those into rows that truncation removed. By foreign key as "table.column".
    """
    linked = {t: np.zeros(n, dtype=bool) for t, n in graph.num_nodes.items()}
    unresolved = {}
    for (source, relation, destination), adjacency in graph.adjacency.items():
        linked[destination] |= adjacency.indptr[1:] > adjacency.indptr[:-1]
        if not relation.startswith(REVERSE):
            column = f"{source}.{relation.removeprefix(FORWARD)}"
            unresolved[column] = int(graph.num_nodes[source]) - adjacency.num_edges
    return {
        "nodes": int(sum(graph.num_nodes.values())),
        "edges": sum(a.num_edges for (_, relation, _), a in graph.adjacency.items()
                     if not relation.startswith(REVERSE)),
        "directed_edges": graph.num_edges,
        "unresolved": sum(unresolved.values()),
        "isolated_nodes": int(sum((~mask).sum() for mask in linked.values())),
        "timeless_nodes": int(sum((t == TIMELESS).sum() for t in graph.times.values())),
        "never_visible_nodes": int(sum((t == NEVER).sum() for t in graph.times.values())),
        "nodes_by_type": {t: int(graph.num_nodes[t]) for t in graph.node_types},
        "edges_by_type": {"/".join(e): a.num_edges for e, a in graph.adjacency.items()},
        "unresolved_by_fkey": unresolved,
    }


def graph_sizes(graphs: Mapping[str, EntityGraph]) -> pl.DataFrame:
    """Table 1: a row per database with its nodes and edges, and a total.

    Beyond the paper: `unresolved`, foreign key cells that give no edge, and `isolated`, rows
    without any. Edges and unresolved cells add up to all foreign key cells.
    """
    facts = {name: graph_statistics(graph) for name, graph in graphs.items()}
    columns = {"database": [*facts, "total"]}
    for column, figure in COLUMNS.items():
        values = [f[figure] for f in facts.values()]
        columns[column] = [*values, sum(values)]
    return pl.DataFrame(columns)
