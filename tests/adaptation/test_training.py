import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from rowgraph.adaptation import training as adaptation
from rowgraph.adaptation.ablation import HeldEmbeddings
from rowgraph.adaptation.training import adapt
from rowgraph.adaptation.variants import variant


@pytest.fixture
def run(world, shared, lab):
    """Adapt in the world, with some settings changed."""

    def run(name="bart_gnn_finetuned", seed=0, task=None, log=lambda *_: None, where=world,
            **changes):
        return adapt(task or where.task, where.graph, HeldEmbeddings(where.store, where.graph),
                     shared, variant(name), lab.SETTINGS.model_copy(update=changes), lab.SAGE,
                     seed, device="cpu", log=log)

    return run


def same(a, b):
    return (a.epoch == b.epoch and a.validation == b.validation and a.curve == b.curve
            and all(np.array_equal(a.predictions[r][s], b.predictions[r][s])
                    for r in a.predictions for s in ("val", "test")))


def test_equal_inputs_give_equal_bits_and_another_seed_does_not(run):
    first = run()
    assert same(first, run())
    assert not same(first, run(seed=1))


def test_the_callers_random_state_is_neither_used_nor_moved(run):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = run("bart_head")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert same(first, run("bart_head"))


@pytest.mark.parametrize(("name", "moves"), [
    ("bart_gnn_frozen", False), ("random_gnn_frozen", False), ("bart_gnn_finetuned", True)])
def test_training_moves_the_shared_layers_unless_they_are_frozen(name, moves, run, shared,
                                                                 monkeypatch):
    built = []
    build = adaptation.build_model
    monkeypatch.setattr(adaptation, "build_model",
                        lambda *a: built.append(build(*a)) or built[-1])
    kept = {n: v.clone() for n, v in shared.items()}
    run(name)
    after = built[0].gnn.shared_state_dict()
    assert [torch.equal(after[n], kept[n]) for n in kept] == [not moves] * len(kept)
    assert all(torch.equal(shared[n], kept[n]) for n in kept)  # the caller's weights stay


def test_nothing_about_the_test_labels_reaches_training_or_choice(run, world):
    test = world.task.test
    other = dataclasses.replace(world.task, test=dataclasses.replace(test, target=1 - test.target))
    assert same(run(), run(task=other))


@pytest.mark.parametrize("name", ["bart_gnn_finetuned", "bart_head"])
def test_each_regime_keeps_the_first_epoch_that_is_best_on_its_own_validation(name, run):
    done = run(name, epochs=5)
    for regime in ("frozen_db", "rolling"):
        curve = [row["value"] for row in done.curve
                 if (row["split"], row["regime"], row["metric"]) == ("val", regime, "roc_auc")]
        assert len(curve) == 5
        assert done.validation[regime] == max(curve)
        assert done.epoch[regime] == curve.index(max(curve))


def test_the_kept_weights_are_those_of_the_kept_epoch(run, world):
    """Training only as long as the kept epoch gives the same predictions."""
    done = run(epochs=6, learning_rate=0.05)
    assert min(done.epoch.values()) < 5
    for regime, epoch in done.epoch.items():
        shorter = run(epochs=epoch + 1, learning_rate=0.05)
        assert np.array_equal(shorter.predictions[regime]["test"],
                              done.predictions[regime]["test"])
        assert roc_auc_score(world.task.val.target, done.predictions[regime]["val"]) == (
            done.validation[regime])


def test_of_equal_epochs_the_first_is_kept(run):
    assert set(run("bart_head", epochs=3, learning_rate=1e-30).epoch.values()) == {0}


def test_a_regression_keeps_the_epoch_with_the_smallest_error(run, regression_world):
    done = run("bart_head", where=regression_world, epochs=4)
    curve = [row["value"] for row in done.curve
             if (row["split"], row["regime"], row["metric"]) == ("val", "rolling", "mae")]
    assert done.validation["rolling"] == min(curve)
    test = done.predictions["rolling"]["test"]
    assert 0 < test.mean() < 12  # in the target's unit, not in deviations


def test_regimes_that_see_the_same_share_their_validation(run):
    done = run("bart_gnn_static")
    assert np.array_equal(done.predictions["frozen_db"]["val"], done.predictions["rolling"]["val"])
    assert not np.array_equal(done.predictions["frozen_db"]["test"],
                              done.predictions["rolling"]["test"])


def test_only_the_newest_training_rows_are_fitted_when_a_number_is_set(run, world):
    newest = world.task.train.newest(100)
    assert same(run(train_rows=100), run(task=dataclasses.replace(world.task, train=newest)))
    assert not same(run(train_rows=100), run())


def test_one_regime_alone_gives_what_it_gives_beside_the_other(run):
    both, one = run(), run(regimes=("rolling",))
    assert list(one.predictions) == ["rolling"]
    assert np.array_equal(one.predictions["rolling"]["test"], both.predictions["rolling"]["test"])


def test_progress_names_variant_and_seed_once_an_epoch(run):
    seen = []
    run("bart_head", log=lambda step, metrics: seen.append((step, metrics)))
    assert [step for step, _ in seen] == [0, 1]
    assert "bart_head/seed0/val_roc_auc_frozen_db" in seen[0][1]
    assert "bart_head/seed0/train_loss" in seen[0][1]


def test_the_graph_finds_a_signal_that_the_entity_row_does_not_have(run, lab, world):
    settings = {"epochs": 8, "fan_out": (1, 1), "dropout": 0.0}
    target = world.task.test.target
    graph = run(**settings).predictions["rolling"]["test"]
    head = run("bart_head", **settings).predictions["rolling"]["test"]
    assert roc_auc_score(target, graph) > 0.85
    assert roc_auc_score(target, head) < 0.65


def test_random_labels_stay_at_chance(run, lab, tmp_path):
    where = lab.build_world(tmp_path / "db", lab.frames(random_labels=True))
    done = run(where=where, epochs=8, fan_out=(1, 1), dropout=0.0)
    assert 0.38 < roc_auc_score(where.task.test.target, done.predictions["rolling"]["test"]) < 0.62


def test_a_training_that_diverges_is_no_result(run):
    with pytest.raises(ValueError, match="the model has diverged: lower"):
        run(learning_rate=1e30)


def test_validation_labels_of_one_class_are_no_choice(run, world):
    ones = dataclasses.replace(world.task.val, target=np.ones(len(world.task.val)))
    with pytest.raises(ValueError, match="roc_auc is undefined"):
        run("bart_head", task=dataclasses.replace(world.task, val=ones))
