"""A linear model as a data scientist would fit it: logistic, multinomial, or of a median.

Shapes: N label rows, F features, P columns after normalisation, D principal directions, C scores of
a row (classes of a multiclass task, else 1).

Every number becomes a normal score of its rank among the rows fitted on, every missing value a
flag, every frequent category a column of its own. The penalty is L2, so the model may be solved in
the principal directions of the fitted rows, where it is well conditioned: a path of penalties costs
little more than one. Everything runs on one thread, so that equal rows give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.special

from rowgraph.tasks.kinds import TaskType
from rowgraph.threads import one_thread

KNOTS = 64  # quantiles kept of a feature
TAIL = 0.01  # the most extreme rank that is told apart; normal scores end at about 2.3
FREQUENT = 20  # rows of a category, or of a missing value, before it has a column of its own
KEPT = 0.999  # share of the variance that the principal directions keep
ITERATIONS = 60  # of L-BFGS for one penalty
PENALTIES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # each starts from the one before
SMOOTH = 0.1  # where an absolute error becomes a square, in standard deviations of the target


@dataclass(frozen=True, eq=False)
class NormalScores:
    """Features as columns that a linear model can add up. Fitted on rows, applied to any.

    Args:
        knots: per feature, ascending values and their normal scores; None for a category or a
            feature without two values.
        codes: per feature, the frequent categories; empty for a number.
        flags: features whose missing values have a column.
        mean, scale: float64 [P], of the columns on the rows fitted on.
    """

    knots: tuple[tuple[np.ndarray, np.ndarray] | None, ...]
    codes: tuple[np.ndarray, ...]
    flags: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, features_NF: np.ndarray, categorical: Sequence[int]) -> NormalScores:
        """From the rows that the model is fitted on, and from no others."""
        coded = set(categorical)
        knots, codes, flags, known_flags = [], [], [], set()
        for i, column in enumerate(features_NF.T):
            missing = np.isnan(column)
            there = column[~missing]
            knots.append(None if i in coded else _knots(there))
            values, counts = np.unique(there if i in coded else there[:0], return_counts=True)
            codes.append(values[counts >= FREQUENT])
            if FREQUENT <= missing.sum() <= len(column) - FREQUENT:
                pattern = np.packbits(missing).tobytes()
                if pattern not in known_flags:  # features of one path are missing together
                    known_flags.add(pattern)
                    flags.append(i)
        raw = cls(tuple(knots), tuple(codes), tuple(flags), np.zeros(1), np.ones(1))
        columns = raw.columns(features_NF)
        scale = columns.std(axis=0)
        return cls(raw.knots, raw.codes, raw.flags, columns.mean(axis=0),
                   np.where(scale > 1e-9, scale, np.inf))

    def columns(self, features_NF: np.ndarray) -> np.ndarray:
        """float64 [N, P]."""
        found = [np.ones(len(features_NF))]  # so that there is always a column; its scale is inf
        for column, knots, codes in zip(features_NF.T, self.knots, self.codes, strict=True):
            if knots is not None:
                scores = np.interp(column, *knots)
                found.append(np.where(np.isnan(column), 0.0, scores))
            found += [(column == code).astype(np.float64) for code in codes]
        found += [np.isnan(features_NF[:, i]).astype(np.float64) for i in self.flags]
        return (np.stack(found, axis=1) - self.mean) / self.scale


def _knots(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    if len(values) < 2 or values.min() == values.max():
        return None
    ordered = np.sort(values).astype(np.float64)
    at = np.unique(np.linspace(0, len(ordered) - 1, KNOTS).round().astype(np.int64))
    distinct = np.unique(ordered[at])
    # The middle of a value's places among equals.
    rank = (np.searchsorted(ordered, distinct, "left")
            + np.searchsorted(ordered, distinct, "right")) / (2 * len(ordered))
    return distinct, scipy.special.ndtri(np.clip(rank, TAIL, 1 - TAIL))


@dataclass(frozen=True, eq=False)
class LinearPath:
    """A linear model at every penalty of a path.

    Args:
        scores: how features become columns.
        weights: float64 [penalties, P, C].
        bias: float64 [penalties, C].
        centre, unit: of a regression's target; 0 and 1 else.
    """

    task_type: TaskType
    scores: NormalScores
    weights: np.ndarray
    bias: np.ndarray
    centre: float
    unit: float

    def predict(self, features_NF: np.ndarray, steps: Sequence[int]) -> list[np.ndarray]:
        """For each asked place in the path, predictions as `rowgraph.tasks.kinds` says."""
        with one_thread():
            columns = self.scores.columns(features_NF)
            return [self._answer(columns @ self.weights[s] + self.bias[s]) for s in steps]

    def _answer(self, scores_NC: np.ndarray) -> np.ndarray:
        if self.task_type == "multiclass_classification":
            return scipy.special.softmax(scores_NC, axis=1)
        if self.task_type == "binary_classification":
            return scipy.special.expit(scores_NC[:, 0])
        return self.centre + self.unit * scores_NC[:, 0]


def fit_linear(task_type: TaskType, classes: int, features_NF: np.ndarray, target: np.ndarray,
               categorical: Sequence[int], last: int | None = None,
               penalties: Sequence[float] = PENALTIES) -> LinearPath:
    """Fit the path of penalties, strongest first.

    Minimises the mean loss plus penalty / 2 times the squared weights (columns have variance 1):
    log loss, or absolute error (square within `SMOOTH` standard deviations) of a regression.

    Args:
        classes: of a multiclass task.
        features_NF: float, NaN = missing.
        target: float64 [N].
        categorical: positions of features that are codes.
        last: the place in `penalties` to stop at; None fits all.
        penalties: descending.
    """
    with one_thread():
        scores = NormalScores.fit(features_NF, categorical)
        columns_NP = scores.columns(features_NF)
        variance, directions_PD = np.linalg.eigh(columns_NP.T @ columns_NP / len(columns_NP))
        order = np.argsort(-variance, kind="stable")
        variance = np.maximum(variance[order], 0)
        share = np.cumsum(variance) / max(variance.sum(), 1e-300)
        kept = max(1, min(int(np.searchsorted(share, KEPT)) + 1, int((variance > 1e-9).sum())))
        directions_PD = directions_PD[:, order[:kept]] / np.sqrt(np.maximum(variance[:kept], 1e-9))
        white_ND = columns_NP @ directions_PD
        variance = np.maximum(variance[:kept], 1e-9)
        centre, unit, loss, width, start = _loss_of(task_type, classes, target)
        point = np.concatenate([np.zeros(kept * width), start])
        weights, biases = [], []
        for penalty in penalties[:len(penalties) if last is None else last + 1]:
            point = _solve(white_ND, variance, loss, penalty, point, width)
            weights.append(directions_PD @ point[:-width].reshape(kept, width))
            biases.append(point[-width:])
    return LinearPath(task_type, scores, np.stack(weights), np.stack(biases), centre, unit)


def _loss_of(task_type: TaskType, classes: int, target: np.ndarray):
    """Centre and unit of the target, the loss (scores -> its mean and gradient), C, first bias."""
    if task_type == "regression":
        centre, unit = float(np.median(target)), float(np.std(target)) or 1.0
        scaled = (target - centre) / unit

        def absolute(scores_NC):
            error = scores_NC[:, 0] - scaled
            size = np.sqrt(error**2 + SMOOTH**2)
            return (size - SMOOTH).mean(), (error / size)[:, None] / len(error)

        return centre, unit, absolute, 1, np.zeros(1)
    if task_type == "binary_classification":
        share = np.clip(target.mean(), 1e-3, 1 - 1e-3)

        def logistic(scores_NC):
            score = scores_NC[:, 0]
            loss = np.logaddexp(0, score) - target * score
            return loss.mean(), (scipy.special.expit(score) - target)[:, None] / len(target)

        return 0.0, 1.0, logistic, 1, np.array([scipy.special.logit(share)])
    truth = np.zeros((len(target), classes))
    truth[np.arange(len(target)), target.astype(np.int64)] = 1

    def multinomial(scores_NC):
        total = scipy.special.logsumexp(scores_NC, axis=1)
        loss = total - (truth * scores_NC).sum(axis=1)
        return loss.mean(), (np.exp(scores_NC - total[:, None]) - truth) / len(truth)

    return 0.0, 1.0, multinomial, classes, np.log(np.clip(truth.mean(axis=0), 1e-3, None))


def _solve(white_ND: np.ndarray, variance: np.ndarray, loss, penalty: float, start: np.ndarray,
           width: int) -> np.ndarray:
    """Weights of the whitened directions (then biases) that minimise the penalised loss.

    Each direction is rescaled by its curvature, so that few iterations suffice.
    """
    # A weight w on a column is w * sqrt(variance) on its whitened direction.
    cost_D = (penalty / variance)[:, None]
    step_D = 1 / np.sqrt(0.25 + cost_D)
    count = len(variance) * width

    def value(point):
        w_DC = point[:count].reshape(-1, width) * step_D
        total, gradient_NC = loss(white_ND @ w_DC + point[count:])
        total += 0.5 * float((cost_D * w_DC**2).sum())
        slope = (white_ND.T @ gradient_NC + cost_D * w_DC) * step_D
        return total, np.concatenate([slope.ravel(), gradient_NC.sum(axis=0)])

    scaled = np.concatenate([(start[:count].reshape(-1, width) / step_D).ravel(), start[count:]])
    found = scipy.optimize.minimize(value, scaled, jac=True, method="L-BFGS-B",
                                    options={"maxiter": ITERATIONS, "ftol": 1e-8, "gtol": 1e-6})
    point = found.x
    return np.concatenate([(point[:count].reshape(-1, width) * step_D).ravel(), point[count:]])
