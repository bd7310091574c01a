"""What the data say of columns that were written after their row, and what they cannot say."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.databases import association
from rowgraph.databases.comparing import changes
from rowgraph.databases.database import Database
from rowgraph.databases.knowledge import Knowledge
from rowgraph.databases.settling import settle
from rowgraph.databases.suspects import suspect_facts
from tests.worlds.tickets import DAY, write_tickets

ROWS = 600


def database(folder, **columns) -> Database:
    """One table `t` of rows over 600 days, and `named` rows that come later and name them."""
    (folder / "db").mkdir(parents=True)
    days = pl.Series(np.arange(ROWS)) * DAY
    pl.DataFrame({"id": range(ROWS), "time": days.cast(pl.Datetime("us")), **columns}
                 ).write_parquet(folder / "db" / "t.parquet")
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "one", "val_timestamp": "1971-01-01", "test_timestamp": "1971-04-01",
        "tables": {"t": {"pkey": "id", "time_col": "time"}}}))
    return Database.open(folder)


def found(folder, **columns) -> dict[str, tuple[str, str]]:
    return {s.column: (s.sign, s.done) for s in settle(database(folder, **columns), Knowledge())[1]}


def after(days: np.ndarray) -> pl.Series:
    """A time so many days after each row; none for NaN."""
    ticks = pl.Series(np.arange(ROWS) + np.asarray(days, float)).fill_nan(None) * DAY
    return ticks.cast(pl.Int64).cast(pl.Datetime("us"))


def test_ordinary_columns_are_no_suspects(tmp_path):
    random = np.random.default_rng(0)
    assert found(
        tmp_path, words=random.choice(["a", "b", None], ROWS).tolist(),
        number=random.normal(size=ROWS), count=random.integers(0, 9, ROWS), whole=[7] * ROWS,
        nothing=pl.Series([None] * ROWS, dtype=pl.Int64), before=after(-random.uniform(1, 9, ROWS)),
        trend=np.arange(ROWS) // 100, lists=[[1, 2]] * ROWS) == {}


def test_what_is_written_once_is_known_once_reached_and_what_is_overwritten_at_the_export(tmp_path):
    random = np.random.default_rng(1)
    once = random.exponential(20, ROWS) + 1
    once[np.arange(ROWS) + once > ROWS] = np.nan
    last = (ROWS - np.arange(ROWS)) * random.uniform(.7, 1, ROWS) + 1
    assert found(tmp_path, once=after(once), last=after(last)) == {
        "once": ("later", "hidden until it is reached"),
        "last": ("later", "hidden until the data were read")}


def test_one_late_cell_is_hidden_though_it_makes_no_column_of_late_ones(tmp_path):
    days = np.full(ROWS, -1.0)
    days[300] = 50
    one = database(tmp_path, one=after(days))
    knowledge, suspects = settle(one, Knowledge())
    assert [s.done for s in suspects] == ["hidden until it is reached"]
    assert one.knowing(knowledge).column("t", "one").is_null().arg_true().to_list() == [300]


def test_a_column_goes_along_by_emptiness_value_or_size(tmp_path):
    random = np.random.default_rng(2)
    days = random.exponential(20, ROWS) + 1
    days[random.random(ROWS) < .4] = np.nan
    given = np.isfinite(days)
    columns = {
        "ended": after(days), "state": np.where(given, "over", "open").tolist(),
        "stars": pl.Series(np.where(given, random.integers(1, 5, ROWS), np.nan)).fill_nan(None),
        "hours": np.nan_to_num(days * 2 + random.normal(size=ROWS)),
        "noise": random.choice(["over", "open"], ROWS).tolist(), "names": [
            f"name {i}" for i in range(ROWS)]}
    done = found(tmp_path, **columns)
    assert {c for c, (sign, _) in done.items() if sign == "goes along"} == {"state", "stars",
                                                                           "hours"}
    assert done["state"][1] == "hidden until ended"


def test_what_is_empty_or_small_for_young_rows_alone_is_said_and_a_custom_is_not(tmp_path):
    random = np.random.default_rng(3)
    young = np.arange(ROWS) > .9 * ROWS
    views = np.where(young, random.integers(0, 3, ROWS), random.integers(5, 90, ROWS))
    custom = np.where(np.arange(ROWS) > .5 * ROWS, random.integers(0, 3, ROWS), 50)
    review = [None if y and random.random() < .8 else "text" for y in young]
    assert found(tmp_path, views=views, custom=custom, review=review) == {
        "views": ("grows with age", "nothing"), "review": ("grows with age", "nothing")}


def test_each_suspect_carries_figures_an_example_and_a_line_that_can_be_written(tmp_path):
    desk = write_tickets(tmp_path / "rel-desk")
    _, suspects = settle(desk, Knowledge())
    facts = suspect_facts(suspects)
    assert json.loads(json.dumps(facts)) == facts
    for fact in facts:
        assert any(c.isdigit() for c in fact["evidence"])
        said = Knowledge.parse(yaml.safe_load(fact["otherwise"]))
        assert (fact["table"], fact["column"]) in said.rules
        assert settle(desk, said)[0].rules[fact["table"], fact["column"]] == said.rules[
            fact["table"], fact["column"]]


def test_a_sample_finds_what_all_rows_say(tmp_path, monkeypatch):
    desk = write_tickets(tmp_path / "rel-desk")
    whole = {(s.table, s.column): s.done for s in settle(desk, Knowledge())[1]}
    monkeypatch.setattr("rowgraph.databases.looking.SAMPLE", 500)
    assert {(s.table, s.column): s.done for s in settle(desk, Knowledge())[1]} == whole


def test_two_exports_show_what_was_written_on(tmp_path):
    old, new = write_tickets(tmp_path / "old"), write_tickets(tmp_path / "new")
    was_open = pl.col("ticket_id").is_in([3, 5])
    pl.read_parquet(old.path("tickets")).with_columns(
        state=pl.when(was_open).then(pl.lit("open")).otherwise("state"),
        ended=pl.when(was_open).then(None).otherwise("ended")).write_parquet(old.path("tickets"))
    rows = {(c.table, c.column): c for c in changes(old, new)}
    assert set(rows) == {("tickets", "state"), ("tickets", "ended")}
    assert rows["tickets", "ended"].filled == rows["tickets", "ended"].changed == 2
    assert rows["tickets", "state"].example.startswith("3: open became ended")
    assert list(changes(new, new)) == []


def test_two_databases_with_no_table_in_common_are_no_exports_of_one(tmp_path):
    with pytest.raises(ValueError, match="no table in common"):
        list(changes(write_tickets(tmp_path / "a"), database(tmp_path / "b")))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_agreement_and_explained_shares_lie_between_0_and_1(pairs):
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    assert 0 <= association.agreement(one, other, 2) <= 1
    assert 0 <= association.explained(pl.Series(one.astype(int)), other, 2) <= 1


def test_many_values_explain_nothing_by_chance():
    random = np.random.default_rng(4)
    truth = random.random(2000) < .5
    assert association.explained(pl.Series(np.arange(2000)), truth, 10) < .1
    assert association.explained(pl.Series([f"name {i % 900}" for i in range(2000)]), truth,
                                 10) < .2
    assert association.explained(pl.Series(np.where(truth, "yes", "no")), truth, 10) == 1
