"""RowGraph's own model of recommendations: every part, the blend, and what nobody may see."""

import dataclasses
import uuid

import numpy as np
import polars as pl
import pytest

from rowgraph import kept
from rowgraph.adaptation.hybrid.blending import MOVES
from rowgraph.adaptation.hybrid.both_ends import BothEnds
from rowgraph.adaptation.hybrid.listwise import fit_listwise, listwise
from rowgraph.adaptation.hybrid.pair_attempts import PairAttempt, PairModels
from rowgraph.adaptation.hybrid.pair_models import by_place
from rowgraph.adaptation.hybrid.ranked_blend import Ranked, mix_ranked
from rowgraph.adaptation.hybrid.running import NAME, run_rowgraph
from rowgraph.adaptation.hybrid.vectors import UNTRAINED
from rowgraph.adaptation.recommendation.exams import Exams
from rowgraph.artifacts import Draft
from rowgraph.databases.database import Database
from rowgraph.side_by_side import on
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Destinations, LabelTable
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import read_predictions
from tests.pretended_ray import pretended
from tests.worlds import shops

FILES = ("choices.parquet", "mixtures.parquet", "predictions.parquet")
STANDING = {NAME, "rowgraph_untrained", "rowgraph_own_past", "rowgraph_trees",
            "rowgraph_pretrained"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return shops.build(tmp_path_factory.mktemp("shop") / "db", shops.frames())


@pytest.fixture(scope="module")
def shop_ground(shop, hybrid_ground):
    return hybrid_ground(shop)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    def run(ground):
        draft = Draft(tmp_path_factory.mktemp("ranked"))
        summary = run_rowgraph(ground, draft.folder, draft, log=lambda *_: None)
        return draft.folder, read_predictions(ground.task,
                                              draft.folder / "predictions.parquet"), summary

    return run


@pytest.fixture(scope="module")
def shop_ran(shop_ground, ranked):
    return ranked(shop_ground)


def test_every_part_and_the_blend_recommend_under_every_regime(shop, shop_ran):
    folder, predictions, summary = shop_ran
    assert {run.variant for run in predictions} == STANDING
    assert {run.regime for run in predictions} == {"frozen_db", "rolling"}
    assert {run.seed for run in predictions if run.variant == NAME} == {0, 1}
    for splits in predictions.values():
        for split in ("val", "test"):
            assert splits[split].shape == (len(shop.labels(split)), shops.EVAL_K)
    parts = {"untrained", "own_past", "windows", "trees", "history"}
    for _, mixture in pl.read_parquet(folder / "mixtures.parquet").group_by("regime"):
        assert set(mixture["part"]) == parts
        np.testing.assert_allclose(mixture["weight"].sum(), 1)
    assert set(summary["chosen"]["rolling"]) == parts | {"pretrained"}


def test_nothing_is_recommended_that_did_not_exist(shop, shop_ran):
    _, predictions, _ = shop_ran
    exists = shop.database.times("products")
    for splits in predictions.values():
        for split in ("val", "test"):
            found = splits[split]
            seen = np.broadcast_to(shop.labels(split).times[:, None], found.shape)
            assert (exists[found[found >= 0]] < seen[found >= 0]).all()


def test_favourites_that_nobody_else_shares_are_found(shop, shop_ran):
    _, predictions, _ = shop_ran
    counts = np.bincount(shop.train.target.rows, minlength=shops.PRODUCTS)
    popular = np.tile(np.argsort(-counts, kind="stable")[:shops.EVAL_K], (len(shop.test), 1))
    for run, splits in predictions.items():
        if run.variant == NAME:
            reached, beaten = (measure("map", shop.test.target, found, shop.train.target)
                               for found in (splits["test"], popular))
            assert reached > beaten + 0.1


def test_test_labels_choose_nothing_and_equal_settings_give_equal_bytes(shop, shop_ground,
                                                                        shop_ran, ranked):
    folder, predictions, _ = shop_ran
    turned = shop.test.target[np.arange(len(shop.test))[::-1]]
    other = dataclasses.replace(shop, test=LabelTable(shop.test.rows, shop.test.times, turned))
    again, found, _ = ranked(dataclasses.replace(shop_ground, task=other))
    same, _, _ = ranked(shop_ground)
    for file in ("choices.parquet", "mixtures.parquet"):
        assert (folder / file).read_bytes() == (again / file).read_bytes()
    assert (folder / "predictions.parquet").read_bytes() == (
        same / "predictions.parquet").read_bytes()
    for run, splits in predictions.items():
        np.testing.assert_array_equal(splits["test"], found[run]["test"])


def test_on_a_cluster_of_workers_that_know_nothing_the_bytes_are_the_same(shop_ground, shop_ran,
                                                                           ranked):
    folder, _, summary = shop_ran
    cluster = pretended(before=kept.forget)
    with on(cluster):
        other, _, again = ranked(dataclasses.replace(shop_ground, token=uuid.uuid4().hex))
    assert len(cluster.ray.asked) > 20
    assert {options["num_cpus"] for options in cluster.ray.asked} == {1}
    assert again == summary
    for file in FILES:
        assert (folder / file).read_bytes() == (other / file).read_bytes()
    assert kept._KEPT == {}, "nothing is held after"


def test_an_interrupted_run_goes_on_with_what_was_answered(shop_ground, shop_ran, tmp_path,
                                                           monkeypatch):
    class Interrupted(Exception):
        pass

    def stop(step, values, total=None):
        if any("trees" in name for name in values):
            raise Interrupted

    draft = Draft(tmp_path)
    with pytest.raises(Interrupted):
        run_rowgraph(shop_ground, tmp_path, draft, log=stop)
    done = {path: path.stat().st_mtime_ns for path in draft.state.iterdir()}
    answered, answers = [], PairModels.answers
    monkeypatch.setattr(PairModels, "answers", lambda models, one: (
        answered.append(one.file), answers(models, one))[1])
    run_rowgraph(shop_ground, tmp_path, draft, log=lambda *_: None)
    assert {path.name for path in done}.isdisjoint(answered)
    assert len({path.name.split("_")[0] for path in done}) > 3, "parts"
    assert {path: path.stat().st_mtime_ns for path in done} == done
    for file in FILES:
        assert (shop_ran[0] / file).read_bytes() == (tmp_path / file).read_bytes()


def test_what_lies_at_or_after_the_seeds_moves_nothing(tmp_path, shop_ran, hybrid_ground, ranked):
    _, predictions, _ = shop_ran
    other = shops.build(tmp_path / "db", shops.corrupted(shops.frames(), start=shops.TEST))
    _, found, _ = ranked(hybrid_ground(other))
    for run, splits in predictions.items():
        np.testing.assert_array_equal(splits["test"], found[run]["test"])
        np.testing.assert_array_equal(splits["val"], found[run]["val"])


def test_a_foreign_key_of_one_row_is_a_recommendation_without_a_history(shop, hybrid_ground,
                                                                        ranked):
    task = load_task(Database.open(shop.database.folder), "purchases-shopper")
    folder, predictions, _ = ranked(hybrid_ground(
        task, parts=("own_past", "trees", "history"), beside=(), seeds=(0,)))
    assert {run.variant for run in predictions} == {NAME, "rowgraph_own_past", "rowgraph_trees"}
    assert "history" not in pl.read_parquet(folder / "mixtures.parquet")["part"].to_list()


def test_a_task_none_of_whose_parts_answers_says_so(shop, shop_ground, tmp_path):
    settings = shop_ground.settings.model_copy(update={"parts": ("finetuned",), "beside": ()})
    with pytest.raises(ValueError, match="name trees or windows among them"):
        run_rowgraph(dataclasses.replace(shop_ground, settings=settings), tmp_path,
                     Draft(tmp_path), log=lambda *_: None)


def test_a_destination_is_seen_no_later_than_its_seed(shop, shop_ground):
    vectors, ends = shop_ground.vectors(), BothEnds(shop, shop_ground.vectors)
    exam = Exams(shop, shop_ground.settings).test
    labels = shop.train.take(np.array([0, len(shop.train) - 1]))
    view = View("two", labels, labels.times)
    row = np.array([3, 3])
    found = ends.destinations(UNTRAINED, exam, 0, view, np.arange(2), row)
    weights = vectors.weights(UNTRAINED, exam, 0)
    for k in range(2):
        batch = vectors.seen("products", row[:1], labels.times[k:k + 1], np.zeros(1, np.int64),
                             False)
        alone = weights.encoder(batch, vectors.names, weights.corrections).detach().numpy()
        np.testing.assert_allclose(found[k], alone[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(found[0], found[1])


def test_parts_without_vectors_need_none_of_the_profiles_device(shop, shop_ground):
    models = PairModels(dataclasses.replace(shop_ground, device="cuda:7"))
    try:
        plain = [model for model in models.asked_for() if not models.encodes(model.name)]
        assert {model.name for model in plain} == {"windows", "trees", "history"}
        for model in plain:
            one, = models.answers(PairAttempt(
                model.name, model.candidates()[0], "test", "rolling", 0, model.steps[-1:], True))
            assert np.isfinite(one).all()
    finally:
        kept.forget()


def test_vectors_of_a_view_are_the_same_bits_whatever_was_asked_before(shop, shop_ground):
    exam, count = Exams(shop, shop_ground.settings).test, len(shop.train)
    few, all_of = (View(str(n), shop.train.take(at), shop.train.times[at]) for n, at in enumerate(
        (np.arange(count - 1), np.arange(count))))

    def both(ends, view):
        rows = np.arange(len(view.labels)) % shops.PRODUCTS
        return np.hstack([
            ends.sources(UNTRAINED, exam, 0, view),
            ends.destinations(UNTRAINED, exam, 0, view, np.arange(len(rows)), rows)])

    used = BothEnds(shop, shop_ground.vectors)
    both(used, few)
    np.testing.assert_array_equal(both(used, all_of),
                                  both(BothEnds(shop, shop_ground.vectors), all_of))


def test_the_slope_of_the_listwise_loss_is_what_differences_say():
    random = np.random.default_rng(0)
    seed, true = np.array([0, 0, 0, 2, 2, 3, 3]), np.array([1, 0, 1, 0, 1, 0, 0], bool)
    score = random.standard_normal(7)
    _, slope = listwise(score, seed, true)
    for k in range(7):
        step = np.zeros(7)
        step[k] = 1e-6
        difference = listwise(score + step, seed, true)[0] - listwise(score - step, seed, true)[0]
        np.testing.assert_allclose(slope[k], difference / 2e-6, atol=1e-8)


def test_a_listwise_model_finds_the_feature_that_decides():
    random = np.random.default_rng(1)
    seed = np.repeat(np.arange(60), 5)
    features = random.standard_normal((300, 6)).astype(np.float32)
    best = features[:, 2].reshape(60, 5).argmax(1) + 5 * np.arange(60)
    true = np.isin(np.arange(300), best)
    path = fit_listwise([features[:, :3], features[:, 3:]], seed, true)
    score = path.scores([features[:, :3], features[:, 3:]], [2])[0]
    assert (score.reshape(60, 5).argmax(1) + 5 * np.arange(60) == best).mean() > 0.9


def test_places_on_a_list_are_scores_and_what_is_not_on_it_is_last():
    candidates = Destinations(np.array([0, 3, 5]), np.array([1, 4, 6, 0, 4]))
    score = by_place(candidates, np.array([[6, 1, 9], [4, -1, -1]]))
    assert score[2] > score[0] > score[1]
    assert score[4] > score[3]


def test_a_blend_starts_equal_and_moves_to_the_part_that_knows(shop):
    random = np.random.default_rng(2)
    folds = []
    for fold in range(6):
        candidates = Destinations(np.arange(0, 81, 8), np.tile(np.arange(8), 10))
        hit = random.integers(0, 8, 10)
        knows = (np.tile(np.arange(8), 10) == np.repeat(hit, 8)).astype(float)
        guesses = 9 * random.standard_normal(80)
        folds.append(Ranked(candidates, {"knows": knows, "guesses": guesses},
                            Destinations(np.arange(11), hit), np.full(10, fold)))
    moved = mix_ranked(shop, folds)
    assert moved.weights["knows"] > 0.8
    assert moved.move in MOVES[1:]
    one_date = mix_ranked(shop, folds[:1])
    assert one_date.move == 0
    assert one_date.weights == {"knows": 0.5, "guesses": 0.5}
