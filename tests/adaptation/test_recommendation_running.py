"""A recommendation task as a whole: choices, predictions, the canary, and starting again."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation.recommendation import fitting, trainings
from rowgraph.adaptation.recommendation.fitting import HYBRIDS, IDENTITY, TOWERS
from rowgraph.adaptation.running import run_task
from rowgraph.artifacts import Draft
from rowgraph.databases.database import Database
from rowgraph.side_by_side import on
from rowgraph.tasks.label_tables import Destinations
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import read_predictions
from tests.pretended_ray import pretended
from tests.worlds import shops

QUICK = shops.SETTINGS.model_copy(update={"epochs": 1, "seeds": (0,)})
FILES = ("predictions.parquet", "choices.parquet", "curves.parquet")


def quiet(step, metrics, of=None):
    pass


def run(folder, task, settings=QUICK, log=quiet):
    draft = Draft(folder)
    folder.mkdir(exist_ok=True)
    summary = run_task(task, *shops.made_of(task), settings, draft, device="cpu", log=log)
    return draft, summary


def recommended(folder, task, settings=QUICK):
    draft, _ = run(folder, task, settings)
    return read_predictions(task, draft.path("predictions.parquet"))


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[run][split], other[run][split])
               for run in one for split in one[run])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return shops.build(tmp_path_factory.mktemp("shop") / "db", shops.frames())


@pytest.fixture(scope="module")
def learnt(shop, tmp_path_factory):
    settings = shops.SETTINGS.model_copy(update={
        "epochs": 8, "seeds": (0,), "variants": ("bart_gnn_scratch", "bart_head")})
    return run(tmp_path_factory.mktemp("learnt"), shop, settings)


def popularity(task):
    """MAP on validation of what was bought most before it."""
    rows = np.concatenate([task.train.target.rows])
    best = np.argsort(-np.bincount(rows, minlength=14), kind="stable")[:task.eval_k]
    return measure("map", task.val.target, np.tile(best, (len(task.val), 1)), np.empty(0))


def test_both_models_beat_popularity_where_each_shopper_has_favourites(shop, learnt):
    draft, summary = learnt
    scores = pl.read_parquet(draft.path("choices.parquet")).filter(
        (pl.col("regime") == "rolling") & (pl.col("fold") == summary["folds"][-1])
        & (pl.col("model") == "bart_gnn_scratch"))
    best = {name: scores.filter(pl.col("candidate") == name)["value"].max()
            for name in (TOWERS, IDENTITY, *HYBRIDS)}
    assert best[TOWERS] > popularity(shop) + 0.02
    assert best[IDENTITY] > popularity(shop) + 0.2, "it knows the pair's past"
    assert min(best[name] for name in HYBRIDS) > popularity(shop) + 0.2
    assert summary["results"]["rolling"]["bart_gnn_scratch"] > 0.5


def test_a_model_without_a_graph_is_asked_for_towers_alone(learnt):
    scores = pl.read_parquet(learnt[0].path("choices.parquet"))
    assert set(scores.filter(pl.col("model") == "bart_head")["candidate"]) == {TOWERS}
    assert set(scores["candidate"]) == {TOWERS, IDENTITY, *HYBRIDS}


def test_the_choice_is_an_artifact_and_its_curves_are_told(shop, learnt):
    draft, summary = learnt
    for regime in ("frozen_db", "rolling"):
        chosen = pl.read_parquet(draft.path("choices.parquet")).filter(
            pl.col("chosen") & (pl.col("regime") == regime)
            & (pl.col("model") == "bart_gnn_scratch"))
        assert chosen["fold"].to_list() == summary["folds"]
        said = summary["chosen"][regime]["bart_gnn_scratch"]
        assert set(chosen["candidate"]) == {said["candidate"]}
        assert set(chosen["step"]) == {said["epochs"]}
    curves = pl.read_parquet(draft.path("curves.parquet"))
    loss = curves.filter((pl.col("metric") == "loss") & (pl.col("variant") == "bart_gnn_scratch"))
    assert loss["epoch"].to_list() == list(range(1, len(loss) + 1))
    assert loss["value"][-1] < loss["value"][0]
    assert set(curves["split"]) == {"train", "val"}


def test_recommendations_existed_at_their_seed_and_none_comes_twice(shop, learnt):
    found = read_predictions(shop, learnt[0].path("predictions.parquet"))
    released = shops.frames()["products"]["released"].to_numpy()
    for splits in found.values():
        for split, rows in splits.items():
            labels = shop.labels(split)
            assert rows.shape == (len(labels), shops.EVAL_K)
            there = (rows < 0) | (released[rows] < labels.times[:, None])
            assert there.all()
            for row in rows:
                assert len(set(row.tolist())) == len(row)


def test_equal_settings_give_equal_bytes_and_another_seed_does_not(shop, tmp_path):
    settings = shops.SETTINGS.model_copy(update={"epochs": 2})
    one, other = (run(tmp_path / name, shop, settings)[0] for name in "ab")
    for name in FILES:
        assert one.path(name).read_bytes() == other.path(name).read_bytes()
    found = read_predictions(shop, one.path("predictions.parquet"))
    first, second = (next(s for r, s in found.items() if r.seed == seed) for seed in (0, 1))
    assert not np.array_equal(first["test"], second["test"])


def test_what_was_finished_is_not_done_again(shop, tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", shop)[0].path("predictions.parquet").read_bytes()
    finished = []

    def stopping(step, metrics, of=None):
        if "trainings" in metrics:
            finished.append(step)
            if len(finished) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "again", shop, log=stopping)
    begun = []
    fit = fitting.Fitting.run
    monkeypatch.setattr(fitting.Fitting, "run",
                        lambda self, *a: begun.append(self.fit.name) or fit(self, *a))
    draft, _ = run(tmp_path / "again", shop)
    assert draft.path("predictions.parquet").read_bytes() == whole
    assert len(begun) == 1, "of two folds and a final fit"


def test_a_cluster_gives_the_same_bytes_and_says_the_same(shop, tmp_path):
    settings = QUICK.model_copy(update={"variants": ("bart_gnn_scratch", "random_head")})
    alone, together, cluster = [], [], pretended()
    one, _ = run(tmp_path / "one", shop, settings, log=lambda *said: alone.append(said))
    with on(cluster):
        two, _ = run(tmp_path / "two", shop, settings, log=lambda *said: together.append(said))
    assert len(cluster.ray.asked) == len(list((tmp_path / "two" / "state").glob("*.json")))
    for name in FILES:
        assert one.path(name).read_bytes() == two.path(name).read_bytes()
    assert sorted(map(str, alone)) == sorted(map(str, together))


def test_nothing_dated_at_or_after_a_seed_reaches_its_recommendations(tmp_path):
    tables = shops.frames()
    plain = shops.build(tmp_path / "plain", tables)
    told = recommended(tmp_path / "a", plain)
    later = shops.corrupted(tables, start=shops.TEST)
    assert same(told, _of_same_labels(tmp_path / "b", later, plain))


def test_the_control_differs_where_the_past_is_corrupted(tmp_path):
    tables = shops.frames()
    plain = shops.build(tmp_path / "plain", tables)
    earlier = shops.corrupted(tables, start=int(shops.SEED_DATES[5]), end=shops.VAL)
    assert not same(recommended(tmp_path / "a", plain),
                    _of_same_labels(tmp_path / "b", earlier, plain))


def _of_same_labels(folder, tables, plain):
    """Recommendations in another world, as if its rows had the plain world's targets to compare."""
    other = shops.build(folder / "db", tables)
    draft, _ = run(folder / "run", other)
    found = read_predictions(other, draft.path("predictions.parquet"))
    assert np.array_equal(other.test.rows, plain.test.rows)
    return found


