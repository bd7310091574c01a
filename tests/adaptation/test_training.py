import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from rowgraph.adaptation import ground as grounds
from rowgraph.adaptation import training as trainings
from rowgraph.adaptation.ground import FINAL
from rowgraph.adaptation.inputs import Inputs

ROLLING = (("rolling", 8),)


def same(a, b):
    return a.curve == b.curve and a.raw.keys() == b.raw.keys() and all(
        np.array_equal(a.raw[r], b.raw[r]) for r in a.raw)


def test_equal_inputs_give_equal_bits_and_another_seed_does_not(train):
    first = train()
    assert same(first, train())
    assert not same(first, train(seed=1))


def test_the_callers_random_state_is_neither_used_nor_moved(train):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = train("bart_head", log=lambda *_: torch.rand(3))  # nor by what hears of an epoch
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert same(first, train("bart_head"))


def test_one_thread_does_a_training_and_the_callers_number_stays(train):
    first = train("bart_head")
    torch.set_num_threads(2)
    try:
        assert same(first, train("bart_head"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(("name", "moves"), [
    ("bart_gnn_frozen", False), ("random_gnn_frozen", False), ("bart_gnn_finetuned", True)])
def test_training_moves_the_shared_layers_unless_they_are_frozen(name, moves, train, shared,
                                                                 monkeypatch):
    built = []
    build = trainings.build_model
    monkeypatch.setattr(trainings, "build_model",
                        lambda *a: built.append(build(*a)) or built[-1])
    kept = {n: v.clone() for n, v in shared.items()}
    train(name)
    after = built[0].gnn.shared_state_dict()
    assert [torch.equal(after[n], kept[n]) for n in kept] == [not moves] * len(kept)
    assert all(torch.equal(shared[n], kept[n]) for n in kept)  # the caller's weights stay


def test_no_test_label_is_within_reach_of_a_training(ground_of, world):
    ground = ground_of()
    assert np.isnan(ground.task.test.target).all()
    assert np.array_equal(ground.task.known.target, world.task.known.target)


def test_answers_after_an_epoch_are_those_of_a_training_that_ends_there(train):
    longer = train(fold=FINAL, at=(("frozen_db", 2), ("rolling", 3)), epochs=4)
    for regime, epochs in (("frozen_db", 2), ("rolling", 3)):
        alone = train(fold=FINAL, at=((regime, epochs),), epochs=epochs)
        assert np.array_equal(longer.raw[regime], alone.raw[regime])


def test_one_regime_alone_gives_what_it_gives_beside_the_other(train):
    both, one = train(), train(regimes=("rolling",))
    assert list(one.raw) == ["rolling"]
    assert np.array_equal(one.raw["rolling"], both.raw["rolling"])


@pytest.mark.parametrize("sampling", ["latest", "uniform"])
def test_what_is_kept_between_epochs_and_trainings_changes_nothing(sampling, train, ground_of,
                                                                   monkeypatch):
    ground = ground_of(sampling=sampling)
    train("bart_gnn_frozen", ground=ground)
    after_another = train(ground=ground)
    monkeypatch.setattr(grounds, "Inputs", lambda *a: Inputs(*a, room=0))
    assert same(after_another, train(sampling=sampling))


def test_with_uniform_sampling_epochs_and_seeds_draw_neighbours_anew(ground_of):
    ground = ground_of(sampling="uniform")
    view = ground.scored(1)
    draws = {(seed, *what): ground.inputs._draw(seed, *what)
             for seed in (0, 1) for what in (("train", 0), ("train", 1), ("evaluation",))}
    assert len(set(draws.values())) == len(draws)
    assert len(view) == len(ground.task.val)


def test_each_entity_is_represented_once_for_each_time_it_is_asked_about(ground_of):
    ground = ground_of()
    view = ground.asked(training(ground))["frozen_db"]
    batches, place = ground.inputs.distinct(view, 0, True)
    rows = np.concatenate([b.rows for b in batches])
    drivers = len(np.unique(view.labels.rows))
    assert len(rows) == 2 * drivers  # those of the first date see it in part, all others whole
    assert len(place) == len(view.labels) == 5 * drivers
    heard = rows[place] >= 0
    assert np.array_equal(rows[place][heard], view.labels.rows[heard])


def training(ground):
    return grounds.Training("bart_gnn_finetuned", 0, 0, 0, len(ground.folds) - 1, 1,
                            (("frozen_db", 0), ("rolling", 0)))


def test_regimes_that_see_the_same_share_their_answers(train):
    done = train("bart_gnn_static")
    assert np.array_equal(done.raw["frozen_db"], done.raw["rolling"])
    final = train("bart_gnn_static", fold=FINAL)
    assert not np.array_equal(final.raw["frozen_db"], final.raw["rolling"])


def test_only_the_newest_training_rows_are_fitted_when_a_number_is_set(train, ground_of):
    ground = ground_of(train_rows=100)
    fit = ground.fit(training(ground))
    assert len(fit.labels) == 100
    assert fit.labels.times.min() >= np.sort(ground.task.train.times)[-100]
    assert not same(train(ground=ground), train())


def test_aged_rows_see_no_more_than_fresh_ones(ground_of):
    ground = ground_of(candidates=({}, {"aged": True}))
    fresh, old = (ground.fit(dataclasses.replace(training(ground), candidate=c)) for c in (0, 1))
    assert np.array_equal(fresh.before, fresh.labels.times)
    assert (old.before <= fresh.before).all()
    assert (old.before < fresh.before).any()


def test_progress_names_variant_and_seed_once_an_epoch(train):
    seen = []
    train("bart_head", log=lambda step, metrics: seen.append((step, metrics)))
    assert [step for step, _ in seen] == [1, 2]
    assert "bart_head/seed0/val_roc_auc_frozen_db" in seen[0][1]
    assert "bart_head/seed0/train_loss" in seen[0][1]


def on_test(done, world):
    return roc_auc_score(world.task.test.target, done.raw["rolling"])


def test_the_graph_finds_a_signal_that_the_entity_row_does_not_have(train, world):
    settings = {"epochs": 8, "fan_out": (1, 1), "dropout": 0.0}
    assert on_test(train(fold=FINAL, at=ROLLING, **settings), world) > 0.85
    assert on_test(train("bart_head", fold=FINAL, at=ROLLING, **settings), world) < 0.65


def test_random_labels_stay_at_chance(train, lab, tmp_path):
    where = lab.build_world(tmp_path / "db", lab.frames(random_labels=True))
    done = train(where=where, fold=FINAL, at=ROLLING, epochs=8, fan_out=(1, 1), dropout=0.0)
    assert 0.38 < on_test(done, where) < 0.62


def test_a_training_that_diverges_is_no_result(train, world):
    huge = dataclasses.replace(world, task=world.task, store=Huge(world.store))
    with pytest.raises(ValueError, match=r"(?s)not finite.*diverged"):
        train(where=huge, learning_rate=1.0)


class Huge:
    """Vectors that no network survives."""

    def __init__(self, store):
        self.store, self.dim, self.num_rows = store, store.dim, store.num_rows

    def gather(self, table, rows):
        return self.store.gather(table, rows) * 1e38


def test_validation_labels_of_one_class_are_no_choice(train, world):
    ones = dataclasses.replace(world.task.val, target=np.ones(len(world.task.val)))
    with pytest.raises(ValueError, match="roc_auc is undefined"):
        train("bart_head", task=dataclasses.replace(world.task, val=ones))
