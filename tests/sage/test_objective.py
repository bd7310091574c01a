from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.sage.objective import draw_mask, hide, masked_reconstruction_loss, squared_errors

X = torch.tensor([[4.0, 3.0, 7.0], [0.0, 2.0, 1.0]])
X_HAT = torch.tensor([[3.0, 4.0, -50.0], [9.0, 1.0, 3.0]])
MASK = torch.tensor([[True, True, False], [False, True, True]])


def test_equations_1_and_2_by_hand():
    # Node 0, dimensions 0 and 1: cosine 24 / 25, squared norm 1 + 1.
    # Node 1, dimensions 1 and 2: cosine 5 / sqrt(10 * 5), squared norm 1 + 4.
    cosine_0, cosine_1 = 24 / (25 + 1e-6), 5 / (50 ** 0.5 + 1e-6)
    cosine = ((1 - cosine_0) ** 2 + (1 - cosine_1) ** 2) / 2
    mse_sum, mse_mean = (2 + 5) / 2, (2 / 2 + 5 / 2) / 2
    loss, found_cosine, found_mse = masked_reconstruction_loss(X_HAT, X, MASK, 0.7, 2.0, 1e-6)
    assert found_cosine.item() == pytest.approx(cosine, rel=1e-5)
    assert found_mse.item() == pytest.approx(mse_mean)
    assert loss.item() == pytest.approx(0.7 * cosine + 0.3 * mse_mean, rel=1e-5)
    assert [v.item() for v in squared_errors(X_HAT, X, MASK)] == pytest.approx([mse_sum, mse_mean])


def test_visible_dimensions_have_no_influence_and_get_no_gradient():
    x_hat = X_HAT.clone().requires_grad_()
    masked_reconstruction_loss(x_hat, X, MASK, 0.7, 2.0, 1e-6)[0].backward()
    assert torch.equal(x_hat.grad != 0, MASK)
    other = torch.where(MASK, X_HAT, 1e3)
    assert torch.equal(masked_reconstruction_loss(other, X, MASK, 0.7, 2.0, 1e-6)[0],
                       masked_reconstruction_loss(X_HAT, X, MASK, 0.7, 2.0, 1e-6)[0])


@pytest.mark.parametrize("gamma", [1.0, 1.5, 2.0])
def test_a_perfect_and_a_zero_reconstruction_give_finite_losses_and_gradients(gamma):
    for x_hat in (X, torch.zeros_like(X)):
        x_hat = x_hat.clone().requires_grad_()
        loss, cosine, _ = masked_reconstruction_loss(x_hat, X, MASK, 0.7, gamma, 1e-6)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(x_hat.grad).all()
        assert cosine.item() == pytest.approx(float(not x_hat.any()), abs=1e-5)


@given(st.integers(1, 30), st.integers(1, 20), st.floats(1e-6, 1), st.integers(0, 99))
def test_every_node_has_a_masked_dimension(nodes, dim, probability, seed):
    mask = draw_mask(nodes, dim, probability, np.random.default_rng(seed))
    assert mask.shape == (nodes, dim)
    assert mask.any(dim=1).all()
    if probability == 1:
        assert mask.all()


def test_dimensions_are_masked_with_the_given_probability():
    mask = draw_mask(2_000, 100, 0.15, np.random.default_rng(0))
    assert mask.float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert mask.float().mean(dim=0).numpy() == pytest.approx(np.full(100, 0.15), abs=0.05)


def test_hidden_dimensions_are_zero_and_visible_ones_unchanged():
    hidden = hide(X, MASK)
    assert torch.equal(hidden[MASK], torch.zeros(4))
    assert torch.equal(hidden[~MASK], X[~MASK])
