import dataclasses
import json

import numpy as np
import polars as pl
import pytest
import torch

from rowgraph.adaptation import workers
from rowgraph.adaptation.ground import Ground, Trained, Training
from rowgraph.adaptation.layout import ground_of as read_ground
from rowgraph.adaptation.layout import lay_out
from rowgraph.adaptation.running import run_task
from rowgraph.adaptation.vectors import BartVectors, HeldEmbeddings, held
from rowgraph.artifacts import Draft
from rowgraph.embeddings import RandomTwin
from rowgraph.side_by_side import on
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run, read_predictions
from tests.pretended_ray import pretended

FILES = ("predictions.parquet", "choices.parquet", "curves.parquet")
VARIANTS = ("bart_gnn_frozen", "bart_head", "random_head")


@pytest.fixture
def evaluate(world, shared, lab):
    def evaluate(folder, log=lambda *_: None, task=None, where=world, vectors=None, **changes):
        folder.mkdir(exist_ok=True)
        settings = type(lab.SETTINGS).model_validate({
            **lab.SETTINGS.model_dump(), "variants": VARIANTS, "epochs": 2, **changes})
        vectors = vectors or {0: BartVectors(where.store, shared, lab.SAGE)}
        return run_task(task or where.task, where.graph, vectors, settings, Draft(folder),
                        device="cpu", log=log)

    return evaluate


