"""What pyg-lib is asked and how its answer is read.

Where pyg-lib is missing, an operator with its signature and its rules (a neighbour as old as the
seed may be seen; `last` takes the end of the sorted neighbours) stands in, written as plainly as
can be; then these tests say nothing about pyg-lib itself.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.graph.entity_graph import GraphError
from rowgraph.graph.pyg_lib import PygLibSampler
from rowgraph.graph.sampling import TemporalNeighborSampler
from tests.graph.test_sampling import PROPERTY, check, questions, star, tree

INSTALLED = importlib.util.find_spec("pyg_lib") is not None


def stand_in(node_types, edge_types, rowptr_dict, col_dict, seed_dict, num_neighbors_dict,
             node_time_dict=None, edge_time_dict=None, seed_time_dict=None, edge_weight_dict=None,
             csc=False, replace=False, directed=True, disjoint=False, temporal_strategy="uniform",
             return_edge_id=True):
    assert (csc, directed, replace, edge_time_dict, edge_weight_dict) == (
        True, True, False, None, None)
    (input_type, seeds), = seed_dict.items()
    nodes = {t: [] for t in node_types}
    nodes[input_type] = [(i if disjoint else 0, int(row)) for i, row in enumerate(seeds)]
    edges = {e: [] for e in edge_types}
    num_nodes = {t: [len(nodes[t])] for t in node_types}
    num_edges = {"__".join(e): [] for e in edge_types}
    begin = dict.fromkeys(node_types, 0)
    for hop in range(len(next(iter(num_neighbors_dict.values())))):
        end = {t: len(nodes[t]) for t in node_types}
        for source, relation, destination in edge_types:
            name = f"{source}__{relation}__{destination}"
            k, before = num_neighbors_dict[name][hop], len(edges[source, relation, destination])
            for to in range(begin[destination], end[destination]):
                number, row = nodes[destination][to]
                found = col_dict[name][rowptr_dict[name][row]:rowptr_dict[name][row + 1]].tolist()
                if node_time_dict is not None:
                    time, now = node_time_dict[source], seed_time_dict[input_type][number]
                    found = [n for n in found if time[n] <= now]
                if k >= 0 and node_time_dict is not None and temporal_strategy == "last":
                    found = found[max(0, len(found) - k):]
                if 0 <= k < len(found):
                    found = [found[i] for i in torch.randperm(len(found))[:k].tolist()]
                for neighbour in found:
                    if (number, neighbour) not in nodes[source]:
                        nodes[source].append((number, neighbour))
                    edges[source, relation, destination].append(
                        (nodes[source].index((number, neighbour)), to))
            num_edges[name].append(len(edges[source, relation, destination]) - before)
        begin = end
        for t in node_types:
            num_nodes[t].append(len(nodes[t]) - end[t])
    pairs = {"__".join(e): torch.tensor(v, dtype=torch.long).reshape(-1, 2)
             for e, v in edges.items()}
    found = {t: torch.tensor(v, dtype=torch.long).reshape(-1, 2) for t, v in nodes.items()}
    return ({name: v[:, 0] for name, v in pairs.items()},
            {name: v[:, 1] for name, v in pairs.items()},
            found if disjoint else {t: v[:, 1] for t, v in found.items()},
            None, num_nodes, num_edges)


@pytest.fixture(autouse=True, scope="module")
def _pyg_lib():
    with pytest.MonkeyPatch.context() as patch:
        if not INSTALLED:
            patch.setitem(sys.modules, "pyg_lib", types.ModuleType("pyg_lib"))
            patch.setattr(torch.ops, "pyg", types.SimpleNamespace(hetero_neighbor_sample=stand_in),
                          raising=False)
        yield


@PROPERTY
@given(questions(late=False), st.sampled_from(["latest", "uniform"]))
def test_a_temporal_batch_of_pyg_lib_is_what_brute_force_allows(question, strategy):
    graph, input_type, rows, time, fan_out, seed = question
    batch = PygLibSampler(graph, fan_out, strategy).sample(input_type, rows, time, seed)
    assert batch.n_id[input_type][:len(rows)].tolist() == rows.tolist()
    check(graph, batch, fan_out, time.tolist(), strategy == "latest")


@PROPERTY
@given(questions(late=False))
def test_a_static_batch_of_pyg_lib_sees_every_time_and_shares_its_nodes(question):
    graph, input_type, rows, _, fan_out, seed = question
    rows = np.unique(rows)[::-1].copy()
    batch = PygLibSampler(graph, fan_out).sample(input_type, rows, None, seed)
    assert batch.batch is None
    check(graph, batch, fan_out, [None], latest=False)


@PROPERTY
@given(questions(late=False))
def test_the_latest_trees_of_both_kernels_are_the_same(question):
    graph, input_type, rows, time, fan_out, seed = question
    trees = []
    for kind in (PygLibSampler, TemporalNeighborSampler):
        batch = kind(graph, fan_out, "latest").sample(input_type, rows, time, seed)
        trees.append([
            ({t: sorted(found) for t, found in nodes.items()},
             {e: sorted(found) for e, found in edges.items()})
            for nodes, edges in (tree(batch, i) for i in range(len(rows)))])
    assert trees[0] == trees[1]


def test_equal_seeds_draw_equally_and_leave_torch_s_generator_alone():
    sampler = PygLibSampler(star(30), (5,))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second, third = (sampler.sample("hub", np.arange(40), None, seed).n_id["leaf"].tolist()
                            for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert first == second != third


@pytest.mark.skipif(INSTALLED, reason="pyg-lib is here")
def test_without_pyg_lib_its_sampler_says_what_to_do(monkeypatch):
    monkeypatch.delitem(sys.modules, "pyg_lib")
    with pytest.raises(GraphError, match="pyg-lib, which is not installed; install the wheel"):
        PygLibSampler(star(3), (2,))


@pytest.mark.skipif(not INSTALLED, reason="pyg-lib is not installed: it is not on PyPI")
def test_pyg_lib_itself_has_the_signature_that_is_relied_on():
    schema = str(torch.ops.pyg.hetero_neighbor_sample.default._schema)
    assert all(name in schema for name in ("node_time_dict", "seed_time_dict", "disjoint"))


def test_edges_with_times_of_their_own_are_refused_because_it_cannot_tell_them():
    graph = star(3)
    (edge_type, adjacency), = graph.adjacency.items()
    late = dataclasses.replace(graph, adjacency={edge_type: dataclasses.replace(
        adjacency, times=np.arange(adjacency.num_edges))})
    with pytest.raises(GraphError, match=r"known later .* use TemporalNeighborSampler"):
        PygLibSampler(late, (2,))
