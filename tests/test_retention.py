"""What may be deleted from a store: never what somebody needs, never through a link."""

import fcntl
import os

import pytest

from rowgraph.artifacts import ArtifactError, ArtifactStore
from rowgraph.retention import ancestors, kept, stored

DAY = 86_400


def make(store, key, settings, inputs=None, age=0):
    """A finished artifact whose bytes are its settings, `age` days old."""
    def write(draft):
        draft.path("a.txt").write_text(f"{key} {settings}")
        return {}

    artifact, _ = store.build(key, 1, {"is": settings}, inputs or {"origin": "x"}, write)
    age_of(artifact.folder, age)
    return artifact


def age_of(folder, days):
    for path in folder.rglob("*"):
        then = path.stat().st_mtime - days * DAY
        os.utime(path, (then, then))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "home")


def doomed(store, newest, needed=()):
    found = stored(store)
    reasons = kept(found, newest, dict(needed))
    return {one.folder for one in found if one.folder not in reasons}


def test_of_each_asset_the_newest_are_kept(store):
    old = make(store, ("source", "a"), 1, age=3)
    for age in (2, 1):
        make(store, ("source", "a"), 10 - age, age=age)
    make(store, ("source", "b"), 1, age=9)
    assert doomed(store, 2) == {old.folder}
    assert doomed(store, 3) == set()


def test_half_a_copy_out_of_a_shared_store_is_nobodys_newest(store):
    made = make(store, ("source", "a"), 1, age=3)
    half = made.folder.with_name("0" * 16 + ".arriving")
    half.mkdir()
    assert doomed(store, 1) == {half}


def test_what_is_needed_is_kept_however_old_it_is(store):
    old = make(store, ("report",), 1, age=3)
    new = make(store, ("report",), 2)
    assert doomed(store, 1) == {old.folder}
    assert doomed(store, 1, {old.folder: "champion"}) == set()
    assert kept(stored(store), 1, {old.folder: "champion"})[old.folder] == "champion"
    assert kept(stored(store), 1, {})[new.folder] == "among the newest 1"


def test_all_that_an_artifact_was_made_from_is_needed_all_the_way_up(store):
    source = make(store, ("source", "a"), 1, age=9)
    graph = make(store, ("graph", "a"), 1, {"source": source.data_version}, age=8)
    report = make(store, ("report",), 1, {"graph": graph.data_version}, age=7)
    for stage in ("source", "graph"):
        make(store, (stage, "a"), 2)
    needed = ancestors(stored(store), {report.folder: "latest"})
    assert needed == {graph.folder: "report was made from it",
                      source.folder: "graph/a was made from it"}
    assert doomed(store, 1, {report.folder: "latest", **needed}) == set()
    assert doomed(store, 1, {report.folder: "latest"}) == {graph.folder, source.folder}


def test_lists_of_predictions_are_never_deleted(store):
    for settings in range(3):
        make(store, ("predictions", "a", "t"), settings, age=settings)
    assert doomed(store, 1) == set()


def interrupted(store, key, settings, age):
    def stop(draft):
        (draft.state / "step").write_text("7")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build(key, 1, {"is": settings}, {}, stop)
    draft = next(p for p in store.root.joinpath(*key).glob("*.draft"))
    age_of(draft, age)
    return draft


def test_an_interrupted_draft_counts_among_the_newest(store):
    draft = interrupted(store, ("report",), "draft", age=1)
    make(store, ("report",), 1, age=2)
    make(store, ("report",), 2)
    assert draft not in doomed(store, 2)
    assert doomed(store, 1) == {draft, *(a.folder for a in store.finished(("report",))[1:])}


def test_what_was_replaced_when_its_process_ended_can_be_deleted(store):
    made = make(store, ("report",), 1)
    made.folder.rename(made.folder.with_suffix(".old"))
    assert doomed(store, 3) == {made.folder.with_suffix(".old")}


def test_a_folder_that_is_not_of_the_store_is_left_alone(store):
    make(store, ("report",), 1)
    (store.root / "report" / "mine").mkdir()
    (store.root / "notes").mkdir()
    assert [one.kind for one in stored(store)] == ["finished"]


def test_a_link_is_neither_listed_nor_followed(store, tmp_path):
    made = make(store, ("report",), 1)
    elsewhere = tmp_path / "elsewhere"
    made.folder.rename(elsewhere)
    made.folder.symlink_to(elsewhere)
    (store.root / "source").symlink_to(elsewhere)
    assert stored(store) == []
    inside = make(store, ("report",), 2)
    (inside.folder / "link").symlink_to(elsewhere)
    store.delete(("report",), inside.folder)
    assert not inside.folder.exists()
    assert (elsewhere / "a.txt").exists()


def test_a_store_that_is_a_link_is_refused(store, tmp_path):
    make(store, ("report",), 1)
    store.root.rename(tmp_path / "elsewhere")
    store.root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="is a link to"):
        stored(store)


def test_what_is_being_made_cannot_be_deleted(store):
    made = make(store, ("report",), 1)
    with open(made.folder.with_suffix(".lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ArtifactError, match="in use by"):
            store.delete(("report",), made.folder)
    assert store.find(("report",), made.recipe) is not None


def test_a_deletion_that_stops_leaves_nothing_that_looks_finished(store, monkeypatch):
    made = make(store, ("report",), 1)

    def stop(path, ignore_errors=False):
        if not ignore_errors:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("rowgraph.artifacts.shutil.rmtree", stop)
    with pytest.raises(ArtifactError, match="cannot be deleted"):
        store.delete(("report",), made.folder)
    assert store.find(("report",), made.recipe) is None
    assert [one.kind for one in stored(store)] == ["old"]


def test_a_run_beside_it_may_replace_files_while_they_are_counted(store, monkeypatch):
    made = make(store, ("report",), 1)
    (made.folder / "gone.part").write_text("soon renamed")
    real = os.lstat

    def vanishing(path, **more):
        if str(path).endswith("gone.part"):
            raise FileNotFoundError(path)
        return real(path, **more)

    monkeypatch.setattr("os.lstat", vanishing)
    (one,) = stored(store)
    assert one.bytes == sum(p.stat().st_size for p in made.folder.iterdir()
                            if p.name != "gone.part")
