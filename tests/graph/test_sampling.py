"""The sampler against a brute-force one on random graphs with every awkwardness of real ones."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import find, given, settings
from hypothesis import strategies as st

from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.graph.entity_graph import Adjacency, EntityGraph, GraphError
from rowgraph.graph.sampling import ALL, SampledBatch, TemporalNeighborSampler

PROPERTY = settings(max_examples=150, deadline=None)


def adjacency_of(pairs, times, num_dst, known=None) -> Adjacency:
    """(source, destination) pairs, sorted as the contract says; `known`: the edges' own times."""
    at = times[[s for s, _ in pairs]] if known is None else np.maximum(
        times[[s for s, _ in pairs]], np.array(known, dtype=np.int64))
    edges = sorted(zip(pairs, at.tolist(), strict=True), key=lambda e: (e[0][1], e[1], e[0][0]))
    degree = (np.bincount([d for (_, d), _ in edges], minlength=num_dst) if edges
              else np.zeros(num_dst))
    indptr = np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)
    return Adjacency(indptr, np.array([s for (s, _), _ in edges], dtype=np.int64),
                     None if known is None else np.array([t for _, t in edges], dtype=np.int64))


def times_of(graph: EntityGraph, edge_type) -> np.ndarray:
    """int64 [E]: from when each edge is known."""
    adjacency = graph.adjacency[edge_type]
    return graph.times[edge_type[0]][adjacency.indices] if adjacency.times is None else (
        adjacency.times)


@st.composite
def graphs(draw, late: bool = True) -> EntityGraph:
    """Up to three tables, some timeless; equal and missing times, loops, duplicate edges, edges
    that are known later than their rows."""
    names = ["a", "b", "c"][:draw(st.integers(1, 3))]
    num_nodes = {t: draw(st.integers(1, 6)) for t in names}
    times = {}
    for t in names:
        timeless = draw(st.booleans())
        value = st.just(TIMELESS) if timeless else st.sampled_from([-3, 0, 1, 2, 3, NEVER])
        times[t] = np.array([draw(value) for _ in range(num_nodes[t])], dtype=np.int64)
    adjacency = {}
    for number in range(draw(st.integers(1, 4))):
        source, destination = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        pair = st.tuples(st.integers(0, num_nodes[source] - 1),
                         st.integers(0, num_nodes[destination] - 1))
        pairs, known = draw(st.lists(pair, max_size=14)), None
        if late and draw(st.booleans()):
            known = [draw(st.sampled_from([TIMELESS, 0, 1, 2, 3, NEVER])) for _ in pairs]
        adjacency[source, f"r{number}", destination] = adjacency_of(
            pairs, times[source], num_nodes[destination], known)
    return EntityGraph(tuple(names), num_nodes, times, adjacency)


@st.composite
def questions(draw, late: bool = True):
    """A graph, seeds with times, a fan-out (one for all or by edge type) and a seed number."""
    graph = draw(graphs(late))
    input_type = draw(st.sampled_from(graph.node_types))
    count = draw(st.integers(0, 5))
    rows = np.array([draw(st.integers(0, graph.num_nodes[input_type] - 1)) for _ in range(count)],
                    dtype=np.int64)
    time = np.array([draw(st.sampled_from([TIMELESS, -3, 0, 1, 2, 3, 4, NEVER]))
                     for _ in range(count)], dtype=np.int64)
    hops = draw(st.integers(1, 3))
    number = st.sampled_from([1, 2, 3, 4, ALL])
    if draw(st.booleans()):
        fan_out = tuple(draw(number) for _ in range(hops))
    else:
        fan_out = {e: tuple(draw(number | st.just(0)) for _ in range(hops))
                   for e in graph.edge_types}
    return graph, input_type, rows, time, fan_out, draw(st.integers(0, 2**40))


def neighbours(graph: EntityGraph):
    """(edge type, destination, its sources) for every destination and edge type."""
    for e, adjacency in graph.adjacency.items():
        for row in range(adjacency.num_dst):
            yield e, row, adjacency.indices[adjacency.indptr[row]:adjacency.indptr[row + 1]]


