from __future__ import annotations

import numpy as np
import pytest
import torch

from rowgraph.sage.objective import draw_mask, hide, squared_errors
from rowgraph.sage.yardsticks import PENALTIES, Sample, ShownVector, VisibleDimensions, Yardsticks


def vectors(rows: int, dim: int, seed: int) -> torch.Tensor:
    """Dimensions that hang together, away from the origin."""
    draw = torch.Generator().manual_seed(seed)
    basis = torch.randn(3, dim, generator=torch.Generator().manual_seed(99))
    return torch.randn(rows, 3, generator=draw) @ basis + 0.1 * torch.randn(
        rows, dim, generator=draw) + 2.0


def sample(rows: int, dim: int, probability: float, seed: int) -> Sample:
    truth = vectors(rows, dim, seed)
    mask = draw_mask(rows, dim, probability, np.random.default_rng(seed))
    return Sample(hide(truth, mask), truth, mask)


@pytest.mark.parametrize("probability", [0.15, 0.5, 0.95])
def test_each_row_gets_the_ridge_regression_of_its_own_pattern(probability):
    train, asked = vectors(200, 9, 1), sample(40, 9, probability, 2)
    penalty = 0.05
    found = VisibleDimensions(train, penalty)(asked.shown, asked.mask)
    x = train.double().numpy()
    mean = x.mean(0)
    level = penalty * (x - mean).var(0).mean()
    for row in range(len(found)):
        hidden = asked.mask[row].numpy()
        seen = ~hidden
        left = (x - mean)[:, seen]
        weight = np.linalg.solve(left.T @ left / len(x) + level * np.eye(seen.sum()),
                                 left.T @ (x - mean)[:, hidden] / len(x))
        expected = mean[hidden] + (asked.truth[row].double().numpy() - mean)[seen] @ weight
        assert found[row].numpy()[hidden] == pytest.approx(expected, rel=1e-4)


def test_many_hidden_dimensions_are_solved_by_several_threads_as_by_one():
    train, asked = vectors(600, 240, 1), sample(300, 240, 0.9, 2)
    yardstick = VisibleDimensions(train, 0.01)
    one = yardstick(asked.shown, asked.mask)
    torch.set_num_threads(2)
    try:
        two = yardstick(asked.shown, asked.mask)
    finally:
        torch.set_num_threads(1)
    assert torch.allclose(two, one, atol=1e-5)


def test_what_is_hidden_has_no_influence_on_the_answer():
    train, asked = vectors(100, 6, 1), sample(30, 6, 0.4, 2)
    yardstick = VisibleDimensions(train, 0.01)
    nonsense = torch.where(asked.mask, torch.tensor(1e6), asked.shown)
    assert torch.equal(yardstick(asked.shown, asked.mask), yardstick(nonsense, asked.mask))


def test_a_row_of_which_nothing_is_visible_gets_the_mean():
    train, asked = vectors(100, 6, 1), sample(30, 6, 1.0, 2)
    found = Yardsticks.fit(sample(100, 6, 1.0, 1), sample(20, 6, 1.0, 3), seen_whole=False)
    answers = found.answers(asked.shown, asked.mask)
    assert torch.allclose(answers["ridge"], train.mean(0).expand(30, 6), atol=1e-5)
    assert torch.allclose(answers["column_mean"], answers["ridge"], atol=1e-5)


def test_the_penalty_is_the_one_with_the_lowest_error_on_validation_rows():
    train, validation = sample(30, 12, 0.3, 1), sample(300, 12, 0.3, 2)
    errors = [squared_errors(VisibleDimensions(train.truth, p)(validation.shown, validation.mask),
                             validation.truth, validation.mask)[1].item() for p in PENALTIES]
    found = Yardsticks.fit(train, validation, seen_whole=False)
    best = VisibleDimensions(train.truth, PENALTIES[int(np.argmin(errors))])
    assert torch.equal(found.ridge.precision, best.precision)


def test_a_vector_shown_whole_is_regressed_on_as_scikit_learn_does():
    from sklearn.linear_model import Ridge

    truth, shown = vectors(150, 5, 1), vectors(150, 5, 1) + 0.3 * vectors(150, 5, 7)
    x = shown.double() - shown.double().mean(0)
    alpha = 0.1 * float((x.square().sum(0) / len(x)).mean()) * len(x)
    model = Ridge(alpha).fit(shown.numpy(), truth.numpy())
    asked = vectors(20, 5, 3)
    found = ShownVector(shown, truth, 0.1)(asked, torch.ones(20, 5, dtype=torch.bool))
    assert found.numpy() == pytest.approx(model.predict(asked.numpy()), rel=1e-3, abs=1e-3)


def test_a_table_without_training_rows_is_answered_with_zeros():
    nothing = sample(0, 4, 0.5, 1)
    asked = sample(5, 4, 0.5, 2)
    for whole in (True, False):
        answers = Yardsticks.fit(nothing, nothing, seen_whole=whole).answers(asked.shown,
                                                                             asked.mask)
        assert all(torch.equal(a, torch.zeros(5, 4)) for a in answers.values())
