from __future__ import annotations

import dataclasses
import re

import numpy as np
import polars as pl
import pytest

from rowgraph.databases.database import NEVER, TIMELESS, Database
from rowgraph.databases.knowledge import Knowledge
from rowgraph.graph.entity_graph import Adjacency, EntityGraph, GraphError, build_entity_graph

DAY = 86_400_000_000


def neighbours(graph: EntityGraph, edge_type) -> list[list[int]]:
    adjacency = graph.adjacency[edge_type]
    return [adjacency.indices[a:b].tolist()
            for a, b in zip(adjacency.indptr[:-1], adjacency.indptr[1:], strict=True)]


def brute_force_edges(database: Database) -> dict[tuple[str, str, str], set[tuple[int, int]]]:
    edges: dict = {}
    for table, schema in database.tables.items():
        for fkey, parent in schema.fkeys.items():
            forward = edges.setdefault((table, f"f2p_{fkey}", parent), set())
            backward = edges.setdefault((parent, f"rev_f2p_{fkey}", table), set())
            for row, key in enumerate(database.read(table)[fkey].to_list()):
                if key is not None and key == key:
                    forward.add((row, int(key)))
                    backward.add((int(key), row))
    return edges


def test_every_foreign_key_value_is_an_edge_in_both_directions_and_nulls_are_none(make_database):
    database = make_database()
    graph = build_entity_graph(database)
    found = {e: set(map(tuple, a.edge_index().T.tolist())) for e, a in graph.adjacency.items()}
    assert found == brute_force_edges(database)
    assert graph.num_edges == 2 * (2 + 3 + 5)


def test_neighbours_ascend_by_time_then_row_and_missing_times_come_last(make_database):
    graph = build_entity_graph(make_database())
    assert neighbours(graph, ("visits", "f2p_member_id", "members")) == [[1, 3, 0, 2], [], [4], []]
    assert neighbours(graph, ("members", "f2p_sponsor_id", "members")) == [[1], [2, 3], [], []]
    assert neighbours(graph, ("members", "f2p_club_id", "clubs")) == [[], [2, 0], []]


def test_times_are_microseconds_timeless_or_never(make_database):
    graph = build_entity_graph(make_database())
    assert graph.times["clubs"].tolist() == [TIMELESS] * 3
    assert graph.times["visits"].tolist() == [3 * DAY, DAY, NEVER, DAY, 0]


def test_names_and_edges_are_those_of_relbench(make_database):
    pytest.importorskip("torch_frame", reason="RelBench builds graphs with pytorch-frame")
    modeling = pytest.importorskip("relbench.modeling.graph")
    pandas = pytest.importorskip("pandas")
    from relbench.base import Database as RelBenchDatabase
    from relbench.base import Table

    database = make_database()
    tables = {}
    for name, schema in database.tables.items():
        frame = pandas.DataFrame(database.read(name).to_dict(as_series=False))
        tables[name] = Table(df=frame, fkey_col_to_pkey_table=schema.fkeys,
                             pkey_col=schema.pkey_col, time_col=None)
    reference, _ = modeling.make_pkey_fkey_graph(
        RelBenchDatabase(tables), {name: {} for name in tables})
    ours = build_entity_graph(database).to_hetero_data()
    assert set(ours.edge_types) == set(reference.edge_types)
    for edge_type in ours.edge_types:
        pairs = [set(map(tuple, g[edge_type].edge_index.T.tolist())) for g in (ours, reference)]
        assert pairs[0] == pairs[1], edge_type


def test_a_saved_graph_loads_equal_and_memory_mapped(make_database, tmp_path):
    graph = build_entity_graph(make_database())
    graph.save(tmp_path / "graph")
    loaded = EntityGraph.load(tmp_path / "graph")
    assert (loaded.node_types, loaded.edge_types) == (graph.node_types, graph.edge_types)
    assert loaded.num_nodes == graph.num_nodes
    for edge_type, adjacency in graph.adjacency.items():
        assert isinstance(loaded.adjacency[edge_type].indices, np.memmap)
        assert np.array_equal(loaded.adjacency[edge_type].indices, adjacency.indices)
        assert np.array_equal(loaded.adjacency[edge_type].indptr, adjacency.indptr)
    assert all(np.array_equal(loaded.times[t], graph.times[t]) for t in graph.node_types)