def content(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_every_variant_regime_and_seed_is_predicted_and_its_choice_kept(evaluate, tmp_path, world):
    summary = evaluate(tmp_path)
    predictions = read_predictions(world.task, tmp_path / "predictions.parquet")
    assert set(predictions) == {
        Run(r, v, s, None if v == "random_head" else 0)
        for r in ("frozen_db", "rolling") for v in VARIANTS for s in (0, 1)}
    assert all(list(splits) == ["val", "test"] for splits in predictions.values())
    choices = pl.read_parquet(tmp_path / "choices.parquet")
    assert set(choices.filter("chosen").select("model", "regime").iter_rows()) == {
        (v, r) for v in VARIANTS for r in ("frozen_db", "rolling")}
    values = [measure("roc_auc", world.task.test.target, splits["test"], world.task.train.target)
              for run, splits in predictions.items()
              if run[:2] == ("rolling", "bart_head")]
    assert summary["results"]["rolling"]["bart_head"] == pytest.approx(np.mean(values))
    assert summary["metric"] == "roc_auc"
    chosen = choices.filter("chosen", model="bart_head", regime="rolling")
    assert summary["chosen"]["rolling"]["bart_head"]["epochs"] == chosen["step"][0]
    json.dumps(summary, allow_nan=False)


def test_the_same_task_gives_the_same_bytes(evaluate, tmp_path):
    evaluate(tmp_path / "a")
    evaluate(tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_poisoned_test_labels_change_no_choice_and_no_prediction(
        evaluate, tmp_path, world):
    evaluate(tmp_path / "a")
    poison = dataclasses.replace(world.task.test, target=1 - world.task.test.target)
    other = dataclasses.replace(world.task, test=poison)
    evaluate(tmp_path / "b", task=other)
    assert (tmp_path / "a" / "choices.parquet").read_bytes() == (
        tmp_path / "b" / "choices.parquet").read_bytes()
    columns = pl.exclude("target")
    one, two = (pl.read_parquet(tmp_path / n / "predictions.parquet").select(columns)
                for n in "ab")
    assert one.equals(two)


def test_an_interrupted_run_does_not_repeat_finished_trainings_and_ends_alike(
        evaluate, tmp_path, monkeypatch):
    evaluate(tmp_path / "whole")
    trained, perform = [], Ground.perform

    def counted(self, training, log):
        trained.append(training.name)
        return perform(self, training, log)

    def interrupt(step, metrics, of=None):
        if any(name.startswith("bart_head/seed1") for name in metrics):
            raise KeyboardInterrupt

    monkeypatch.setattr(Ground, "perform", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path / "parts", log=interrupt)
    begun = trained.pop()
    assert begun.startswith("bart_head-bart0-seed1")
    done, trained[:] = list(trained), []
    evaluate(tmp_path / "parts")
    assert begun in trained
    assert not set(done) & set(trained)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_a_training_without_its_last_file_counts_as_unfinished(evaluate, tmp_path):
    evaluate(tmp_path)
    facts = next((tmp_path / "state").glob("bart_head*final*.json"))
    path = facts.with_suffix("")
    assert Trained.load(path) is not None
    facts.unlink()
    assert Trained.load(path) is None


def test_the_number_of_processes_changes_no_byte_and_none_is_left(evaluate, tmp_path, monkeypatch):
    alone, together = [], []
    evaluate(tmp_path / "one", log=lambda *said: alone.append(said))
    monkeypatch.setattr(workers, "FEW", 0)
    started, popen = [], workers.subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen",
                        lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    evaluate(tmp_path / "two", log=lambda *said: together.append(said), workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)
    assert sorted(map(str, alone)) == sorted(map(str, together))


def test_a_cluster_gives_the_same_bytes_and_says_the_same(evaluate, tmp_path, monkeypatch):
    alone, together, cluster = [], [], pretended()
    evaluate(tmp_path / "one", log=lambda *said: alone.append(said))
    monkeypatch.setattr(workers, "FEW", 0)
    with on(cluster):
        evaluate(tmp_path / "two", log=lambda *said: together.append(said))
    assert len(cluster.ray.asked) > 2
    assert (tmp_path / "two" / "state" / "ground").exists()
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert sorted(map(str, alone)) == sorted(map(str, together))


@pytest.mark.parametrize(("words", "error", "message"), [
    ('echo \'rowgraph adaptation {"error": "ValueError", "message": "roc_auc is undefined"}\'\n'
     "exec sleep 60", ValueError, "roc_auc is undefined"),
    ('echo \'rowgraph adaptation {"error": "KeyError", "message": "laps"}\'\nexec sleep 60',
     RuntimeError, "KeyError: laps"),
    ("echo out of memory >&2\nexit 1", RuntimeError, r"ended with code 1.*memory.*workers to 1")])
def test_what_a_process_dies_of_is_said_and_no_other_goes_on(words, error, message, ground_of,
                                                             tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "FEW", 0)
    script = tmp_path / "worker"
    script.write_text(f"#!/bin/sh\n{words}\n")
    script.chmod(0o755)
    monkeypatch.setattr(workers.sys, "executable", str(script))
    started, popen = [], workers.subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen",
                        lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    ground = ground_of()
    with (pytest.raises(error, match=message),
          workers.Crew(ground, tmp_path, lambda *_: None, 2) as crew):
        crew.do([_training(ground, seed) for seed in (0, 1)])
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def _training(ground, seed):
    return Training("bart_gnn_frozen", seed, 0, 0, 0, 1, (("rolling", 0),))


def test_the_ground_laid_out_as_files_is_the_same_and_holds_no_test_label(
        ground_of, tmp_path, world):
    ground = ground_of(candidates=({"learning_rate": 0.02}, {"aged": True}))
    lay_out(ground, tmp_path / "ground")
    found = read_ground(tmp_path / "ground")
    assert found.settings == ground.settings
    assert found.task.database.val_timestamp == world.database.val_timestamp
    for split in ("train", "val"):
        assert np.array_equal(found.task.labels(split).target, ground.task.labels(split).target)
    assert np.isnan(found.task.test.target).all()
    assert [f.cut for f in found.folds] == [f.cut for f in ground.folds]
    training = _training(ground, 0)
    rows = np.array([3, 0, 3])
    for table in world.graph.node_types:
        assert torch.equal(found.source(training).gather(table, rows),
                           ground.source(training).gather(table, rows))
    twin = dataclasses.replace(training, variant="random_head", bart=None)
    assert torch.equal(found.source(twin).gather("drivers", rows),
                       ground.source(twin).gather("drivers", rows))


def test_each_language_model_has_its_runs_and_random_vectors_have_one_for_all(
        evaluate, tmp_path, world, shared, lab):
    other = BartVectors(RandomTwin(world.store, 77), shared, lab.SAGE)
    first = BartVectors(world.store, shared, lab.SAGE)
    evaluate(tmp_path / "both", vectors={3: first, 8: other})
    evaluate(tmp_path / "one", vectors={3: first})
    both, one = (read_predictions(world.task, tmp_path / n / "predictions.parquet")
                 for n in ("both", "one"))
    assert {r.bart for r in both if r.variant == "bart_head"} == {3, 8}
    assert {r.bart for r in both if r.variant == "random_head"} == {None}
    for run, splits in one.items():  # choices are made with the first
        assert np.array_equal(both[run]["test"], splits["test"])
    run = Run("rolling", "bart_head", 0, 3)
    assert not np.array_equal(both[run]["test"], both[run._replace(bart=8)]["test"])
    assert (tmp_path / "both" / "choices.parquet").read_bytes() == (
        tmp_path / "one" / "choices.parquet").read_bytes()


def test_a_multiclass_task_is_answered_by_distributions(evaluate, tmp_path, multiclass_task):
    summary = evaluate(tmp_path, task=multiclass_task, epochs=4)
    predictions = read_predictions(multiclass_task, tmp_path / "predictions.parquet")
    found = predictions[Run("rolling", "bart_head", 0, 0)]["test"]
    assert found.shape == (len(multiclass_task.test), 3)
    assert found.sum(1) == pytest.approx(np.ones(len(found)))
    assert summary["metric"] == "macro_f1"
    # Every third driver is told by its own row.
    assert summary["results"]["rolling"]["bart_head"] > 1 / 3


def test_a_regression_is_answered_in_the_targets_unit(evaluate, tmp_path, regression_world):
    summary = evaluate(tmp_path, where=regression_world, epochs=4)
    predictions = read_predictions(regression_world.task, tmp_path / "predictions.parquet")
    test = predictions[Run("rolling", "bart_head", 0, 0)]["test"]
    assert 0 < test.mean() < 12
    assert summary["metric"] == "mae"


def test_embeddings_in_memory_are_those_of_the_store(world, monkeypatch):
    inside = held(world.store, world.graph)
    assert isinstance(inside, HeldEmbeddings)
    rows = np.array([3, 0, 3])
    assert (inside.gather("drivers", rows) == world.store.gather("drivers", rows)).all()
    assert inside.num_rows("drivers") == world.store.num_rows("drivers")
    monkeypatch.setattr("rowgraph.adaptation.vectors.HELD_BYTES", 10)
    assert held(world.store, world.graph) is world.store


def test_a_task_without_any_vectors_is_refused(world, lab):
    with pytest.raises(ValueError, match="no row vectors were given"):
        Ground(world.task, world.graph, {}, lab.SETTINGS, "cpu")