AWKWARD = {
    "neighbours of equal time": lambda g: any(
        len(set(g.times[e[0]][found])) < len(set(found)) and g.times[e[0]][found].min() > TIMELESS
        for e, _, found in neighbours(g) if len(found)),
    "a timeless table beside one with times": lambda g: len(
        {bool(np.all(t == TIMELESS)) for t in g.times.values()}) == 2,
    "a missing time": lambda g: any(NEVER in t for t in g.times.values()),
    "a row without any edge": lambda g: any(
        all(e[2] != t or row != r or len(found) == 0 for e, r, found in neighbours(g))
        and all(e[0] != t or row not in found for e, _, found in neighbours(g))
        for t in g.node_types for row in range(g.num_nodes[t])),
    "a table that names itself": lambda g: any(
        e[0] == e[2] and row not in found and len(found) for e, row, found in neighbours(g)),
    "a row that names itself": lambda g: any(
        e[0] == e[2] and row in found for e, row, found in neighbours(g)),
    "a duplicate edge": lambda g: any(
        len(set(found)) < len(found) for _, _, found in neighbours(g)),
    "an edge that is known later than both of its rows": lambda g: any(
        bool(np.any(times_of(g, e) > g.times[e[0]][a.indices])) for e, a in g.adjacency.items()),
    "two edge types between the same tables": lambda g: len(
        {(e[0], e[2]) for e in g.edge_types}) < len(g.edge_types),
}


@pytest.mark.parametrize("awkwardness", AWKWARD)
def test_the_random_graphs_have_every_awkwardness(awkwardness):
    assert find(graphs(), AWKWARD[awkwardness], settings=settings(database=None, deadline=None))


def eligible(graph, edge_type, row, bound):
    """Source rows that a tree with this bound may see, oldest first (None: all of them)."""
    edges = zip(graph.adjacency[edge_type].edge_index().T.tolist(), times_of(graph, edge_type),
                strict=True)
    found = sorted((time, s) for (s, d), time in edges if d == row)
    return [s for time, s in found if bound is None or time == TIMELESS or time < bound]


def check(graph: EntityGraph, batch: SampledBatch, fan_out, bounds, latest: bool) -> None:
    """Everything that must be true of a batch; `bounds[tree]` is None in static sampling."""
    hop_of, tree_of, hops = {}, {}, batch.num_hops
    for t, n_id in batch.n_id.items():
        hop_of[t] = np.repeat(np.arange(hops + 1), batch.num_sampled_nodes[t])
        tree_of[t] = (batch.batch[t].numpy() if batch.batch is not None
                      else np.zeros(len(n_id), dtype=int))
        once = set(zip(tree_of[t].tolist(), n_id.tolist(), strict=True))
        assert len(once) == len(n_id), "a row occurs once per tree"
    reached = defaultdict(set)
    for e, edge_index in batch.edge_index.items():
        wanted = fan_out[e] if isinstance(fan_out, dict) else fan_out
        assert hops == len(wanted)
        hop = np.repeat(np.arange(1, hops + 1), batch.num_sampled_edges[e])
        assert np.all(np.diff(edge_index[1].numpy()) >= 0), "ordered by destination"
        drawn = defaultdict(list)
        for (s, d), h in zip(edge_index.T.tolist(), hop.tolist(), strict=True):
            assert hop_of[e[2]][d] == h - 1, "a node is expanded in the hop after it was found"
            assert hop_of[e[0]][s] <= h
            assert tree_of[e[0]][s] == tree_of[e[2]][d], "edges stay within a tree"
            reached[e[0]].add((s, h))
            drawn[d].append(int(batch.n_id[e[0]][s]))
        for d, row in enumerate(batch.n_id[e[2]].tolist()):
            h = hop_of[e[2]][d]
            if h == hops:
                assert d not in drawn
                continue
            may = eligible(graph, e, row, bounds[tree_of[e[2]][d]])
            k = len(may) if wanted[h] == ALL else wanted[h]
            assert len(drawn[d]) == min(k, len(may)), "as many as there are, up to k"
            assert not Counter(drawn[d]) - Counter(may), "only eligible edges, each at most once"
            if latest:
                assert sorted(drawn[d]) == sorted(may[len(may) - len(drawn[d]):])
    for t, hop in hop_of.items():
        for node, h in enumerate(hop.tolist()):
            assert h == 0 or (node, h) in reached[t], "a node was found by an edge of its hop"


