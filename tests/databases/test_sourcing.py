from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from rowgraph.artifacts import ArtifactStore, Draft
from rowgraph.databases import resolving, sourcing
from rowgraph.databases.checking import DatabaseError, check_database
from rowgraph.databases.database import Database
from rowgraph.databases.resolving import extra_tasks_of, fingerprint_folder, resolve
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.databases.sourcing import describe, write_source

pytestmark = pytest.mark.usefixtures("no_hub_cache")


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "home")


def publish(store, world, name="tiny", extra_tasks=None, **settings):
    """Resolve and publish as the asset `source/<db>` does."""
    settings = DatabaseSettings(name=name, role="pretrain", **settings)
    origin = resolve(name, folders=world.folder.parent, entities=settings.entities, hub=False)
    return store.build(("source", name), 1, settings.effective(), {"origin": origin.fingerprint},
                       lambda draft: write_source(origin, settings, draft, extra_tasks))[0]


def test_the_published_artifact_is_a_relbench_folder(store, world):
    import relbench

    artifact = publish(store, world)
    dataset = relbench.load_dataset(artifact.folder)
    assert dataset.get_task_names() == ["player-active", "player-teams"]
    assert len(dataset.get_db().table_dict["players"]) == 3
    assert fingerprint_folder(artifact.folder) == fingerprint_folder(world.folder)
    assert artifact.summary == json.loads(json.dumps(artifact.summary)) == {
        "origin": "folder",
        "detail": f"folder {world.folder}",
        "rows": 14,
        "rows_per_table": {"teams": 3, "players": 5, "games": 6},
        "source_rows": 14,
        "time_span": ["2018-01-01T00:00:00", "2021-06-01T00:00:00"],
        "tasks": {
            "player-active": {"task_type": "binary_classification",
                              "splits": {"train": 2, "val": 1, "test": 2}},
            "player-teams": {"task_type": "recommendation",
                             "splits": {"train": 2, "val": 1, "test": 1}}},
        "made_labels": {},
        "dropped_edges": {},
        "dropped_labels": {},
        "left_out_tasks": [],
        "late_columns": 0, "suspects": 0, "open_suspects": 0,
        "warnings": [str(w) for w in check_database(world.folder).warnings],
    }


def test_a_capped_artifact_tells_what_it_kept_and_lost(store, world):
    artifact = publish(store, world, max_rows_per_table=2)
    assert artifact.summary["rows"] == 6
    assert artifact.summary["source_rows"] == 14
    assert artifact.summary["rows_per_table"] == {"teams": 2, "players": 2, "games": 2}
    assert sum(artifact.summary["dropped_edges"].values()) > 0
    database = Database.open(artifact.folder)
    rows = np.load(artifact.path("rows/games.npy"))
    assert database.read("games")["score"].to_list() == [
        world.read("games")["score"][row] for row in rows]
    assert check_database(artifact.folder).problems == ()


def test_a_broken_source_is_refused_and_nothing_is_published(store, world):
    world.column("games", "team_id", [0, 1, 7, 0, None, 1])
    with pytest.raises(DatabaseError, match="table games, column team_id: 1 keys dangle"):
        publish(store, world)
    assert not list(store.root.rglob("manifest.*"))


def test_an_interrupted_attempt_leaves_no_trace_in_the_next(store, world, monkeypatch, tmp_path):
    def stop(source, target, cap, tasks):
        (target / "db").mkdir()
        (target / "db" / "half.parquet").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sourcing, "truncate", stop)
        with pytest.raises(KeyboardInterrupt):
            publish(store, world, max_rows_per_table=3)
    assert list(store.root.rglob("half.parquet"))
    clean = publish(ArtifactStore(tmp_path / "other"), world, max_rows_per_table=3)
    again = publish(store, world, max_rows_per_table=3)
    assert again.data_version == clean.data_version
    assert not list(store.root.rglob("half.parquet"))


def test_the_copy_carries_the_name_of_the_profile(store, world):
    world.folder.rename(world.folder.with_name("mine"))
    world.folder = world.folder.with_name("mine")
    artifact = publish(store, world, "mine")
    assert Database.open(artifact.folder).name == "mine"
    assert any("named tiny, the profile calls it mine" in w for w in artifact.summary["warnings"])
    assert check_database(artifact.folder).problems == ()


