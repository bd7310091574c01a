"""What cannot be used is said by `databases`, `plan` and `run` before anything is computed."""

import dataclasses
import json
import os
import shutil
import sys
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cli import main
from pipeline.door import problems_of
from pipeline.environment import Environment
from pipeline.plan import plan
from rowgraph.profiles import load_profile


@pytest.fixture
def folder(databases, tmp_path, monkeypatch):
    """A folder of the two databases that a test may break; nothing else is here."""
    shutil.copytree(databases, tmp_path / "databases")
    monkeypatch.setenv("ROWGRAPH_DATABASES", str(tmp_path / "databases"))
    monkeypatch.setenv("ROWGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "databases"


PROFILE = """
databases:
  - {name: tiny-shop, role: pretrain}
  - {name: tiny-league, role: heldout, tasks: [wins, score]}
"""


@pytest.fixture
def profile_path(tmp_path):
    """A profile over the two databases, as the paper has all else."""
    path = tmp_path / "tiny.yaml"
    path.write_text(PROFILE)
    return path


@pytest.fixture
def rowgraph(profile_path, capsys, monkeypatch):
    """Runs a command of the console script; its exit status, output and errors."""
    def command(*words, profile=profile_path):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["rowgraph", *words, "-p", str(profile)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err
    return command


def manifest(change, task=None):
    def damage(league):
        path = league / (f"tasks/{task}" if task else "") / "manifest.yaml"
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    return damage


def text(words, where="manifest.yaml"):
    return lambda league: (league / where).write_text(words)


def instead(put, where="db/games.parquet"):
    def damage(league):
        (league / where).unlink()
        put(league / where)
    return damage


def column(name, values, where="db/games.parquet"):
    def damage(league):
        table = pq.read_table(league / where)
        array = pa.array([values(i) for i in range(len(table))])
        at = table.schema.get_field_index(name)
        pq.write_table(table.set_column(at, name, array), league / where)
    return damage


WINS = "tasks/wins/test.parquet"
BROKEN = {  # what is done to the league, what is said, whether values have to be read for it
    "an empty manifest": (text(""), "expected keys and values, found NoneType", False),
    "a list": (text("- a\n"), "expected keys and values, found list", False),
    "no YAML": (text("a: ["), "not readable as YAML (line 1: ", False),
    "no text": (lambda f: (f / "manifest.yaml").write_bytes(b"\xff\xfe"), "not UTF-8", False),
    "a key twice": (text("name: a\nname: b\n"), "`name` is written twice", False),
    "nesting without end": (text("[" * 3000), "nested more than 50", False),
    "no tables": (manifest(lambda m: m.pop("tables")), "`tables` is missing or empty", False),
    "no name": (manifest(lambda m: m.pop("name")), "`name` is missing or empty", False),
    "no val_timestamp": (manifest(lambda m: m.pop("val_timestamp")),
                         "`val_timestamp` is missing or empty", False),
    "a val_timestamp that is none": (manifest(lambda m: m.update(val_timestamp="soon")),
                                     "`val_timestamp` is 'soon', expected a date", False),
    "an unknown parent": (manifest(lambda m: m["tables"]["games"].update(fkeys={"player_id": "x"})),
                          "references table x, which does not exist", False),
    "a table that is a number": (manifest(lambda m: m["tables"].update(games=3)),
                                 "expected pkey, time_col and fkeys", False),
    "a missing file": (lambda f: (f / "db/games.parquet").unlink(), "the file is missing", False),
    "a folder for a file": (instead(os.mkdir), "not a regular file", False),
    "a pipe for a file": (instead(os.mkfifo), "not a regular file", False),
    "an empty file": (instead(lambda p: p.write_bytes(b"")), "not a readable Parquet file", False),
    "another format": (instead(lambda p: p.write_text("a,b\n1,2\n")),
                       "not a readable Parquet file", False),
    "half a file": (lambda f: (f / "db/games.parquet").write_bytes(
        (f / "db/games.parquet").read_bytes()[:999]), "not a readable Parquet file", False),
    "keys as text": (column("player_id", str), "a foreign key of type string", False),
    "a column that only the manifest knows": (
        manifest(lambda m: m["tables"]["games"].update(time_col="day")),
        "the manifest names a column that the file lacks", False),
    "keys that dangle": (column("player_id", lambda i: i), "keys dangle", True),
    "keys that do not count": (column("player_id", lambda i: 7, "db/players.parquet"),
                               "a primary key must be the row's number", True),
    "a task manifest that is none": (text("- a\n", "tasks/wins/manifest.yaml"),
                                     "not a task manifest", False),
    "labels in the place of which is nothing": (
        lambda f: (f / WINS).unlink(), "external labels cannot be regenerated", False),
    "a kind of task that is not supported": (
        manifest(lambda m: m.update(task_type="multilabel_classification"), "wins"),
        "tiny-league/wins: task type multilabel_classification is not supported", False),
    "one class": (column("target", lambda i: 1, WINS), "tiny-league/wins: all 40 test labels are 1",
                  False),
    "labels that are infinite": (column("target", lambda i: float("inf"), WINS.replace(
        "wins", "score")), "tiny-league/score: 40 of 40 test label rows have an infinite", False),
    "labels that are text": (column("target", str, WINS),
                             "tiny-league/wins: target of test.parquet is of type", False),
    "a key that is hidden": (
        manifest(lambda m: m.update(remove_columns=[["games", "player_id"]]), "score"),
        "tiny-league/score: remove_columns names games.player_id, a foreign key", False),
    "a task that nobody knows": (
        lambda f: (f / "tasks/wins").rename(f / "tasks/winz"),
        "tiny-league/wins: no such task; tasks of tiny-league: score, winz; did you mean winz?",
        False),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_database_or_task_is_named_by_each_command_with_exit_status_1(
        broken, folder, rowgraph, monkeypatch):
    damage, message, in_values = BROKEN[broken]
    damage(folder / "tiny-league")
    monkeypatch.setattr("pipeline.running.run", lambda *_: pytest.fail("something was computed"))
    for command in ("databases", "plan", *(() if in_values else ("run",))):
        code, _, err = rowgraph(command)
        assert code == 1, command
        assert message in err, (command, err)
        [line] = [one for one in err.splitlines() if message in one]
        assert line.startswith(("tiny-league: ", "tiny-league/"))
        assert "Traceback" not in err
    assert not (folder.parent / "home/artifacts").exists()


def test_sound_databases_are_no_reason_to_stop(folder, rowgraph):
    assert rowgraph("databases")[0] == 0
    code, out, err = rowgraph("plan")
    assert (code, err) == (0, "")
    assert "assets to run" in out


def test_the_same_is_told_as_json(folder, rowgraph):
    column("target", lambda i: 1, WINS)(folder / "tiny-league")
    code, out, _ = rowgraph("plan", "--json")
    assert code == 1
    [problem] = json.loads(out)["problems"]
    code, out, _ = rowgraph("databases", "--json")
    assert code == 1
    rows = {row["database"]: row for row in json.loads(out)}
    assert rows["tiny-league"]["problems"] == [problem]
    assert rows["tiny-shop"]["problems"] == []


def test_another_database_that_is_broken_is_told_and_stops_nothing(folder, rowgraph):
    shutil.copytree(folder / "tiny-league", folder / "mine")
    (folder / "mine/manifest.yaml").write_text("")
    code, _, err = rowgraph("databases")
    assert code == 0
    assert "mine: manifest.yaml: expected keys and values" in err
    assert rowgraph("plan")[0] == 0


def test_tasks_beside_a_profile_are_known_and_checked(folder, rowgraph, tmp_path, profile_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(profile_path.read_text().replace("tasks: [wins, score]", "tasks: [points]"))
    task = tmp_path / "tasks/tiny-league/points/manifest.yaml"
    task.parent.mkdir(parents=True)
    task.write_text("name: points\nkind: autocomplete\ntask_type: regression\n"
                    "entity_table: games\ntarget_col: points\n")
    code, out, err = rowgraph("databases", profile=mine)
    assert (code, err) == (0, "")
    assert "points" in out
    assert rowgraph("plan", profile=mine)[0] == 0
    task.write_text(task.read_text().replace("target_col: points", "target_col: point"))
    for command in ("databases", "plan"):
        code, _, err = rowgraph(command, profile=mine)
        assert code == 1
        assert "tiny-league/points: hidden column games.point does not exist" in err


def test_the_tasks_of_an_embedded_database_are_known_by_name(folder, rowgraph, tmp_path,
                                                             profile_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(profile_path.read_text().replace(
        "{name: tiny-league, role: heldout, tasks: [wins, score]}",
        "{name: rel-baseball, role: heldout, tasks: [player-activ]}"))
    code, _, err = rowgraph("plan", profile=mine)
    assert code == 1
    assert "rel-baseball/player-activ: no such task" in err
    assert "did you mean player-active" in err


@pytest.mark.parametrize(("change", "message"), [
    ("tasks: [a.b]", "'a.b' cannot be the name of a task"),
    ("tasks: [a b]", "'a b' cannot be the name of a task"),
    ("tasks: [ä]", "'ä' cannot be the name of a task"),
    ("tasks: [../../x]", "'../../x' cannot be the name of a task"),
    (f"tasks: [{'x' * 300}]", "at most 100 characters"),
])
def test_a_task_whose_name_can_be_no_asset_is_one_line(change, message, rowgraph, tmp_path,
                                                      profile_path, folder):
    mine = tmp_path / "mine.yaml"
    mine.write_text(profile_path.read_text().replace("tasks: [wins, score]", change))
    code, _, err = rowgraph("plan", profile=mine)
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_finished_source_is_not_checked_again_but_its_tasks_are(
        folder, profile_path, tmp_path, monkeypatch):
    environment = Environment(load_profile(profile_path), tmp_path / "home", folder)
    finished = [dataclasses.replace(p, artifact=SimpleNamespace(folder=p.folder))
                if p.node.stage == "source" else p for p in plan(environment)]
    monkeypatch.setattr("rowgraph.databases.checking.check_database",
                        lambda *_, **__: pytest.fail("checked again"))
    assert problems_of(environment, finished) == []
    column("target", lambda i: 1, WINS)(folder / "tiny-league")
    [problem] = problems_of(environment, finished)
    assert "tiny-league/wins: all 40 test labels are 1" in problem
    others = [p for p in finished if p.node.task == "score"]
    assert problems_of(environment, finished, others) == []
