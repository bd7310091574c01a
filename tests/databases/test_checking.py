from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rowgraph.databases import columns
from rowgraph.databases.checking import check_database

FEW = settings(max_examples=40, deadline=None,
               suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_sound_world_has_no_problem_and_says_what_it_is(world):
    report = check_database(world.folder)
    report.raise_if_broken()
    assert report.problems == ()
    assert report.name == "tiny"
    assert {t: f.rows for t, f in report.tables.items()} == {"teams": 3, "players": 5, "games": 6}
    assert report.rows == 14
    assert report.tables["teams"].first is None
    assert report.time_span == ("2018-01-01T00:00:00", "2021-06-01T00:00:00")
    assert report.tasks["player-teams"].task_type == "recommendation"
    assert report.tasks["player-active"].splits == {"train": 2, "val": 1, "test": 2}


def test_what_a_person_may_leave_is_a_warning(world):
    world.column("games", "score", [1.0, float("nan"), float("inf"), float("-inf"), None, 2.0])
    warnings = {(w.table, w.column): w for w in check_database(world.folder).warnings}
    assert "no row has a value" in warnings["teams", "motto"].message
    assert "1 rows have no time" in warnings["players", "joined"].message
    assert "1 NaN and 2 infinite" in warnings["games", "score"].message
    assert ("games", "player_id") not in warnings  # NaN is how pandas writes a missing key
    assert all(w.next_move for w in warnings.values())


def test_an_empty_table_and_a_stray_file_are_warnings(world):
    pq.write_table(pq.read_table(world.path("games")).slice(0, 0), world.path("games"))
    pq.write_table(pa.table({"a": [1]}), world.path("stray"))
    report = check_database(world.folder)
    assert not report.problems
    messages = {w.file: w.message for w in report.warnings}
    assert messages["db/games.parquet"] == "the table has no rows"
    assert messages["db/stray.parquet"] == "no table of the manifest"


def test_labels_on_the_wrong_side_of_a_split_and_misspelt_hidden_columns_are_warnings(
        world, to_times):
    world.column("player-active/train", "timestamp", to_times("2018-01-01", "2020-01-01"))
    assert not [w for w in check_database(world.folder).warnings if "tasks" in w.file]
    world.column("player-active/train", "timestamp", to_times("2018-01-01", "2020-01-02"))
    world.column("player-active/test", "timestamp", to_times("2020-12-31", "2021-01-01"))
    world.path("player-teams/val").unlink()
    world.manifest(lambda m: m.update(remove_columns=[["games", "scores"]]), "player-active")
    report = check_database(world.folder)
    assert not report.problems
    messages = {w.file: f"{w.message}; {w.next_move}" for w in report.warnings}
    assert "after val_timestamp" in messages["tasks/player-active/train.parquet"]
    assert "before test_timestamp" in messages["tasks/player-active/test.parquet"]
    assert "made from the database" in messages["tasks/player-teams/val.parquet"]
    assert "did you mean score?" in messages["tasks/player-active/manifest.yaml"]


@FEW
@given(st.integers(0, 10_000))
def test_a_file_cut_short_anywhere_is_found(world, at):
    whole = world.path("players").read_bytes()
    try:
        world.path("players").write_bytes(whole[:at % len(whole)])
        assert any(p.file == "db/players.parquet" for p in check_database(world.folder).problems)
    finally:
        world.path("players").write_bytes(whole)


@FEW
@given(st.lists(st.one_of(st.none(), st.integers(-2, 6), st.sampled_from([0.5, 2.5, 1e300])),
                min_size=1, max_size=9), st.integers(1, 4))
def test_bad_keys_are_counted_as_a_loop_would_count_them(world, keys, batch):
    world.column("games", "player_id", [0.0] * 6)
    whole = pq.read_table(world.path("games"))
    rows = whole.take(pa.array([0] * len(keys)))
    pq.write_table(rows.set_column(rows.schema.get_field_index("player_id"), "player_id",
                                   pa.array(keys, pa.float64())), world.path("games"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BATCH_ROWS", batch)
        problems = [p.message for p in check_database(world.folder).problems]
    pq.write_table(whole, world.path("games"))
    known = [(row, key) for row, key in enumerate(keys) if key is not None]
    fractions = [(row, key) for row, key in known if key != int(key)]
    dangling = [(row, key) for row, key in known if key == int(key) and not 0 <= key < 5]
    expected = []
    if fractions:
        expected.append(f"{len(fractions)} keys are not whole numbers, the first is "
                        f"{fractions[0][1]:.15g} in row {fractions[0][0]}")
    if dangling:
        expected.append(f"{len(dangling)} keys dangle: players has 5 rows, numbered from 0, and "
                        f"the first is {dangling[0][1]:.15g} in row {dangling[0][0]}")
    assert problems == expected


@settings(FEW, max_examples=25)
@example([2020, 2018, 2019, None, None], 1)
@given(st.lists(st.one_of(st.none(), st.integers(2018, 2023)), min_size=5, max_size=5),
       st.integers(1, 5))
def test_times_are_refused_exactly_where_relbench_refuses_the_database(world, years, batch):
    import relbench

    world.column("players", "joined", pa.array(
        np.array([f"{y}-01-01" if y else "NaT" for y in years], "datetime64[us]")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BATCH_ROWS", batch)
        report = check_database(world.folder)
    try:
        relbench.load_dataset(world.folder).get_db()
        refused = False
    except RuntimeError:
        refused = True
    assert bool(report.problems) == refused
    known = [y for y in years if y]
    disorder = [w for w in report.warnings if "older than the row before" in w.message]
    assert bool(disorder) == (known != sorted(known) and not refused)


@pytest.fixture
def databases() -> Path:
    """The folder of real RelBench 3 folders that ROWGRAPH_TEST_DATABASES names."""
    named = os.environ.get("ROWGRAPH_TEST_DATABASES")
    if not named or not Path(named).is_dir():
        pytest.skip("ROWGRAPH_TEST_DATABASES names no folder of RelBench 3 databases")
    return Path(named)


def test_real_databases_pass_in_seconds(databases):
    began = time.perf_counter()
    folders = sorted(path.parent for path in databases.glob("*/manifest.yaml"))
    assert folders
    for folder in folders:
        report = check_database(folder)
        assert report.problems == (), "\n".join(map(str, report.problems))
        assert report.rows > 0
        assert report.tasks
        assert all(set(t.splits) == {"train", "val", "test"} for t in report.tasks.values())
    assert time.perf_counter() - began < 15
