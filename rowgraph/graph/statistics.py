"""How large an entity graph is (Table 1 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.graph.entity_graph import EntityGraph


def graph_statistics(graph: EntityGraph) -> dict[str, Any]:
    """Nodes and edges, in total and by type; JSON-able.

    `edges` counts a foreign key value once, as Table 1 does (its rel-amazon has exactly two edges
    per review); the graph that a network sees holds each in both directions (`directed_edges`).
    `isolated_nodes` have no neighbour at all: for them message passing adds nothing.
    """
    linked = {t: np.zeros(n, dtype=bool) for t, n in graph.num_nodes.items()}
    for (_, _, destination), adjacency in graph.adjacency.items():
        linked[destination] |= adjacency.degree > 0
    return {
        "nodes": int(sum(graph.num_nodes.values())),
        "edges": sum(a.num_edges for (_, relation, _), a in graph.adjacency.items()
                     if not relation.startswith("rev_")),
        "directed_edges": graph.num_edges,
        "isolated_nodes": int(sum((~mask).sum() for mask in linked.values())),
        "timeless_nodes": int(sum((t == TIMELESS).sum() for t in graph.times.values())),
        "never_visible_nodes": int(sum((t == NEVER).sum() for t in graph.times.values())),
        "nodes_by_type": {t: int(graph.num_nodes[t]) for t in graph.node_types},
        "edges_by_type": {"/".join(e): a.num_edges for e, a in graph.adjacency.items()},
    }


def graph_sizes(graphs: Mapping[str, EntityGraph]) -> pl.DataFrame:
    """Table 1: a row per database with its nodes and edges, and a total."""
    facts = {name: graph_statistics(graph) for name, graph in graphs.items()}
    columns = {"database": [*facts, "total"]}
    for figure in ("nodes", "edges"):
        values = [f[figure] for f in facts.values()]
        columns[figure] = [*values, sum(values)]
    return pl.DataFrame(columns)
