import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.evaluation.calibration import (
    CALIBRATION,
    CALIBRATION_ERROR,
    SCALINGS,
    bins_of,
    calibrate,
    confidence,
    ece,
    ece_if_perfect,
    folds_of_dates,
    mean_predictions,
    method_scores,
    reliability,
)
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.metrics import row_scores
from rowgraph.tasks.predictions import Run

PATIENT = settings(deadline=None)  # a busy machine is no failure

KINDS = ("binary_classification", "multiclass_classification")


def forecasts(kinds, distort, *, rows=100, name="a", task_type="binary_classification"):
    """A task whose outcomes follow known chances, and predictions that distort them."""
    task = kinds.task(task_type, dates=20, rows=rows)
    random, splits, said = np.random.default_rng(4), {}, {}
    for split in ("val", "test"):
        labels = task.labels(split)
        chance = random.uniform(0.02, 0.98, len(labels))
        outcome = random.random(len(labels)) < chance
        splits[split] = dataclasses.replace(labels, target=outcome.astype(float))
        said[split] = distort(chance)
    return dataclasses.replace(task, **splits), {Run("rolling", name, 0): said}


def overconfident(chance):
    odds = (chance / (1 - chance)) ** 3
    return odds / (1 + odds)


@PATIENT
@given(values=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=40),
       bins=st.integers(2, 12))
def test_bins_are_in_order_and_never_part_equal_values(values, bins):
    sure = np.array(values)
    found = bins_of(sure, bins)
    assert set(found) == set(range(found.max() + 1))
    assert found.max() < bins
    for a, b in zip(sure, found, strict=True):
        assert (found[sure == a] == b).all()
        assert (found[sure > a] >= b).all()


def test_bins_of_different_values_are_equally_full():
    assert np.bincount(bins_of(np.random.default_rng(0).random(1_000), 10)).tolist() == [100] * 10


def test_the_expected_calibration_error_is_the_mean_gap_by_hand():
    sure, right = np.array([0.1, 0.3, 0.8, 0.8]), np.array([0.0, 0.0, 1.0, 0.0])
    curve = reliability(sure, right, np.array([0, 0, 1, 1]))
    assert curve.rows() == [(0, pytest.approx(0.2), 0.0, 2), (1, pytest.approx(0.8), 0.5, 2)]
    assert ece(curve) == pytest.approx((2 * 0.2 + 2 * 0.3) / 4)


def test_even_right_probabilities_show_an_error_in_few_rows_and_less_in_more():
    sure = np.random.default_rng(0).random(10_000)
    few, many = (ece_if_perfect(s, bins_of(s, 10)) for s in (sure[:100], sure))
    assert few > 5 * many > 0


def test_scaling_mends_a_model_that_is_too_sure_and_leaves_a_right_one_alone(kinds):
    task, too_sure = forecasts(kinds, overconfident)
    _, right = forecasts(kinds, lambda chance: chance, name="right")
    _, errors, choices = calibrate(task, {**too_sure, **right}, 10)
    found = {(r["variant"], r["stage"]): r for r in errors.iter_rows(named=True)}
    assert found["a", "raw"]["ece"] > 4 * found["a", "calibrated"]["ece"]
    assert found["a", "raw"]["log_loss"] > found["a", "calibrated"]["log_loss"]
    assert found["a", "calibrated"]["method"] == "temperature"
    assert found["a", "calibrated"]["ece"] < 2 * found["a", "calibrated"]["ece_if_perfect"]
    assert found["right", "raw"]["ece"] < 2 * found["right", "raw"]["ece_if_perfect"]
    assert choices.filter(chosen=True).select("model", "candidate").unique().height == 2
    assert set(choices["candidate"]) == {"none", "temperature", "isotonic"}


def test_what_no_temperature_mends_is_mended_by_steps(kinds):
    task, shifted = forecasts(kinds, lambda chance: chance / 4)
    _, errors, _ = calibrate(task, shifted, 10)
    raw, calibrated = errors.iter_rows(named=True)
    assert calibrated["method"] == "isotonic"
    assert calibrated["ece"] < raw["ece"] / 5


@pytest.mark.parametrize("task_type", KINDS)
def test_a_curve_counts_every_test_row_once_in_each_stage(task_type, kinds):
    task = kinds.task(task_type)
    curves, errors, _ = calibrate(task, kinds.answers(task, {"a": 0.3, "b": 0.0}), 5)
    assert dict(curves.schema) == CALIBRATION
    assert dict(errors.schema) == CALIBRATION_ERROR
    assert errors.select("variant", "stage").rows() == [
        (v, s) for v in "ab" for s in ("raw", "calibrated")]
    for (_, stage), part in curves.group_by("variant", "stage"):
        assert part["count"].sum() == len(task.test), stage
        assert part["predicted"].is_between(0, 1).all()