@PROPERTY
@given(questions(), st.sampled_from(["latest", "uniform"]))
def test_a_temporal_batch_is_what_brute_force_allows(question, strategy):
    graph, input_type, rows, time, fan_out, seed = question
    batch = TemporalNeighborSampler(graph, fan_out, strategy).sample(input_type, rows, time, seed)
    assert batch.n_id[input_type][:len(rows)].tolist() == rows.tolist()
    assert batch.batch[input_type][:len(rows)].tolist() == list(range(len(rows)))
    assert batch.num_sampled_nodes[input_type][0] == len(rows)
    check(graph, batch, fan_out, time.tolist(), strategy == "latest")


@PROPERTY
@given(questions())
def test_a_static_batch_sees_every_time_and_shares_its_nodes(question):
    graph, input_type, rows, _, fan_out, seed = question
    rows = np.unique(rows)[::-1].copy()
    batch = TemporalNeighborSampler(graph, fan_out, "latest").sample(input_type, rows, None, seed)
    assert batch.batch is None
    assert batch.n_id[input_type][:len(rows)].tolist() == rows.tolist()
    check(graph, batch, fan_out, [None], latest=False)


def tree(batch: SampledBatch, number: int):
    """Rows and edges of one tree, without positions."""
    rows = {t: n_id[batch.batch[t] == number].tolist() for t, n_id in batch.n_id.items()}
    edges = {}
    for e, (source, destination) in batch.edge_index.items():
        mine = batch.batch[e[2]][destination] == number
        edges[e] = list(zip(batch.n_id[e[0]][source[mine]].tolist(),
                            batch.n_id[e[2]][destination[mine]].tolist(), strict=True))
    return rows, edges


@PROPERTY
@given(questions())
def test_a_tree_depends_on_its_seed_and_not_on_the_batch_around_it(question):
    graph, input_type, rows, time, fan_out, seed = question
    sampler = TemporalNeighborSampler(graph, fan_out, "uniform")
    together = sampler.sample(input_type, rows, time, seed)
    for i in range(len(rows)):
        alone = sampler.sample(input_type, rows[i:i + 1], time[i:i + 1], seed)
        assert tree(together, i) == tree(alone, 0)


@PROPERTY
@given(questions(), st.sampled_from(["latest", "uniform"]))
def test_rows_at_or_after_the_seed_have_no_influence(question, strategy):
    graph, input_type, rows, _, fan_out, seed = question
    now = 1
    past = {}
    for e, adjacency in graph.adjacency.items():
        pairs, times = adjacency.edge_index().T.tolist(), times_of(graph, e)
        kept = np.flatnonzero(times < now)
        past[e] = adjacency_of([pairs[i] for i in kept], graph.times[e[0]], adjacency.num_dst,
                               None if adjacency.times is None else times[kept])
    without = EntityGraph(graph.node_types, graph.num_nodes, graph.times, past)
    time = np.full(len(rows), now)
    found = [TemporalNeighborSampler(g, fan_out, strategy).sample(input_type, rows, time, seed)
             for g in (graph, without)]
    assert all(torch.equal(found[0].n_id[t], found[1].n_id[t]) for t in graph.node_types)
    assert all(torch.equal(found[0].edge_index[e], found[1].edge_index[e]) for e in past)


def star(leaves: int, times=None) -> EntityGraph:
    times = np.zeros(leaves, dtype=np.int64) if times is None else times
    return EntityGraph(
        ("hub", "leaf"), {"hub": 40, "leaf": leaves},
        {"hub": np.full(40, TIMELESS), "leaf": times},
        {("leaf", "r", "hub"): adjacency_of([(i, h) for i in range(leaves) for h in range(40)],
                                            times, 40)})


@pytest.mark.parametrize("static", [True, False])
def test_uniform_draws_are_uniform_over_neighbours_and_over_pairs(static):
    sampler = TemporalNeighborSampler(star(8), (3,), "uniform")
    rows = np.arange(40)
    single, pair = np.zeros(8), np.zeros((8, 8))
    draws = 0
    for seed in range(150):
        batch = sampler.sample("hub", rows, None if static else np.full(40, 9), seed)
        leaves, hubs = batch.edge_index["leaf", "r", "hub"].numpy()
        leaves = batch.n_id["leaf"].numpy()[leaves]
        for hub in rows:
            mine = leaves[hubs == hub]
            single[mine] += 1
            pair[np.ix_(mine, mine)] += 1
            draws += 1
    # Six standard deviations of a binomial share over 6,000 draws.
    assert np.abs(single / draws - 3 / 8).max() < 6 * np.sqrt(3 / 8 * 5 / 8 / draws)
    off = pair[~np.eye(8, dtype=bool)] / draws
    expected = 3 * 2 / (8 * 7)
    assert np.abs(off - expected).max() < 6 * np.sqrt(expected * (1 - expected) / draws)