@pytest.fixture
def builder(world, monkeypatch):
    """An embedded database that is a copy of the world; lists what was asked of it."""
    asked = []

    def build(name, folder, entities):
        assert not folder.exists()
        asked.append((name, entities))
        shutil.copytree(world.folder, folder)
        return folder

    for module in (resolving, sourcing):
        monkeypatch.setattr(module, "EMBEDDED", {
            "rel-ants": SimpleNamespace(package="ants", entity="nests")})
    monkeypatch.setattr(resolving, "embedded_fingerprint", lambda name, n: f"{name} {n}")
    monkeypatch.setattr(sourcing, "build_embedded", build)
    return asked


def test_an_embedded_database_is_built_checked_and_cut(store, world, builder):
    artifact = publish(store, world, "rel-ants", entities=7, max_rows_per_table=4)
    assert builder == [("rel-ants", 7)]
    assert artifact.summary["origin"] == "embedded"
    assert artifact.summary["rows_per_table"] == {"teams": 3, "players": 4, "games": 4}
    assert {p.name for p in artifact.folder.iterdir()} == {
        "manifest.json", "manifest.yaml", "db", "tasks", "rows"}


def test_a_half_built_embedded_database_is_built_anew(tmp_path, world, builder):
    draft = Draft(tmp_path / "draft")
    draft.folder.mkdir()
    (draft.state / "embedded" / "rel-ants").mkdir(parents=True)
    settings = DatabaseSettings(name="rel-ants", role="pretrain")
    origin = resolve("rel-ants", folders=None)
    assert write_source(origin, settings, draft)["rows"] == 14
    assert fingerprint_folder(draft.folder) != fingerprint_folder(world.folder)  # its name
    assert Database.open(draft.folder).name == "rel-ants"


def test_databases_are_described_without_building_or_downloading(world, builder, monkeypatch):
    monkeypatch.setattr("relbench.load_dataset", lambda name: pytest.fail("asked the hub"))
    folders = world.folder.parent
    tiny = describe("tiny", folders=folders)
    assert (tiny["kind"], tiny["here"], tiny["rows"], tiny["problems"]) == ("folder", True, 14, [])
    assert set(tiny["tasks"]) == {"player-active", "player-teams"}
    ants = describe("rel-ants", folders=folders)
    assert (ants["kind"], ants["here"], "rows" in ants) == ("embedded", True, False)
    assert "ants" in ants["detail"]
    far = describe("rel-far", folders=folders)
    assert (far["kind"], far["here"], far["problems"]) == ("hub", False, [])
    none = describe("tiny", folders=folders, entities=7)
    assert none["kind"] is None
    assert "only an embedded builder" in none["problems"][0]
    assert builder == []
    json.dumps([tiny, ants, far, none])


def test_a_description_tells_what_is_broken(world, builder, monkeypatch):
    world.path("games").write_bytes(b"PAR1")
    broken = describe("tiny", folders=world.folder.parent)
    assert "db/games.parquet" in broken["problems"][0]

    def missing(name, entities):
        raise ModuleNotFoundError("no ants")

    monkeypatch.setattr(resolving, "embedded_fingerprint", missing)
    ants = describe("rel-ants", folders=None)
    assert (ants["kind"], ants["here"]) == ("embedded", False)
    assert "pip install ants" in ants["problems"][0]


@pytest.fixture
def beside(tmp_path) -> Path:
    """The folder of a profile with a task of the world beside it."""
    folder = tmp_path / "profiles"
    task = folder / "tasks/tiny/game-score"
    task.mkdir(parents=True)
    (task / "manifest.yaml").write_text(
        "# ours\nname: game-score\nkind: autocomplete\ntask_type: regression\n"
        "entity_table: games\ntarget_col: score\n")
    return folder


