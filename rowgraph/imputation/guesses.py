"""What BART has to beat at filling in a cell: the usual value, and a tree that sees the same row.

- `most_frequent`: the value that most fitting rows have, where cells are judged by exact match.
- `median`: of the fitting rows, where they are numbers.
- `lightgbm`: one model a column over the row's other attributes, as numbers. It chooses among the
  most frequent values, or predicts the number under absolute error. Its number of trees is fixed:
  there are no third rows to choose it on.

See docs/decisions/imputation.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import lightgbm
import numpy as np
import polars as pl

from rowgraph.imputation.cells import SplitTable
from rowgraph.randomness import stable_seed
from rowgraph.trees import TREES, numbers_of

# Hundreds of rows a table, where the downstream task has tens of thousands.
SMALL = {"learning_rate": 0.1, "min_data_in_leaf": 5, "min_data_per_group": 5}


def most_frequent(values: np.ndarray, count: int = 1) -> np.ndarray:
    """The `count` most frequent texts, the first in order of the alphabet where several tie."""
    counts = Counter(values.tolist())
    order = sorted(counts, key=lambda text: (-counts[text], text))
    return np.array(order[:count], dtype=object)


def spread(values: np.ndarray) -> float:
    """The mean absolute deviation from the median, so that predicting the median errs by one."""
    return float(np.abs(values - np.median(values)).mean())


@dataclass(frozen=True)
class Attributes:
    """The attributes of a table as numbers (`numbers_of`), words coded on the fitting rows.

    Args:
        columns: float64 [fitted + asked], by name, in that order of rows.
        words: names of those that hold codes.
    """

    columns: dict[str, np.ndarray]
    words: frozenset[str]

    @classmethod
    def fit(cls, table: SplitTable) -> Attributes:
        """From the fitting rows."""
        rows, fitted = pl.concat([table.fitted, table.asked]), np.arange(table.fitted.height)
        found = {c.name: numbers_of(c, fitted) for c in rows.iter_columns()}
        return cls({n: f[0] for n, f in found.items() if f is not None},
                   frozenset(n for n, f in found.items() if f is not None and f[1]))

    def without(self, column: str) -> tuple[np.ndarray, list[int]]:
        """float64 [fitted + asked, attributes but one], and the positions of codes."""
        names = [n for n in self.columns if n != column]
        matrix = np.stack([self.columns[n] for n in names], axis=1) if names else np.empty((0, 0))
        return matrix, [i for i, n in enumerate(names) if n in self.words]


def lightgbm_guesses(attributes: Attributes, column: str, fitted: np.ndarray, known: np.ndarray,
                     asked: np.ndarray, *, trees: int, classes: int, seed: int) -> np.ndarray:
    """What LightGBM says about the cells of one column.

    Args:
        column: not among what it sees.
        fitted: rows of `attributes` that have a value. known: these values, float64 or texts.
        asked: rows of `attributes` whose value is guessed.
        classes: the most frequent texts among which it chooses.

    Returns:
        Like `known`. Where the row has no other attribute: the usual value.
    """
    rows, words = attributes.without(column)
    number = known.dtype == np.float64
    if not rows.size:
        usual = np.median(known) if number else most_frequent(known)[0]
        return np.full(len(asked), usual, dtype=known.dtype)
    parameters = {**TREES, **SMALL, "seed": stable_seed("imputation_metrics", column, seed) % 2**31}
    if number:  # LightGBM keeps labels in 32 bits, too few for a date or an amount as it stands
        middle, scale = np.median(known), spread(known)
        parameters["objective"], target = "l1", (known - middle) / scale
    else:
        names = most_frequent(known, classes)
        code = {name: i for i, name in enumerate(names)}
        target = np.array([code.get(name, -1) for name in known])
        fitted, target = fitted[target >= 0], target[target >= 0]
        parameters |= {"objective": "multiclass", "num_class": len(names)}
    data = lightgbm.Dataset(rows[fitted], target, categorical_feature=words)
    said = np.asarray(lightgbm.train(parameters, data, trees).predict(rows[asked]))
    return middle + scale * said if number else names[said.argmax(1)]
