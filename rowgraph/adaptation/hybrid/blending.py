"""The blend: equal weights over all sound parts, moved only as far as folds over dates allow.

Weights are found on folds, where every part answers rows that it was not fitted on. How far they
may move is chosen by leaving out dates: weights are found on the other dates and judged on those
left out. Of moves that are as good within the spread over dates, the smallest.

A part that is too sure of itself would outvote the others in a mean of equal weights. So each
starts with a weight in proportion to how much of its answers is worth keeping: how far it may stand
from the constant answer where its own loss on the folds is lowest, and further where the folds
cannot tell. With few rows each also counts by its likelihood, tempered, and nothing moves from
there.

Shapes: P parts, n rows of all folds, C numbers that make an answer (classes, else 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rowgraph.adaptation.own_labels import constant_of
from rowgraph.adaptation.trials import score_of
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import EPS

MOVES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from first weights to those of the folds
STRENGTHS = tuple(k / 20 for k in range(20, -1, -1))  # how much of its answers a part may keep
FAINT = 1e-3  # the least strength, so that there is a mean even of parts that are all worthless
BLOCKS = 6  # of dates, each left out once
ITERATIONS = 200
RATE = 0.5
FEW = 200  # rows of all folds, below which differences between parts and candidates say little
TEMPER = 4.0  # nats by which a part is behind for its weight to fall to a third, where rows are few
TOLD_APART = 1.0  # nats of likelihood: what is nearer to the best is as good as it


@dataclass(frozen=True)
class Mixture:
    """Weights of the parts.

    Args:
        weights: by name of the part; their sum is one.
        strengths: by name, from 0 (no better than the constant) to 1 (sound as it is): where the
            weights start from, in proportion.
        move: how far weights have moved from there.
        scores: by move, the mean of the metric over left-out dates.
    """

    weights: Mapping[str, float]
    strengths: Mapping[str, float]
    move: float
    scores: Mapping[float, float]

    @property
    def label(self) -> str:
        """For people."""
        return " + ".join(f"{weight:.2f} {name}" for name, weight in self.weights.items()
                          if weight >= 0.005)

    def of(self, answers: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weighted mean of the parts' answers."""
        return sum(weight * answers[name] for name, weight in self.weights.items())


def mix(task: Task, answers: Mapping[str, Sequence[np.ndarray]], targets: Sequence[np.ndarray],
        times: Sequence[np.ndarray]) -> Mixture:
    """Find the weights.

    Args:
        answers: by part, of each fold's rows.
        targets, times: of each fold's rows.
    """
    names = list(answers)
    target, block = np.concatenate(targets), blocks_of(np.concatenate(times))
    constant = constant_of(task, target)
    whole = {name: np.concatenate(answers[name]) for name in names}
    strengths = {name: _strength(task, found, target, constant) for name, found in whole.items()}
    stacked = np.stack([whole[name] for name in names])
    start = np.array([max(strengths[name], FAINT) for name in names])
    start /= start.sum()
    if len(target) < FEW:
        losses = np.array([loss_of(task, found, target) for found in whole.values()])
        start *= np.exp(-(losses - losses.min()) / TEMPER)
        start /= start.sum()
    sign = 1 if task.higher_is_better else -1
    gains: dict[float, list[float]] = {move: [] for move in MOVES}
    for left in np.unique(block) if block.max() > 0 and len(target) >= FEW else ():
        inside = block == left
        found = _weights(task, stacked[:, ~inside], target[~inside])
        scores = [score_of(task, target[inside], _mean(_moved(start, found, move),
                                                       stacked[:, inside])) for move in MOVES]
        if None not in scores:
            for move, score in zip(MOVES, scores, strict=True):
                gains[move].append(sign * score)
    move = smallest_move(gains)
    weights = start if move == 0 else _moved(start, _weights(task, stacked, target), move)
    return Mixture({name: float(w) for name, w in zip(names, weights, strict=True)}, strengths,
                   move,
                   {m: sign * float(np.mean(g)) for m, g in gains.items() if g})


def _drawn(answers: np.ndarray, constant: np.ndarray, strength: float) -> np.ndarray:
    return constant + strength * (answers - constant)


def _strength(task: Task, answers: np.ndarray, target: np.ndarray, constant: np.ndarray) -> float:
    """How much of a part's answers is kept; of what cannot be told apart the most."""
    losses = [loss_of(task, _drawn(answers, constant, strength), target) for strength in STRENGTHS]
    return STRENGTHS[int(np.argmax(np.array(losses) <= min(losses) + TOLD_APART))]


def loss_of(task: Task, answers: np.ndarray, target: np.ndarray) -> float:
    """Minus the log likelihood of all rows, nats: log loss, or that of a Laplace distribution whose
    spread is the mean absolute error."""
    if task.task_type == "regression":
        return len(target) * float(np.log(np.abs(answers - target).mean() + EPS))
    if task.task_type == "multiclass_classification":
        said = answers[np.arange(len(target)), target.astype(np.int64)]
    else:
        said = np.where(target == 1, answers, 1 - answers)
    return float(-np.log(np.clip(said, EPS, None)).sum())


def smallest_move(gains: Mapping[float, list[float]]) -> float:
    """The smallest move within a standard error of the best, dates being the draws."""
    if not gains[0.0]:
        return 0.0
    means = {move: float(np.mean(found)) for move, found in gains.items()}
    best = max(means, key=means.get)
    for move in MOVES:
        behind = np.array(gains[best]) - np.array(gains[move])
        error = behind.std(ddof=1) / np.sqrt(len(behind)) if len(behind) > 1 else np.inf
        if behind.mean() <= error:
            return move
    return best


def _moved(start: np.ndarray, found: np.ndarray, move: float) -> np.ndarray:
    return (1 - move) * start + move * found


def _mean(weights: np.ndarray, answers: np.ndarray) -> np.ndarray:
    return np.tensordot(weights, answers, axes=1)


def _weights(task: Task, answers: np.ndarray, target: np.ndarray) -> np.ndarray:
    """float64 [P], at least 0 and of sum 1, that minimise log loss or absolute error: exponentiated
    gradient (Kivinen and Warmuth, Information and Computation 1997) from equal weights."""
    parts = len(answers)
    weights = np.full(parts, 1 / parts)
    rate = RATE
    for _ in range(ITERATIONS):
        slope = _slope(task, answers, _mean(weights, answers), target)
        largest = np.abs(slope - slope.min()).max()
        if largest <= 0:
            break
        weights = weights * np.exp(-rate * (slope - slope.min()) / largest)
        weights /= weights.sum()
        rate *= 0.98
    return weights


def _slope(task: Task, answers: np.ndarray, mean: np.ndarray, target: np.ndarray) -> np.ndarray:
    """float64 [P]: of the mean loss by each weight."""
    if task.task_type == "regression":
        error = np.sign(mean - target)
        return (answers * error).mean(axis=1)
    if task.task_type == "multiclass_classification":
        rows = np.arange(len(target))
        said = answers[:, rows, target.astype(np.int64)]
        return -(said / np.clip(mean[rows, target.astype(np.int64)], EPS, None)).mean(axis=1)
    chance = np.where(target == 1, mean, 1 - mean)
    said = np.where(target == 1, answers, 1 - answers)
    return -(said / np.clip(chance, EPS, None)).mean(axis=1)


def blocks_of(times: np.ndarray) -> np.ndarray:
    """int64 [n]: blocks of dates that follow each other, about equally many dates in each."""
    dates, place = np.unique(times, return_inverse=True)
    blocks = min(BLOCKS, len(dates))
    return (place * blocks) // len(dates)
