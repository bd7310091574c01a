"""What LightGBM is given and how it grows its trees, for baselines and for filling in cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
import polars as pl
import scipy.special

from rowgraph.tasks.kinds import TaskType

MAX_CATEGORIES = 255  # a string column with more distinct training values is text: left out
TREES = {  # how LightGBM grows them
    "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "feature_fraction": 0.8,
    "bagging_fraction": 0.8, "bagging_freq": 1, "deterministic": True, "force_row_wise": True,
    "verbosity": -1,
    "num_threads": 1,  # tables of thousands of rows; waiting threads cost minutes when shared
}
OBJECTIVES = {"binary_classification": "binary", "multiclass_classification": "multiclass",
              "regression": "l1"}


def numbers_of(column: pl.Series,
               fitted: np.ndarray | None = None) -> tuple[np.ndarray, bool] | None:
    """A column as numbers for a tree: numbers stay, dates become days, words become codes.

    Args:
        fitted: positions whose words have a code; None = all.

    Returns:
        float64 [rows], NaN where missing or without a code, and whether they are codes; None for
        text (more than 255 distinct words) and for what is neither number, date nor word.
    """
    column = column.alias("")  # for polars' own methods a name such as `^a.*$` is a pattern
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_null(np.nan).to_numpy(), False
    if column.dtype in (pl.Date, pl.Datetime):
        days = column.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 86_400e6
        return days.fill_null(np.nan).to_numpy(), False
    if column.dtype not in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        return None
    words = column.cast(pl.String)
    known = (words if fitted is None else words.gather(fitted)).drop_nulls().unique().sort()
    if len(known) > MAX_CATEGORIES:
        return None
    codes = words.replace_strict(known, np.arange(len(known)), default=None,
                                 return_dtype=pl.Float64)
    return codes.fill_null(np.nan).to_numpy(), True


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees of LightGBM that answer a task of some kind.

    Args:
        task_type: of the task.
        booster: the trees.
    """

    task_type: TaskType
    booster: lightgbm.Booster

    def predict(self, features: np.ndarray, steps: Sequence[int]) -> list[np.ndarray]:
        """Predictions with so many of the first trees, in one pass over all.

        Args:
            features: float [n, features], NaN = missing.
            steps: ascending.

        Returns:
            For each step an array as `rowgraph.tasks.kinds` says.
        """
        raw, start, found = 0.0, 0, []
        for step in steps:
            raw = raw + self.booster.predict(features, raw_score=True, start_iteration=start,
                                             num_iteration=step - start)
            found.append(self._answer(np.asarray(raw, dtype=np.float64)))
            start = step
        return found

    def gains(self, trees: int | None = None) -> np.ndarray:
        """float64 [features]: what the splits on each feature gained, over the first trees."""
        return self.booster.feature_importance("gain", iteration=trees)

    def _answer(self, raw: np.ndarray) -> np.ndarray:
        if self.task_type == "binary_classification":
            return scipy.special.expit(raw)
        if self.task_type == "multiclass_classification":
            return scipy.special.softmax(raw, axis=1)
        return raw


def binned(features: np.ndarray, target: np.ndarray, categorical: Sequence[int],
           parameters: Mapping[str, object]) -> lightgbm.Dataset:
    """Features in LightGBM's form, of which any number of forests may be grown.

    Args:
        features: float [n, features], NaN = missing.
        target: float64 [n].
        categorical: positions of features that are codes, at least 0.
        parameters: of LightGBM. Forests whose parameters differ in what decides bins need bins of
            their own.
    """
    return lightgbm.Dataset(
        features, target, categorical_feature=[int(i) for i in categorical],
        feature_name=[f"column_{i}" for i in range(features.shape[1])],
        params=dict(parameters)).construct()


def grow(task_type: TaskType, classes: int, data: lightgbm.Dataset, trees: int, seed: int,
         parameters: Mapping[str, object]) -> Forest:
    """Grow trees. Equal arguments give equal trees, and fewer trees are the first of more.

    Args:
        classes: of a multiclass task.
        data: from `binned`.
        parameters: of LightGBM, beside objective and seed.
    """
    if task_type == "multiclass_classification":
        parameters = {**parameters, "num_class": classes}
    booster = lightgbm.train({"objective": OBJECTIVES[task_type], **parameters,
                              "seed": seed % 2**31}, data, num_boost_round=trees)
    return Forest(task_type, booster)


def steps_upto(most: int, steps: Sequence[int]) -> tuple[int, ...]:
    """The steps below a number, and the number itself."""
    return (*(step for step in steps if step < most), most)
