"""Neighbour sampling by pyg-lib, for those who have it and want it."""

from __future__ import annotations

import importlib
import threading
from typing import Literal

import numpy as np
import torch

from rowgraph.graph.entity_graph import EntityGraph, GraphError
from rowgraph.graph.sampling import (
    FanOut,
    SampledBatch,
    TemporalNeighborSampler,
    bounds_of,
    shared_tensor,
)
from rowgraph.randomness import stable_seed

_generator = threading.Lock()  # pyg-lib draws from torch's one generator


class PygLibSampler(TemporalNeighborSampler):
    """`TemporalNeighborSampler` with pyg-lib's kernel in the place of ours.

    The same neighbours are eligible, `latest` gives the same trees, and `uniform` others from the
    same distribution; a tree then depends on the batch around it. Where pyg-lib keeps a neighbour
    as old as the seed's time we keep only older ones, so it is asked one microsecond earlier; a
    release that is strict itself then loses those one microsecond older and leaks none.

    Args:
        graph, fan_out, strategy: as `TemporalNeighborSampler` takes them.

    Raises:
        GraphError: pyg-lib is not installed.
    """

    def __init__(self, graph: EntityGraph, fan_out: FanOut,
                 strategy: Literal["latest", "uniform"] = "uniform"):
        if late := [e for e, a in graph.adjacency.items() if a.times is not None]:
            raise GraphError(f"PygLibSampler: edges along {late[0]} are known later than their "
                             "rows, which pyg-lib cannot tell; use TemporalNeighborSampler")
        try:
            importlib.import_module("pyg_lib")  # registers torch.ops.pyg
        except ImportError as error:
            raise GraphError("PygLibSampler needs pyg-lib, which is not installed; install the "
                             "wheel for your torch (PyG's installation guide names it; it is not "
                             "on PyPI), or use TemporalNeighborSampler") from error
        super().__init__(graph, fan_out, strategy)
        names = {e: "__".join(e) for e in graph.edge_types}
        self._graph_arguments = {
            "node_types": list(graph.node_types),
            "edge_types": list(graph.edge_types),
            "rowptr_dict": {names[e]: shared_tensor(a.indptr) for e, a in graph.adjacency.items()},
            "col_dict": {names[e]: shared_tensor(a.indices) for e, a in graph.adjacency.items()},
            "num_neighbors_dict": {names[e]: list(k) for e, k in self.fan_out.items()},
        }
        # A timeless type has times too, TIMELESS, so that `last` means the same there as `latest`.
        self._node_time = {t: shared_tensor(times) for t, times in graph.times.items()}
        self._edge_type_of = {name: e for e, name in names.items()}

    def sample(self, input_type: str, rows: np.ndarray, seed_time: np.ndarray | None,
               seed: int, unseen: np.ndarray | None = None) -> SampledBatch:
        """Draw the neighbourhood of seeds; arguments and errors of `TemporalNeighborSampler`."""
        if unseen is not None and unseen.any():
            raise GraphError("PygLibSampler: some seeds' own rows are not there yet, and pyg-lib "
                             "would follow their keys; use TemporalNeighborSampler")
        rows = self._checked_rows(input_type, rows, seed_time)
        temporal = seed_time is not None
        with _generator, torch.random.fork_rng(devices=[]):
            torch.manual_seed(stable_seed("pyg-lib neighbours", int(seed)))
            row, col, node, _, num_nodes, num_edges = torch.ops.pyg.hetero_neighbor_sample(
                **self._graph_arguments,
                seed_dict={input_type: torch.from_numpy(rows.copy())},
                node_time_dict=self._node_time if temporal else None,
                seed_time_dict=None if seed_time is None
                else {input_type: torch.from_numpy(bounds_of(seed_time) - 1)},
                csc=True, replace=False, directed=True, disjoint=temporal,
                temporal_strategy="last" if self.strategy == "latest" else "uniform",
                return_edge_id=False)
        of = self._edge_type_of
        return SampledBatch(
            {t: (v[:, 1] if temporal else v).contiguous() for t, v in node.items()},
            {of[name]: torch.stack([row[name], col[name]]) for name in row},
            dict(num_nodes), {of[name]: hops for name, hops in num_edges.items()},
            {t: v[:, 0].contiguous() for t, v in node.items()} if temporal else None,
            input_type, torch.from_numpy(rows.copy()))
