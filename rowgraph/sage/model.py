"""HeteroGraphSAGE (Section 4.1): linear layers per node type, SAGEConv layers shared by all edges.

What transfers between databases are the convolutions: no parameter of theirs belongs to a table
or to a foreign key.

Legend: n nodes of a type, E edges of an edge type, D = in_dim, H = hidden, S seeds, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import SAGEConv

from rowgraph.graph.entity_graph import EdgeType
from rowgraph.graph.sampling import SampledBatch


class ModelError(ValueError):
    """A batch or weights that do not fit the model."""


class HeteroGraphSAGE(nn.Module):
    """Project each node type, then pass messages with convolutions shared by all edge types.

    A layer computes, for node i of a type with R incoming edge types,
    `h_i = reduce_e(W_l mean_{j in N_e(i)} h_j + b + W_r h_i)`, which is PyG's `HeteroConv` of one
    shared `SAGEConv(aggr="mean")`. As the weights are the same for every e, the mean over e is
    taken before the matrix product: one product per node type instead of R. An edge type without
    neighbours counts as a zero message, as in PyG; a node without any keeps its self term `W_r h_i`
    (the paper's self-loops). ReLU between layers, none after the last and none after the
    projections, which the paper calls linear layers.

    Args:
        in_dim: width of the row embeddings.
        node_types: names of the tables, any characters.
        hidden: width of the network and of its output.
        layers: shared convolutions; a batch needs as many hops.
        edge_type_reduce: `mean` keeps the scale of a message the same for tables with few and
            many foreign keys, so that weights learned on one schema meet familiar sizes on the
            next; `sum` multiplies it by their number (docs/decisions/sage.md).
        generator: draws the initial weights; None leaves them to torch's global generator.
    """

    def __init__(self, in_dim: int, node_types: Sequence[str], hidden: int, layers: int,
                 edge_type_reduce: str, generator: torch.Generator | None = None):
        super().__init__()
        if edge_type_reduce not in ("mean", "sum"):
            raise ModelError(f"edge_type_reduce must be mean or sum, found {edge_type_reduce!r}")
        if len(set(node_types)) != len(node_types):
            raise ModelError(f"node_types has a name twice: {list(node_types)}")
        self.node_types = tuple(node_types)
        self.edge_type_reduce = edge_type_reduce
        # Tables may be called `items` or hold dots, which module names may not: keys are positions.
        self._keys = {t: str(i) for i, t in enumerate(self.node_types)}
        self.projections = nn.ModuleDict({k: nn.Linear(in_dim, hidden)
                                          for k in self._keys.values()})
        self.convs = nn.ModuleList(SAGEConv(hidden, hidden, aggr="mean") for _ in range(layers))
        if generator is not None:
            initialize(self, generator)

    def forward(self, x: Mapping[str, Tensor], batch: SampledBatch) -> Tensor:
        """Enrich the seeds of a batch.

        Args:
            x: float [n, D] per node type, the embeddings of the rows `batch.n_id`.
            batch: a sampled neighbourhood with one hop per layer.

        Returns:
            float [S, H]; row i belongs to seed i.
        """
        if batch.num_hops != len(self.convs):
            raise ModelError(f"the batch has {batch.num_hops} hops, expected {len(self.convs)}: "
                             "one per layer; set fan_out accordingly")
        # Layer l needs destinations up to hop L - 1 - l, hence edges up to hop L - l.
        h = {t: self.project(t, x[t]) for t, nodes in batch.n_id.items() if len(nodes)}
        for layer, conv in enumerate(self.convs):
            hops = len(self.convs) - layer
            h = self._convolve(conv, h, batch, hops)
            if hops > 1:
                h = {t: v.relu() for t, v in h.items()}
        empty = next(self.convs.parameters()).new_zeros(0, self.convs[0].out_channels)
        return h.get(batch.input_type, empty)

    def project(self, node_type: str, x: Tensor) -> Tensor:
        """float [n, D] to [n, H], with the linear layer of a node type."""
        if node_type not in self._keys:
            raise ModelError(f"no projection for node type {node_type!r}; the model has "
                             f"{list(self.node_types)}")
        return self.projections[self._keys[node_type]](x)

    def _convolve(self, conv: SAGEConv, h: Mapping[str, Tensor], batch: SampledBatch,
                  hops: int) -> dict[str, Tensor]:
        out = {}
        for node_type, h_source in h.items():
            count = sum(batch.num_sampled_nodes[node_type][:hops])
            if count == 0:
                continue
            incoming = [e for e in batch.edge_index if e[2] == node_type]
            messages = [_mean_of_neighbours(h[e[0]], batch, e, hops, count)
                        for e in incoming if sum(batch.num_sampled_edges[e][:hops])]
            message = (sum(messages) / len(incoming) if messages
                       else h_source.new_zeros(count, h_source.shape[1]))
            out[node_type] = conv.lin_l(message) + conv.lin_r(h_source[:count])
            if self.edge_type_reduce == "sum":
                out[node_type] = out[node_type] * max(len(incoming), 1)
        return out

    def shared_state_dict(self) -> dict[str, Tensor]:
        """The parameters that transfer: those of the convolutions, named `<layer>.lin_l.weight`."""
        return self.convs.state_dict()

    def projection_state_dict(self) -> dict[str, Tensor]:
        """The parameters of the projections, named `<node type>.weight`."""
        return {f"{t}.{name}": v for t, k in self._keys.items()
                for name, v in self.projections[k].state_dict().items()}

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        """Take over the convolutions of another model, whatever its node types were.

        Raises:
            ModelError: they have other names or shapes.
        """
        own = {name: tuple(v.shape) for name, v in self.shared_state_dict().items()}
        found = {name: tuple(v.shape) for name, v in state.items()}
        if own != found:
            wrong = sorted(n for n in own.keys() | found.keys() if own.get(n) != found.get(n))
            raise ModelError(f"shared weights do not fit: {wrong[0]} is {found.get(wrong[0])}, "
                             f"expected {own.get(wrong[0])} ({len(wrong)} such); use the `hidden` "
                             "and `layers` that they were pre-trained with")
        self.convs.load_state_dict(state)


def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every weight and bias from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as torch and PyG do.

    In the order of the parameters' names and on the CPU, so that the draw depends on the
    generator alone.
    """
    fan_in = {name.rpartition(".")[0]: p.shape[1]
              for name, p in module.named_parameters() if p.dim() == 2}
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            bound = fan_in[name.rpartition(".")[0]] ** -0.5
            drawn = torch.rand(parameter.shape, generator=generator)
            parameter.copy_((drawn * 2 - 1) * bound)


def _mean_of_neighbours(h_source: Tensor, batch: SampledBatch, edge_type: EdgeType, hops: int,
                        count: int) -> Tensor:
    """float [count, H]: the mean of each destination's neighbours, zero where it has none.

    Edges are ordered by destination, so the neighbours of each are a bag; the mean of bags needs
    no copy of a message per edge.
    """
    num_edges = sum(batch.num_sampled_edges[edge_type][:hops])
    source, destination = batch.edge_index[edge_type][:, :num_edges]
    starts = torch.searchsorted(destination.contiguous(),
                                torch.arange(count, device=destination.device))
    return functional.embedding_bag(source, h_source, starts, mode="mean")
