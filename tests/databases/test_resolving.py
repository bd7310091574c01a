from __future__ import annotations

import os
import re
import shutil
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowgraph.databases import resolving
from rowgraph.databases.resolving import (
    DatabaseNotFound,
    find_here,
    fingerprint_folder,
    known_names,
    resolve,
)

pytestmark = pytest.mark.usefixtures("no_hub_cache")


@pytest.fixture(autouse=True)
def builders(monkeypatch):
    """One embedded database, and one whose package is missing."""
    def fingerprint(name, entities):
        if name == "rel-gone":
            raise ModuleNotFoundError("rel-gone needs nowhere; run: pip install nowhere")
        return f"{name} {entities}"

    monkeypatch.setattr(resolving, "EMBEDDED", {
        "rel-ants": SimpleNamespace(package="ants", entity="nests"),
        "rel-gone": SimpleNamespace(package="nowhere", entity="rows")})
    monkeypatch.setattr(resolving, "embedded_fingerprint", fingerprint)


@pytest.fixture
def hub(monkeypatch):
    """What was asked of the hub, which has nothing and is out of reach."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def load(name):
        asked.append(name)
        raise LocalEntryNotFoundError("check your internet\nconnection")

    monkeypatch.setattr("relbench.load_dataset", load)
    return asked


def test_a_folder_comes_before_a_builder_and_a_builder_before_the_hub(world, hub):
    folders = world.folder.parent
    assert resolve("tiny", folders=folders).kind == "folder"
    assert resolve("tiny", folders=folders).folder == world.folder
    assert resolve("rel-ants", folders=folders).kind == "embedded"
    shutil.copytree(world.folder, folders / "rel-ants")
    assert resolve("rel-ants", folders=folders).kind == "folder"
    assert hub == []


def test_a_sample_by_entity_comes_only_from_a_builder(world, hub):
    shutil.copytree(world.folder, world.folder.parent / "rel-ants")
    origin = resolve("rel-ants", folders=world.folder.parent, entities=7)
    assert (origin.kind, origin.folder, origin.fingerprint) == ("embedded", None, "rel-ants 7")
    assert origin.detail == "built from PyPI package ants, sampled to 7 nests"
    for look in (resolve, find_here):
        with pytest.raises(DatabaseNotFound, match="only an embedded builder") as error:
            look("tiny", folders=world.folder.parent, entities=7)
        assert "they have rel-ants" in str(error.value)
        assert "Remove `entities`" in str(error.value)
    assert hub == []


def test_a_database_that_is_nowhere_is_told_with_every_place_and_the_next_move(world, hub):
    with pytest.raises(DatabaseNotFound) as error:
        resolve("rel-ant", folders=world.folder.parent)
    text = str(error.value)
    places = [text.index(part) for part in (
        f"ROWGRAPH_DATABASES: {world.folder.parent} has no folder of this name; it holds tiny",
        "embedded builders: none has this name; they have rel-ants, rel-gone",
        "the hub: LocalEntryNotFoundError: check your internet connection",
        "set ROWGRAPH_DATABASES to a folder that holds rel-ant/manifest.yaml, choose an embedded "
        "name, or go online", "Did you mean rel-ants")]
    assert places == sorted(places)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(("prepare", "reason"), [
    (lambda home: None, "ROWGRAPH_DATABASES: not set"),
    (lambda home: home / "absent", "is not a folder"),
    (lambda home: (home / "rel-x").mkdir() or home, "holds no manifest.yaml"),
])
def test_the_reason_why_a_folder_was_not_taken_is_told(tmp_path, hub, prepare, reason):
    with pytest.raises(DatabaseNotFound, match=reason):
        resolve("rel-x", folders=prepare(tmp_path))


def test_a_missing_package_and_an_unasked_hub_are_told(hub):
    with pytest.raises(DatabaseNotFound, match=r"pip install nowhere(.|\n)*hub: not asked"):
        resolve("rel-gone", folders=None, hub=False)
    assert hub == []


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../tiny", "a\\b", "/etc", "a..b",
                                  "a\n", "a b"])
def test_a_name_that_is_a_path_is_refused(world, hub, name):
    for look in (resolve, find_here):
        with pytest.raises(DatabaseNotFound, match="cannot be the name of a database"):
            look(name, folders=world.folder.parent)
    assert hub == []


def test_looking_here_finds_what_would_be_resolved_without_the_hub(world, hub):
    for name in ("tiny", "rel-ants"):
        found = find_here(name, folders=world.folder.parent)
        assert found == resolve(name, folders=world.folder.parent)
        assert found.fingerprint is not None
    assert find_here("rel-unheard", folders=world.folder.parent) is None
    assert hub == []


def test_an_earlier_download_is_used_without_the_network_if_it_is_whole(world, hub, no_hub_cache):
    repository = no_hub_cache / "datasets--stanford-star--relbench-v1"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    folder = repository / "snapshots" / "c0ffee" / "rel-far"
    shutil.copytree(world.folder, folder)
    origin = resolve("rel-far", folders=None)
    assert (origin.kind, origin.folder) == ("hub", folder)
    assert origin == find_here("rel-far", folders=None)
    assert origin.fingerprint == fingerprint_folder(world.folder)
    (folder / "db" / "games.parquet").unlink()
    assert find_here("rel-far", folders=None) is None
    assert hub == []
    with pytest.raises(DatabaseNotFound):
        resolve("rel-far", folders=None)
    assert hub == ["rel-far"]


def test_what_the_hub_delivers_is_fingerprinted(world, monkeypatch):
    monkeypatch.setattr("relbench.load_dataset",
                        lambda name: SimpleNamespace(dataset_dir=world.folder))
    origin = resolve("rel-far", folders=None)
    assert (origin.kind, origin.folder) == ("hub", world.folder)
    assert origin.fingerprint == fingerprint_folder(world.folder)


def test_the_names_that_are_here_are_listed(world):
    assert known_names(world.folder.parent) == ["tiny", "rel-ants", "rel-gone"]
    assert known_names(None) == ["rel-ants", "rel-gone"]


FILES = ["manifest.yaml", "db/games.parquet", "tasks/player-active/val.parquet",
         "tasks/player-active/manifest.yaml"]


@settings(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.integers(0, 5000), st.integers(1, 255))
def test_a_fingerprint_follows_every_byte(world, name, at, flip):
    before = fingerprint_folder(world.folder)
    path = world.folder / name
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[at % len(whole)] ^= flip
    path.write_bytes(bytes(changed))
    assert fingerprint_folder(world.folder) != before
    path.write_bytes(whole)
    assert fingerprint_folder(world.folder) == before


def test_a_fingerprint_follows_names_and_nothing_else(world, tmp_path):
    before = fingerprint_folder(world.folder)
    shutil.copytree(world.folder, tmp_path / "elsewhere" / "other")
    (world.folder / "README.md").write_text("notes")
    (world.folder / "tasks" / ".DS_Store").write_text("x")
    os.utime(world.folder / "manifest.yaml", (1, 1))
    assert fingerprint_folder(world.folder) == before
    assert fingerprint_folder(tmp_path / "elsewhere" / "other") == before
    (world.folder / "tasks" / "player-teams").rename(world.folder / "tasks" / "player-club")
    assert fingerprint_folder(world.folder) != before


def test_known_digests_spare_reading_and_give_the_same_fingerprint(world, monkeypatch):
    known: dict[str, str] = {}
    assert fingerprint_folder(world.folder, known) == fingerprint_folder(world.folder)
    (world.folder / "db" / "games.parquet").write_bytes(b"changed")
    fresh = fingerprint_folder(world.folder)
    read = []
    digest = resolving.file_digest
    monkeypatch.setattr(resolving, "file_digest", lambda p: read.append(p.name) or digest(p))
    assert fingerprint_folder(world.folder, known) == fresh
    assert read == ["games.parquet"]
    assert re.fullmatch(r"[0-9a-f]{32}", fresh)
