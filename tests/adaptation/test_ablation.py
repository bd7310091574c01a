import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation import ablation as evaluation
from rowgraph.adaptation.ablation import HeldEmbeddings, held, run_task
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.artifacts import Draft
from rowgraph.embeddings import RandomTwin

FILES = ("metrics.parquet", "predictions.parquet", "curves.parquet")
VARIANTS = ("bart_gnn_frozen", "bart_head", "random_head")


@pytest.fixture
def settings(lab) -> DownstreamMetricsSettings:
    return lab.SETTINGS.model_copy(update={"variants": VARIANTS, "epochs": 1})


@pytest.fixture
def evaluate(world, shared, lab, settings):
    def evaluate(folder, log=lambda *_: None):
        folder.mkdir(exist_ok=True)
        return run_task(world.task, world.graph, world.store, shared, settings, lab.SAGE,
                        Draft(folder), device="cpu", log=log)

    return evaluate


def content(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_every_variant_regime_and_seed_is_scored_and_kept(evaluate, tmp_path, world):
    summary = evaluate(tmp_path)
    metrics = pl.read_parquet(tmp_path / "metrics.parquet")
    keys = {(r, v) for r in ("frozen_db", "rolling") for v in VARIANTS}
    assert set(metrics.select("regime", "variant").iter_rows()) == keys
    assert metrics["seeds"].unique().to_list() == [2]
    predictions = pl.read_parquet(tmp_path / "predictions.parquet")
    assert len(predictions) == 2 * len(keys) * (len(world.task.val) + len(world.task.test))
    curves = pl.read_parquet(tmp_path / "curves.parquet")
    assert set(curves.select("variant", "seed").iter_rows()) == {(v, s) for v in VARIANTS
                                                                 for s in (0, 1)}
    primary = metrics.filter(regime="rolling", variant="bart_head", metric="roc_auc")["mean"]
    assert summary["results"]["rolling"]["bart_head"] == primary.item()
    assert summary["metric"] == "roc_auc"


def test_the_same_task_gives_the_same_bytes(evaluate, tmp_path):
    evaluate(tmp_path / "a")
    evaluate(tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_an_interrupted_run_does_not_repeat_finished_trainings_and_ends_alike(
        evaluate, tmp_path, monkeypatch):
    evaluate(tmp_path / "whole")
    trained = []
    adapt = evaluation.adapt

    def counted(*arguments, **keywords):
        trained.append((arguments[4].name, arguments[7]))
        return adapt(*arguments, **keywords)

    def interrupt(step, metrics):
        if any(name.startswith("bart_head/seed1") for name in metrics):
            raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "adapt", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path / "parts", log=interrupt)
    done = list(trained)
    assert done[-1] == ("bart_head", 1)
    trained.clear()
    evaluate(tmp_path / "parts")
    assert trained == [("bart_head", 1), ("random_head", 1)]
    assert len(set(done + trained)) == len(VARIANTS) * 2
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_predictions_without_their_last_file_count_as_unfinished(evaluate, tmp_path):
    evaluate(tmp_path)
    path = tmp_path / "state" / "bart_head-0"
    assert evaluation.load_adaptation(path) is not None
    path.with_name("bart_head-0.json").unlink()
    assert evaluation.load_adaptation(path) is None


def test_random_variants_get_another_twin_for_each_seed(evaluate, tmp_path, monkeypatch, world):
    drawn = []
    twin = RandomTwin
    monkeypatch.setattr(evaluation, "RandomTwin",
                        lambda store, seed: drawn.append(seed) or twin(store, seed))
    evaluate(tmp_path)
    assert drawn == [0, 1]


def test_embeddings_in_memory_are_those_of_the_store(world, monkeypatch):
    inside = held(world.store, world.graph)
    assert isinstance(inside, HeldEmbeddings)
    rows = np.array([3, 0, 3])
    assert (inside.gather("drivers", rows) == world.store.gather("drivers", rows)).all()
    assert inside.num_rows("drivers") == world.store.num_rows("drivers")
    monkeypatch.setattr(evaluation, "HELD_BYTES", 10)
    assert held(world.store, world.graph) is world.store
