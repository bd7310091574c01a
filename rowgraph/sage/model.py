"""HeteroGraphSAGE (Section 4.1): linear layers per node type, SAGEConv layers shared by all edges.

What transfers between databases are the convolutions: no parameter of theirs belongs to a table
or to a foreign key. With `projections="shared"`, a choice of ours, one projection serves all node
types and transfers as well.

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

PROJECTION = "projection."  # before the names of a shared projection's parameters


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
    projections, which the paper calls linear layers; so the first layer may average neighbours
    before it projects them.

    Args:
        in_dim: width of the row embeddings.
        node_types: names of the tables, any characters.
        hidden: width of the network and of its output.
        layers: shared convolutions; a batch needs as many hops.
        edge_type_reduce: `mean` keeps the scale of a message the same for tables with few and
            many foreign keys, so that weights learned on one schema meet familiar sizes on the
            next; `sum` multiplies it by their number (docs/decisions/sage.md).
        generator: draws the initial weights; None leaves them to torch's global generator.
        projections: `own`, a linear layer per node type as in the paper, or `shared`.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from rowgraph.example import write_example, write_example_vectors
        >>> from rowgraph.graph.entity_graph import build_entity_graph
        >>> from rowgraph.graph.sampling import TemporalNeighborSampler
        >>> from rowgraph.sage.model import HeteroGraphSAGE
        >>> folder = tempfile.mkdtemp()
        >>> database = write_example(folder)
        >>> store = write_example_vectors(database, folder)
        >>> sampler = TemporalNeighborSampler(build_entity_graph(database), (3, 2))
        >>> batch = sampler.sample("customers", np.arange(5), None, seed=0)
        >>> x = {table: store.gather(table, rows) for table, rows in batch.n_id.items()}
        >>> model = HeteroGraphSAGE(store.dim, list(database.tables), 32, 2, "mean")
        >>> model(x, batch).shape
        torch.Size([5, 32])
    """

    def __init__(self, in_dim: int, node_types: Sequence[str], hidden: int, layers: int,
                 edge_type_reduce: str, generator: torch.Generator | None = None,
                 projections: str = "own"):
        super().__init__()
        if projections not in ("own", "shared"):
            raise ModelError(f"projections must be own or shared, found {projections!r}")
        if edge_type_reduce not in ("mean", "sum"):
            raise ModelError(f"edge_type_reduce must be mean or sum, found {edge_type_reduce!r}")
        if len(set(node_types)) != len(node_types):
            raise ModelError(f"node_types has a name twice: {list(node_types)}")
        self.node_types = tuple(node_types)
        self.edge_type_reduce = edge_type_reduce
        # Tables may be called `items` or hold dots, which module names may not: keys are positions.
        self.shares_projection = projections == "shared"
        self._keys = {t: "0" if self.shares_projection else str(i)
                      for i, t in enumerate(self.node_types)}
        self.projections = nn.ModuleDict({k: nn.Linear(in_dim, hidden)
                                          for k in sorted(set(self._keys.values()), key=int)})
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
        h = self._first_layer(x, batch)
        for layer, conv in enumerate(self.convs[1:], start=1):
            h = self._convolve(conv, {t: v.relu() for t, v in h.items()}, batch,
                               len(self.convs) - layer)
        empty = next(self.convs.parameters()).new_zeros(0, self.convs[0].out_channels)
        return h.get(batch.input_type, empty)

    def _first_layer(self, x: Mapping[str, Tensor], batch: SampledBatch) -> dict[str, Tensor]:
        """Projection and first convolution of every node but those of the last hop.

        As nothing lies between a projection and the mean, neighbours are averaged first: one
        product per destination instead of one per neighbour, and no gradient to carry back to the
        many nodes of the last hop.
        """
        hops = len(self.convs)
        h = {}
        for node_type in batch.n_id:
            count = sum(batch.num_sampled_nodes[node_type][:hops])
            if count == 0:
                continue
            incoming = [e for e in batch.edge_index if e[2] == node_type]
            messages = []
            for e in incoming:
                if sum(batch.num_sampled_edges[e][:hops]):
                    mean, found = _mean_of_neighbours(x[e[0]], batch, e, hops, count)
                    layer = self._projection(e[0])  # a node without neighbours gets no bias either
                    messages.append(functional.linear(mean, layer.weight)
                                    + found[:, None] * layer.bias)
            own = self.project(node_type, x[node_type][:count])
            h[node_type] = self._update(self.convs[0], own, messages, len(incoming))
        return h

    def project(self, node_type: str, x: Tensor) -> Tensor:
        """float [n, D] to [n, H], with the linear layer of a node type."""
        return self._projection(node_type)(x)

    def _projection(self, node_type: str) -> nn.Linear:
        if node_type not in self._keys:
            raise ModelError(f"no projection for node type {node_type!r}; the model has "
                             f"{list(self.node_types)}")
        return self.projections[self._keys[node_type]]

    def _convolve(self, conv: SAGEConv, h: Mapping[str, Tensor], batch: SampledBatch,
                  hops: int) -> dict[str, Tensor]:
        out = {}
        for node_type, h_source in h.items():
            count = sum(batch.num_sampled_nodes[node_type][:hops])
            if count == 0:
                continue
            incoming = [e for e in batch.edge_index if e[2] == node_type]
            messages = [_mean_of_neighbours(h[e[0]], batch, e, hops, count)[0]
                        for e in incoming if sum(batch.num_sampled_edges[e][:hops])]
            out[node_type] = self._update(conv, h_source[:count], messages, len(incoming))
        return out

    def _update(self, conv: SAGEConv, own: Tensor, messages: Sequence[Tensor],
                incoming: int) -> Tensor:
        """float [count, H]: the convolution of nodes with `incoming` edge types, of which those
        with neighbours gave messages."""
        message = sum(messages) / incoming if messages else torch.zeros_like(own)
        out = conv.lin_l(message) + conv.lin_r(own)
        return out * max(incoming, 1) if self.edge_type_reduce == "sum" else out

    def shared_state_dict(self) -> dict[str, Tensor]:
        """The parameters that transfer: those of the convolutions, named `<layer>.lin_l.weight`,
        and of a shared projection, named `projection.weight`."""
        state = dict(self.convs.state_dict())
        if self.shares_projection:
            state |= {PROJECTION + n: v for n, v in self.projections["0"].state_dict().items()}
        return state

    def projection_state_dict(self) -> dict[str, Tensor]:
        """The parameters of the node types' own projections, named `<node type>.weight`; none
        where one is shared."""
        if self.shares_projection:
            return {}
        return {f"{t}.{name}": v for t, k in self._keys.items()
                for name, v in self.projections[k].state_dict().items()}

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        """Take over what another model learned, whatever its node types were.

        A shared projection becomes the start of each node type's own.

        Raises:
            ModelError: it has other names or shapes.
        """
        own = {name: tuple(v.shape) for name, v in self.convs.state_dict().items()}
        projection = {n: v for n, v in state.items() if n.startswith(PROJECTION)}
        if projection:
            any_of_mine = next(iter(self.projections.values())).state_dict()
            own |= {PROJECTION + name: tuple(v.shape) for name, v in any_of_mine.items()}
        found = {name: tuple(v.shape) for name, v in state.items()}
        if own != found:
            wrong = sorted(n for n in own.keys() | found.keys() if own.get(n) != found.get(n))
            raise ModelError(f"shared weights do not fit: {wrong[0]} is {found.get(wrong[0])}, "
                             f"expected {own.get(wrong[0])} ({len(wrong)} such); use the `hidden` "
                             "and `layers` that they were pre-trained with")
        self.convs.load_state_dict({n: v for n, v in state.items() if n not in projection})
        if projection:
            for layer in self.projections.values():
                layer.load_state_dict({n.removeprefix(PROJECTION): v
                                       for n, v in projection.items()})


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


def _mean_of_neighbours(x_source: Tensor, batch: SampledBatch, edge_type: EdgeType, hops: int,
                        count: int) -> tuple[Tensor, Tensor]:
    """float [count, F]: the mean of each destination's neighbours, zero where it has none; and
    float [count], 1 where it has some.

    Edges are ordered by destination, so the neighbours of each are a bag; the mean of bags needs
    no copy of a message per edge.
    """
    num_edges = sum(batch.num_sampled_edges[edge_type][:hops])
    source, destination = batch.edge_index[edge_type][:, :num_edges]
    starts = torch.searchsorted(destination.contiguous(),
                                torch.arange(count + 1, device=destination.device))
    mean = functional.embedding_bag(source, x_source, starts[:-1], mode="mean")
    return mean, (starts.diff() > 0).to(mean.dtype)
