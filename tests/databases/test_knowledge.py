"""Cells that were written after their row are hidden until then, and what is said is obeyed."""

from __future__ import annotations

import dataclasses
import re
import shutil

import numpy as np
import polars as pl
import pytest

from rowgraph.cells.columns import Tables
from rowgraph.databases.checking import check_database
from rowgraph.databases.database import TIMELESS, Database, TableSchema
from rowgraph.databases.knowledge import Knowledge, KnowledgeError, Rule
from rowgraph.databases.settling import settle
from rowgraph.graph.entity_graph import build_entity_graph
from tests.worlds.tickets import LATE, write_tickets


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return write_tickets(tmp_path_factory.mktemp("desk") / "rel-desk")


@pytest.fixture(scope="module")
def settled(desk):
    knowledge, suspects = settle(desk, Knowledge())
    return dataclasses.replace(desk, knowledge=knowledge), suspects


def said(**columns: str) -> Knowledge:
    return Knowledge.parse({"tickets": {"columns": {
        c: w if w in ("scheduled", "as_is", "drop") else {"known_at": w}
        for c, w in columns.items()}}})


def test_every_column_that_was_written_later_is_found_and_no_other(settled):
    database, suspects = settled
    assert {c for c, rule in database.knowledge.rules.items() if rule.late} == LATE | {
        ("tickets", "due")}  # the data cannot tell a plan from a deed: say `scheduled`
    done = {(s.table, s.column): s.done for s in suspects}
    assert done["tickets", "ended"] == "hidden until it is reached"
    assert done["tickets", "state"] == done["tickets", "effort"] == "hidden until ended"
    assert done["people", "seen"] == done["tickets", "replies"] == "hidden until the data were read"


def test_what_is_read_holds_only_what_was_known_with_its_row(settled):
    database, _ = settled
    tickets = database.read("tickets")
    for column in ("ended", "state", "effort", "replies", "due"):
        assert tickets[column].null_count() == len(tickets)
    assert database.column("people", "seen").null_count() == 40
    assert database.column("tickets", "urgency").null_count() == 0
    pieces = pl.concat([frame for _, frame in database.read_chunks("tickets", rows=100)])
    assert pieces.equals(tickets)
    assert database.read("tickets", late=True)["state"].null_count() == 0


def test_a_cell_is_known_at_its_moment_and_an_empty_one_when_the_data_were_read(settled):
    database, _ = settled
    known, ended = database.known_at("tickets", "state"), database.column(
        "tickets", "ended", late=True).to_physical()
    given = ended.is_not_null().to_numpy()
    assert np.array_equal(known[given], ended.drop_nulls().to_numpy())
    newest = max(database.times(t).max() for t in ("tickets", "replies"))
    assert (known[~given] == newest).all()
    assert database.read_at == newest
    assert database.known_at("tickets", "urgency") is None
    keys, known = database.keys("tickets", "next_step"), database.known_at("tickets", "next_step")
    assert np.array_equal(known[keys >= 0], database.times("tickets")[keys[keys >= 0]])


def test_what_a_person_says_stands(desk):
    spoken = said(due="scheduled", state="as_is", effort="export", urgency="drop")
    knowledge, suspects = settle(desk, spoken)
    database = desk.knowing(knowledge)
    assert database.column("tickets", "due").null_count() == 0
    assert database.column("tickets", "state").null_count() == 0
    assert (database.known_at("tickets", "effort") == database.read_at).all()
    assert "urgency" not in database.columns("tickets")
    assert not {"due", "state", "effort"} & {s.column for s in suspects}


def test_a_key_that_is_dropped_is_no_key_and_no_column_any_more(desk):
    database = desk.knowing(said(person_id="drop", next_step="drop"))
    assert database.tables["tickets"].fkeys == {}
    assert not {"person_id", "next_step"} & set(database.columns("tickets"))
    edges = build_entity_graph(database).edge_types
    assert {relation for _, relation, _ in edges} == {"f2p_ticket_id", "rev_f2p_ticket_id"}
    with pytest.raises(ValueError, match="has no column 'person_id'"):
        database.read("tickets", ["person_id"])


