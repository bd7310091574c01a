"""Zero-shot: a task as a question about its known answers."""

import dataclasses

import numpy as np
import pytest
import torch

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.hybrid.vectors import PRETRAINED
from rowgraph.adaptation.hybrid.zero_shot import ZeroShot, _unscaled
from rowgraph.cells.scales import UNIT, Scale
from rowgraph.tasks.label_tables import LabelTable


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

    def ask(task=world.task, past_alone=False):
        vectors = dataclasses.replace(ground, task=task).vectors()
        weights = vectors.weights(PRETRAINED, exams.test, 0)
        if past_alone:  # a head that says the mean over three horizons that it is told
            class Told(torch.nn.Module):
                def forward(self, encoded, names, asked, horizon):
                    return torch.zeros(0), torch.from_numpy(asked.rule)

            weights = dataclasses.replace(weights, head=Told())
        return ZeroShot(task, vectors, weights).predict(exams.test.asked["rolling"], (0,))[0]

    return ask


def test_the_head_is_told_the_known_answers_of_the_entity(world, asked):
    said = asked(past_alone=True)
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


def test_kinds_whose_answer_is_no_single_number_are_not_asked(world, multiclass, autocomplete):
    assert ZeroShot.answers(world.task)
    assert not ZeroShot.answers(multiclass)
    assert not ZeroShot.answers(autocomplete)
