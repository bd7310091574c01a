from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.nn import HeteroConv

from rowgraph.databases.database import TIMELESS
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.sage.model import HeteroGraphSAGE, ModelError

EVERYTHING = 1_000
pytestmark = pytest.mark.filterwarnings("ignore:The node types .* are isolated")


def features(graph: EntityGraph, dim: int = 5) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {t: torch.randn(n, dim, generator=draw, dtype=torch.float64)
            for t, n in graph.num_nodes.items()}


def attach(x, batch):
    return {t: x[t][n_id] for t, n_id in batch.n_id.items()}


def make(graph: EntityGraph, layers: int = 2, reduce: str = "mean", seed: int = 0,
         projections: str = "own"):
    return HeteroGraphSAGE(5, graph.node_types, 6, layers, reduce,
                           torch.Generator().manual_seed(seed), projections).double()


def pyg_on_the_full_graph(model: HeteroGraphSAGE, graph: EntityGraph, x):
    """PyG's own layers on the whole graph. What HeteroConv skips keeps its self term."""
    data = graph.to_hetero_data()
    h = {t: model.project(t, v) for t, v in x.items()}
    for layer, conv in enumerate(model.convs):
        out = HeteroConv(dict.fromkeys(data.edge_types, conv),
                         aggr=model.edge_type_reduce)(h, data.edge_index_dict)
        for t, v in h.items():
            if t not in out:
                out[t] = conv((v, v), torch.empty(2, 0, dtype=torch.long))
        h = {t: v.relu() for t, v in out.items()} if layer + 1 < len(model.convs) else out
    return h


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("input_type", ["items", "v1.orders/new", "self", "lone"])
def test_output_and_gradients_are_those_of_pyg_on_the_full_graph(shop, reduce, layers, input_type):
    model = make(shop, layers, reduce)
    x = features(shop)
    rows = np.arange(shop.num_nodes[input_type])[::-2].copy()
    batch = TemporalNeighborSampler(shop, (EVERYTHING,) * layers).sample(input_type, rows, None, 0)
    ours = model(attach(x, batch), batch)
    reference = pyg_on_the_full_graph(model, shop, x)[input_type][rows.tolist()]
    torch.testing.assert_close(ours, reference)
    gradients = []
    for out in (ours, reference):
        model.zero_grad()
        out.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.convs.parameters()])
    torch.testing.assert_close(*gradients)


def test_a_temporal_batch_equals_the_full_graph_of_what_each_seed_may_see(shop):
    model, x, now = make(shop), features(shop), 5
    past = {}
    for e, adjacency in shop.adjacency.items():
        source, destination = adjacency.edge_index()
        keep = shop.times[e[0]][source] < now
        degree = np.bincount(destination[keep], minlength=adjacency.num_dst)
        past[e] = type(adjacency)(np.concatenate([[0], np.cumsum(degree)]), source[keep])
    visible = EntityGraph(shop.node_types, shop.num_nodes, shop.times, past)
    rows = np.array([3, 3, 0, 11])
    batch = TemporalNeighborSampler(shop, (EVERYTHING,) * 2).sample(
        "items", rows, np.array([now, now, now, TIMELESS]), 0)
    out = model(attach(x, batch), batch)
    reference = pyg_on_the_full_graph(model, visible, x)["items"]
    torch.testing.assert_close(out[:3], reference[rows[:3].tolist()])
    assert not torch.allclose(out[3], reference[11])  # it sees timeless rows only


def test_nodes_of_the_last_hop_are_averaged_and_never_convolved(shop):
    model, x = make(shop), features(shop)
    batch = TemporalNeighborSampler(shop, (2, 2)).sample("items", np.arange(4), None, 0)
    convolved, projected = [], []
    for conv in model.convs:
        conv.lin_r.register_forward_pre_hook(lambda _, args: convolved.append(len(args[0])))
    for layer in model.projections.values():
        layer.register_forward_pre_hook(lambda _, args: projected.append(len(args[0])))
    model(attach(x, batch), batch)
    first = sum(sum(nodes[:2]) for nodes in batch.num_sampled_nodes.values())
    assert sum(projected) == first
    assert sum(convolved) == first + 4
    assert first < sum(len(n) for n in batch.n_id.values())


def test_no_seeds_give_no_rows(shop):
    batch = TemporalNeighborSampler(shop, (2, 2)).sample("items", np.array([], dtype=int), None, 0)
    assert make(shop)(attach(features(shop), batch), batch).shape == (0, 6)


def test_shared_weights_move_to_a_model_of_other_tables(shop):
    teacher, student = make(shop, seed=1), HeteroGraphSAGE(
        7, ["only"], 6, 2, "mean", torch.Generator().manual_seed(2)).double()
    before = student.projection_state_dict()["only.weight"].clone()
    student.load_shared(teacher.shared_state_dict())
    for name, value in teacher.shared_state_dict().items():
        assert torch.equal(student.shared_state_dict()[name], value)
    assert torch.equal(student.projection_state_dict()["only.weight"], before)
    assert set(student.shared_state_dict()) == {
        f"{layer}.{name}" for layer in (0, 1)
        for name in ("lin_l.weight", "lin_l.bias", "lin_r.weight")}


def test_a_shared_projection_serves_every_table_and_becomes_the_start_of_each_ones_own(shop):
    teacher = make(shop, seed=1, projections="shared")
    assert len(teacher.projections) == 1
    state = teacher.shared_state_dict()
    assert {"projection.weight", "projection.bias"} < set(state)
    assert teacher.projection_state_dict() == {}
    student = HeteroGraphSAGE(5, ["a", "b"], 6, 2, "mean").double()
    student.load_shared(state)
    x = torch.randn(3, 5, dtype=torch.float64)
    for table in ("a", "b"):
        torch.testing.assert_close(student.project(table, x), teacher.project("items", x))
    student.projections["0"].weight.data.zero_()
    assert student.projections["1"].weight.abs().sum() > 0
    with pytest.raises(ModelError, match=r"projection.weight is \(6, 5\), expected \(6, 4\)"):
        HeteroGraphSAGE(4, ["a"], 6, 2, "mean").load_shared(state)


def test_shared_weights_of_another_size_are_refused_by_name(shop):
    other = HeteroGraphSAGE(5, ["only"], 8, 2, "mean")
    with pytest.raises(ModelError, match=r"0\.lin_l\.bias is \(8,\), expected \(6,\)"):
        make(shop).load_shared(other.shared_state_dict())


def test_initial_weights_come_from_the_generator_alone(shop):
    torch.manual_seed(1)
    one = make(shop).state_dict()
    torch.manual_seed(2)
    two, three = make(shop).state_dict(), make(shop, seed=3).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], three[name]) for name in one)
    assert one["convs.0.lin_l.weight"].abs().max() <= 6 ** -0.5


def test_a_batch_that_does_not_fit_is_refused(shop):
    batch = TemporalNeighborSampler(shop, (2,)).sample("items", np.arange(4), None, 0)
    with pytest.raises(ModelError, match="has 1 hops, expected 2"):
        make(shop)(attach(features(shop), batch), batch)
    stranger = HeteroGraphSAGE(5, ["only"], 6, 1, "mean")
    with pytest.raises(ModelError, match="no projection for node type"):
        stranger(attach(features(shop), batch), batch)
    with pytest.raises(ModelError, match="mean or sum"):
        HeteroGraphSAGE(5, ["only"], 6, 1, "max")
