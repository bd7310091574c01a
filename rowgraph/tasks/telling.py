"""One column of the entity's own row that almost answers the question: look before believing.

What is known is already hidden where it must be; what still tells nearly everything is either the
answer itself in another form, or a cell that was written when the answer was known.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from rowgraph.databases.association import binned
from rowgraph.databases.suspects import Suspect
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.regimes import hidden

TELLING = 0.9  # ROC-AUC or R² on validation from which on one column answers alone
BINS = 20
FEWEST = 30  # rows of validation


def telling_columns(task: Task) -> Iterator[Suspect]:
    """Columns that alone reach an ROC-AUC or an R² of `TELLING` on validation, learned as means
    over bins of training rows. Other kinds of task have no such measure.

    Args:
        task: its database knows when cells are known; seeds see what they may see.
    """
    if not (task.binary or task.task_type == "regression") or len(task.val) < FEWEST:
        return
    metric = "roc_auc" if task.binary else "r2"
    database, table = task.database, task.entity_table
    for column in database.attributes(table):
        if column == database.tables[table].time_col:
            continue
        cells, known = database.column(table, column, late=True), database.known_at(table, column)
        train, val = (_as_seen(task, labels, cells, known) for labels in (task.train, task.val))
        if (guess := _learned(train, task.train.numbers, val)) is None:
            continue
        if task.binary and len(np.unique(task.val.numbers)) < 2:
            return
        figure = measure(metric, task.val.target, guess, task.train.target)
        if figure is not None and figure >= TELLING:
            yield Suspect(table, column, "answers labels", figure,
                          f"alone it reaches {'ROC-AUC' if task.binary else 'R²'} {figure:.2f} on "
                          f"the validation rows of {task.name}", None)


def _as_seen(task: Task, labels: LabelTable, cells: pl.Series,
             known: np.ndarray | None) -> pl.Series:
    """A cell for each label row; times as their distance from the seed."""
    values = cells.gather(labels.rows)
    if values.dtype in (pl.Date, pl.Datetime):
        values = (values.cast(pl.Datetime("us")).to_physical() - pl.Series(labels.times)).cast(
            pl.Float64)
    if known is not None:
        unseen = hidden(known[labels.rows], labels.times)
        values = pl.DataFrame({"v": values, "u": unseen}).select(
            pl.when(~pl.col("u")).then("v"))["v"]
    return values.alias("")


def _learned(train: pl.Series, target: np.ndarray, val: pl.Series) -> np.ndarray | None:
    """float64 [validation rows]: the mean target of a training bin."""
    codes = binned(pl.concat([train, val]), BINS)
    if codes is None:
        return None
    width = int(codes.max()) + 1
    total = np.bincount(codes[:len(train)], weights=target, minlength=width)
    count = np.bincount(codes[:len(train)], minlength=width)
    means = np.where(count > 0, total / np.maximum(count, 1), target.mean())
    return means[codes[len(train):]]
