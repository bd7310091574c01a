"""A profile in a home that is shared by URL: `rowgraph` on a second machine computes nothing."""

import shutil
import sys

import pytest

from pipeline.cleaning import clean
from pipeline.cli import main
from pipeline.environment import Environment
from pipeline.plan import due, plan
from pipeline.results import result_rows
from rowgraph.shared_store import pull, share
from tests.pipeline.conftest import World
from tests.worlds.buckets import Shared, shared_folder


def used(machine: World, url: str) -> Environment:
    """The environment of a machine whose home is shared."""
    share(machine.home, url)
    pull(machine.home)
    return machine.environment()


@pytest.fixture(scope="module")
def first(finished, tmp_path_factory) -> tuple[Shared, World]:
    """A shared folder, and the machine whose finished home was published into it."""
    root = tmp_path_factory.mktemp("shared_home")
    shelf = shared_folder(root / "shared")
    shutil.copytree(finished.home, root / "home")
    machine = World(root / "home", finished.databases, finished.profile)
    used(machine, shelf.url)
    failures, heard = machine.run()
    assert (failures, heard.made) == ([], [])
    return shelf, machine


@pytest.fixture
def second(first, tmp_path) -> World:
    """Another machine, on which there is nothing yet."""
    return World(tmp_path / "home", first[1].databases, first[1].profile)


def test_a_finished_home_is_published_whole_and_a_second_machine_computes_nothing(
        first, second, capsys):
    shelf, machine = first
    environment = used(second, shelf.url)
    planned, _, todo = due(environment, None, False)
    assert {p.action for p in planned} == {"current"}
    assert todo == []
    assert not list(second.home.glob("artifacts/**/manifest.json"))
    assert [p.artifact.manifest for p in planned] == [
        p.artifact.manifest for p in plan(machine.environment())]
    assert result_rows(environment) == result_rows(machine.environment())
    clean(environment, 1, True)
    assert f"about the files of this machine; {shelf.url} keeps all" in capsys.readouterr().out
    assert len([n for n in shelf.names() if n.endswith("manifest.json")]) == len(planned)


def test_the_command_line_takes_a_url_for_a_home_and_has_its_cache_below_the_folder(
        first, second, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROWGRAPH_HOME", first[0].url)
    monkeypatch.delenv("ROWGRAPH_CACHE", raising=False)
    monkeypatch.setenv("ROWGRAPH_DATABASES", str(second.databases))
    monkeypatch.setattr(sys, "argv", ["rowgraph", "plan", "-p", str(second.profile)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code in (0, None)
    assert "0 of " in capsys.readouterr().out
    assert len(list((tmp_path / ".rowgraph/cache").glob("*/remote.json"))) == 1


def test_what_arrives_damaged_is_said_and_made_again_for_all_before_what_starts_from_it(
        first, second, tmp_path, capsys):
    shelf, _ = first
    environment = used(second, shelf.url)
    (damaged,) = (n for n in shelf.names() if n.endswith("/metrics.parquet")
                  and n.startswith("artifacts/evaluation/tiny_league/score"))
    shelf.flip(damaged)
    _, _, todo = due(environment, ["report"], True)
    assert [p.node.name for p in todo] == ["evaluation/tiny_league/score", "report"]
    assert f"{damaged}: the bytes are not those" in capsys.readouterr().err
    failures, heard = second.run(select=["evaluation/tiny_league/score"])
    assert (failures, heard.made) == ([], ["evaluation/tiny_league/score"])
    assert damaged in shelf.names()
    third = World(tmp_path / "third", second.databases, second.profile)
    assert {p.action for p in plan(used(third, shelf.url))} == {"current"}
