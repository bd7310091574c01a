"""What LightGBM is given and how it grows its trees, for baselines and for filling in cells."""

from __future__ import annotations

import numpy as np
import polars as pl

MAX_CATEGORIES = 255  # a string column with more distinct training values is text: left out
TREES = {  # how LightGBM grows them
    "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "feature_fraction": 0.8,
    "bagging_fraction": 0.8, "bagging_freq": 1, "deterministic": True, "force_row_wise": True,
    "verbosity": -1,
    "num_threads": 1,  # tables of thousands of rows; waiting threads cost minutes when shared
}


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
