"""Masked value reconstruction (Section 4.3.2, Equations 1 and 2).

Legend: N nodes, D embedding dimensions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def draw_mask(nodes: int, dim: int, probability: float, rng: np.random.Generator) -> Tensor:
    """bool [N, D]: which dimensions of each node are masked, each with the given probability.

    At least one per node (the one with the smallest draw), because Equation 2 says nothing about
    a node without any and its cosine term would be a constant.
    """
    drawn = rng.random((nodes, dim), dtype=np.float32)
    mask = drawn < probability
    mask[np.arange(nodes), drawn.argmin(axis=1)] = True
    return torch.from_numpy(mask)


def hide(x: Tensor, mask: Tensor) -> Tensor:
    """What the model sees: zero in the masked dimensions (docs/decisions/sage.md).

    Zero, and not a learned token, because it leaves no parameter behind that belongs to the
    pre-training databases: a hidden dimension simply adds nothing to the projection.
    """
    return x.masked_fill(mask, 0.0)


def masked_reconstruction_loss(x_hat: Tensor, x: Tensor, mask: Tensor, alpha: float, gamma: float,
                               epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled cosine error and squared error on the masked dimensions of each node.

    Args:
        x_hat, x: float [N, D], reconstruction and truth.
        mask: bool [N, D]; what lies outside it has no influence.
        alpha: weight of the cosine part (Equation 1).
        gamma: exponent of the cosine error.
        epsilon: keeps the cosine of a zero vector finite.

    Returns:
        The loss and its two unweighted parts, scalars. The squared error is a mean per masked
        dimension: `mse_mean` of `squared_errors`, which says why.
    """
    masked_hat, masked_x = x_hat * mask, x * mask
    norms = masked_hat.norm(dim=1) * masked_x.norm(dim=1)
    error = 1 - (masked_hat * masked_x).sum(dim=1) / (norms + epsilon)
    # Rounding can put a perfect cosine above 1; a fractional gamma would make that NaN.
    cosine = error.clamp_min(0).pow(gamma).mean()
    _, mse = squared_errors(x_hat, x, mask)
    return alpha * cosine + (1 - alpha) * mse, cosine, mse


def squared_errors(x_hat: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The squared error of Equation 2 as written, and per masked dimension.

    Equation 2 writes the squared norm, a sum over the masked dimensions (`mse_sum`). Table 2
    cannot be that: from masking 15 % to 100 % of the dimensions its value only doubles, and
    8.9e-5 summed over 154 of 1024 dimensions would be an error of 0.0008 in each. So the loss
    uses the mean over each node's masked dimensions (`mse_mean`); both are reported
    (docs/decisions/sage.md).

    Returns:
        mse_sum and mse_mean, scalars: means over nodes.
    """
    squared = ((x_hat - x) * mask).square().sum(dim=1)
    return squared.mean(), (squared / mask.sum(dim=1).clamp_min(1)).mean()