def test_latest_takes_the_newest_strictly_older_and_ties_by_the_higher_row():
    times = np.array([5, 3, 4, 4, 4, 9, NEVER])
    sampler = TemporalNeighborSampler(star(7, times), (2,), "latest")
    for now, expected in ((5, [4, 3]), (6, [0, 4]), (4, [1]), (3, []), (NEVER, [5, 0])):
        batch = sampler.sample("hub", np.array([7]), np.array([now]), 0)
        assert batch.n_id["leaf"].tolist() == expected, now


def test_a_seed_is_there_whatever_its_own_time_but_never_its_own_neighbour_before_it():
    times = np.array([5, 2])
    graph = EntityGraph(("a",), {"a": 2}, {"a": times}, {
        ("a", "r", "a"): adjacency_of([(0, 1), (1, 0), (0, 0)], times, 2)})
    batch = TemporalNeighborSampler(graph, (4, 4)).sample("a", np.array([0]), np.array([3]), 0)
    assert batch.n_id["a"].tolist() == [0, 1]
    assert batch.edge_index["a", "r", "a"].tolist() == [[1], [0]]


def test_a_seed_whose_row_is_not_there_yet_names_nobody_but_may_be_named():
    times = {"parents": np.array([TIMELESS]), "rows": np.array([5, 1]),
             "children": np.array([0, 0])}
    graph = EntityGraph(tuple(times), {t: len(v) for t, v in times.items()}, times, {
        ("parents", "rev_f2p_parent", "rows"): adjacency_of([(0, 0), (0, 1)], times["parents"], 2),
        ("children", "f2p_row", "rows"): adjacency_of([(0, 0), (1, 1)], times["children"], 2)})
    batch = TemporalNeighborSampler(graph, (2,)).sample(
        "rows", np.array([0, 1]), np.array([3, 3]), 0, np.array([True, False]))
    assert batch.edge_index["parents", "rev_f2p_parent", "rows"].tolist() == [[0], [1]]
    assert batch.edge_index["children", "f2p_row", "rows"].tolist() == [[0, 1], [0, 1]]


def test_equal_questions_get_equal_bytes_from_any_thread_and_another_seed_another_draw():
    sampler = TemporalNeighborSampler(star(30), (5,), "uniform")

    def ask(seed: int) -> list[int]:
        batch = sampler.sample("hub", np.arange(40), np.arange(40) + 1, seed)
        return batch.n_id["leaf"].tolist() + batch.edge_index["leaf", "r", "hub"].flatten().tolist()

    alone = [ask(seed) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(20))) == alone
    assert alone[0] != alone[1]


def test_questions_that_make_no_sense_are_refused():
    sampler = TemporalNeighborSampler(star(3), (2,))
    with pytest.raises(GraphError, match="no node type 'wheel'; the graph has"):
        sampler.sample("wheel", np.array([0]), None, 0)
    with pytest.raises(GraphError, match="must lie in 0 to 39, found 2 to 40"):
        sampler.sample("hub", np.array([2, 40]), None, 0)
    with pytest.raises(GraphError, match="seeds must differ"):
        sampler.sample("hub", np.array([2, 2]), None, 0)
    with pytest.raises(GraphError, match="2 rows but 1 seed times"):
        sampler.sample("hub", np.array([2, 2]), np.array([1]), 0)
    with pytest.raises(GraphError, match="latest or uniform"):
        TemporalNeighborSampler(star(3), (2,), "newest")


def test_fan_outs_that_say_nothing_are_refused():
    edge_type = ("leaf", "r", "hub")
    for fan_out, message in (
            ((2, 0), r"above 0 per hop, or -1 for all neighbours, found \[2, 0\]"),
            ((), "above 0 per hop"),
            ({}, r"\('leaf', 'r', 'hub'\) is missing, give it a number per hop \(0 leaves it out"),
            ({edge_type: (2,), ("hub", "s", "leaf"): (2,)}, r"\('hub', 's', 'leaf'\) is not among"),
            ({edge_type: ()}, "same number of hops"),
            ({edge_type: (-2,)}, "or -1 for all, found")):
        with pytest.raises(GraphError, match=message):
            TemporalNeighborSampler(star(3), fan_out)


