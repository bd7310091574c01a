"""Bad databases and tasks, and what is said of each before anything is computed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bad_inputs.place import LAUGHS, Place, column, forecast, instead, manifest, text

GAMES, WINS, SCORE = "db/games.parquet", "tasks/wins/", "tasks/score/"


def games(**changes: object) -> Callable[[Place], object]:
    return manifest(lambda m: m["tables"]["games"].update(changes))


def linked(where: str, to: str) -> Callable[[Place], object]:
    return instead(lambda path: path.symlink_to(to), where)


def view(of: object) -> Callable[[Place], object]:
    return column("points", lambda i: of, kind=pa.string_view())


FOLDERS = {
    "an empty manifest": (text(""), "expected keys and values, found NoneType"),
    "a manifest that is a list": (text("- a\n"), "expected keys and values, found list"),
    "a manifest that is no YAML": (text("a: ["), "not readable as YAML (line 1: "),
    "a manifest of bytes": (text(b"\xff\xfe"), "manifest.yaml: not readable as YAML (byte 0"),
    "a manifest with a key twice": (text("name: a\nname: b\n"), "`name` is written twice"),
    "a manifest that laughs": (text(LAUGHS), "its aliases stand for more than 100000 values"),
    "a manifest nested without end": (text("[" * 3000), "nested more than 50"),
    "a manifest that is a link to nothing": (linked("manifest.yaml", "x"), "holds no readable"),
    "a manifest that links to itself": (linked("manifest.yaml", "manifest.yaml"), "no readable"),
    "a manifest that is a device": (linked("manifest.yaml", "/dev/zero"), "holds no readable"),
    "a manifest that is a folder": (instead(os.mkdir, "manifest.yaml"), "holds no readable man"),
    "a manifest that is a pipe": (instead(os.mkfifo, "manifest.yaml"), "holds no readable man"),
    "a database that is a file": (instead(lambda p: p.write_text(""), "."), "holds no readable"),
    "no tables": (manifest(lambda m: m.pop("tables")), "`tables` is missing or empty"),
    "misspelt tables": (manifest(lambda m: m.update(tabels=m.pop("tables"))), "rename `tabels`"),
    "tables that are a list": (manifest(lambda m: m.update(tables=["a"])), "`tables` is a list"),
    "no name": (manifest(lambda m: m.pop("name")), "`name` is missing or empty"),
    "a version that is true": (manifest(lambda m: m.update(manifest_version=True)), "expected 1"),
    "a cut that is none": (manifest(lambda m: m.update(val_timestamp="soon")), "expected a date"),
    "a cut with a zone": (manifest(lambda m: m.update(val_timestamp="2020-08-01T00:00:00+02:00")),
                          "expected a date without a time zone"),
    "cuts in the wrong order": (manifest(lambda m: m.update(test_timestamp="2020-01-01")),
                                "is not before test_timestamp"),
    "an unknown parent": (games(fkeys={"player_id": "x"}), "references table x, which does not"),
    "keys that are a list": (games(fkeys=["player_id"]), "expected pkey, time_col and fkeys (col"),
    "a misspelt key of a table": (games(time="date"), "found ['time']"),
    "a table that is a number": (
        manifest(lambda m: m["tables"].update(games=3)), "expected pkey, time_col and fkeys"),
    "a table that is a path": (
        manifest(lambda m: m["tables"].update({"../a": {}})), "'../a' cannot be the name"),
    "a column that only the manifest knows": (games(time_col="day"), "that the file lacks"),
    "a time that is a key": (games(time_col="player_id"), "a time column of type int64"),
    "a missing file": (lambda p: (p.league / GAMES).unlink(), "the file is missing"),
    "a link to nothing": (linked(GAMES, "x"), "a link to a file that is not there"),
    "a link to itself": (linked(GAMES, "games.parquet"), "Too many levels of symbolic links"),
    "a device for a table": (linked(GAMES, "/dev/zero"), "games: not a regular file"),
    "no folder of tables": (lambda p: shutil.rmtree(p.league / "db"), "the file is missing"),
    "a folder for a file": (instead(os.mkdir), "games: not a regular file"),
    "a pipe for a file": (instead(os.mkfifo), "games: not a regular file"),
    "an empty table": (instead(lambda p: p.write_bytes(b"")), "not a readable Parquet file"),
    "another format": (instead(lambda p: p.write_text("a,b\n")), "not a readable Parquet file"),
    "a footer without end": (instead(lambda p: p.write_bytes(
        b"PAR1" + b"0" * 99 + b"\xff\xff\xff\x7fPAR1")), "not a readable Parquet file"),
    "half a file": (lambda p: (p.league / GAMES).write_bytes(
        (p.league / GAMES).read_bytes()[:999]), "not a readable Parquet file"),
    "no columns": (lambda p: pq.write_table(pa.table({}), p.league / GAMES), "the file lacks"),
    "a column without a name": (column("", int), "table games: a column has no name; name or drop"),
    "keys as text": (column("player_id", str), "a foreign key of type string"),
    "keys that are true": (column("player_id", lambda i: True), "a foreign key of type bool"),
    "times as text": (column("date", str), "a time column of type string"),
    "times as numbers": (column("date", int), "a time column of type int64"),
    "views of text": (view("x"), "views of text or bytes cannot be read"),
    "an unknown zone": (column("points", int, kind=pa.timestamp("us", "Mars/Phobos")), "Phobos'"),
    "knowledge as a folder": (instead(os.mkdir, "knowledge.yaml"), "it is no regular file"),
    "knowledge as a pipe": (instead(os.mkfifo, "knowledge.yaml"), "it is no regular file"),
    "knowledge as a link to nothing": (linked("knowledge.yaml", "x"), "there is no such file"),
    "knowledge as a list": (text("- a", "knowledge.yaml"), "expected names and what is said"),
    "knowledge twice": (text("games: {}\ngames: {}", "knowledge.yaml"), "`games` is written twice"),
    "knowledge of no table": (
        text("gamez: {columns: {points: drop}}", "knowledge.yaml"), "did you mean games?"),
}
FOUND_IN_VALUES = {
    "keys that dangle": (column("player_id", int), "keys dangle: players has 30 rows"),
    "keys without end": (column("player_id", lambda i: float("inf")), "the first is inf in row 0"),
    "keys below 0": (column("player_id", lambda i: -1), "keys dangle"),
    "keys that do not count": (
        column("player_id", lambda i: 7, "db/players.parquet"), "must be the row's number"),
    "times after all": (column("date", lambda i: 2**62, kind=pa.timestamp("us")), "the year 9999"),
    "text that is none": (column("points", pa.StringArray.from_buffers(
        600, pa.py_buffer(np.arange(601, dtype=np.int32)), pa.py_buffer(b"\xff" * 600))),
        "values that cannot be decoded"),
}
FOUND_IN_LABELS = {
    "SQL of no rows": (forecast("SELECT t.timestamp, 1 AS player_id, 1 AS target FROM timestamps t "
                                "WHERE false"), "nobody is asked about at any date"),
}
TASKS = {
    "a task that nobody knows": (
        lambda p: (p.league / "tasks/wins").rename(p.league / "tasks/winz"), "did you mean winz?"),
    "tasks that are a file": (instead(lambda p: p.write_text(""), "tasks"), "no such task"),
    "a task manifest that is none": (text("- a\n", WINS + "manifest.yaml"), "not a task manifest"),
    "a task manifest of nothing": (text("", WINS + "manifest.yaml"), "found NoneType"),
    "a task manifest that is a pipe": (
        instead(os.mkfifo, WINS + "manifest.yaml"), "it is no regular file"),
    "a task manifest with a key twice": (
        text("name: a\nname: b", WINS + "manifest.yaml"), "`name` is written twice"),
    "a misspelt key of a task": (manifest(lambda m: m.update(remove_cols=[]), "wins"),
                                 "`remove_cols` is not known; did you mean `remove_columns`?"),
    "a kind that is none": (manifest(lambda m: m.update(kind="guess"), "wins"), "kind must be one"),
    "a type that is a list": (
        manifest(lambda m: m.update(task_type=["a"]), "wins"), "expected text; put it into quotes"),
    "a type that is not supported": (
        manifest(lambda m: m.update(task_type="multilabel_classification"), "wins"),
        "task type multilabel_classification is not supported"),
    "a task on no table": (
        manifest(lambda m: m.update(entity_table="player"), "wins"), "did you mean players?"),
    "a length below 0": (
        manifest(lambda m: m.update(timedelta="-3 days"), "wins"), "expected a length such as"),
    "a length without end": (
        manifest(lambda m: m.update(timedelta="99999999999 days"), "wins"), "expected a length"),
    "a length beyond the data": (manifest(lambda m: m.update(timedelta="900 days"), "wins"),
                                 "timedelta is longer than from val_timestamp to test_timestamp"),
    "windows without number": (forecast(timedelta="1us"), "more than 100,000; ask for a longer"),
    "a key that is hidden": (
        manifest(lambda m: m.update(remove_columns=[["games", "player_id"]]), "score"),
        "remove_columns names games.player_id, a foreign key"),
    "a hidden column that is none": (
        manifest(lambda m: m.update(remove_columns=[["games", "point"]]), "wins"), "mean points?"),
    "labels that are not there": (
        lambda p: (p.league / WINS / "val.parquet").unlink(), "external labels cannot be regen"),
    "labels as a pipe": (instead(os.mkfifo, WINS + "val.parquet"), "not a regular file"),
    "labels as a device": (linked(WINS + "val.parquet", "/dev/zero"), "not a regular file"),
    "labels as a link to nothing": (linked(WINS + "val.parquet", "x"), "cannot be regenerated"),
    "no labels": (lambda p: pq.write_table(pq.read_table(p.league / WINS / "val.parquet").slice(
        0, 0), p.league / WINS / "val.parquet"), "the val label table is empty"),
    "one class": (column("target", lambda i: 1, WINS + "test.parquet"), "all 40 test labels are 1"),
    "a third class": (column("target", lambda i: i % 3, WINS + "val.parquet"), "must be 0 or 1"),
    "labels as text": (column("target", str, WINS + "test.parquet"), "test.parquet is of type str"),
    "no label": (column("target", lambda i: None, WINS + "val.parquet", pa.int64()), "no target"),
    "labels without end": (column("target", lambda i: float("inf"), SCORE + "val.parquet"),
                           "have an infinite target"),
    "labels beyond belief": (column("target", lambda i: 1e300 * i, SCORE + "val.parquet"),
                             "have an unbelievable (above 1e+100) target"),
    "labels of nobody": (column("player_id", lambda i: None, WINS + "val.parquet", pa.int64()),
                         "val label rows have no player_id"),
    "labels of no time": (column("timestamp", lambda i: None, WINS + "val.parquet",
                                 pa.timestamp("us")), "val label rows have no timestamp"),
    "no SQL": (forecast(None), "task is missing ['sql']"),
    "SQL that is a number": (forecast(3), "sql is 3, expected text"),
    "SQL that is none": (forecast("SELEC 1"), "its SQL cannot be run (Parser Error"),
    "SQL of nothing": (forecast("-- nothing"), "it has 0 statements, expected one SELECT"),
    "two statements": (forecast("SELECT 1; SELECT 2"), "it has 2 statements, expected one"),
    "a statement that attaches": (forecast("ATTACH '/tmp/x.db'"), "of the kind ATTACH, expected"),
    "a statement that writes": (forecast("COPY (SELECT 1) TO '/tmp/x.csv'"), "of the kind COPY"),
    "SQL that reads a file": (forecast("SELECT * FROM read_text('/etc/hosts')"), "Cannot access"),
    "SQL without the target": (forecast("SELECT t.timestamp, 1 AS player_id FROM timestamps t"),
                               "its SQL yields no column target; use one of"),
    "SQL with times as text": (forecast(
        "SELECT CAST(t.timestamp AS VARCHAR) AS timestamp, 1 AS player_id, 1 AS target "
        "FROM timestamps t"), "expected timestamps without a time zone"),
    "tables that are one to SQL": (lambda p: (
        forecast()(p), shutil.copy(p.league / GAMES, p.league / "db/Games.parquet"),
        manifest(lambda m: m["tables"].update(Games={"pkey": None, "time_col": "date"}))(p)),
        "the tables games and Games are one to SQL; rename one of them"),
}
