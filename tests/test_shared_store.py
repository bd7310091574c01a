"""Homes that are shared by URL: what one machine finishes, no other makes again."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rowgraph import remote as remote_files
from rowgraph.artifacts import ArtifactError, recipe_of
from rowgraph.remote import Remote, RemoteError
from rowgraph.shared_store import DamagedError, open_store, pull, share, shared_url, write_record

KEY = ("source", "tiny")
RECIPE = recipe_of(KEY[0], 1, {"cap": 1}, {"origin": "x"})


def make_text(text="hello", then=lambda: None):
    def make(draft):
        draft.path("db/a.txt").write_text(text)
        draft.path("db/b.txt").write_text("the same")
        (draft.state / "step").write_text("7")
        then()
        return {"rows": 3}

    return make


def build(store, text="hello", then=lambda: None, **options):
    return store.build(KEY, 1, {"cap": 1}, {"origin": "x"}, make_text(text, then), **options)


def never(draft):
    pytest.fail("it was made again")


@pytest.fixture
def machine(shelf, tmp_path):
    """The store of a machine, by its name."""
    def store(name):
        home = tmp_path / name
        share(home, shelf.url)
        pull(home)
        return open_store(home)

    return store


def manifests(shelf):
    return [name for name in shelf.names() if name.endswith("manifest.json")]


def test_what_one_machine_finishes_another_takes_once_it_asks_for_the_folder(machine, shelf):
    made, _ = build(machine("one"))
    found = machine("two").find(KEY, made.recipe)
    assert found.manifest == made.manifest
    assert not found.place.exists()
    assert (found.folder / "db/a.txt").read_text() == "hello"
    assert not any("state" in name or name.endswith(".part") for name in shelf.names())
    again, reused = machine("three").build(KEY, 1, {"cap": 1}, {"origin": "x"}, never)
    assert reused
    assert again.manifest == made.manifest
    again.verify()


def test_the_manifest_is_written_after_the_files(machine, shelf, monkeypatch):
    monkeypatch.setattr(Remote, "create", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build(machine("one"))
    assert {n.split("/")[-1] for n in shelf.names() if "artifacts" in n} == {"a.txt", "b.txt"}
    assert machine("two").find(KEY, RECIPE) is None
    monkeypatch.undo()
    assert machine("one").find(KEY, RECIPE) is None
    made, _ = machine("one").build(KEY, 1, {"cap": 1}, {"origin": "x"}, never)
    assert machine("two").find(KEY, RECIPE).manifest == made.manifest


def test_a_flipped_bit_is_named_on_arrival_and_the_artifact_made_again_for_all(machine, shelf):
    build(machine("one"))
    name = shelf.flip("a.txt")
    with pytest.raises(DamagedError, match=f"{name}.*not those.*run --select source/tiny"):
        _ = machine("two").find(KEY, RECIPE).folder
    assert machine("two").find(KEY, RECIPE) is None
    assert not build(machine("two"))[1]
    assert (machine("three").find(KEY, RECIPE).folder / "db/a.txt").read_text() == "hello"


def test_a_damaged_artifact_that_was_to_be_reused_is_made_again_at_once(machine, shelf):
    build(machine("one"))
    shelf.flip("a.txt")
    with pytest.warns(UserWarning, match="not those that were published.*doing so now"):
        again, reused = build(machine("two"))
    assert not reused
    again.verify()
    _ = machine("three").find(KEY, RECIPE).folder


def test_a_broken_manifest_is_named_and_takes_its_place(machine, shelf):
    build(machine("one"))
    shelf.write(manifests(shelf)[0], b"{")
    with pytest.raises(ArtifactError, match=r"manifest is broken.*--select source/tiny"):
        machine("two").find(KEY, RECIPE)
    with pytest.warns(UserWarning, match="manifest is broken"):
        made, _ = build(machine("two"))
    assert machine("three").find(KEY, RECIPE).manifest == made.manifest


def test_of_two_machines_that_finish_the_same_at_once_one_is_adopted_by_both(machine, shelf):
    both = threading.Barrier(2)
    stores = {text: machine(text) for text in ("left", "right")}
    with ThreadPoolExecutor(2) as pool:
        (one, _), (two, _) = pool.map(lambda s: build(s[1], s[0], both.wait), stores.items())
    assert one.manifest == two.manifest
    assert len(manifests(shelf)) == 1
    one.verify()
    two.verify()
    assert machine("third").find(KEY, RECIPE).data_version == one.data_version


def test_force_replaces_it_for_all_and_others_follow_its_handle(machine, shelf, tmp_path):
    old, _ = build(machine("one"))
    _ = machine("two").find(KEY, RECIPE).folder
    new, _ = build(machine("one"), "new", force=True)
    handle = tmp_path / "one/handles/tiny/source__tiny.json"
    write_record(tmp_path / "one", handle, {"key": KEY, "recipe": RECIPE,
                                            "data_version": new.data_version})
    assert open_store(tmp_path / "two").find(KEY, RECIPE).data_version == old.data_version
    assert (machine("two").find(KEY, RECIPE).folder / "db/a.txt").read_text() == "new"


def test_what_an_interrupted_copy_brought_is_not_fetched_again(machine, monkeypatch):
    build(machine("one"))
    fetch, asked = Remote.fetch, []

    def one_file(self, files):
        asked.append(len(files))
        fetch(self, dict([next(iter(files.items()))]))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "fetch", one_file)
        with pytest.raises(KeyboardInterrupt):
            _ = machine("two").find(KEY, RECIPE).folder
    monkeypatch.setattr(Remote, "fetch", lambda s, f: (asked.append(len(f)), fetch(s, f)))
    machine("two").find(KEY, RECIPE).verify()
    assert asked == [2, 1]


def test_all_that_were_ever_finished_are_listed_the_newest_first(machine):
    for cap, made_at in ((1, "2026-01-01"), (2, "2026-03-01"), (3, "2026-02-01")):
        machine("one" if cap == 2 else "two").build(
            KEY, 1, {"cap": cap}, {}, make_text(), origin=lambda at=made_at: {"made_at": at})
    found = machine("one").finished(KEY)
    assert [a.manifest["settings"]["cap"] for a in found] == [2, 3, 1]


def test_records_follow_what_was_written_last_and_handles_what_is_gone(machine, shelf, tmp_path):
    one, two = (tmp_path / name for name in ("one", "two"))
    machine("one")
    for name in ("handles/tiny/report.json", "champions/tiny.json"):
        write_record(one, one / name, {"key": ["report"], "recipe": "0" * 16, "data_version": "a"})
    machine("two")
    assert json.loads((two / "handles/tiny/report.json").read_text())["data_version"] == "a"
    alone = two / "handles/tiny/source.json"
    alone.write_text("{}")
    (two / "champions/other.json").write_text("{}")
    pull(two, "tiny")
    assert not alone.exists()
    assert "champions/other.json" in shelf.names()


def test_an_ordinary_home_has_an_ordinary_store_and_loads_no_fsspec(tmp_path):
    code = ("import sys, pathlib, rowgraph.shared_store as s; home = pathlib.Path(sys.argv[1])\n"
            "s.pull(home); print(type(s.open_store(home)).__name__, 'fsspec' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True,
                          check=True)
    assert done.stdout.split() == ["ArtifactStore", "False"]
    assert shared_url(tmp_path) is None


def test_a_home_is_shared_by_one_url_alone(tmp_path):
    share(tmp_path, "file:///a")
    with pytest.raises(ArtifactError, match="holds what is shared by file:///a; set ROWGRAPH_CAC"):
        share(tmp_path, "file:///b")


def test_a_lost_connection_is_tried_again(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_files, "WAITS", (0, 0))
    remote, lost = Remote(bucket.url), iter([ConnectionError("gone"), TimeoutError()])
    cat = remote._files.cat_file

    def flaky(path):
        if error := next(lost, None):
            raise error
        return cat(path)

    remote.replace("a", b"1")
    monkeypatch.setattr(remote._files, "cat_file", flaky)
    assert remote.read("a") == b"1"


def test_a_server_that_is_gone_is_named_and_what_was_made_is_published_later(
        s3, bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_files, "WAITS", (0.01,))
    share(tmp_path / "one", bucket.url)
    store = open_store(tmp_path / "one")
    with pytest.raises(RemoteError, match=r"^s3://\S+: the connection was lost while .*kept$"):
        build(store, then=s3.stop)
    s3.start()
    made, reused = store.build(KEY, 1, {"cap": 1}, {"origin": "x"}, never)
    assert not reused
    assert manifests(bucket)
    made.verify()


@pytest.mark.parametrize(("url", "message"), [
    ("nope://x/y", "cannot be opened.*nope.*write s3://bucket"),
    ("file:///nowhere/at/all", "no such bucket or folder; make it, or mend ROWGRAPH_HOME"),
    ("file:///", "names no bucket or folder"),
    ("sftp-of-nobody://me:secret@x/y", "sftp-of-nobody://x/y cannot be opened"),
])
def test_a_wrong_address_is_named_with_the_next_move(url, message):
    with pytest.raises(RemoteError, match=message):
        Remote(url).check()


def test_a_missing_bucket_and_missing_credentials_are_named(s3, monkeypatch):
    import s3fs

    with pytest.raises(RemoteError, match="s3://nobodys/x: there is no such bucket or folder"):
        Remote("s3://nobodys/x").check()
    with pytest.raises(RemoteError, match=r"refused \(.*bucket.*mend the address"):
        Remote("s3://No_Bucket_Has_This_Name!/x").check()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RemoteError, match="no credentials were found; set AWS_ACCESS_KEY_ID"):
        Remote("s3://nobodys/x").check()


def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch):
    registry = pytest.importorskip("fsspec.registry")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(registry._registry, "s3", raising=False)
    with pytest.raises(RemoteError, match=r"s3://a/b needs a library.*pip install 'rowgraph\[s3\]"):
        Remote("s3://a/b")
