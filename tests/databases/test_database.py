"""Reading tables whose columns have odd names, and what a task must not see."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.rows.linearization import linearize_frame
from rowgraph.rows.sampling import sample_rows, write_sampled_rows
from rowgraph.trees import numbers_of

ODD = ["^a.*$", "ab", "*", "^.*$", "a.b", "a", "two words", 'quote"d', "'; --", "line\nbreak",
       "<value>", "index", "row", "count(*)", "ä"]


@pytest.fixture
def odd(world) -> Database:
    """The world, in which games have columns of odd names, each with its own values."""
    for place, name in enumerate(ODD):
        world.column("games", name, [place * 10 + row for row in range(6)])
    assert check_database(world.folder).problems == ()
    return Database.open(world.folder)


@pytest.mark.parametrize("name", ODD)
def test_a_column_is_read_by_its_name_whatever_it_spells(odd, name):
    wanted = [ODD.index(name) * 10 + row for row in range(6)]
    assert numbers_of(odd.read("games", [name]).to_series())[0].tolist() == wanted
    frame = odd.read("games", [name])
    assert (frame.columns, frame.to_series().to_list()) == ([name], wanted)
    pieces = [(first, piece) for first, piece in odd.read_chunks("games", [name], rows=4)]
    assert [(first, piece.columns) for first, piece in pieces] == [(0, [name]), (4, [name])]
    assert pl.concat([piece for _, piece in pieces]).to_series().to_list() == wanted


def test_rows_with_odd_columns_are_sampled_and_written_as_they_are(odd, tmp_path):
    attributes = odd.attributes("games")
    assert attributes == ["date", "score", *ODD]
    [(_, frame)] = sample_rows(odd, {"games": 3}, seed=0)
    whole = linearize_frame("games", odd.read("games"), attributes)
    assert linearize_frame("games", frame, attributes).to_list() == [
        whole[row] for row in frame[frame.columns[-1]]]
    sizes = {("tiny", t): odd.num_rows(t) for t in odd.tables}
    shown = write_sampled_rows(odd, sizes, 14, 0, tmp_path)["tables"]["games"]
    assert shown["columns"] == len(attributes)
    assert 0 < shown["empty_cells"] < 0.1


def test_the_times_of_a_table_are_found_under_an_odd_name(world):
    table = pq.read_table(world.path("games"))
    names = ["^s.*$" if n == "date" else n for n in table.column_names]
    pq.write_table(table.rename_columns(names), world.path("games"))
    world.manifest(lambda m: m["tables"]["games"].update(time_col="^s.*$"))
    assert check_database(world.folder).problems == ()
    database = Database.open(world.folder)
    assert database.times("games").tolist()[:2] == [1588291200000000, 1525132800000000]


def test_an_index_that_pandas_wrote_is_left_out_and_said(world):
    frame = pq.read_table(world.path("games")).to_pandas()
    frame.index = frame.index * 7
    frame.to_parquet(world.path("games"), index=True)
    assert "__index_level_0__" in pq.read_schema(world.path("games")).names
    report = check_database(world.folder)
    assert report.problems == ()
    [warning] = [w for w in report.warnings if w.column == "__index_level_0__"]
    assert "left out, as RelBench does" in warning.message
    database = Database.open(world.folder)
    assert "__index_level_0__" not in database.columns("games")
    assert "__index_level_0__" not in database.read("games").columns
    assert all("__index_level_0__" not in f.columns for _, f in database.read_chunks("games"))


def test_what_a_task_must_not_see_cannot_be_read(world):
    database = Database.open(world.folder).without([("games", "score")])
    assert "score" not in database.columns("games")
    assert "score" not in database.read("games").columns
    with pytest.raises(ValueError, match=r"tiny: games\.score is hidden from this task"):
        database.read("games", ["score"])
    with pytest.raises(ValueError, match="games has no column 'scores'; it has date, player_id"):
        database.read("games", ["scores"])


def test_types_that_polars_holds_are_sound_and_read(world):
    world.column("games", "a", pa.array([[1], None, [], [2, 3], [4], [5]]))
    world.column("games", "b", pa.array(list("xyzxyz")).dictionary_encode())
    world.column("games", "c", pa.array([0] * 6, pa.timestamp("ns", "Europe/Berlin")))
    world.column("games", "d", pa.array([{"t": 0}] * 6, pa.struct([("t", pa.timestamp("s"))])))
    world.column("games", "e", pa.array([[(1, "x")]] * 6, pa.map_(pa.int64(), pa.string())))
    world.column("games", "f", pa.array([-719162, 2932896, None, 0, 0, 0], pa.date32()))
    assert check_database(world.folder).problems == ()
    assert Database.open(world.folder).read("games").height == 6
