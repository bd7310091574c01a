import dataclasses

import numpy as np
import polars as pl
import pytest
import sklearn.metrics as skm
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.evaluation.scoring import prediction_rows, score_rows, weighted
from rowgraph.resampling import resample_weights
from rowgraph.tasks.metrics import measure

BINARY = ("roc_auc", "average_precision", "precision", "accuracy", "f1")
TRAIN = np.array([1.0, 2.0, 4.0])


def reference(metric, target, prediction):
    """Scikit-learn on the rows as they are."""
    positive = prediction >= 0.5
    return {
        "roc_auc": lambda: skm.roc_auc_score(target, prediction),
        "average_precision": lambda: skm.average_precision_score(target, prediction),
        "precision": lambda: skm.precision_score(target, positive),
        "accuracy": lambda: skm.accuracy_score(target, positive),
        "f1": lambda: skm.f1_score(target, positive),
        "mae": lambda: skm.mean_absolute_error(target, prediction),
        "nmae": lambda: skm.mean_absolute_error(target, prediction) / TRAIN.std(ddof=1),
        "r2": lambda: skm.r2_score(target, prediction),
    }[metric]()


@given(rows=st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])),
                     min_size=4, max_size=30),
       metric=st.sampled_from((*BINARY, "mae", "nmae", "r2")))
def test_a_weighted_metric_is_the_metric_of_the_resampled_rows(rows, metric):
    target, prediction = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    weights = resample_weights(len(rows), 5, "test")
    found = weighted(metric, target, prediction, weights, TRAIN)
    for value, weight in zip(found, weights.astype(int), strict=True):
        drawn = np.repeat(np.arange(len(rows)), weight)
        if metric == "r2" and np.ptp(target[drawn]) == 0:
            assert np.isnan(value)
        elif metric in BINARY and len(set(target[drawn])) < 2:
            continue  # left out or not, by the metric's own definition
        elif metric == "precision" and not (prediction[drawn] >= 0.5).any():
            assert np.isnan(value)
        else:
            assert value == pytest.approx(reference(metric, target[drawn], prediction[drawn]))


def test_resamples_that_have_one_class_only_have_no_auc():
    weights = np.array([[2.0, 0.0], [1.0, 1.0]])
    found = weighted("roc_auc", np.array([0.0, 1.0]), np.array([0.1, 0.9]), weights, TRAIN)
    assert np.isnan(found[0])
    assert found[1] == 1.0


def test_resamples_depend_on_their_purpose_and_draw_as_many_rows_as_there_are():
    weights = resample_weights(50, 8, "a")
    assert (weights.sum(1) == 50).all()
    assert (weights == resample_weights(50, 8, "a")).all()
    assert (weights != resample_weights(50, 8, "b")).any()


@pytest.mark.parametrize("metric", BINARY)
def test_a_metric_of_one_class_raises_rather_than_scoring_nought(metric):
    with pytest.raises(ValueError, match=r"undefined: all 3 labels are 1\.0"):
        measure(metric, np.ones(3), np.array([0.1, 0.6, 0.9]), TRAIN)


@pytest.mark.parametrize(("arguments", "message"), [
    (("auc", np.arange(2.0), np.zeros(2), TRAIN), "'auc' does not exist; known: roc_auc"),
    (("mae", np.arange(2.0), np.zeros(3), TRAIN), "one prediction for each"),
    (("mae", np.arange(2.0), np.array([0, np.nan]), TRAIN), "1 of 2 predictions are not finite"),
    (("r2", np.ones(2), np.zeros(2), TRAIN), "r2 is undefined"),
    (("nmae", np.arange(2.0), np.zeros(2), np.ones(4)), "training labels have no spread"),
])
def test_what_cannot_be_scored_says_why(arguments, message):
    with pytest.raises(ValueError, match=message):
        measure(*arguments)


def test_precision_without_a_predicted_positive_does_not_exist():
    assert measure("precision", np.array([0.0, 1.0]), np.array([0.1, 0.2]), TRAIN) is None


