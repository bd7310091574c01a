"""A column that answers a question alone is named, unless its seeds cannot see it."""

from __future__ import annotations

import dataclasses

import pytest

from rowgraph.databases.knowledge import Knowledge
from rowgraph.databases.settling import settle
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.telling import telling_columns
from tests.worlds.tickets import write_tickets


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return write_tickets(tmp_path_factory.mktemp("desk") / "rel-desk")


def test_a_closing_time_answers_whether_a_ticket_will_be_closed(desk):
    said = Knowledge.parse({"tickets": {"columns": {"ended": "as_is", "state": "as_is"}}})
    task = load_task(desk.knowing(said), "ticket-ends")
    found = list(telling_columns(task))
    assert [(s.column, s.sign) for s in found] == [("ended", "answers labels")]
    assert found[0].figure > .9
    assert "ticket-ends" in found[0].evidence


def test_what_is_hidden_until_it_was_known_answers_nothing(desk):
    task = load_task(desk.knowing(settle(desk, Knowledge())[0]), "ticket-ends")
    assert list(telling_columns(task)) == []


def test_few_labels_and_one_class_say_nothing(desk):
    task = load_task(desk, "ticket-ends")
    assert list(telling_columns(dataclasses.replace(task, val=task.val.newest(5)))) == []
    ones = task.val.take((task.val.target == 1).nonzero()[0])
    assert list(telling_columns(dataclasses.replace(task, val=ones))) == []