@pytest.mark.parametrize("task_type", KINDS)
@pytest.mark.parametrize("method", list(SCALINGS))
@settings(deadline=None, max_examples=20)
@given(sharpness=st.floats(0.0, 50.0), seed=st.integers(0, 9))
def test_scaled_predictions_are_probabilities_however_sure_the_model_was(
        task_type, method, sharpness, seed):
    random = np.random.default_rng(seed)
    target = random.integers(0, 2, 12).astype(float)
    logits = sharpness * random.normal(0, 1, (12, 3))
    prediction = np.exp(logits - logits.max(1, keepdims=True))
    prediction /= prediction.sum(1, keepdims=True)
    if task_type == "binary_classification":
        prediction = prediction[:, 0]
    found = SCALINGS[method](prediction, target)(prediction)
    assert found.shape == prediction.shape
    assert ((found >= 0) & (found <= 1)).all()
    if found.ndim == 2:
        assert found.sum(1) == pytest.approx(1)
    assert np.isfinite(row_scores("log_loss", target, found)).all()


def test_scaling_is_fitted_and_chosen_on_validation_labels_alone(kinds):
    task = kinds.task("binary_classification")
    predictions = kinds.answers(task, {"a": 0.3})
    flipped = dataclasses.replace(task, test=dataclasses.replace(
        task.test, target=1 - task.test.target))
    before, after = (calibrate(t, predictions, 5) for t in (task, flipped))
    assert before[2].equals(after[2])
    assert before[0]["predicted"].to_list() == after[0]["predicted"].to_list()
    assert before[0]["observed"].to_list() != after[0]["observed"].to_list()


def test_folds_keep_dates_whole_and_neighbouring(kinds):
    times = np.repeat(np.arange(12), 3) * kinds.DAY
    fold = folds_of_dates(LabelTable(np.arange(36), times, np.zeros(36)))
    assert (np.diff(fold) >= 0).all()
    assert set(fold) == set(range(5))
    assert all(len(set(fold[times == t])) == 1 for t in set(times))
    one = folds_of_dates(LabelTable(np.arange(10), np.zeros(10, dtype=int), np.zeros(10)))
    assert np.bincount(one).tolist() == [2] * 5
    assert folds_of_dates(LabelTable(np.arange(2), np.array([0, kinds.DAY]),
                                     np.zeros(2))).tolist() == [0, 1]


def test_a_fold_is_judged_by_what_was_not_fitted_on_it(kinds):
    task = kinds.task("binary_classification")
    said = kinds.predict(task, "val", 0.2, 0)
    scores = {(s.candidate, s.fold): s.value for s in method_scores(task, said, "a", "rolling")}
    out = folds_of_dates(task.val, task.database.name, task.name) == 1
    scaling = SCALINGS["isotonic"](said[~out], task.val.target[~out])
    assert scores["isotonic", "validation dates 2"] == pytest.approx(
        row_scores("log_loss", task.val.target[out], scaling(said[out])).mean())
    assert len(scores) == 15


def test_judged_is_the_mean_over_runs_and_without_validation_only_as_it_is(kinds):
    task = kinds.task("binary_classification")
    runs = kinds.answers(task, {"a": 0.3}, barts=(1, 2))
    means = mean_predictions(runs)["rolling", "a"]
    assert means["test"] == pytest.approx(np.mean([s["test"] for s in runs.values()], axis=0))
    bare = {run: {"test": s["test"]} for run, s in runs.items()}
    assert calibrate(task, bare, 5)[1]["stage"].to_list() == ["raw"]


def test_numbers_and_lists_are_not_calibrated(kinds):
    for task_type in ("regression", "recommendation"):
        task = kinds.task(task_type)
        curves, errors, choices = calibrate(task, kinds.answers(task, {"a": 0.3}), 5)
        assert curves.is_empty()
        assert errors.is_empty()
        assert choices.is_empty()


def test_the_class_that_is_named_is_the_one_that_is_judged():
    sure, right = confidence(np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]), np.array([1.0, 2.0]))
    assert sure.tolist() == [0.7, 0.6]
    assert right.tolist() == [1.0, 0.0]
