"""`rowgraph gc` shows first, and never deletes what the latest, a champion or a run needs."""

import fcntl
import json
import os
import shutil

import dagster as dg
import pytest

from pipeline.cleaning import clean
from pipeline.janitor import process_tags
from pipeline.plan import plan
from resources.tracking import TrackingResource
from rowgraph.artifacts import ArtifactError


def older(home, stage, recipe, days=30):
    """An older artifact of an asset, of other settings."""
    made = next((home / "artifacts" / stage).rglob("manifest.json")).parent
    folder = made.with_name(recipe)
    shutil.copytree(made, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"recipe": recipe, "data_version": recipe * 2, "inputs": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for path in folder.rglob("*"):
        then = path.stat().st_mtime - days * 86_400
        os.utime(path, (then, then))
    return folder


OLD = "0123456789abcdef"


def files(world):
    return {p for p in (world.home / "artifacts").rglob("*") if p.is_file()}


def test_without_yes_nothing_is_deleted_and_all_is_said(world, capsys):
    folder = older(world.home, "sage_weights", OLD)
    before = files(world)
    clean(world.environment(), 1, delete=False)
    assert files(world) == before
    out = capsys.readouterr().out
    assert "Can be deleted: 1 of 29 artifacts and drafts" in out
    assert "--yes" in out
    assert folder.exists()


def test_with_yes_the_old_go_and_nothing_has_to_be_made_again(world, capsys):
    folders = [older(world.home, stage, OLD) for stage in ("sage_weights", "report", "source")]
    kept = older(world.home, "sage_weights", OLD[::-1], days=1)
    before = files(world)
    clean(world.environment(), 2, delete=True)
    assert not folders[0].exists()
    assert kept.exists()
    assert folders[1].exists()  # the second newest
    clean(world.environment(), 1, delete=True)
    assert not [f for f in (*folders, kept) if f.exists()]
    gone = before - files(world)
    assert {p for p in gone if not any(p.is_relative_to(f) for f in (*folders, kept))} == set()
    planned = plan(world.environment())
    assert {p.action for p in planned} == {"current"}
    for p in planned:
        p.artifact.verify()
    assert "Deleted:" in capsys.readouterr().out


def test_what_the_latest_was_made_from_stays_when_its_upstream_has_moved_on(world):
    failures, _ = world.run("linearized_corpus: {seed: 3}\n", select=["linearized_corpus"])
    assert not failures
    # the same profile's corpus is newer now, and the checkpoint is still of the old one
    handles = world.home / "handles"
    shutil.copy(handles / "changed/linearized_corpus.json",
                handles / "tiny/linearized_corpus.json")
    bart = next(p for p in plan(world.environment()) if p.node.key == ("bart_checkpoint",))
    clean(world.environment(), 1, delete=True)
    wanted = bart.artifact.manifest["inputs"]["linearized_corpus"]
    manifests = [json.loads(p.read_text()) for p in
                 (world.home / "artifacts/linearized_corpus").glob("*/manifest.json")]
    assert wanted in {m["data_version"] for m in manifests}
    assert len(manifests) == 2


def test_what_another_profile_of_the_home_calls_its_latest_stays(world):
    folder = older(world.home, "report", OLD)
    handle = world.home / "handles/other/report.json"
    handle.parent.mkdir()
    handle.write_text(json.dumps({"key": ["report"], "recipe": OLD, "data_version": OLD * 2}))
    clean(world.environment(), 1, delete=True)
    assert folder.exists()
    handle.write_text("{")
    with pytest.raises(ArtifactError, match=r"report\.json is broken"):
        clean(world.environment(), 1, delete=True)
    handle.unlink()
    clean(world.environment(), 1, delete=True)
    assert not folder.exists()


def test_the_champion_and_what_it_is_compared_by_stay(world):
    bart, wins = (older(world.home, stage, OLD) for stage in (
        "bart_checkpoint", "downstream_metrics/tiny_league/wins"))
    name = "rowgraph-tiny-bart_checkpoint"
    client = TrackingResource(home=str(world.home)).client()
    version = client.create_model_version(name, bart.as_uri(), tags={"recipe": OLD})
    client.set_registered_model_alias(name, "champion", version.version)
    champions = world.home / "champions/tiny.json"
    before = champions.read_text()
    records = json.loads(before)
    for record in records.values():
        for measured in record["champion"]["measured"].values():
            if measured["predictions"][0] == ["downstream_metrics", "tiny_league", "wins"]:
                measured["predictions"][1] = OLD
    champions.write_text(json.dumps(records))
    clean(world.environment(), 1, delete=True)
    assert bart.exists()
    assert wins.exists()
    client.delete_registered_model_alias(name, "champion")
    champions.write_text(before)
    clean(world.environment(), 1, delete=True)
    assert not bart.exists()
    assert not wins.exists()


def test_an_mlflow_that_cannot_be_asked_deletes_nothing(world):
    folder = older(world.home, "bart_checkpoint", OLD)
    (world.home / "mlflow/mlflow.db").write_bytes(b"no database at all" * 300)
    with pytest.raises(ArtifactError, match="nothing is deleted before MLflow says"):
        clean(world.environment(), 1, delete=True)
    assert folder.exists()


def test_nothing_is_deleted_beside_a_run_that_is_in_progress(world, capsys):
    folder = older(world.home, "sage_weights", OLD)
    draft = folder.with_name(OLD[::-1] + ".draft")
    folder.rename(draft)
    with open(draft.with_suffix(".lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        clean(world.environment(), 1, delete=False)
        with pytest.raises(ArtifactError, match=r"sage_weights .*is in progress"):
            clean(world.environment(), 1, delete=True)
    assert draft.exists()
    assert "is in progress" in capsys.readouterr().err
    clean(world.environment(), 1, delete=True)
    assert not draft.exists()


@dg.job
def nothing():
    """A job without steps."""


def test_nothing_is_deleted_beside_a_run_of_dagsters(world):
    folder = older(world.home, "sage_weights", OLD)
    with world.environment().instance() as instance:
        run = instance.create_run_for_job(nothing, tags=process_tags())
        with pytest.raises(ArtifactError, match=rf"run {run.run_id[:8]} .*is in progress"):
            clean(world.environment(), 1, delete=True)
        assert folder.exists()
        instance.report_run_failed(run)
    clean(world.environment(), 1, delete=True)
    assert not folder.exists()


def test_a_home_without_artifacts_has_nothing_to_delete(world, capsys):
    shutil.rmtree(world.home / "artifacts")
    clean(world.environment(), 3, delete=True)
    assert "Nothing to delete" in capsys.readouterr().out
