"""What cannot be run says why, and what can be read back is what was predicted."""

import dataclasses
import subprocess
import sys

import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.baselines.peers import running
from rowgraph.baselines.peers.answers import Answers
from rowgraph.baselines.peers.settings import PEERS, PeerMetricsSettings
from rowgraph.tasks.label_tables import Destinations
from rowgraph.tasks.predictions import Run, read_predictions


def run(task, world, settings, folder):
    summary = running.run_peers(task, world.graph, settings, Draft(folder), device="cpu",
                                log=lambda *_: None)
    return summary, {name: pl.read_parquet(folder / f"{name}.parquet")
                     for name in ("predictions", "choices", "unavailable")}


@pytest.mark.parametrize("peer", PEERS)
def test_a_missing_extra_is_a_row_that_says_what_to_install(peer, world, small, tmp_path,
                                                            monkeypatch):
    monkeypatch.setattr(running, "installed", lambda module: False)
    summary, files = run(world.task, world, small.model_copy(update={"peers": (peer,)}), tmp_path)
    assert files["predictions"].is_empty()
    rows = files["unavailable"]
    assert sorted(rows["regime"]) == ["frozen_db", "rolling"]
    assert set(rows["variant"]) == {peer}
    assert rows["reason"].str.contains(r"pip install 'rowgraph\[(rdl|kumo)\]'").all()
    assert list(summary["unavailable"]) == [peer]


@pytest.mark.parametrize("peer", PEERS)
def test_a_kind_that_is_not_offered_is_a_row_that_says_so(peer, world, small, tmp_path):
    task = dataclasses.replace(
        world.task, task_type="recommendation", destination_table="races", eval_k=2,
        **{s: dataclasses.replace(world.task.labels(s), target=Destinations.of(
            [[0]] * len(world.task.labels(s)))) for s in ("train", "val", "test")})
    _, files = run(task, world, small.model_copy(update={"peers": (peer,)}), tmp_path)
    assert files["predictions"].is_empty()
    assert files["unavailable"]["reason"].str.contains("not offered").all()
    assert len(files["unavailable"]) == 2


def test_no_peer_asked_for_gives_empty_files(world, small, tmp_path):
    summary, files = run(world.task, world, small.model_copy(update={"peers": ()}), tmp_path)
    assert all(frame.is_empty() for frame in files.values())
    assert summary["unavailable"] == {}


def test_predictions_and_choices_can_be_read_back(world, small, tmp_path):
    pytest.importorskip("torch_frame", reason="RDL needs: pip install 'rowgraph[rdl]'")
    settings = small.model_copy(update={"peers": PEERS, "kumo_weights": str(tmp_path)})
    summary, files = run(world.task, world, settings, tmp_path)
    found = read_predictions(world.task, tmp_path / "predictions.parquet")
    assert set(found) == {Run(regime, "rdl", 0) for regime in ("frozen_db", "rolling")}
    assert set(found[Run("rolling", "rdl", 0)]) == {"val", "test"}
    chosen = files["choices"].filter("chosen")
    assert sorted(chosen["regime"].unique()) == ["frozen_db", "rolling"]
    assert dict(chosen.select("regime", "step").iter_rows()) == summary["peers"]["rdl"]["epochs"]
    assert set(files["unavailable"]["variant"]) == {"kumo_relational"}


def test_a_reason_is_kept_word_for_word():
    rows = running.unavailable_rows({"kumo_relational": Answers(unavailable={"rolling": "why"})})
    assert rows.rows() == [("kumo_relational", "rolling", "why")]


def test_the_room_can_be_imported_without_any_extra():
    code = ("import sys\nfor m in ('torch_frame', 'sdm'): sys.modules[m] = None\n"
            "import rowgraph.baselines.peers.running, rowgraph.baselines.peers.kumo\n"
            "import rowgraph.baselines.peers.settings")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_settings_load_nothing_heavy():
    code = ("import sys, rowgraph.baselines.peers.settings\n"
            "print([m for m in ('torch', 'torch_frame', 'sdm', 'pandas') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_installing_an_extra_or_getting_weights_is_another_recipe(small, tmp_path, monkeypatch):
    settings = small.model_copy(update={"peers": PEERS, "kumo_weights": str(tmp_path)})
    monkeypatch.setattr(running, "installed", lambda module: False)
    absent = running.peer_inputs(settings)
    assert absent == {"pytorch-frame": "absent", "structured-data-models": "absent"}
    (tmp_path / "classifier.pt").write_bytes(b"weights")
    assert running.peer_inputs(settings) != absent


@pytest.mark.parametrize("wrong", [
    {"peers": ("rdl", "rdl")}, {"peers": ("griffin",)}, {"seeds": (0, 0)}, {"fan_out": ()},
    {"fan_out": (3, 0)}, {"kumo_fan_out": (-2,)}, {"channels": 7}, {"epochs": 0},
    {"learning_rate": float("inf")}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PeerMetricsSettings(**wrong)