def test_a_graph_with_a_missing_file_says_which(make_database, tmp_path):
    build_entity_graph(make_database()).save(tmp_path / "graph")
    (tmp_path / "graph" / "indices_001.npy").unlink()
    with pytest.raises(GraphError, match=r"indices_001\.npy is missing"):
        EntityGraph.load(tmp_path / "graph")


def test_a_saved_graph_whose_order_was_broken_is_refused(make_database, tmp_path):
    graph = build_entity_graph(make_database())
    graph.save(tmp_path / "graph")
    place = list(graph.edge_types).index(("visits", "f2p_member_id", "members"))
    path = tmp_path / "graph" / f"indices_{place:03d}.npy"
    np.save(path, np.array([3, 1, 0, 2, 4]))
    with pytest.raises(GraphError, match="must ascend by time"):
        EntityGraph.load(tmp_path / "graph")


def test_a_key_that_was_written_later_is_an_edge_from_then_on_and_is_saved_so(make_database,
                                                                              tmp_path):
    plain = make_database()
    said = Knowledge.parse({"members": {"columns": {"sponsor_id": {"known_at": "export"}}}})
    database = dataclasses.replace(plain, knowledge=said)
    graph, usual = build_entity_graph(database), build_entity_graph(plain)
    late = [e for e in graph.edge_types if "sponsor_id" in e[1]]
    for e in graph.edge_types:
        assert set(map(tuple, graph.adjacency[e].edge_index().T.tolist())) == set(
            map(tuple, usual.adjacency[e].edge_index().T.tolist()))
        assert (graph.adjacency[e].times is not None) == (e in late)
    for e in late:
        own = graph.times[e[0]][graph.adjacency[e].indices]
        assert (graph.adjacency[e].times >= np.maximum(own, database.read_at)).all()
    graph.save(tmp_path / "graph")
    loaded = EntityGraph.load(tmp_path / "graph")
    assert all(np.array_equal(loaded.adjacency[e].times, graph.adjacency[e].times) for e in late)
    number = list(graph.edge_types).index(late[0])
    (tmp_path / "graph" / f"edge_times_{number:03d}.npy").unlink()
    with pytest.raises(GraphError, match="edge_times"):
        EntityGraph.load(tmp_path / "graph")
    assert graph.to_hetero_data()[late[0]].time.shape == (
        graph.adjacency[late[0]].num_edges,)


@pytest.mark.parametrize("key", [4, -1, 1.5, float("inf")])
def test_a_dangling_key_is_refused_by_table_and_column(make_database, key):
    visits = pl.DataFrame({"member_id": [type(key)(0), key], "day": [None, None]},
                          schema_overrides={"day": pl.Datetime("us")})
    named = re.escape(f"visits.member_id names row {key} of members in row 1")
    with pytest.raises(GraphError, match=named):
        build_entity_graph(make_database(visits=visits))


def test_keys_that_are_no_row_numbers_are_refused(make_database):
    clubs = pl.DataFrame({"club_id": [0, 2, 1], "name": ["a", "b", "c"]})
    with pytest.raises(GraphError, match=r"clubs\.club_id must hold the row numbers.*2 in row 1"):
        build_entity_graph(make_database(clubs=clubs))


def test_text_keys_are_refused(make_database):
    visits = pl.DataFrame({"member_id": ["0"], "day": [None]},
                          schema_overrides={"day": pl.Datetime("us")})
    with pytest.raises(GraphError, match=r"visits\.member_id must hold row numbers of members"):
        build_entity_graph(make_database(visits=visits))


def test_a_column_of_nulls_and_an_empty_table_give_a_graph_without_edges(make_database):
    visits = pl.DataFrame({"member_id": [None, None], "day": [None, None]},
                          schema_overrides={"day": pl.Datetime("us")})
    clubs = pl.DataFrame({"club_id": [], "name": []}, schema={"club_id": pl.Int64, "name": pl.Utf8})
    members = pl.DataFrame({"member_id": [0], "club_id": [None], "sponsor_id": [None],
                            "joined": [None]}, schema_overrides={"joined": pl.Datetime("us")})
    graph = build_entity_graph(make_database(visits=visits, clubs=clubs, members=members))
    assert graph.num_edges == 0
    assert graph.to_hetero_data().num_nodes == 3


