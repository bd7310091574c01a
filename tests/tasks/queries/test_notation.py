"""The notation is read as it is meant, and faults are pointed at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.tasks.queries.notation import parse
from rowgraph.tasks.queries.query import (
    Aggregate,
    Column,
    Compared,
    Joined,
    Negation,
    QueryError,
    Rows,
)

CHURN = ("PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id "
         "WHERE COUNT(orders.*, -90, 0, days) > 0")


def test_a_question_about_churn_is_read():
    query = parse(CHURN)
    assert query.target == Compared(
        Aggregate("COUNT", Rows("orders", 0, 0), None, 0, 30, "days", 0, 0), "=", (0,), False, 0, 0)
    assert query.entity == Column("customers", "customer_id", 0, 0)
    assert (query.where.operand.first, query.where.operand.last) == (-90, 0)
    assert (query.ranked, query.classified) == (None, False)


def test_capitals_line_breaks_and_a_last_semicolon_do_not_matter():
    other = parse(CHURN.lower().replace("where", "\n where") + " ;")
    assert (other.target, other.entity, other.where) == (
        parse(CHURN).target, parse(CHURN).entity, parse(CHURN).where)


def test_days_are_the_unit_and_one_day_is_a_unit_too():
    said = parse("PREDICT SUM(a.b, 0, 2) FOR EACH c.d").target
    assert said.unit == "days"
    assert parse("PREDICT SUM(a.b, 0, 2, week) FOR EACH c.d").target.unit == "weeks"


def test_and_binds_closer_than_or_and_brackets_closest():
    target = parse("PREDICT COUNT(a.*,0,1)>0 OR COUNT(b.*,0,1)>0 AND NOT COUNT(c.*,0,1)>0 "
                   "FOR EACH d.e").target
    assert isinstance(target, Joined)
    assert target.word == "or"
    assert target.parts[1].word == "and"
    assert isinstance(target.parts[1].parts[1], Negation)
    target = parse("PREDICT (COUNT(a.*,0,1)>0 OR COUNT(b.*,0,1)>0) AND COUNT(c.*,0,1)>0 "
                   "FOR EACH d.e").target
    assert (target.word, target.parts[0].word) == ("and", "or")


def test_names_in_double_quotes_hold_anything():
    target = parse('PREDICT SUM("or ders"."it""s", 0, 3) FOR EACH "SELECT"."each"').target
    assert target.of == Column("or ders", 'it"s', 0, 0)


@pytest.mark.parametrize(("text", "operator", "values", "negated"), [
    ("a.b IN (1, -2.5, 'x''y')", "in", (1, -2.5, "x'y"), False),
    ("a.b NOT IN (TRUE)", "in", (True,), True),
    ("a.b IS NULL", "is null", (), False),
    ("a.b IS NOT NULL", "is null", (), True),
    ("a.b NOT LIKE 'x%'", "like", ("x%",), True),
    ("a.b CONTAINS 'x'", "contains", ("x",), False),
    ("a.b STARTS WITH 'x'", "starts with", ("x",), False),
    ("a.b ENDS WITH 'x'", "ends with", ("x",), False),
    ("a.b <> 1e3", "!=", (1000.0,), False),
    ("a.b == 1", "=", (1,), False),
])
def test_every_comparison_of_the_notation_is_read(text, operator, values, negated):
    said = parse(f"PREDICT COUNT(a.* WHERE {text}, 0, 7) FOR EACH c.d").target.where
    assert (said.operator, said.values, said.negated) == (operator, values, negated)


@pytest.mark.parametrize(("text", "message", "word"), [
    ("PREDICT COUT(a.*, 0, 30) FOR EACH b.c", "COUT is no aggregate; there are COUNT,", "COUT"),
    ("PREDICT COUNT(a.*, 0, 30, moons) FOR EACH b.c", "moons is no unit of time", "moons"),
    ("PREDICT COUNT(a.* 0, 30) FOR EACH b.c", "expected ',' or WHERE, found 0", "0"),
    ("PREDICT COUNT(a.*, 0, 30) FOR b.c", "expected EACH, found b", "b"),
    ("PREDICT COUNT(a.*, 0, 30)", "found the end of the query", ""),
    ("SELECT 1", "expected PREDICT, found SELECT", "SELECT"),
    ("PREDICT LIST_DISTINCT(a.b, 0, 3) RANK TOP 0 FOR EACH c.d", "from 1 on", "0"),
    ("PREDICT SUM(a.b, 0, 3) FOR EACH c.d ASSUMING COUNT(e.*, 0, 7) > 2", "not supported",
     "ASSUMING"),
    ("PREDICT SUM(a.b, 0, 3) FOR EACH c.d WHERE a.b = 'x", "a text in single quotes", "'"),
])
def test_a_fault_is_pointed_at_with_what_was_expected(text, message, word):
    with pytest.raises(QueryError) as caught:
        parse(text)
    said, line, carets = str(caught.value).rsplit("\n", 2)
    assert message in said
    assert line == f"  {text}"
    start, count = carets.index("^"), carets.count("^")
    assert line[start:start + count].startswith(word)
    assert count == max(1, len(word))


def test_only_the_line_with_the_fault_is_shown():
    with pytest.raises(QueryError) as caught:
        parse("PREDICT COUNT(a.*, 0, 30)\nFOR EVERY b.c\nWHERE x")
    assert str(caught.value).endswith("\n  FOR EVERY b.c\n      ^^^^^")


@given(st.text(max_size=60) | st.lists(st.sampled_from(
    [*CHURN.split(), "(", ")", ",", ".", "'", '"', "*", "NOT", "AND", "-", "1.5", "\n"]),
    max_size=25).map(" ".join))
def test_whatever_is_written_is_read_or_refused_with_a_place(text):
    assert place(text) is None or 0 <= place(text)[0] <= place(text)[1] <= len(text)


def place(text: str) -> tuple[int, int] | None:
    """Where a query is faulty."""
    try:
        parse(text)
    except QueryError as error:
        return error.start, error.end
    return None
