"""A query that cannot be asked, or not be learnt, is refused with the next move."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.queries.proposing import propose
from rowgraph.tasks.queries.query import QueryError

ACTIVE = 'PREDICT COUNT("or ders".person, 0, 30) > 0 FOR EACH people.id'


@pytest.fixture
def copy(shop, tmp_path) -> Path:
    return Path(shutil.copytree(shop.folder, tmp_path / "copy"))


@pytest.mark.parametrize(("text", "message"), [
    ("PREDICT COUNT(order.*, 0, 30) FOR EACH people.id", "there is no table order; did you mean"),
    ("PREDICT SUM(items.prize, 0, 30) FOR EACH goods.good", "no column prize; did you mean price"),
    ("PREDICT SUM(items.price, 0, 30) FOR EACH people.town", "wants a primary key; that of people"),
    ("PREDICT SUM(items.price, 0, 30) FOR EACH items.good", "items has no primary key"),
    ('PREDICT COUNT("or ders".*, 0, 30) FOR EACH people.id',
     'or ders.person or or ders.gift to; count one of these columns'),
    ("PREDICT COUNT(notes.*, 0, 30) FOR EACH people.id", "notes has no time"),
    ("PREDICT COUNT(items.*, 0, 30) FOR EACH people.id", "ask about a table in between"),
    ('PREDICT COUNT("or ders".*, 0, 30) FOR EACH goods.good', "no foreign keys lead from or ders"),
    ("PREDICT SUM(items.*, 0, 30) FOR EACH goods.good", "SUM wants a column"),
    ('PREDICT SUM("or ders"."it""s", 0, 30) FOR EACH people.id', "SUM wants numbers"),
    ("PREDICT SUM(items.price, -5, 30) FOR EACH goods.good", "begins before the question"),
    ("PREDICT SUM(items.price, 0, INF) FOR EACH goods.good", "no answer would ever be known"),
    ("PREDICT SUM(items.price, 30, 30) FOR EACH goods.good", "(30, 30] holds nothing"),
    ("PREDICT SUM(items.price, 0, 30) FOR EACH goods.good WHERE SUM(items.price, -5, 5) > 0",
     "reaches past the question"),
    ("PREDICT SUM(items.price, 0, 30) FOR EACH goods.good WHERE SUM(items.price, -5, 0)",
     "wants a condition"),
    ("PREDICT SUM(items.price, 0, 30) = 'x' FOR EACH goods.good", "'x' is compared with numbers"),
    ("PREDICT SUM(items.price, 0, 30) = TRUE FOR EACH goods.good", "True is compared with numbers"),
    ('PREDICT COUNT("or ders".person WHERE "or ders".placed > \'soon\', 0, 30) FOR EACH people.id',
     "'soon' is no time"),
    ("PREDICT SUM(items.price, 0, 30) FOR EACH goods.good WHERE people.town = 'a'",
     "only columns of goods can be compared"),
    ("PREDICT people.town = 'a' FOR EACH people.id", "must lie after the question"),
    ("PREDICT people.town FOR EACH people.id", "people has no time"),
    ('PREDICT "or ders".person FOR EACH "or ders"."order"', "write RANK TOP 10"),
    ('PREDICT "or ders".paid RANK TOP 2 FOR EACH "or ders"."order"', "leave RANK TOP out"),
    ('PREDICT "or ders".placed FOR EACH "or ders"."order"', "the row's own time"),
    ("PREDICT LIST_DISTINCT(items.price, 0, 30) RANK TOP 3 FOR EACH goods.good",
     "wants a foreign key; those of items are order, good"),
    ('PREDICT LIST_DISTINCT(items.good, 0, 30) FOR EACH "or ders"."order"', "write RANK TOP 10"),
    ("PREDICT SUM(items.price, 0, 30) CLASSIFY FOR EACH goods.good", "wants FIRST or LAST"),
    ("PREDICT SUM(items.price WHERE COUNT(items.*, 0, 3) > 1, 0, 30) FOR EACH goods.good",
     "an aggregate inside another"),
])
def test_what_cannot_be_asked_is_refused_at_its_word(shop, tmp_path, text, message):
    with pytest.raises(QueryError) as caught:
        propose(shop, text, tmp_path / "scratch")
    assert message in str(caught.value)
    assert "^" in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [
    ('PREDICT COUNT("or ders".person, 0, 30) >= 0 FOR EACH people.id', "train labels are 1"),
    ("PREDICT SUM(items.price, 0, 90) FOR EACH goods.good", "too few windows of 90 days"),
    ("PREDICT SUM(items.price, 0, 900) FOR EACH goods.good", "too few windows of 900 days"),
    ('PREDICT LIST_DISTINCT(items.order, 0, 30) RANK TOP 3 FOR EACH goods.good',
     "none of the rows that its labels name is there"),
    (f"{ACTIVE} WHERE COUNT(\"or ders\".person, -30, 0) > 99", "nobody is asked about"),
])
def test_what_cannot_be_learnt_is_refused_before_anything_is_written(copy, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        propose(Database.open(copy), text, tmp_path / "scratch").write(copy)
    assert not (copy / "tasks").exists()


def test_a_task_that_was_written_is_a_task_like_any_other(copy, tmp_path):
    database = Database.open(copy)
    proposal = propose(database, ACTIVE, tmp_path / "scratch")
    assert proposal.name == "people-count-or-ders-person-30-days"
    assert [f.rows for f in proposal.facts] == [proposal.tables[f.split].num_rows
                                                for f in proposal.facts]
    folder = proposal.write(copy)
    assert [p.name for p in folder.iterdir()] == ["manifest.yaml"]
    report = check_database(copy)
    assert not report.problems
    task = load_task(database, proposal.name)
    assert task.task_type == "binary_classification"
    assert {s: len(getattr(task, s)) for s in ("train", "val", "test")} == {
        f.split: f.rows for f in proposal.facts}
    assert float(task.val.target.mean()) == pytest.approx(proposal.facts[1].base)


def test_splits_move_where_the_horizon_does_not_fit_and_nothing_hangs_on_them(copy, tmp_path):
    text = "PREDICT SUM(items.price, 0, 40) FOR EACH goods.good"
    with open(copy / "manifest.yaml") as file:
        before = yaml.safe_load(file)
    (copy / "manifest.yaml").write_text(yaml.safe_dump(before | {"test_timestamp": "2020-07-20"}))
    database = Database.open(copy)
    with pytest.raises(ValueError, match=r"What would do: val_timestamp: 2020-0.*--move-splits"):
        propose(database, text, tmp_path / "a")
    proposal = propose(database, text, tmp_path / "b", move=True)
    assert proposal.problems == ()
    proposal.write(copy)
    moved = Database.open(copy)
    assert (moved.val_timestamp, moved.test_timestamp) == (proposal.cuts.val, proposal.cuts.test)
    assert len(load_task(moved, proposal.name).test)
    again = "PREDICT SUM(items.price, 0, 55) FOR EACH goods.good"
    with pytest.raises(ValueError, match=f"other tasks \\({proposal.name}\\) hang on them"):
        propose(moved, again, tmp_path / "c", move=True)


def test_a_column_of_the_entity_is_an_autocomplete_task(copy, tmp_path):
    database = Database.open(copy)
    kinds = {"paid": "binary_classification", '"it""s"': "multiclass_classification"}
    for number, (column, kind) in enumerate(kinds.items()):
        proposal = propose(database, f'PREDICT "or ders".{column} FOR EACH "or ders"."order"',
                           tmp_path / str(number))
        assert (proposal.meaning.kind, proposal.meaning.task_type) == ("autocomplete", kind)
        assert proposal.problems == ()
        proposal.write(copy)
        assert len(load_task(database, proposal.name).test)
    proposal = propose(database, 'PREDICT "or ders".person RANK TOP 3 FOR EACH "or ders"."order"',
                       tmp_path / "link")
    assert proposal.manifest["eval_k"] == 3
    proposal.write(copy)
    assert load_task(database, proposal.name).task_type == "recommendation"


def test_a_task_of_this_name_that_is_another_is_left_as_it_is(copy, tmp_path):
    database = Database.open(copy)
    first = propose(database, ACTIVE, tmp_path / "a", name="active")
    manifest = first.write(copy) / "manifest.yaml"
    first.write(copy)  # the same one again is no harm
    other = propose(database, ACTIVE.replace("30", "20"), tmp_path / "b", name="active")
    before = manifest.read_bytes()
    with pytest.raises(ValueError, match=r"active is another task.*--name"):
        other.write(copy)
    assert manifest.read_bytes() == before
