"""The blend: equal unless the dates agree that it should not be."""

import numpy as np
import pytest

from rowgraph.adaptation.hybrid.blending import mix


def folds(task, rows=400, dates=12, seed=0):
    random = np.random.default_rng(seed)
    target = random.integers(0, 2, rows).astype(float)
    if task.task_type == "regression":
        target = random.normal(size=rows)
    return target, np.repeat(np.arange(dates), -(-rows // dates))[:rows], random


def test_equal_parts_stay_equal(world):
    target, times, random = folds(world.task)
    answers = {f"part {k}": [np.clip(0.5 + 0.2 * (target - 0.5) + random.normal(0, 0.2, 400), 0.01,
                                     0.99)] for k in range(4)}
    found = mix(world.task, answers, [target], [times])
    assert found.move <= 0.25
    np.testing.assert_allclose(list(found.weights.values()), 0.25, atol=0.1)


def test_a_bad_part_loses_its_weight_where_every_date_says_so(world):
    target, times, random = folds(world.task)
    good = np.clip(0.5 + 0.3 * (target - 0.5) + random.normal(0, 0.1, 400), 0.01, 0.99)
    answers = {"good": [good], "upside down": [1 - good], "noise": [random.uniform(0.01, 0.99,
                                                                                 400)]}
    found = mix(world.task, answers, [target], [times])
    assert found.weights["good"] > 0.8
    assert found.weights["upside down"] < 0.05


def test_one_date_moves_nothing(world):
    target, _, random = folds(world.task)
    better, worse = (np.clip(0.5 + 0.3 * (target - 0.5) + random.normal(0, noise, 400), 0.01, 0.99)
                     for noise in (0.05, 0.15))
    found = mix(world.task, {"better": [better], "worse": [worse]}, [target], [np.zeros(400)])
    assert found.move == 0
    np.testing.assert_allclose(list(found.weights.values()), 0.5)


def test_few_rows_move_nothing_and_weigh_parts_by_likelihood(world):
    target, times, random = folds(world.task, rows=30, dates=10)
    right = np.clip(0.5 + 0.4 * (target - 0.5), 0.01, 0.99)
    alike = np.clip(right + random.normal(0, 0.001, 30), 0.01, 0.99)
    answers = {"right": [right], "alike": [alike], "wrong": [1 - right]}
    found = mix(world.task, answers, [target], [times])
    assert found.move == 0
    np.testing.assert_allclose(found.weights["right"], found.weights["alike"], rtol=0.1)
    assert found.weights["wrong"] < 0.01


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_every_kind_moves_towards_what_is_right(kind, regression_world, multiclass):
    task = regression_world.task if kind == "regression" else multiclass
    random = np.random.default_rng(1)
    times = np.repeat(np.arange(10), 30)
    if kind == "regression":
        target = random.normal(size=300)
        right, wrong = target + random.normal(0, 0.1, 300), random.normal(0, 3, 300)
    else:
        target = random.integers(0, 3, 300).astype(float)
        right = np.full((300, 3), 0.1)
        right[np.arange(300), target.astype(int)] = 0.8
        wrong = np.roll(right, 1, axis=1)
    found = mix(task, {"right": [right], "wrong": [wrong]}, [target], [times])
    assert found.weights["right"] > 0.6


def test_a_part_that_is_too_sure_of_itself_starts_with_little_weight(world):
    target, _, random = folds(world.task)
    good = np.clip(0.5 + 0.3 * (target - 0.5) + random.normal(0, 0.1, 400), 0.01, 0.99)
    loud = np.where(random.random(400) < 0.5, 0.999, 0.001)
    found = mix(world.task, {"good": [good], "loud": [loud]}, [target], [np.zeros(400)])
    assert found.strengths["good"] == 1
    assert found.strengths["loud"] < 0.3
    assert found.weights["loud"] < 0.25


def test_weights_are_never_negative_and_sum_to_one(world):
    random = np.random.default_rng(3)
    for seed in range(5):
        target, times, _ = folds(world.task, seed=seed)
        answers = {str(k): [random.uniform(0, 1, 400)] for k in range(5)}
        weights = np.array(list(mix(world.task, answers, [target], [times]).weights.values()))
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(), 1)