def test_tasks_beside_a_profile_become_tasks_of_the_copy(store, world, beside):
    import relbench

    extra, fingerprint = extra_tasks_of(beside, "tiny")
    assert extra == beside / "tasks/tiny"
    artifact = publish(store, world, extra_tasks=extra)
    assert artifact.summary["made_labels"] == {
        "game-score/train": 2, "game-score/val": 1, "game-score/test": 1}
    assert artifact.summary["tasks"]["game-score"] == {
        "task_type": "regression", "splits": {"train": 2, "val": 1, "test": 1}}
    assert relbench.load_dataset(artifact.folder).get_task_names() == [
        "game-score", "player-active", "player-teams"]
    test = pq.read_table(artifact.path("tasks/game-score/test.parquet")).to_pydict()
    assert (test["primary_key"], test["score"]) == ([4], [-1.0])
    assert not (world.folder / "tasks/game-score").exists()
    assert sorted(p.name for p in (extra / "game-score").iterdir()) == ["manifest.yaml"]
    with (extra / "game-score/manifest.yaml").open("a") as handle:
        handle.write("# changed\n")
    assert extra_tasks_of(beside, "tiny")[1] != fingerprint


def test_a_database_without_tasks_beside_its_profile_is_as_if_there_could_be_none(
        store, world, beside, tmp_path):
    assert extra_tasks_of(beside, "other") == (None, None)
    assert extra_tasks_of(tmp_path / "nowhere", "tiny") == (None, None)
    assert publish(store, world).data_version == publish(
        ArtifactStore(tmp_path / "again"), world, extra_tasks=None).data_version


def test_a_task_beside_a_profile_may_not_take_the_name_of_another(store, world, beside):
    (beside / "tasks/tiny/game-score").rename(beside / "tasks/tiny/player-active")
    extra, _ = extra_tasks_of(beside, "tiny")
    with pytest.raises(DatabaseError, match=r"tasks/tiny/player-active: tiny has a task of this "
                                            r"name already; rename the folder"):
        publish(store, world, extra_tasks=extra)
    told = describe("tiny", folders=world.folder.parent, extra_tasks=extra)
    assert "has a task of this name already" in told["problems"][0]


def test_a_broken_task_beside_a_profile_is_named_with_its_path(store, world, beside):
    (beside / "tasks/tiny/game-score/manifest.yaml").write_text("kind: autocomplete\n")
    with pytest.raises(DatabaseError, match=r"profiles/tasks/tiny/game-score/manifest.yaml: not a "
                                            r"task manifest"):
        publish(store, world, extra_tasks=extra_tasks_of(beside, "tiny")[0])


def test_labels_follow_their_rows_into_a_smaller_copy(store, world, beside):
    artifact = publish(store, world, max_rows_per_table=3,
                       extra_tasks=extra_tasks_of(beside, "tiny")[0])
    kept = np.load(artifact.path("rows/games.npy")).tolist()
    scores = Database.open(artifact.folder).read("games")["score"].to_list()
    for split in ("train", "val", "test"):
        table = pq.read_table(artifact.path(f"tasks/game-score/{split}.parquet")).to_pydict()
        assert table["score"] == [scores[row] for row in table["primary_key"]]
    whole = {"train": [2, 3], "val": [0], "test": [4]}
    lost = {s: len([r for r in rows if r not in kept]) for s, rows in whole.items()}
    dropped = artifact.summary["dropped_labels"]
    assert {s: dropped.get(f"game-score/{s}", 0) for s in whole} == lost


def test_labels_that_are_missing_are_made_once_and_said(store, world, monkeypatch):
    asked = []
    world.path("player-active/val").unlink()
    world.path("player-teams/test").unlink()
    monkeypatch.setattr(sourcing, "make_labels", lambda database, task, splits: (
        asked.append((task.name, splits))
        or {s: pq.read_table(world.path("player-active/test")) for s in splits}
        if task.name == "player-active" else _refuse()))
    artifact = publish(store, world)
    assert [name for name, _ in asked] == ["player-active"]
    assert artifact.summary["made_labels"] == {"player-active/val": 2}
    assert artifact.path("tasks/player-active/val.parquet").is_file()
    assert not world.path("player-active/val").exists()
    [warning] = [w for w in artifact.summary["warnings"] if "could not be made" in w]
    assert warning.startswith("tasks/player-teams: test labels could not be made: no rows; ")


def _refuse():
    raise ValueError("no rows")
