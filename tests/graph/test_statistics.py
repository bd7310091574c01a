from __future__ import annotations

import numpy as np

from rowgraph.databases.database import Database
from rowgraph.databases.truncating import truncate
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.graph.statistics import graph_sizes, graph_statistics


def test_an_edge_counts_once_and_isolated_rows_are_found(make_database):
    facts = graph_statistics(build_entity_graph(make_database()))
    assert (facts["nodes"], facts["edges"], facts["directed_edges"]) == (12, 10, 20)
    assert facts["isolated_nodes"] == 2  # clubs 0 and 2
    assert (facts["timeless_nodes"], facts["never_visible_nodes"]) == (3, 1)
    assert facts["edges_by_type"]["visits/f2p_member_id/members"] == 5


def test_a_null_key_is_unresolved_and_counted_by_its_column(make_database):
    facts = graph_statistics(build_entity_graph(make_database()))
    assert facts["unresolved_by_fkey"] == {
        "members.club_id": 2, "members.sponsor_id": 1, "visits.member_id": 0}
    assert facts["unresolved"] == 3


def test_keys_into_rows_that_truncation_removed_are_unresolved(make_database, tmp_path):
    database = make_database()
    before = graph_statistics(build_entity_graph(database))
    removed = truncate(database.folder, tmp_path / "small", 3)
    after = graph_statistics(build_entity_graph(Database.open(tmp_path / "small")))
    assert removed["rows"] == {"clubs": 3, "members": 3, "visits": 3}
    assert removed["dropped_edges"]
    for column, unresolved in after["unresolved_by_fkey"].items():
        table, fkey = column.split(".")
        kept = database.read(table)[_kept(tmp_path / "small", table)][fkey]
        nulls = kept.fill_nan(None).null_count() if kept.dtype.is_float() else kept.null_count()
        assert unresolved == nulls + removed["dropped_edges"].get(column, 0)
    assert after["unresolved"] + after["edges"] < before["unresolved"] + before["edges"]


def test_table_1_has_a_row_per_database_and_a_total(make_database):
    graph = build_entity_graph(make_database())
    table = graph_sizes({"rel-tiny": graph, "rel-twin": graph})
    assert table.columns == ["database", "nodes", "edges", "unresolved", "isolated"]
    assert table.rows() == [("rel-tiny", 12, 10, 3, 2), ("rel-twin", 12, 10, 3, 2),
                            ("total", 24, 20, 6, 4)]


def _kept(folder, table):
    path = folder / "rows" / f"{table}.npy"
    return np.load(path) if path.is_file() else slice(None)
