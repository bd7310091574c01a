"""Reads a task of a resolved database through RelBench."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import polars as pl
import relbench

from rowgraph.databases.database import Database
from rowgraph.tasks.kinds import METRICS
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.regimes import Split


def task_names(database: Database) -> list[str]:
    """The tasks that come with a database."""
    return relbench.load_dataset(database.folder).get_task_names()


def load_task(database: Database, name: str) -> Task:
    """Read a task of a database.

    Raises:
        ValueError: there is no such task; its type is not supported; it hides columns of the
            database, which are inside the embeddings; it has no time column; or a label row
            cannot be used.
    """
    dataset = relbench.load_dataset(database.folder)
    who = f"{database.name}/{name}"
    known = dataset.get_task_names()
    if name not in known:
        raise ValueError(f"{who}: no such task; tasks of {database.name}: "
                         f"{', '.join(known) or 'none'}")
    task = dataset.load_task(name)
    if task.task_type.value not in METRICS:
        raise ValueError(f"{who}: task type {task.task_type.value} is not supported yet; choose "
                         f"a task whose type is one of {', '.join(METRICS)}")
    if task.hidden_columns():
        columns = ", ".join(f"{t}.{c}" for t, c in task.hidden_columns())
        raise ValueError(f"{who}: this task must not see {columns}, but the row embeddings were "
                         "made from every column; choose a task without remove_columns, or make "
                         "a copy of the database without these columns")
    if task.time_col is None:
        raise ValueError(f"{who}: the label table has no time column, so that what a label row "
                         "may see is undefined; choose a temporal task")
    if task.entity_table not in database.tables:
        raise ValueError(f"{who}: entity table '{task.entity_table}' is not in the database "
                         f"({', '.join(database.tables)}); correct the task's manifest")
    entities = database.num_rows(task.entity_table)
    tables = {split: _label_table(task, split, entities, who) for split in get_args(Split)}
    return Task(name, database, task.task_type.value, task.entity_table,
                int(task.timedelta / pd.Timedelta(microseconds=1)), **tables)


def _label_table(task: object, split: Split, entities: int, who: str) -> LabelTable:
    frame = pl.from_pandas(task.get_table(split, mask_input_cols=False).df)
    if frame.is_empty():
        raise ValueError(f"{who}: the {split} label table is empty; remove the task or widen its "
                         "time span")
    for column in (task.entity_col, task.time_col, task.target_col):
        values = frame[column]
        missing = values.null_count()
        if values.dtype.is_float():
            missing += int(values.is_nan().sum())
        if missing:
            raise ValueError(f"{who}: {missing} of {len(frame)} {split} label rows have no "
                             f"{column}; remove these rows from {split}.parquet")
    rows = frame[task.entity_col].cast(pl.Int64).to_numpy()
    if (outside := (rows < 0) | (rows >= entities)).any():
        raise ValueError(f"{who}: {split} label row {int(outside.argmax())} names "
                         f"{task.entity_table} {rows[outside][0]}, but the table has rows 0 to "
                         f"{entities - 1}; rebuild the labels from this database "
                         "(`load_task(name, regenerate=True)`) or drop the row")
    times = frame[task.time_col].cast(pl.Datetime("us")).to_physical().to_numpy()
    target = frame[task.target_col].cast(pl.Float64).to_numpy()
    if task.task_type.value == "binary_classification" and not np.isin(target, (0.0, 1.0)).all():
        found = sorted(set(target.tolist()))[:5]
        raise ValueError(f"{who}: a binary target must be 0 or 1, found {found} in {split}; "
                         "correct the label table or its task_type")
    return LabelTable(rows, times.astype(np.int64), target)