def test_a_moment_that_a_task_hides_decides_nothing_that_it_sees(settled):
    database = dataclasses.replace(settled[0].without([("tickets", "ended")]))
    assert database.column("tickets", "state").null_count() == database.num_rows("tickets")
    assert (database.known_at("tickets", "state") == database.read_at).all()
    over = Knowledge(database.knowledge.rules, {"tickets": "ended"})
    columns = Tables(database.knowing(over), 2).columns("tickets", single=False)
    assert {c.kind for c in columns} >= {"given"}
    assert "over" not in {c.kind for c in columns}


def test_a_time_of_rows_that_nothing_dated_names_is_known_once_reached(tmp_path):
    (tmp_path / "db").mkdir()
    pl.DataFrame({"id": [0, 1], "seen": pl.Series([5, 9]).cast(pl.Datetime("us"))}).write_parquet(
        tmp_path / "db" / "alone.parquet")
    alone = Database("d", tmp_path, {"alone": TableSchema("alone", "id", None, {})}, 3, 4)
    knowledge, _ = settle(alone, Knowledge())
    assert knowledge.rules["alone", "seen"].known_at == "itself"
    assert alone.knowing(knowledge).column("alone", "seen").null_count() == 2


def test_a_time_is_known_once_it_is_reached_even_where_nobody_said_anything(desk):
    known = desk.known_at("tickets", "due")
    assert (known == desk.column("tickets", "due").to_physical().to_numpy()).all()
    seen = desk.known_at("people", "seen")
    assert (seen > TIMELESS).all()


def test_what_is_settled_is_written_beside_the_manifest_and_read_again(settled, tmp_path):
    database, _ = settled
    database.knowledge.write(tmp_path)
    assert Knowledge.read(tmp_path) == database.knowledge
    Knowledge().write(tmp_path)
    assert not (tmp_path / "knowledge.yaml").exists()
    assert Knowledge.read(tmp_path) == Knowledge()
    again, suspects = settle(database, database.knowledge)
    assert again == database.knowledge
    assert suspects == []


@pytest.mark.parametrize(("entry", "words"), [
    ({"tikets": {"columns": {"state": "as_is"}}}, "no such table.*tickets"),
    ({"tickets": {"columns": {"stat": "as_is"}}}, "no such column.*state"),
    ({"tickets": {"columns": {"state": {"known_at": "endet"}}}}, "no column of the table.*ended"),
    ({"tickets": {"columns": {"state": {"known_at": "urgency"}}}}, "neither a time nor a key"),
    ({"tickets": {"columns": {"state": {"known_at": "itself"}}}}, "only a time"),
    ({"tickets": {"columns": {"opened": "as_is"}}}, "row's own time"),
    ({"tickets": {"columns": {"ticket_id": "drop"}}}, "primary key"),
    ({"tickets": {"columns": {"state": {"known_at": "ended"}, "ended": "drop"}}}, "is dropped"),
    ({"tickets": {"valid_until": "urgency"}}, "no time of the row's own"),
    ({"tickets": {"valid_until": "ende"}}, "no such column.*ended"),
])
def test_what_cannot_be_is_a_problem_with_the_nearest_name(desk, entry, words):
    problems = [str(p) for p in check_database(desk.folder, knowledge=entry).problems]
    assert len(problems) == 1
    assert re.search(words, problems[0])


@pytest.mark.parametrize(("entry", "words"), [
    ([], "expected names"), ({"t": {"colums": {}}}, "did you mean columns"),
    ({"t": {"columns": {"a": "later"}}}, r"write \{known_at: later\}"),
    ({"t": {"columns": {"a": {"known": "b"}}}}, "expected one of"), ({"t": 3}, "expected names"),
    ({"t": {"columns": {}}}, "says nothing"), ({"t": {}}, "says nothing"),
])
def test_what_has_no_form_is_named(entry, words):
    with pytest.raises(KnowledgeError, match=words):
        Knowledge.parse(entry)


def test_a_file_that_is_no_yaml_is_a_problem_of_the_folder(desk, tmp_path):
    folder = shutil.copytree(desk.folder, tmp_path / "rel-desk")
    (folder / "knowledge.yaml").write_text("tickets: [")
    problems = check_database(folder).problems
    assert [p.file for p in problems] == ["knowledge.yaml"]


def test_a_rule_says_whether_it_is_late():
    assert [Rule(w).late for w in ("itself", "export", "ended", "scheduled", "as_is", "drop")] == [
        True, True, True, False, False, False]
