"""Does a probability of .3 come true in three of ten? Reliability, and what scaling would mend.

Shapes: N label rows, C classes.

Judged is what a user gets: a variant's mean over runs. Of classes, it is the chance of the class
that is named (Guo et al. 2017). Scaling is fitted on validation predictions, which come from a
model that saw training rows alone; whether to scale at all, by one temperature or by a monotone
step function, is chosen by log loss on validation dates that were left out of the fit. Test labels
only judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

from rowgraph.evaluation.averages import mean_predictions
from rowgraph.evaluation.resamples import DAY
from rowgraph.randomness import generator
from rowgraph.tasks.choosing import Score, choice_table, choose
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import EPS, row_scores
from rowgraph.tasks.predictions import Predictions

Method = Literal["none", "temperature", "isotonic"]  # the simplest first: of equals it is chosen
Scaling = Callable[[np.ndarray], np.ndarray]  # probabilities to probabilities
FOLDS = 5  # of validation dates
PERFECT_DRAWS = 200
STEEPEST = 20.0  # temperatures lie between this and its inverse
_WHERE = {"database": pl.String, "task": pl.String, "regime": pl.String, "variant": pl.String,
          "stage": pl.String}
CALIBRATION = {**_WHERE, "bin": pl.Int64, "predicted": pl.Float64, "observed": pl.Float64,
               "count": pl.Int64}
CALIBRATION_ERROR = {**_WHERE, "method": pl.String, "ece": pl.Float64,
                     "ece_if_perfect": pl.Float64, "log_loss": pl.Float64, "n_test": pl.Int64}


def calibrate(task: Task, predictions: Predictions,
              bins: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Reliability of every variant on the test rows, as it is and after scaling.

    Args:
        task: binary or multiclass; of other kinds nothing is calibrated.
        predictions: a variant without validation predictions has no `calibrated` stage.
        bins: of a curve, equally full; equal probabilities share one.

    Returns:
        `CALIBRATION` (a row a bin), `CALIBRATION_ERROR` (a row a stage: the expected calibration
        error, what it would be if every probability were right, log loss) and the table of
        choices (`rowgraph.tasks.choosing`).
    """
    curves: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    scores: list[Score] = []
    chosen: dict[str, dict[str, Any]] = {}
    judged = task.task_type in ("binary_classification", "multiclass_classification")
    means = mean_predictions(predictions) if judged else {}
    for (regime, variant), splits in means.items():
        stages: dict[str, tuple[str, np.ndarray]] = {"raw": ("none", splits["test"])}
        if "val" in splits:
            found = method_scores(task, splits["val"], variant, regime)
            picked = choose(found, higher_is_better=False)
            method = picked[regime].candidate
            scaling = SCALINGS[method](splits["val"], task.val.target)
            stages["calibrated"] = (method, scaling(splits["test"]))
            scores += found
            chosen.setdefault(variant, {}).update(picked)
        for stage, (method, prediction) in stages.items():
            where = {"database": task.database.name, "task": task.name, "regime": regime,
                     "variant": variant, "stage": stage}
            sure, right = confidence(prediction, task.test.target)
            bin_N = bins_of(sure, bins)
            curve = reliability(sure, right, bin_N)
            curves += [{**where, **row} for row in curve.iter_rows(named=True)]
            errors.append({
                **where, "method": method, "ece": ece(curve),
                "ece_if_perfect": ece_if_perfect(sure, bin_N, task.database.name, task.name),
                "log_loss": float(row_scores("log_loss", task.test.target, prediction).mean()),
                "n_test": len(sure)})
    return (pl.DataFrame(curves, schema=CALIBRATION, orient="row"),
            pl.DataFrame(errors, schema=CALIBRATION_ERROR, orient="row"),
            choice_table(scores, chosen))


