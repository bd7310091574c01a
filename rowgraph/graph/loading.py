"""An entity graph, its vectors and its sampler as PyG's loaders know them.

    sampler = LoaderSampler(TemporalNeighborSampler(graph, (20, 10)), seed=0)
    data = EmbeddingFeatures(embeddings, graph), EntityGraphStore(graph)
    loader = NodeLoader(data, sampler, input_nodes=("orders", rows), input_time=times,
                        batch_size=512)

Each batch is a `HeteroData` as PyG's own `NeighborLoader` gives it: `n_id`, `x`, `edge_index`,
`num_sampled_nodes`, `num_sampled_edges`, and with times `batch` and `seed_time`. Vectors are
gathered by `n_id` when the batch is made, so none but the batch's are held. This module imports
PyG, which the pipeline's definitions must not, so only those who load batches import it.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from torch import Tensor
from torch_geometric.data import EdgeAttr, FeatureStore, GraphStore, TensorAttr
from torch_geometric.data.graph_store import EdgeLayout
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
)

from rowgraph.embeddings import EmbeddingError, Embeddings
from rowgraph.graph.entity_graph import EntityGraph, GraphError
from rowgraph.graph.sampling import TemporalNeighborSampler, shared_tensor


class LoaderSampler(BaseSampler):
    """`TemporalNeighborSampler` as a PyG sampler, for `NodeLoader`.

    Temporal where the loader has `input_time` (int64, microseconds since 1970), else static; a
    static batch shares its nodes, so its seeds must differ.

    Args:
        sampler: draws the neighbourhoods.
        seed: of the draws. Equal seeds draw equal neighbourhoods whatever the batches, also in
            the next epoch: assign another to `seed` before it for another draw.

    Examples:
        >>> import tempfile
        >>> import torch
        >>> from torch_geometric.loader import NodeLoader
        >>> from rowgraph.example import write_example, write_example_vectors
        >>> from rowgraph.graph.entity_graph import build_entity_graph
        >>> from rowgraph.graph.loading import EmbeddingFeatures, EntityGraphStore, LoaderSampler
        >>> from rowgraph.graph.sampling import TemporalNeighborSampler
        >>> folder = tempfile.mkdtemp()
        >>> database = write_example(folder)
        >>> store, graph = write_example_vectors(database, folder), build_entity_graph(database)
        >>> data = EmbeddingFeatures(store, graph), EntityGraphStore(graph)
        >>> sampler = LoaderSampler(TemporalNeighborSampler(graph, (3, 2)), seed=0)
        >>> loader = NodeLoader(
        ...     data, sampler, input_nodes=("customers", torch.arange(8)),
        ...     input_time=torch.full((8,), database.val_timestamp), batch_size=4)
        >>> batch = next(iter(loader))
        >>> batch["customers"].x.shape[1], len(batch["customers"].seed_time)
        (16, 4)
    """

    def __init__(self, sampler: TemporalNeighborSampler, seed: int):
        self.sampler, self.seed = sampler, seed

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs) -> HeteroSamplerOutput:
        """The neighbourhood of some nodes.

        Raises:
            GraphError: what `TemporalNeighborSampler.sample` refuses.
        """
        time = None if index.time is None else index.time.numpy()
        drawn = self.sampler.sample(index.input_type, index.node.numpy(), time, self.seed)
        return HeteroSamplerOutput(
            node=dict(drawn.n_id),
            row={e: pair[0] for e, pair in drawn.edge_index.items()},
            col={e: pair[1] for e, pair in drawn.edge_index.items()},
            edge=dict.fromkeys(drawn.edge_index),
            batch=None if drawn.batch is None else dict(drawn.batch),
            num_sampled_nodes=dict(drawn.num_sampled_nodes),
            num_sampled_edges=dict(drawn.num_sampled_edges),
            metadata=(index.input_id, index.time))

    def sample_from_edges(self, index: EdgeSamplerInput,
                          neg_sampling: NegativeSampling | None = None) -> NoReturn:
        """Not offered: the tasks here ask about rows."""
        raise NotImplementedError("LoaderSampler samples from nodes only; use NodeLoader with the "
                                  "link's two rows as seeds instead of LinkLoader")


class EntityGraphStore(GraphStore):
    """The edges of an entity graph, as PyG stores them; read only.

    Args:
        graph: the entity graph; its arrays may be memory-mapped and are not copied.
    """

    def __init__(self, graph: EntityGraph):
        super().__init__()
        self.graph = graph

    def get_all_edge_attrs(self) -> list[EdgeAttr]:
        """One per edge type, grouped by destination."""
        sizes = self.graph.num_nodes
        return [EdgeAttr(e, EdgeLayout.CSC, size=(sizes[e[0]], sizes[e[2]]))
                for e in self.graph.edge_types]

    def _get_edge_index(self, edge_attr: EdgeAttr) -> tuple[Tensor, Tensor] | None:
        adjacency = self.graph.adjacency.get(edge_attr.edge_type)
        if adjacency is None or edge_attr.layout != EdgeLayout.CSC:
            return None
        return shared_tensor(adjacency.indices), shared_tensor(adjacency.indptr)

    def _put_edge_index(self, edge_index, edge_attr: EdgeAttr) -> NoReturn:
        raise GraphError(f"{edge_attr.edge_type}: an entity graph is read only; change the "
                         "database and build the graph again")

    def _remove_edge_index(self, edge_attr: EdgeAttr) -> NoReturn:
        self._put_edge_index(None, edge_attr)


class EmbeddingFeatures(FeatureStore):
    """Row vectors as the attribute `x` of each node type; read only, gathered when asked for.

    Args:
        embeddings: an `EmbeddingStore`, which stays on disk, or its random twin.
        graph: whose nodes they describe.

    Raises:
        EmbeddingError: a table has another number of vectors than nodes.
    """

    def __init__(self, embeddings: Embeddings, graph: EntityGraph):
        super().__init__()
        self.embeddings, self.num_nodes = embeddings, dict(graph.num_nodes)
        for table, expected in self.num_nodes.items():
            found = embeddings.num_rows(table)
            if found != expected:
                raise EmbeddingError(f"{table} has {expected} nodes, found {found} vectors; vector "
                                     "i must be node i, so build both from the same database")

    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """`x` of every node type."""
        return [TensorAttr(table, "x") for table in self.num_nodes]

    def _get_tensor(self, attr: TensorAttr) -> Tensor:
        """float32 [nodes, dim]; one node asked for by its number gives [dim]."""
        count, index = self._count(attr), attr.index
        if isinstance(index, Tensor | np.ndarray | list):
            rows = np.asarray(index)
            rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        else:
            rows = np.arange(count)[slice(None) if index is None else index]
        vectors = self.embeddings.gather(attr.group_name, np.atleast_1d(rows))
        return vectors if np.ndim(rows) else vectors[0]

    def _get_tensor_size(self, attr: TensorAttr) -> tuple[int, int]:
        return self._count(attr), self.embeddings.dim

    def _count(self, attr: TensorAttr) -> int:
        if attr.group_name not in self.num_nodes or attr.attr_name != "x":
            raise KeyError(f"no attribute {attr.attr_name!r} of {attr.group_name!r}: there is x of "
                           f"{list(self.num_nodes)}")
        return self.num_nodes[attr.group_name]

    def _put_tensor(self, tensor, attr: TensorAttr) -> NoReturn:
        raise EmbeddingError(f"{attr.group_name}: vectors are read only; node_embeddings writes "
                             "them, and a loader's `transform` can add to a batch")

    def _remove_tensor(self, attr: TensorAttr) -> NoReturn:
        self._put_tensor(None, attr)
