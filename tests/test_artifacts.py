"""Artifacts: finished or not there, knowing what they were made from."""

import errno
import json
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

from rowgraph.artifacts import ArtifactError, ArtifactStore, DiskFullError, recipe_of

KEY = ("source", "tiny")


def make_text(text="hello"):
    def make(draft):
        draft.path("db/a.txt").write_text(text)
        (draft.notes / "seen.txt").write_text("at noon")
        (draft.state / "step").write_text("7")
        return {"rows": 3}

    return make


def build(store, text="hello", settings=None, **options):
    return store.build(KEY, 1, settings or {"cap": 1}, {"origin": "x"}, make_text(text), **options)


def test_a_finished_artifact_is_reused_and_says_so(tmp_path):
    store = ArtifactStore(tmp_path)
    first, reused = build(store)
    assert not reused
    again, reused = build(store, text="never written")
    assert reused
    assert again.manifest == first.manifest
    assert (again.folder / "db/a.txt").read_text() == "hello"


def test_going_back_to_earlier_settings_computes_nothing(tmp_path):
    store = ArtifactStore(tmp_path)
    build(store, settings={"cap": 1})
    build(store, settings={"cap": 2})
    assert build(store, settings={"cap": 1})[1]


def test_equal_bytes_have_equal_data_versions_whatever_they_were_made_from(tmp_path):
    store = ArtifactStore(tmp_path)
    one, _ = build(store, settings={"cap": 1})
    two, _ = build(store, settings={"cap": 2})
    three, _ = build(store, text="other", settings={"cap": 3})
    assert one.recipe != two.recipe
    assert one.data_version == two.data_version != three.data_version


def test_state_is_not_published_and_notes_are_not_content(tmp_path):
    artifact, _ = build(ArtifactStore(tmp_path))
    assert not (artifact.folder / "state").exists()
    assert artifact.manifest["files"]["notes/seen.txt"]
    (artifact.folder / "notes/seen.txt").write_text("at nine")
    assert ArtifactStore(tmp_path).find(KEY, artifact.recipe).data_version == (
        artifact.data_version)


def test_an_interrupted_attempt_leaves_its_state_and_no_artifact(tmp_path):
    store = ArtifactStore(tmp_path)

    def interrupted(draft):
        (draft.state / "step").write_text("41")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build(KEY, 1, {}, {}, interrupted)
    recipe = recipe_of(KEY[0], 1, {}, {})
    assert store.find(KEY, recipe) is None
    seen = []
    store.build(KEY, 1, {}, {}, lambda d: seen.append((d.state / "step").read_text()) or {})
    assert seen == ["41"]


def test_a_full_disk_is_named_and_what_was_finished_stays(tmp_path):
    store = ArtifactStore(tmp_path)
    kept, _ = build(store)

    def full(draft):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactError, match=r"disk is full.*ROWGRAPH_HOME"):
        store.build(KEY, 1, {"cap": 9}, {}, full)
    assert store.find(KEY, kept.recipe) is not None


def test_force_makes_it_again_and_keeps_the_old_one_until_then(tmp_path):
    store = ArtifactStore(tmp_path)
    build(store)

    def fails(draft):
        raise ValueError("bad luck")

    with pytest.raises(ValueError, match="bad luck"):
        store.build(KEY, 1, {"cap": 1}, {"origin": "x"}, fails, force=True)
    recipe = recipe_of(KEY[0], 1, {"cap": 1}, {"origin": "x"})
    assert (store.find(KEY, recipe).folder / "db/a.txt").read_text() == "hello"
    artifact, reused = build(store, text="new", force=True)
    assert not reused
    assert (artifact.folder / "db/a.txt").read_text() == "new"


