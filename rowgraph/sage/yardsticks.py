"""What a reconstruction is held against: answers that do not look at the graph.

`column_mean` answers every hidden dimension with its mean over the table's training rows; it knows
nothing of the row. `ridge` is the best linear answer from what is visible of the row itself. A
model that does not beat the first learned nothing, and one that does not beat the second may have
learned it without its neighbours.

For hidden dimensions the ridge regression differs from row to row, as the visible dimensions do.
All of them follow from one covariance C: with P = (C + λI)⁻¹, hidden h and visible v,
`x_h = mean_h - P_hh⁻¹ P_hv (x_v - mean_v)`, which is the ridge regression of h on v with penalty λ
(the block inverse of C + λI; Bishop 2006, eqs. 2.75 and 2.96). λ is chosen on validation rows.

Shapes: N rows, D dimensions, M the most hidden dimensions of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rowgraph.sage.objective import squared_errors

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # times the mean variance of a dimension
NUMBERS = 1 << 24  # of the systems that are solved at once


@dataclass(frozen=True)
class Sample:
    """Rows of a table with a part hidden.

    Args:
        shown: float [N, D], what is visible.
        truth: float [N, D], their vectors.
        mask: bool [N, D], what is asked.
    """

    shown: Tensor
    truth: Tensor
    mask: Tensor


class VisibleDimensions:
    """Ridge regression of the hidden dimensions on the visible ones."""

    def __init__(self, truth: Tensor, penalty: float):
        self.mean = mean_of(truth)
        centred = truth.double() - self.mean
        covariance = centred.T @ centred / max(1, len(centred))
        level = max(penalty * float(covariance.diagonal().mean()), 1e-12)
        eye = torch.eye(len(self.mean), dtype=torch.float64, device=truth.device)
        self.precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance + level * eye))

    def __call__(self, shown: Tensor, mask: Tensor) -> Tensor:
        """float [N, D]: the hidden dimensions' values; the mean elsewhere."""
        out = self.mean.expand(len(shown), -1).clone()
        if bool(mask.all()):  # nothing is visible: the mean is the answer
            return out.to(shown.dtype)
        most = int(mask.sum(1).max())
        chunk = max(1, NUMBERS // max(1, most * most))
        for first in range(0, len(shown), chunk):
            part = slice(first, first + chunk)
            out[part] = self._filled(shown[part].double(), mask[part], most)
        return out.to(shown.dtype)

    def _filled(self, shown: Tensor, mask: Tensor, most: int) -> Tensor:
        # Positions of the hidden dimensions, padded by visible ones that the identity cuts off.
        place_NM = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
        hidden_NM = mask.gather(1, place_NM)
        pair_NMM = hidden_NM[:, :, None] & hidden_NM[:, None, :]
        system = self.precision[place_NM[:, :, None], place_NM[:, None, :]] * pair_NMM
        system = system + torch.diag_embed((~hidden_NM).double())
        pull_ND = (shown - self.mean).masked_fill(mask, 0.0) @ self.precision
        pull_NM = pull_ND.gather(1, place_NM) * hidden_NM
        # Positive definite, so no pivots are needed; with several threads, torch 2.13's batched LU
        # (`torch.linalg.solve`) fails in MKL on systems of some two hundred unknowns.
        factor_NMM = torch.linalg.cholesky(system)
        answer_NM = torch.cholesky_solve(pull_NM[:, :, None], factor_NMM)[:, :, 0]
        answer = torch.zeros_like(shown).scatter(1, place_NM, answer_NM)
        return self.mean - answer * mask


class ShownVector:
    """Ridge regression of the whole vector on another one: that of the row with cells masked."""

    def __init__(self, shown: Tensor, truth: Tensor, penalty: float):
        x, y = shown.double(), truth.double()
        self.x_mean, self.y_mean = mean_of(x), mean_of(y)
        x, y = x - self.x_mean, y - self.y_mean
        covariance = x.T @ x / max(1, len(x))
        level = max(penalty * float(covariance.diagonal().mean()), 1e-12)
        eye = torch.eye(x.shape[1], dtype=torch.float64, device=x.device)
        self.weight = torch.cholesky_solve(x.T @ y / max(1, len(x)),
                                           torch.linalg.cholesky(covariance + level * eye))

    def __call__(self, shown: Tensor, mask: Tensor) -> Tensor:
        """float [N, D]."""
        return (self.y_mean + (shown.double() - self.x_mean) @ self.weight).to(shown.dtype)


@dataclass(frozen=True)
class Yardsticks:
    """Both answers for a table."""

    mean: Tensor
    ridge: VisibleDimensions | ShownVector

    @classmethod
    def fit(cls, train: Sample, validation: Sample, seen_whole: bool) -> Yardsticks:
        """From training rows; the penalty with the lowest error on validation rows.

        Args:
            seen_whole: the visible part is a vector of its own, not the row's with holes.
        """
        def ridge(penalty: float) -> VisibleDimensions | ShownVector:
            if seen_whole:
                return ShownVector(train.shown, train.truth, penalty)
            return VisibleDimensions(train.truth, penalty)

        def error(found: VisibleDimensions | ShownVector) -> float:
            answer = found(validation.shown, validation.mask)
            return float(squared_errors(answer, validation.truth, validation.mask)[1])

        candidates = [ridge(p) for p in PENALTIES]
        best = min(candidates, key=error) if len(validation.truth) else candidates[-1]
        return cls(mean_of(train.truth).float(), best)

    def answers(self, shown: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """float [N, D] by name."""
        return {"column_mean": self.mean.expand_as(shown), "ridge": self.ridge(shown, mask)}


def mean_of(vectors: Tensor) -> Tensor:
    """float64 [D]: their mean, zero where there are none."""
    return vectors.double().sum(0) / max(1, len(vectors))