def test_fan_outs_by_edge_type_that_are_equal_draw_what_one_for_all_draws():
    graph = find(graphs(), lambda g: len(g.edge_types) == 3 and g.num_edges > 6,
                 settings=settings(database=None, deadline=None))
    rows = np.arange(graph.num_nodes["a"])
    one, each = (TemporalNeighborSampler(graph, f).sample("a", rows, np.full(len(rows), 3), 5)
                 for f in ((2, 1), {e: [2, 1] for e in graph.edge_types}))
    assert all(torch.equal(one.edge_index[e], each.edge_index[e]) for e in graph.edge_types)
    assert all(torch.equal(one.n_id[t], each.n_id[t]) for t in graph.node_types)


def test_batches_drawn_by_threads_are_those_drawn_one_by_one_in_order():
    sampler = TemporalNeighborSampler(star(30), (5,), "uniform")
    questions = [("hub", np.arange(40), np.arange(40) + 1, seed) for seed in range(12)]
    for found, question in zip(sampler.sample_all(iter(questions), 2), questions, strict=True):
        expected = sampler.sample(*question)
        assert torch.equal(found.n_id["leaf"], expected.n_id["leaf"])
        assert torch.equal(found.edge_index["leaf", "r", "hub"],
                           expected.edge_index["leaf", "r", "hub"])


def test_a_sampler_that_has_drawn_before_draws_like_a_fresh_one():
    used, graph = TemporalNeighborSampler(star(30), (5,)), star(30)
    for count, static in ((2, False), (40, False), (3, True), (0, False), (40, True), (1, False)):
        time = None if static else np.full(count, 9)
        again, fresh = (s.sample("hub", np.arange(count), time, 1)
                        for s in (used, TemporalNeighborSampler(graph, (5,))))
        assert torch.equal(again.n_id["leaf"], fresh.n_id["leaf"])
        assert torch.equal(again.edge_index["leaf", "r", "hub"],
                           fresh.edge_index["leaf", "r", "hub"])


@pytest.mark.parametrize(("strategy", "static", "expected"), [
    ("uniform", False, "329a546c377aa91a"), ("latest", False, "af20a2084ec44738"),
    ("uniform", True, "a1d22b1310552cc6")])
def test_a_draw_keeps_its_bytes(strategy, static, expected):
    """Artifacts are keyed by the revision of their stage: whoever changes a draw raises the
    revisions of `sage_weights` and `downstream_metrics` and these digests."""
    times = np.arange(300) * 37 % 50
    edges = [(i * i * 31 % 300, i * (i + 17) // 3 % 60) for i in range(900)]
    graph = EntityGraph(
        ("hub", "leaf"), {"hub": 60, "leaf": 300}, {"hub": np.full(60, TIMELESS), "leaf": times},
        {("leaf", "r", "hub"): adjacency_of(edges, times, 60),
         ("hub", "s", "leaf"): adjacency_of([(h, x) for x, h in edges], np.full(60, TIMELESS),
                                            300)})
    rows = np.arange(0, 60, 2)
    batch = TemporalNeighborSampler(graph, (4, 2, 3), strategy).sample(
        "hub", rows, None if static else rows + 1, 7)
    found = hashlib.sha256()
    for part in (*batch.n_id.values(), *batch.edge_index.values()):
        found.update(part.numpy().astype("<i8").tobytes())
    assert found.hexdigest()[:16] == expected


def test_a_qualified_batch_differs_in_names_alone():
    batch = TemporalNeighborSampler(star(3), (2,)).sample("hub", np.array([1, 0]), None, 0)
    named = batch.qualified("rel-x")
    assert (named.input_type, set(named.n_id)) == ("rel-x/hub", {"rel-x/hub", "rel-x/leaf"})
    assert torch.equal(named.edge_index["rel-x/leaf", "r", "rel-x/hub"],
                       batch.edge_index["leaf", "r", "hub"])
    assert (named.num_seeds, named.num_hops) == (2, 1)
