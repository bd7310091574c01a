from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rowgraph.databases import columns
from rowgraph.databases.checking import DatabaseError, check_database


def found(report, message: str):
    """The one problem whose message holds these words."""
    [problem] = [p for p in report.problems if message in p.message]
    return problem


def cut_file_short(world):
    data = world.path("players").read_bytes()
    world.path("players").write_bytes(data[:len(data) // 2])


def damage_a_page(world):
    data = bytearray(world.path("games").read_bytes())
    column = pq.read_metadata(world.path("games")).row_group(0).column(3)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start:start + 24] = b"\xff" * 24
    world.path("games").write_bytes(bytes(data))


def drop(table, column):
    def change(world):
        pq.write_table(pq.read_table(world.path(table)).drop_columns([column]), world.path(table))
    return change


def set_column(table, column, *values):
    return lambda world: world.column(table, column, *values)


def set_times(table, column, *texts):
    return lambda world: world.column(table, column, pa.array(
        np.array(texts, "datetime64[us]"), pa.timestamp("us")))


def manifest(change, task=None):
    return lambda world: world.manifest(change, task)


def duplicate_a_column(world):
    table = pq.read_table(world.path("games"))
    pq.write_table(table.append_column("score", table["score"]), world.path("games"))


def in_place_of(table, put):
    """Remove a table's file and put something else there."""
    def change(world):
        world.path(table).unlink()
        put(world.path(table))
    return change


def text(words, task=None):
    def change(world):
        folder = world.folder / f"tasks/{task}" if task else world.folder
        path = folder / "manifest.yaml"
        path.write_text(path.read_text() + words)
    return change


def no_text(*, lists=False):
    """A column whose text is not UTF-8."""
    offsets = pa.array([0, 2, 4, 4, 4, 4, 4], pa.int32()).buffers()[1]
    bad = pa.StringArray.from_buffers(6, offsets, pa.py_buffer(b"ab\xff\xfe"))
    if lists:
        bad = pa.ListArray.from_arrays(pa.array(range(7), pa.int32()), bad)
    return set_column("games", "score", bad)


END = np.iinfo(np.int64).max
DAMAGE = {
    "a pipe in the place of a table": (
        in_place_of("games", os.mkfifo), "db/games.parquet", "games", None, "not a regular file",
        "put the Parquet file itself there"),
    "a folder in the place of a table": (
        in_place_of("games", os.mkdir), "db/games.parquet", "games", None, "not a regular file",
        "put the Parquet file itself there"),
    "a pipe in the place of labels": (
        in_place_of("player-active/val", os.mkfifo), "tasks/player-active/val.parquet", None, None,
        "not a regular file", "put the Parquet file itself there"),
    "a key twice in a manifest": (
        text("tables: {}\n"), "manifest.yaml", None, None,
        "line 13: `tables` is written twice, first on line 6", "mend"),
    "a table twice in a manifest": (
        text("  teams: {pkey: null}\n"), "manifest.yaml", None, None,
        "`teams` is written twice, first on line 7", "mend"),
    "a manifest with a word that is true in one YAML": (
        text("  no: {pkey: null}\n"), "manifest.yaml", None, None, "'no' is read in one way",
        "mend"),
    "a manifest that is nested without end": (
        text("x: " + "[" * 3000), "manifest.yaml", None, None, "nested more than 50", "mend"),
    "a manifest that is a folder": (
        lambda w: ((w.folder / "manifest.yaml").unlink(), (w.folder / "manifest.yaml").mkdir()),
        "manifest.yaml", None, None, "it is no regular file", "mend"),
    "a table whose name is too long for a file": (
        manifest(lambda m: m["tables"].update({"x" * 300: {"pkey": None}})), "manifest.yaml",
        "x" * 50, None, "cannot be the name of a table", "letters, digits and underscores"),
    "text that is not UTF-8": (
        no_text(), "db/games.parquet", "games", "score", "values that cannot be decoded, in rows "
        "0 to 1", "UTF-8"),
    "lists of text that is not UTF-8": (
        no_text(lists=True), "db/games.parquet", "games", "score", "values that cannot be decoded",
        "UTF-8"),
    "times at the end of what a number holds": (
        set_column("games", "score", [0, END, -END, None, 0, END], pa.timestamp("us")),
        "db/games.parquet", "games", "score", "3 times before the year 1 or after the year 9999",
        "write null"),
    "such times in a time column": (
        set_column("games", "date", [0, 0, 0, None, 0, END], pa.timestamp("ms")),
        "db/games.parquet", "games", "date", "1 times before the year 1 or after", "write null"),
    "such times in lists": (
        set_column("games", "score", [[0, END], [], None, [-END], [], []],
                   pa.list_(pa.timestamp("us"))),
        "db/games.parquet", "games", "score", "2 times before the year 1 or after", "write null"),
    "days that no calendar has": (
        set_column("games", "score", [0, 2**31 - 1, -2**31, None, 2932897, -719163], pa.date32()),
        "db/games.parquet", "games", "score", "4 times before the year 1 or after", "write null"),
    "a time zone that does not exist": (
        set_column("games", "score", [0] * 6, pa.timestamp("us", "Mars/Phobos")),
        "db/games.parquet", "games", "score", "the time zone 'Mars/Phobos' cannot be read",
        "another type"),
    "a time zone as an offset, in a list": (
        set_column("games", "score", [[0]] * 6, pa.list_(pa.timestamp("us", "+05:30"))),
        "db/games.parquet", "games", "score", "the time zone '+05:30' cannot be read",
        "another type"),
    "decimals of more digits than polars has": (
        set_column("games", "score", [1] * 6, pa.decimal256(60, 2)), "db/games.parquet", "games",
        "score", "decimals of 60 digits cannot be read", "another type"),
    "list views": (
        set_column("games", "score", [[1]] * 6, pa.list_view(pa.int64())), "db/games.parquet",
        "games", "score", "list views cannot be read", "another type"),
    "a column without a name": (
        set_column("games", "", [1] * 6), "db/games.parquet", "games", None,
        "a column has no name", "name or drop it"),
    "a key that is an index of pandas": (
        lambda w: (set_column("teams", "__index_level_0__", [0, 1, 2])(w),
                   w.manifest(lambda m: m["tables"]["teams"].update(pkey="__index_level_0__"))),
        "db/teams.parquet", "teams", "__index_level_0__", "an index that pandas wrote",
        "rename the column"),
    "a length of time without a unit": (
        manifest(lambda m: m.update(timedelta="30"), "player-active"),
        "tasks/player-active/manifest.yaml", None, None, "timedelta is '30', expected a length",
        "write name, kind"),
    "a length of time that is a number": (
        manifest(lambda m: m.update(timedelta=30), "player-active"),
        "tasks/player-active/manifest.yaml", None, None, "timedelta is 30, expected text",
        "write name, kind"),
    "hidden columns that are no pairs": (
        manifest(lambda m: m.update(remove_columns=["games.score"]), "player-active"),
        "tasks/player-active/manifest.yaml", None, None, "expected a list of [table, column]",
        "write name, kind"),
    "no number of recommendations": (
        manifest(lambda m: m.update(eval_k=0), "player-teams"),
        "tasks/player-teams/manifest.yaml", None, None, "eval_k is 0, expected a whole number",
        "write name, kind"),
    "recommendations of the entity itself": (
        manifest(lambda m: m.update(dst_entity_col="player_id"), "player-teams"),
        "tasks/player-teams/manifest.yaml", None, None, "are both player_id", "write name, kind"),
    "a task manifest that is a list": (
        lambda w: (w.folder / "tasks/player-active/manifest.yaml").write_text("- a\n"),
        "tasks/player-active/manifest.yaml", None, None, "expected keys and values, found list",
        "write name, kind"),
    "a foreign key as a class": (
        manifest(lambda m: (m.clear(), m.update(
            name="a", kind="autocomplete", task_type="multiclass_classification",
            entity_table="games", target_col="team_id")), "player-active"),
        "tasks/player-active/manifest.yaml", None, None,
        "games.team_id is a foreign key: write task_type: recommendation and eval_k",
        "write name, kind"),
    "a link that is no foreign key": (
        manifest(lambda m: (m.clear(), m.update(
            name="a", kind="autocomplete", task_type="recommendation", eval_k=2,
            entity_table="games", target_col="score")), "player-active"),
        "tasks/player-active/manifest.yaml", None, None, "games.score is no foreign key",
        "write name, kind"),
    "a time as a target": (
        manifest(lambda m: (m.clear(), m.update(
            name="a", kind="autocomplete", task_type="regression", entity_table="games",
            target_col="date")), "player-active"),
        "tasks/player-active/manifest.yaml", None, None, "games.date is a primary key or time",
        "write name, kind"),
    "a truncated file": (
        cut_file_short, "db/players.parquet", "players", None, "not a readable Parquet file",
        "fetch or build it again"),
    "a damaged page": (
        damage_a_page, "db/games.parquet", "games", "score", "cannot be read",
        "fetch or build it again"),
    "a missing file": (
        lambda w: w.path("players").rename(w.path("playerz")), "db/players.parquet", "players",
        None, "the file is missing", "did you mean playerz?"),
    "a column that only the manifest knows": (
        manifest(lambda m: m["tables"]["players"].update(time_col="joint")), "db/players.parquet",
        "players", "joint", "the manifest names a column that the file lacks",
        "did you mean joined?"),
    "a foreign key column that only the manifest knows": (
        drop("games", "team_id"), "db/games.parquet", "games", "team_id",
        "the manifest names a column that the file lacks", "use one of date, player_id, score"),
    "a reference to no table": (
        manifest(lambda m: m["tables"]["games"]["fkeys"].update(team_id="team")), "manifest.yaml",
        "games", "team_id", "references table team, which does not exist", "did you mean teams?"),
    "a reference to a table without a primary key": (
        manifest(lambda m: m["tables"]["players"]["fkeys"].update(team_id="games")),
        "manifest.yaml", "players", "team_id", "games, which has no primary key",
        "name the pkey of games"),
    "a primary key with a gap": (
        set_column("teams", "team_id", [0, 1, 3]), "db/teams.parquet", "teams", "team_id",
        "row 2 holds 3", "renumber it"),
    "a primary key with a null": (
        set_column("teams", "team_id", [0, None, 2]), "db/teams.parquet", "teams", "team_id",
        "row 1 holds None", "renumber it"),
    "a primary key of strings": (
        set_column("teams", "team_id", ["a", "b", "c"]), "db/teams.parquet", "teams", "team_id",
        "a primary key of type string", "as int64"),
    "dangling keys": (
        set_column("games", "team_id", [0, 1, 7, 3, None, -1]), "db/games.parquet", "games",
        "team_id", "3 keys dangle: teams has 3 rows, numbered from 0, and the first is 7 in row 2",
        "set them to null or add the rows to teams"),
    "a dangling key of a table to itself": (
        set_column("players", "mentor_id", [None, 0, 0, 2, 5]), "db/players.parquet", "players",
        "mentor_id", "the first is 5 in row 4", "add the rows to players"),
    "a key that is no whole number": (
        set_column("games", "player_id", [0.0, 1.5, None, 2.5, float("nan"), 1.0]),
        "db/games.parquet", "games", "player_id",
        "2 keys are not whole numbers, the first is 1.5 in row 1", "row numbers of players"),
    "keys that are text": (
        set_column("games", "player_id", list("012301")), "db/games.parquet", "games", "player_id",
        "a foreign key of type string", "row numbers of players"),
    "times that are text": (
        set_column("games", "date", ["2020-01-01"] * 6), "db/games.parquet", "games", "date",
        "a time column of type string", "timestamp[us]"),
    "times with a time zone": (
        set_column("games", "date", [0] * 6, pa.timestamp("us", "UTC")), "db/games.parquet",
        "games", "date", "without a time zone", "timestamp[us]"),
    "unsorted times beside a primary key": (
        set_times("players", "joined", "2018-01-01", "2022-01-01", "2019-01-01", "2021-06-01",
                  "NaT"),
        "db/players.parquet", "players", "joined",
        "row 2 is visible at test_timestamp but row 1 before it is not",
        "sort the table by joined, missing times last, and renumber its primary key"),
    "a missing time before a known one": (
        set_times("players", "joined", "2018-01-01", "NaT", "2019-01-01", "2021-06-01", "NaT"),
        "db/players.parquet", "players", "joined", "row 2 is visible", "missing times last"),
    "two columns of one name": (
        duplicate_a_column, "db/games.parquet", "games", "score", "several columns of this name",
        "rename or drop all but one"),
    "timestamps in the wrong order": (
        manifest(lambda m: m.update(val_timestamp="2021-01-01")), "manifest.yaml", None, None,
        "val_timestamp 2021-01-01 is not before test_timestamp 2021-01-01", "correct them"),
    "a timestamp that is no date": (
        manifest(lambda m: m.update(val_timestamp=2020)), "manifest.yaml", None, None,
        "`val_timestamp` is 2020, expected a date", "YYYY-MM-DD"),
    "a missing key": (
        manifest(lambda m: m.update(test_time=m.pop("test_timestamp"))), "manifest.yaml", None,
        None, "`test_timestamp` is missing", "rename `test_time`"),
    "another version of the manifest": (
        manifest(lambda m: m.update(manifest_version=2)), "manifest.yaml", None, None,
        "manifest_version 2, expected 1", "RelBench"),
    "a manifest that is no YAML": (
        lambda w: (w.folder / "manifest.yaml").write_text("tables: {a: [}"), "manifest.yaml", None,
        None, "not readable as YAML", "mend or fetch it"),
    "no manifest": (
        lambda w: (w.folder / "manifest.yaml").unlink(), "manifest.yaml", None, None,
        "not readable as YAML", "holds manifest.yaml, db/ and tasks/"),
    "a misspelt key of a table": (
        manifest(lambda m: m["tables"]["games"].update(time="date")), "manifest.yaml", "games",
        None, "found ['time']", "silently lose a key or a time"),
    "a table that is a path": (
        manifest(lambda m: m["tables"].update({"../teams": {"pkey": None}})), "manifest.yaml",
        "../teams", None, "cannot be the name of a table", "letters, digits and underscores"),
    "a task on no table": (
        manifest(lambda m: m.update(entity_table="player"), "player-active"),
        "tasks/player-active/manifest.yaml", "player", "player_id", "does not exist",
        "did you mean players?"),
    "a task without a type": (
        manifest(lambda m: m.pop("task_type"), "player-active"),
        "tasks/player-active/manifest.yaml", None, None, "not a task manifest", "task_type"),
    "a task of an unknown kind": (
        manifest(lambda m: m.update(kind="guess"), "player-active"),
        "tasks/player-active/manifest.yaml", None, None, "kind must be one of", "write name, kind"),
    "labels without the target": (
        drop("player-active/val", "active"), "tasks/player-active/val.parquet", None, "active",
        "expected one such column, found 0", "use one of timestamp, player_id"),
    "labels of no entity": (
        set_column("player-active/test", "player_id", [0, 5]), "tasks/player-active/test.parquet",
        None, "player_id", "1 keys dangle: players has 5 rows", "add the rows to players"),
    "destinations that do not exist": (
        set_column("player-teams/train", "team_id", [[0], [1, 9]]),
        "tasks/player-teams/train.parquet", None, "team_id", "the first is 9 in row 1", "teams"),
    "labels with text for times": (
        set_column("player-active/val", "timestamp", ["2020-01-01"]),
        "tasks/player-active/val.parquet", None, "timestamp", "seed times of type string",
        "timestamp[us]"),
    "a label table that is no Parquet": (
        lambda w: w.path("player-active/val").write_text("gone"),
        "tasks/player-active/val.parquet", None, None, "not a readable Parquet file",
        "fetch or build it again"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_named_with_file_table_column_and_next_move(world, damage, monkeypatch):
    monkeypatch.setattr(columns, "BATCH_ROWS", 2)
    change, file, table, column, message, next_move = DAMAGE[damage]
    change(world)
    report = check_database(world.folder)
    problem = found(report, message)
    assert (problem.file, problem.table, problem.column) == (file, table, column)
    assert next_move in problem.next_move
    with pytest.raises(DatabaseError) as error:
        report.raise_if_broken()
    for part in (str(world.folder), file, table or "", column or "", message, next_move):
        assert part in str(error.value)


def test_all_problems_are_told_at_once(world):
    for damage in ("dangling keys", "a damaged page", "unsorted times beside a primary key",
                   "timestamps in the wrong order", "labels of no entity"):
        DAMAGE[damage][0](world)
    report = check_database(world.folder)
    assert len(report.problems) == 5
    with pytest.raises(DatabaseError, match="5 problems") as error:
        report.raise_if_broken()
    assert all(str(p) in str(error.value) for p in report.problems)