@pytest.fixture(scope="module")
def predictions(world):
    random = np.random.default_rng(3)
    noise = {s: random.random((4, len(world.task.labels(s)))) for s in ("val", "test")}
    return {(regime, name, seed): {
        s: np.clip(world.task.labels(s).target * strength + noise[s][2 * i + seed], 0, 0.99)
        for s in noise}
        for i, (regime, name, strength) in enumerate([("rolling", "strong", 0.5),
                                                      ("frozen_db", "weak", 0.1)])
        for seed in (0, 1)}


def test_results_rows_hold_sklearns_metric_its_spread_over_seeds_and_a_bootstrap(world,
                                                                                 predictions):
    rows = score_rows(world.task, predictions, 200)
    assert rows.height == 2 * len(BINARY)
    target = world.task.test.target
    for row in rows.iter_rows(named=True):
        seeds = [predictions[row["regime"], row["variant"], s]["test"] for s in (0, 1)]
        values = [reference(row["metric"], target, p) for p in seeds]
        assert row["mean"] == pytest.approx(np.mean(values))
        assert row["std"] == pytest.approx(np.std(values, ddof=1))
        assert row["ci_low"] < row["mean"] < row["ci_high"]
        assert (row["n_test"], row["seeds"], row["source"]) == (len(target), 2, "measured")
        assert row["higher_is_better"]
        if row["metric"] == "roc_auc":
            index = np.random.default_rng(0).integers(0, len(target), (150, len(target)))
            draws = [np.mean([skm.roc_auc_score(target[i], p[i]) for p in seeds]) for i in index]
            assert (row["ci_low"], row["ci_high"]) == pytest.approx(
                np.percentile(draws, [2.5, 97.5]), abs=0.025)


def test_results_rows_do_not_depend_on_what_else_is_scored(world, predictions):
    alone = {k: v for k, v in predictions.items() if k[1] == "weak"}
    assert score_rows(world.task, alone, 20).equals(
        score_rows(world.task, predictions, 20).filter(pl.col("variant") == "weak"))


def test_one_seed_has_no_spread_and_a_missing_precision_no_interval(world):
    flat = {("rolling", "flat", 0): {"test": np.full(len(world.task.test), 0.1)}}
    rows = {r["metric"]: r for r in score_rows(world.task, flat, 10).iter_rows(named=True)}
    assert rows["roc_auc"]["mean"] == 0.5
    assert rows["roc_auc"]["std"] is None
    assert rows["precision"]["mean"] is rows["precision"]["ci_low"] is None


def test_a_regression_is_scored_by_error_in_training_deviations(regression_world):
    task = regression_world.task
    rows = score_rows(task, {("rolling", "nought", 0): {"test": np.zeros(len(task.test))}}, 10)
    found = {r["metric"]: r["mean"] for r in rows.iter_rows(named=True)}
    assert found["mae"] == pytest.approx(task.test.target.mean())
    assert found["nmae"] == pytest.approx(found["mae"] / task.train.target.std(ddof=1))
    assert dict(rows.select("metric", "higher_is_better").iter_rows()) == {
        "mae": False, "nmae": False, "r2": True}


def test_a_test_split_of_one_class_is_an_error(world, predictions):
    ones = dataclasses.replace(world.task.test, target=np.ones(len(world.task.test)))
    with pytest.raises(ValueError, match="roc_auc is undefined: all 200 labels are 1"):
        score_rows(dataclasses.replace(world.task, test=ones), predictions, 5)


def test_each_prediction_stands_beside_its_label_row(world, predictions):
    rows = prediction_rows(world.task, predictions)
    assert rows.height == 4 * (len(world.task.val) + len(world.task.test))
    one = rows.filter(regime="rolling", variant="strong", seed=1, split="val")
    assert one["row"].to_list() == world.task.val.rows.tolist()
    assert one["time"].dt.epoch("us").to_list() == world.task.val.times.tolist()
    assert one["target"].to_list() == world.task.val.target.tolist()
    assert one["prediction"].to_list() == predictions["rolling", "strong", 1]["val"].tolist()
