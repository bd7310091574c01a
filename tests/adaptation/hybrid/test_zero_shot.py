"""Zero-shot: a task as a question about its known answers."""

import dataclasses

import numpy as np
import pytest
import torch

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.hybrid.vectors import PRETRAINED
from rowgraph.adaptation.hybrid.zero_shot import Readings, ZeroShot, _unscaled
from rowgraph.cells.scales import UNIT, Scale
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.settings import SplitSettings


def test_places_become_probabilities_and_numbers_again(world, regression_world):
    scale = Scale.fit(world.task.train.target, 256)
    np.testing.assert_allclose(_unscaled(world.task, scale(np.array([0.0, 1.0])) / UNIT),
                               [0.001, 0.999])
    task = regression_world.task
    values = np.unique(task.train.target)
    scale = Scale.fit(task.train.target, 256)
    np.testing.assert_allclose(_unscaled(task, scale(values) / UNIT), values, atol=1e-3)


@pytest.fixture(scope="module")
def asked(world, hybrid_ground):
    ground = hybrid_ground(world.task)
    exams = Exams.of(world.task, ground.settings)

    def ask(task=world.task, head=None, regime="rolling"):
        vectors = dataclasses.replace(ground, task=task).vectors()
        weights = vectors.weights(PRETRAINED, exams.test, 0)
        if head is not None:
            weights = dataclasses.replace(weights, head=head)
        model = ZeroShot(task, vectors, weights)
        fitted = model.fit(model.candidates()[0], exams.test, 0, 0)
        return fitted.predict(exams.test.asked[regime], (0,))[0]

    return ask


class Told(torch.nn.Module):
    """A head that says the mean over three horizons that it is told."""

    precedents = 0

    def forward(self, encoded, names, asked, horizon):
        """As `QuestionHead`."""
        return torch.zeros(0), torch.from_numpy(asked.rule)


class Heard(torch.nn.Module):
    """A head that keeps what it is asked."""

    precedents = 16

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, encoded, names, asked, horizon):
        """Zeros."""
        self.asked.append(asked)
        return torch.zeros(0), torch.zeros(len(asked.seed))


def test_the_head_is_told_the_known_answers_of_the_entity(world, asked):
    said = asked(head=Told())
    task, test = world.task, world.task.test
    every = task.known.then(test)
    for i in range(0, len(test), 9):
        mine = (every.rows == test.rows[i]) & (every.times + task.timedelta < test.times[i])
        recent = mine & (every.times + task.timedelta >= test.times[i] - 3 * task.timedelta)
        expected = every.target[recent if recent.any() else mine].mean()
        np.testing.assert_allclose(said[i], np.clip(expected, 0.001, 0.999), atol=2e-3)


def test_labels_that_are_not_known_yet_change_nothing_and_known_ones_do(world, asked, lab):
    task = world.task

    def changed(where):
        test = LabelTable(task.test.rows, task.test.times,
                          np.where(where, 1 - task.test.target, task.test.target))
        return dataclasses.replace(task, test=test)

    last = task.test.times == task.test.times.max()
    first = task.test.times == task.test.times.min()
    assert np.array_equal(asked(), asked(changed(last)))
    assert not np.array_equal(asked(), asked(changed(first)))


@pytest.mark.parametrize("regime", ["rolling", "frozen_db"])
def test_precedents_are_known_answers_about_others_as_stale(world, asked, regime):
    head, task = Heard(), world.task
    asked(head=head, regime=regime)
    (found,) = head.asked
    labels = {(row, time): target for row, time, target in zip(
        task.known.rows.tolist(), task.known.times.tolist(), task.known.target, strict=True)}
    labels |= {(row, time): target for row, time, target in zip(
        task.test.rows.tolist(), task.test.times.tolist(), task.test.target, strict=True)}
    scale, others = Scale.fit(task.train.target, 256), found.precedents
    assert others.there.any(axis=1).all()
    for k in range(0, len(found.rows), 7):
        same = found.before == found.before[k]
        assert (others.rows[same] == others.rows[k]).all()  # their luck is common to all
        for p in range(0, others.there.shape[1], 9):
            row, time = int(others.rows[k, p]), int(others.times[k, p])
            assert time + task.timedelta < found.before[k]
            np.testing.assert_allclose(others.answer[k, p],
                                       scale(labels[row, time][None]) / UNIT, atol=1e-6)
    assert (found.ahead > 0).any() == (regime == "frozen_db")


def test_a_head_without_precedents_is_told_none(asked):
    head = Heard()
    head.precedents = 0
    asked(head=head)
    assert head.asked[0].precedents is None


class Standing(ZeroShot):
    """Says of label rows that later ones stand higher."""

    def places(self, rows):
        """By position alone."""
        return rows.index / len(rows.view.labels)


def test_numbers_are_read_off_medians_only_where_an_answer_is_frequent(regression_world):
    task = regression_world.task
    settings = SplitSettings(folds=2)

    def fitted(task):
        model, exam = Standing(task, None, None), Exams.of(task, settings).validation
        return exam, model.fit(model.candidates()[0], exam, 0, 0)

    plain = LabelTable(task.train.rows, task.train.times, np.arange(len(task.train)) * 1.0)
    exam, found = fitted(dataclasses.replace(task, train=plain))
    assert found.fresh is found.aged is None
    often = np.where(np.arange(len(plain)) < len(plain) / 2, 0.0, np.arange(len(plain)))
    exam, found = fitted(dataclasses.replace(task, train=dataclasses.replace(plain, target=often)))
    said = found.predict(exam.fresh, (0,))[0]
    assert (said[:len(plain) // 3] == 0).all()
    assert np.corrcoef(said, often)[0, 1] > 0.9


def test_readings_ascend_and_need_enough_answers():
    said = np.linspace(-1, 1, 400)
    readings = Readings.of(said, np.where(said < 0, 0.0, np.abs(said - 0.5)))
    assert (np.diff(readings.values) >= 0).all()
    np.testing.assert_allclose(readings(np.array([-2.0, -0.5])), 0)
    assert Readings.of(said[:20], said[:20]) is None


def test_kinds_whose_answer_is_no_single_number_are_not_asked(world, multiclass, autocomplete):
    assert ZeroShot.answers(world.task)
    assert not ZeroShot.answers(multiclass)
    assert not ZeroShot.answers(autocomplete)