def test_a_foreign_key_is_recommended_to_its_own_row(shop, tmp_path):
    task = load_task(Database.open(shop.database.folder), "purchases-shopper")
    newest = {s: task.labels(s).newest(60) for s in ("train", "val", "test")}
    task = dataclasses.replace(task, **newest)
    assert not any("shopper_id" in e[1] for e in shops.made_of(task)[0].edge_types
                   if "purchases" in e)
    draft, summary = run(tmp_path / "run", task,
                         QUICK.model_copy(update={"regimes": ("rolling", "frozen_db")}))
    found = read_predictions(task, draft.path("predictions.parquet"))
    assert {r.regime for r in found} == {"rolling", "frozen_db"}
    rows = next(iter(found.values()))["test"]
    assert (rows >= 0).all(), "thirty shoppers can be recommended"
    assert set(summary["chosen"]) == {"rolling", "frozen_db"}


def test_short_lists_are_padded_and_rows_without_destinations_do_not_count(shop, tmp_path):
    wide = dataclasses.replace(shop, eval_k=20)
    empty = [np.empty(0, int) if i % 3 else shop.val.target.of_row(i) for i in range(len(shop.val))]
    wide = dataclasses.replace(wide, val=dataclasses.replace(shop.val,
                                                             target=Destinations.of(empty)))
    found = recommended(tmp_path / "run", wide)
    rows = next(iter(found.values()))["test"]
    assert ((rows >= 0).sum(1) == 12).all(), "of fourteen products twelve were there"
    assert (rows[:, 12:] == -1).all()


def test_random_vectors_have_one_run_for_all_language_models(shop, tmp_path):
    graph, vectors = shops.made_of(shop)
    settings = QUICK.model_copy(update={"variants": ("random_head", "bart_head")})
    draft = Draft(tmp_path)
    run_task(shop, graph, {7: vectors[0], 8: vectors[0]}, settings, draft, device="cpu", log=quiet)
    runs = read_predictions(shop, draft.path("predictions.parquet"))
    assert {(r.variant, r.bart) for r in runs} == {
        ("random_head", None), ("bart_head", 7), ("bart_head", 8)}


def test_the_static_variant_reads_what_its_test_rows_may_not_miss(shop, tmp_path):
    found = recommended(tmp_path, shop, QUICK.model_copy(
        update={"variants": ("bart_gnn_static",)}))
    assert {r.variant for r in found} == {"bart_gnn_static"}


def test_a_variant_that_trains_the_language_model_is_refused(shop, tmp_path):
    with pytest.raises(ValueError, match="bart_gnn_joint is trained on labels of single rows"):
        run(tmp_path, shop, QUICK.model_copy(update={"variants": ("bart_gnn_joint",)}))


def test_epochs_are_no_more_than_a_training_needs(shop, monkeypatch):
    graph, vectors = shops.made_of(shop)
    ground = trainings.Ground(shop, graph, vectors, shops.SETTINGS.model_copy(
        update={"epochs": 40}), "cpu")
    assert ground.steps()[-1] == -(-trainings.STEPS // 9)
    few = trainings.Ground(shop, graph, vectors, QUICK, "cpu")
    assert few.steps() == (1,)


def test_without_vectors_it_is_said_who_should_make_them(shop, tmp_path):
    graph, _ = shops.made_of(shop)
    with pytest.raises(ValueError, match="shopper-product: no row vectors"):
        run_task(shop, graph, {}, QUICK, Draft(tmp_path), device="cpu", log=quiet)
