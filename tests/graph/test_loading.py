"""Batches out of PyG's own loader: every vector is its row's number, so that each can be traced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import HeteroConv, SAGEConv
from torch_geometric.utils import trim_to_layer

from rowgraph.embeddings import EmbeddingError
from rowgraph.graph.entity_graph import EntityGraph, GraphError, build_entity_graph
from rowgraph.graph.loading import EmbeddingFeatures, EntityGraphStore, LoaderSampler
from rowgraph.graph.sampling import TemporalNeighborSampler

DAY = 86_400_000_000
TIMES = torch.tensor([1, 3, 3, 2]) * DAY


class Numbers:
    """Vectors that name their row: [row, -row]."""

    dim = 2

    def __init__(self, num_rows: dict[str, int]):
        self.rows = num_rows

    def num_rows(self, table: str) -> int:
        return self.rows[table]

    def gather(self, table: str, rows) -> torch.Tensor:
        row = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return torch.stack([row, -row], 1).float()


@pytest.fixture
def graph(make_database, tmp_path) -> EntityGraph:
    """Memory-mapped, as the assets open it."""
    build_entity_graph(make_database()).save(tmp_path / "graph")
    return EntityGraph.load(tmp_path / "graph")


def stores(graph: EntityGraph) -> tuple[EmbeddingFeatures, EntityGraphStore]:
    return EmbeddingFeatures(Numbers(dict(graph.num_nodes)), graph), EntityGraphStore(graph)


def loader(graph: EntityGraph, data=None, rows=None, time=None, **settings) -> NodeLoader:
    sampler = LoaderSampler(TemporalNeighborSampler(graph, (3, 2)), seed=4)
    return NodeLoader(stores(graph) if data is None else data, sampler,
                      input_nodes="members" if rows is None else ("members", rows),
                      input_time=time, **settings)


@pytest.mark.parametrize("time", [None, TIMES])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_gives_the_sampler_s_batches_with_the_vectors_of_their_rows(graph, time, workers):
    rows = torch.tensor([3, 0, 1, 2])
    batches = list(loader(graph, rows=rows, time=time, batch_size=3, num_workers=workers))
    assert [b["members"].batch_size for b in batches] == [3, 1]
    for number, batch in enumerate(batches):
        mine = slice(3 * number, 3 * number + 3)
        expected = TemporalNeighborSampler(graph, (3, 2)).sample(
            "members", rows[mine].numpy(), None if time is None else time[mine].numpy(), 4)
        assert isinstance(batch, HeteroData)
        batch.validate()
        assert set(batch.node_types) == set(graph.node_types)
        assert set(batch.edge_types) == set(graph.edge_types)
        assert batch["members"].input_id.tolist() == list(range(4))[mine]
        assert batch["members"].n_id[:batch["members"].batch_size].tolist() == rows[mine].tolist()
        for t in graph.node_types:
            assert torch.equal(batch[t].n_id, expected.n_id[t])
            assert batch[t].x[:, 0].tolist() == batch[t].n_id.tolist()
            assert batch[t].num_sampled_nodes == expected.num_sampled_nodes[t]
            assert batch[t].num_nodes == len(expected.n_id[t])
            if time is not None:
                assert torch.equal(batch[t].batch, expected.batch[t])
        for e in graph.edge_types:
            assert torch.equal(batch[e].edge_index, expected.edge_index[e])
            assert batch[e].num_sampled_edges == expected.num_sampled_edges[e]
        if time is None:
            assert "batch" not in batch["members"]
        else:
            assert torch.equal(batch["members"].seed_time, time[mine])


def test_a_loader_over_hetero_data_takes_its_attributes_by_row(graph):
    data = graph.to_hetero_data()
    data["visits"].amount = torch.arange(5) * 10
    batch = next(iter(loader(graph, data, time=TIMES, batch_size=4)))
    assert torch.equal(batch["visits"].amount, batch["visits"].n_id * 10)
    assert torch.equal(batch["visits"].time, data["visits"].time[batch["visits"].n_id])
    batch.validate()


def test_a_model_of_pyg_reads_a_batch_and_may_trim_it_to_the_layer(graph):
    batch = next(iter(loader(graph, batch_size=2)))
    layers = [HeteroConv({e: SAGEConv((2, 2), 2) for e in graph.edge_types}) for _ in range(2)]
    whole, trimmed = (batch.x_dict, batch.edge_index_dict), (batch.x_dict, batch.edge_index_dict)
    for number, layer in enumerate(layers):
        whole = layer(*whole), whole[1]
        x, edge_index, _ = trim_to_layer(
            number, batch.num_sampled_nodes_dict, batch.num_sampled_edges_dict, *trimmed)
        trimmed = layer(x, edge_index), edge_index
    assert torch.allclose(whole[0]["members"][:2], trimmed[0]["members"][:2])


def test_another_seed_draws_others_in_the_next_epoch(graph):
    loading = loader(graph, time=torch.full((4,), 9 * DAY), batch_size=4)
    epochs = []
    for seed in (4, 4, 5, 6, 7):
        loading.node_sampler.seed = seed
        batch = next(iter(loading))
        epochs.append(batch["visits"].n_id.tolist())
    assert epochs[0] == epochs[1]
    assert len(set(map(tuple, epochs))) > 1


def test_the_graph_store_gives_every_edge_and_takes_none(graph):
    store = EntityGraphStore(graph)
    row, col, _ = store.coo()
    for e, adjacency in graph.adjacency.items():
        assert torch.equal(torch.stack([row[e], col[e]]), torch.from_numpy(adjacency.edge_index()))
    attr = store.get_all_edge_attrs()[0]
    assert attr.size == (graph.num_nodes[attr.edge_type[0]], graph.num_nodes[attr.edge_type[2]])
    with pytest.raises(KeyError):
        store.get_edge_index(("a", "b", "c"), "csc")
    with pytest.raises(GraphError, match="read only; change the database"):
        store.put_edge_index((row, col), attr)
    with pytest.raises(GraphError, match="read only"):
        store.remove_edge_index(attr)


def test_the_feature_store_gives_vectors_by_every_kind_of_index_and_takes_none(graph):
    features, _ = stores(graph)
    everything = features["members", "x", None]
    assert everything.tolist() == [[0, 0], [1, -1], [2, -2], [3, -3]]
    for index in (torch.tensor([2, 0, 2]), np.array([3]), slice(1, 3), 2, -1,
                  torch.tensor([True, False, False, True]), torch.tensor([], dtype=torch.long)):
        assert torch.equal(features.get_tensor("members", "x", index), everything[index])
    assert features.get_tensor_size("members", "x") == (4, 2)
    assert [(a.group_name, a.attr_name) for a in features.get_all_tensor_attrs()] == [
        (t, "x") for t in graph.node_types]
    with pytest.raises(KeyError, match="no attribute 'y' of 'members'"):
        features.get_tensor("members", "y", None)
    with pytest.raises(EmbeddingError, match="read only; node_embeddings writes them"):
        features.put_tensor(everything, "members", "x", None)
    with pytest.raises(EmbeddingError, match="read only"):
        features.remove_tensor("members", "x", None)


def test_vectors_of_another_database_are_refused(graph):
    with pytest.raises(EmbeddingError, match="members has 4 nodes, found 5 vectors"):
        EmbeddingFeatures(Numbers(dict(graph.num_nodes) | {"members": 5}), graph)


def test_links_are_refused_with_the_next_move(graph):
    sampler = LoaderSampler(TemporalNeighborSampler(graph, (3, 2)), seed=4)
    with pytest.raises(NotImplementedError, match="use NodeLoader"):
        sampler.sample_from_edges(None)
