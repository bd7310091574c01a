"""What cannot be used is said before anything is computed; the kinds of it: tests/bad_inputs."""

import dataclasses
import json
import shutil
import sys
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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


def column(name, values, where="db/games.parquet"):
    def damage(league):
        table = pq.read_table(league / where)
        array = pa.array([values(i) for i in range(len(table))])
        at = table.schema.get_field_index(name)
        pq.write_table(table.set_column(at, name, array), league / where)
    return damage


WINS = "tasks/wins/test.parquet"


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
