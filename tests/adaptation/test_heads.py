import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from rowgraph.adaptation.heads import Amount, OneOf, YesOrNo, answer_of

RAW = np.array([[0.2, -3.0, 1.0], [5.0, 0.0, 0.1]], dtype=np.float32)


def test_a_logit_is_a_probability_and_costs_its_negative_logarithm():
    raw, target = np.array([0.3, -2.0], dtype=np.float32), np.array([1.0, 0.0])
    found = YesOrNo().prediction(raw)
    assert found == pytest.approx(expit(raw))
    assert YesOrNo().loss(torch.from_numpy(raw), target).item() == pytest.approx(
        -np.log([found[0], 1 - found[1]]).mean())


def test_logits_are_a_distribution_over_the_classes_and_the_true_one_costs():
    found = OneOf(3).prediction(RAW)
    assert found == pytest.approx(softmax(RAW, axis=1))
    assert found.sum(1) == pytest.approx([1, 1])
    assert OneOf(3).loss(torch.from_numpy(RAW), np.array([2.0, 0.0])).item() == pytest.approx(
        -np.log([found[0, 2], found[1, 0]]).mean())


def test_an_outlier_does_not_bend_the_scale_of_a_regression():
    plain = np.arange(100.0)
    bent = np.append(plain, 1e15)
    assert Amount.fit(bent).center == pytest.approx(Amount.fit(plain).center, abs=1)
    assert Amount.fit(bent).spread == pytest.approx(Amount.fit(plain).spread, rel=0.05)


def test_targets_that_are_mostly_equal_or_all_equal_still_have_a_scale():
    mostly = np.append(np.zeros(90), np.arange(1.0, 11.0))
    assert 0 < Amount.fit(mostly).spread <= 10
    assert Amount.fit(np.full(5, 7.0)) == Amount(7.0, 1.0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(-1e9, 1e9))
@example([0.0, 0.0, 0.0, 1.0, 2.2e-185], 0.0)
def test_the_outputs_without_loss_are_the_targets_whatever_their_offset(values, offset):
    target = np.array(values) + offset
    answer = Amount.fit(target)
    raw = ((target - answer.center) / answer.spread).astype(np.float32)
    assert answer.loss(torch.from_numpy(raw), target).item() == 0
    size = np.abs(target - answer.center).max() + 1e-6 * abs(offset) + 1e-300
    assert np.abs(answer.prediction(raw) - target).max() <= 1e-6 * size


def test_a_kind_of_task_decides_once_what_is_answered(world, regression_world, multiclass_task):
    widths = [answer_of(t, t.train.target).width
              for t in (world.task, regression_world.task, multiclass_task)]
    assert widths == [1, 1, 3]
    other = dataclasses.replace(world.task, task_type="recommendation")
    with pytest.raises(ValueError, match="no head answers a recommendation task"):
        answer_of(other, other.train.target)