@pytest.mark.parametrize(("damage", "message"), [
    (lambda f: (f / "manifest.json").write_text("{"), "manifest is broken"),
    (lambda f: (f / "db/a.txt").unlink(), "no file"),
    (lambda f: (f / "db/a.txt").write_text("short"[:2]), "found 2"),
])
def test_a_damaged_artifact_is_named_with_the_next_move_and_made_again(tmp_path, damage, message):
    store = ArtifactStore(tmp_path)
    artifact, _ = build(store)
    damage(artifact.folder)
    with pytest.raises(ArtifactError, match=f"{message}.*rowgraph run --select source/tiny"):
        store.find(KEY, artifact.recipe)
    with pytest.warns(UserWarning, match=message):
        again, reused = build(store)
    assert not reused
    assert (again.folder / "db/a.txt").read_text() == "hello"


def test_bytes_that_changed_without_changing_size_are_found_by_verify(tmp_path):
    artifact, _ = build(ArtifactStore(tmp_path))
    artifact.verify()
    (artifact.folder / "db/a.txt").write_text("jello")
    with pytest.raises(ArtifactError, match=r"a\.txt"):
        artifact.verify()


def test_of_two_that_make_the_same_artifact_the_second_waits_and_finds_it(tmp_path, caplog):
    store, busy = ArtifactStore(tmp_path), threading.Event()

    def slowly(draft):
        busy.set()
        while "source/tiny is in use by process" not in caplog.text:
            time.sleep(0.01)
        return make_text()(draft)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store.build, KEY, 1, {"cap": 1}, {"origin": "x"}, slowly)
        busy.wait()
        second = build(store, text="other")
    assert first.result()[1] is False
    assert second[1] is True
    assert (second[0].folder / "db/a.txt").read_text() == "hello"


def test_what_was_killed_on_its_way_to_being_published_is_not_made_again(tmp_path, monkeypatch):
    store = ArtifactStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("rowgraph.artifacts._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            build(store)
    artifact, _ = store.build(KEY, 1, {"cap": 1}, {"origin": "x"}, killed)
    assert (artifact.folder / "db/a.txt").read_text() == "hello"
    assert not (artifact.folder / "state").exists()


def test_what_a_killed_attempt_was_writing_is_no_part_of_the_artifact(tmp_path):
    recipe = recipe_of(KEY[0], 1, {"cap": 1}, {"origin": "x"})
    draft = ArtifactStore(tmp_path / "killed").folder(KEY, recipe).with_name(recipe + ".draft")
    draft.mkdir(parents=True)
    (draft / "manifest.json.part").write_text("half")
    artifact, _ = build(ArtifactStore(tmp_path / "killed"))
    whole, _ = build(ArtifactStore(tmp_path / "whole"))
    assert artifact.data_version == whole.data_version
    assert ArtifactStore(tmp_path / "killed").find(KEY, recipe) is not None


def killed(*args):
    raise KeyboardInterrupt


def test_a_library_that_hides_a_full_disk_is_seen_through_and_half_files_make_room(
        tmp_path, monkeypatch):
    def fails(draft):
        (draft.state / "training.part").write_text("half")
        raise RuntimeError("unexpected pos 64 vs 0")

    store = ArtifactStore(tmp_path)
    monkeypatch.setattr("rowgraph.disk.shutil.disk_usage", lambda folder: Usage(0))
    with pytest.raises(DiskFullError, match=r"disk is full \(0\.0 MB free\).*ROWGRAPH_HOME"):
        store.build(KEY, 1, {"cap": 1}, {"origin": "x"}, fails)
    assert not list(tmp_path.rglob("*.part"))


Usage = namedtuple("Usage", "free")


def test_a_manifest_is_json_with_settings_inputs_and_library_versions(tmp_path):
    artifact, _ = build(ArtifactStore(tmp_path))
    manifest = json.loads((artifact.folder / "manifest.json").read_text())
    assert manifest["settings"] == {"cap": 1}
    assert manifest["inputs"] == {"origin": "x"}
    assert manifest["libraries"]["polars"]
