"""Linear heads on frozen vectors: beside their date, and from the entity's own level."""

import numpy as np
import pytest

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.hybrid.on_vectors import _of_date, level_of
from rowgraph.adaptation.own_labels import EntityHistory, OwnLabels
from rowgraph.adaptation.trials import score_of


@pytest.fixture(scope="module")
def exam(regression_world, quick):
    return Exams.of(regression_world.task, quick).validation


def test_a_vector_is_compared_with_those_of_its_date_that_see_the_same_past(exam):
    rows = exam.asked["rolling"]
    vectors = np.random.default_rng(0).normal(size=(len(rows), 3)).astype(np.float32)
    found = _of_date(vectors, rows)
    for i in range(0, len(rows), 17):
        same = rows.labels.times == rows.labels.times[i]
        np.testing.assert_allclose(found[i], vectors[same].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_row_that_is_alone_on_its_date_is_compared_with_itself(exam):
    rows = exam.asked["rolling"]
    alone = type(rows)(rows.view, rows.index[[0, -1]])
    vectors = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(_of_date(vectors, alone), vectors)


def test_the_level_is_the_history_that_is_nearest_to_the_labels_fitted_on(regression_world, exam):
    task = regression_world.task
    own = OwnLabels(task)
    history, rows = EntityHistory(task, own), exam.fresh

    def error(level):
        return score_of(task, rows.labels.target, level.predict(rows, (0,))[0])

    best = error(level_of(task, own, exam))
    assert best == min(error(history.fit(c, exam, 0, 0)) for c in history.candidates())
    assert best < error(history.fit(history.candidates()[3], exam, 0, 0))