def confidence(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float64 [N]: a probability that can come true, and whether it did (1 or 0).

    Of a binary task that of 1, else that of the likeliest class.
    """
    if prediction.ndim == 1:
        return prediction, target
    return prediction.max(1), (prediction.argmax(1) == target).astype(np.float64)


def bins_of(sure: np.ndarray, bins: int) -> np.ndarray:
    """int64 [N] from 0: equally full bins, as far as equal values allow."""
    edges = np.unique(np.quantile(sure, np.arange(1, bins) / bins))
    return np.unique(np.searchsorted(edges, sure, side="right"), return_inverse=True)[1]


def reliability(sure: np.ndarray, right: np.ndarray, bin_N: np.ndarray) -> pl.DataFrame:
    """Per bin: the mean probability, the share that came true, and how many there are."""
    count = np.bincount(bin_N)
    return pl.DataFrame({"bin": np.arange(len(count)),
                         "predicted": np.bincount(bin_N, weights=sure) / count,
                         "observed": np.bincount(bin_N, weights=right) / count, "count": count})


def ece(curve: pl.DataFrame) -> float:
    """Expected calibration error: the mean gap of a curve's bins, each by its count."""
    gap = (curve["predicted"] - curve["observed"]).abs()
    return float((gap * curve["count"]).sum() / curve["count"].sum())


def ece_if_perfect(sure: np.ndarray, bin_N: np.ndarray, *purpose: object) -> float:
    """What so few rows would show if every probability were right (Broecker and Smith 2007)."""
    random, count = generator("ece_if_perfect", *purpose), np.bincount(bin_N)
    mean = np.bincount(bin_N, weights=sure)
    gaps = [np.abs(mean - np.bincount(bin_N, weights=random.random(len(sure)) < sure)).sum()
            for _ in range(PERFECT_DRAWS)]
    return float(np.mean(gaps) / count.sum())


def method_scores(task: Task, prediction: np.ndarray, variant: str, regime: str) -> list[Score]:
    """Log loss of each way of scaling on validation dates that it was not fitted on."""
    fold_N = folds_of_dates(task.val, task.database.name, task.name)
    found = []
    for method in get_args(Method):
        for fold in range(int(fold_N.max()) + 1):
            out = fold_N == fold
            scaling = SCALINGS[method](prediction[~out], task.val.target[~out])
            loss = row_scores("log_loss", task.val.target[out], scaling(prediction[out])).mean()
            found.append(Score(variant, method, 0, f"validation dates {fold + 1}", regime,
                               "log_loss", float(loss)))
    return found


def folds_of_dates(labels: LabelTable, *purpose: object) -> np.ndarray:
    """int64 [N]: spans of neighbouring dates; of one date, its rows at random."""
    dates, date_N = np.unique(labels.times // DAY, return_inverse=True)
    if len(dates) == 1:
        date_N = generator("calibration folds", *purpose).permutation(len(labels))
    moments = int(date_N.max()) + 1
    return date_N * min(FOLDS, moments) // moments


def _none(prediction: np.ndarray, target: np.ndarray) -> Scaling:
    return lambda p: p


def _temperature(prediction: np.ndarray, target: np.ndarray) -> Scaling:
    temperature = temperature_of(prediction, target)
    return lambda p: cooled(p, temperature)


def temperature_of(prediction: np.ndarray, target: np.ndarray) -> float:
    """The temperature of least log loss."""
    def loss(log_t: float) -> float:
        return float(row_scores("log_loss", target, cooled(prediction, np.exp(log_t))).mean())

    reach = np.log(STEEPEST)
    return np.exp(minimize_scalar(loss, bounds=(-reach, reach), method="bounded").x)


def cooled(prediction: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities whose logits are divided by a temperature."""
    classes = np.stack([1 - prediction, prediction], 1) if prediction.ndim == 1 else prediction
    logits = np.log(np.clip(classes, EPS, 1)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found = powers / powers.sum(1, keepdims=True)
    return found[:, 1] if prediction.ndim == 1 else found


def _isotonic(prediction: np.ndarray, target: np.ndarray) -> Scaling:
    """Never nearer to 0 or 1 than so many rows can vouch for (Laplace's rule)."""
    floor = 1 / (len(target) + 2)

    def fit(values: np.ndarray, right: np.ndarray) -> Scaling:
        steps = IsotonicRegression(y_min=floor, y_max=1 - floor, out_of_bounds="clip")
        return steps.fit(values, right).predict

    if prediction.ndim == 1:
        return fit(prediction, target)
    each = [fit(prediction[:, c], target == c) for c in range(prediction.shape[1])]

    def scaled(p: np.ndarray) -> np.ndarray:
        found = np.stack([one(p[:, c]) for c, one in enumerate(each)], axis=1)
        return found / found.sum(1, keepdims=True)

    return scaled


SCALINGS: Mapping[str, Callable[[np.ndarray, np.ndarray], Scaling]] = {
    "none": _none, "temperature": _temperature, "isotonic": _isotonic}
