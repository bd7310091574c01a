"""RelBench's model: an encoder of rows, one of time, and a heterogeneous GraphSAGE.

The parts are `relbench.modeling.nn`, put together as its `examples/model.py` does. Two things are
done once where the example repeats them, with the same result at the seeds (a test compares): a
row that occurs in several trees is encoded once per batch (so that it has one dropout mask
there), and a layer is computed for the nodes that a later one reads.

Legend: N seeds, n nodes of a table, C channels, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from relbench.modeling.nn import HeteroEncoder, HeteroGraphSAGE, HeteroTemporalEncoder
from torch import Tensor
from torch_frame import TensorFrame

from rowgraph.baselines.peers.rdl_frames import RowFrames
from rowgraph.databases.database import TIMELESS
from rowgraph.graph.entity_graph import EdgeType, EntityGraph
from rowgraph.graph.sampling import SampledBatch

SECOND = 1_000_000  # microseconds


@dataclass(frozen=True, eq=False)
class RDLInputs:
    """What the model is given of some seeds.

    Args:
        batch: their neighbourhoods, a tree for each.
        frames: by table, the distinct rows of the batch.
        place: int64 [n] by table, where a node's row lies in `frames`.
        time: int64 [n] by table that has times, seconds since 1970.
        seed_time: int64 [N], seconds: the label rows' own timestamps.
        unseen: bool [N], seeds whose own row may not be seen.
    """

    batch: SampledBatch
    frames: Mapping[str, TensorFrame]
    place: Mapping[str, Tensor]
    time: Mapping[str, Tensor]
    seed_time: Tensor
    unseen: Tensor

    @classmethod
    def of(cls, batch: SampledBatch, rows: RowFrames, graph: EntityGraph, times: np.ndarray,
           unseen: np.ndarray) -> RDLInputs:
        """Attach cells and times to a batch.

        Args:
            times: int64 [N], microseconds.
            unseen: bool [N].
        """
        frames, place, time = {}, {}, {}
        for table, n_id in batch.n_id.items():
            if not len(n_id):
                continue
            distinct, place[table] = torch.unique(n_id, return_inverse=True)
            frames[table] = rows.frames[table][distinct]
            if is_timed(graph, table):
                time[table] = torch.from_numpy(np.asarray(graph.times[table])[n_id.numpy()]
                                               // SECOND)
        return cls(batch, frames, place, time, torch.from_numpy(times // SECOND),
                   torch.from_numpy(unseen))

    def to(self, device: torch.device) -> RDLInputs:
        """The same on a device."""
        return RDLInputs(self.batch.to(device), {t: f.to(device) for t, f in self.frames.items()},
                         {t: v.to(device) for t, v in self.place.items()},
                         {t: v.to(device) for t, v in self.time.items()},
                         self.seed_time.to(device), self.unseen.to(device))


class RDLModel(torch.nn.Module):
    """Relational Deep Learning (Robinson et al., RelBench, NeurIPS 2024, Section 3).

    Args:
        rows: decides the encoders of columns.
        graph: decides tables and edge types.
        channels: C.
        layers: L, hops of the neighbourhoods.
        outputs: of the head.
    """

    def __init__(self, rows: RowFrames, graph: EntityGraph, channels: int, layers: int,
                 outputs: int):
        super().__init__()
        # Modules are named after tables, and torch refuses some names.
        self.names = {t: f"table{i}" for i, t in enumerate(graph.node_types)}
        self.edges = {e: (self.names[e[0]], f"fkey{i}", self.names[e[2]])
                      for i, e in enumerate(graph.edge_types)}
        self.channels = channels
        self.encoder = HeteroEncoder(
            channels, {n: rows.frames[t].col_names_dict for t, n in self.names.items()},
            {n: rows.statistics[t] for t, n in self.names.items()})
        self.temporal_encoder = HeteroTemporalEncoder(
            [n for t, n in self.names.items() if is_timed(graph, t)], channels)
        self.gnn = HeteroGraphSAGE(list(self.names.values()), list(self.edges.values()), channels,
                                   aggr="sum", num_layers=layers)
        self.head = torch.nn.Linear(channels, outputs)

    def forward(self, inputs: RDLInputs) -> Tensor:
        """[N, outputs]: logits, or targets in training deviations."""
        batch = inputs.batch
        x = self.gnn_inputs(inputs)
        for layer in range(len(self.gnn.convs)):
            hops = batch.num_hops - layer  # of edges that still matter
            kept = {t: sum(batch.num_sampled_nodes[t][:hops]) for t in self.names}
            used = {e: sum(batch.num_sampled_edges[e][:hops]) for e in self.edges}
            x = self._layer(layer, x, kept, {e: batch.edge_index[e][:, :used[e]]
                                             for e in self.edges})
        return self.head(x[batch.input_type][:batch.num_seeds])

    def gnn_inputs(self, inputs: RDLInputs) -> dict[str, Tensor]:
        """[n, C] by table: a node's row plus its age; zero for a seed's own row where unseen."""
        batch = inputs.batch
        x = {t: inputs.seed_time.new_zeros((len(n_id), self.channels), dtype=torch.float32)
             for t, n_id in batch.n_id.items()}
        cells = self.encoder({self.names[t]: f for t, f in inputs.frames.items()})
        for table in inputs.frames:
            x[table] = cells[self.names[table]].index_select(0, inputs.place[table])
        ages = self.temporal_encoder(
            inputs.seed_time, {self.names[t]: v for t, v in inputs.time.items()},
            {self.names[t]: v for t, v in batch.batch.items()})
        for table in inputs.time:
            x[table] = x[table] + ages[self.names[table]]
        own = x[batch.input_type]
        unseen = torch.zeros(len(own), 1, dtype=torch.bool, device=own.device)
        unseen[:batch.num_seeds, 0] = inputs.unseen
        x[batch.input_type] = own.masked_fill(unseen, 0.0)
        return x

    def _layer(self, layer: int, x: Mapping[str, Tensor], kept: Mapping[str, int],
               edge_index: Mapping[EdgeType, Tensor]) -> dict[str, Tensor]:
        """What `HeteroGraphSAGE.forward` does in one layer, for the first `kept` nodes."""
        pairs = {self.edges[e]: (x[e[0]], x[e[2]][:kept[e[2]]]) for e in self.edges}
        out = self.gnn.convs[layer](pairs, {self.edges[e]: v for e, v in edge_index.items()})
        norms = self.gnn.norms[layer]
        return {t: norms[n](out[n]).relu() if n in out else x[t][:kept[t]]
                for t, n in self.names.items()}


def is_timed(graph: EntityGraph, table: str) -> bool:
    """Whether rows of a table have times."""
    times = graph.times[table]
    return bool(len(times)) and bool(np.any(times != TIMELESS))