def test_an_awkward_world_is_a_valid_hetero_data(make_database):
    members = pl.DataFrame({  # one sponsors itself, one is sponsored from a row further down
        "member_id": [0, 1, 2], "club_id": [1, None, None], "sponsor_id": [0, 2, None],
        "joined": [None, None, None]}, schema_overrides={"joined": pl.Datetime("us")})
    visits = pl.DataFrame({"member_id": [0, 0, None], "day": [None, None, None]},
                          schema_overrides={"day": pl.Datetime("us")})
    graph = build_entity_graph(make_database(members=members, visits=visits))
    data = graph.to_hetero_data()
    assert data.validate(raise_on_error=True)
    assert data.has_isolated_nodes()  # clubs 0 and 2, visit 2
    assert "time" not in data["clubs"]
    assert data["members", "f2p_sponsor_id", "members"].edge_index.T.tolist() == [[0, 0], [1, 2]]


def test_an_edge_given_twice_is_two_edges_of_a_valid_hetero_data():
    times = {"a": np.array([5, 4]), "alone": np.array([TIMELESS])}
    twice = Adjacency(np.array([0, 3, 3]), np.array([1, 0, 0]))
    graph = EntityGraph(("a", "alone"), {"a": 2, "alone": 1}, times, {("a", "r", "a"): twice})
    with pytest.warns(UserWarning, match="isolated"):  # a table that no key names is still a table
        data = graph.to_hetero_data()
    assert data["a", "r", "a"].edge_index.T.tolist() == [[1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("in_order", [True, False])
def test_neighbours_are_those_of_brute_force_whether_rows_lie_in_time_order_or_not(
        make_database, in_order):
    rng = np.random.default_rng(0)
    days, member = rng.integers(0, 9, 60), rng.integers(-1, 4, 60)
    days = np.sort(days) if in_order else days
    graph = build_entity_graph(make_database(visits=pl.DataFrame({
        "member_id": [None if m < 0 else int(m) for m in member],
        "day": (days * DAY).astype("datetime64[us]")})))
    assert neighbours(graph, ("visits", "f2p_member_id", "members")) == [
        sorted(np.flatnonzero(member == m).tolist(), key=lambda row: (days[row], row))
        for m in range(4)]
    assert neighbours(graph, ("members", "rev_f2p_member_id", "visits")) == [
        [] if m < 0 else [m] for m in member]


def test_an_adjacency_that_does_not_add_up_is_refused():
    indptr, indices = np.array([0, 2]), np.array([0, 1])
    with pytest.raises(GraphError, match="end at the number of edges"):
        Adjacency(indptr, indices[:1])
    with pytest.raises(GraphError, match="must not decrease"):
        Adjacency(np.array([0, 3, 2]), indices)
    with pytest.raises(GraphError, match="must be int64"):
        Adjacency(indptr, indices.astype(np.int32))


def test_a_graph_whose_neighbours_are_out_of_time_order_is_refused():
    times = {"a": np.array([5, 4])}
    ordered = Adjacency(np.array([0, 2, 2]), np.array([1, 0]))
    EntityGraph(("a",), {"a": 2}, times, {("a", "r", "a"): ordered})
    shuffled = Adjacency(np.array([0, 2, 2]), np.array([0, 1]))
    with pytest.raises(GraphError, match="must ascend by time"):
        EntityGraph(("a",), {"a": 2}, times, {("a", "r", "a"): shuffled})
    for rows_in_order in ([4, 5], [4, 4]):  # here row numbers alone tell, and ties go by them
        with pytest.raises(GraphError, match="must ascend by time"):
            EntityGraph(("a",), {"a": 2}, {"a": np.array(rows_in_order)},
                        {("a", "r", "a"): ordered})


def test_a_graph_that_names_rows_out_of_range_is_refused():
    times = {"a": np.array([TIMELESS])}
    with pytest.raises(GraphError, match="names rows 1 to 1 of a, which has 1"):
        EntityGraph(("a",), {"a": 1}, times, {
            ("a", "r", "a"): Adjacency(np.array([0, 1]), np.array([1]))})
