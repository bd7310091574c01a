"""The canary's other world: the same database with the cells of a span of time overwritten.

Primary keys, which are row numbers, and times stay, so that row i is still row i and what may be
seen is still the same rows; every other cell dated in the span becomes nonsense of its own type, a
foreign key another row of the same table. Label tables follow the same rule.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from rowgraph.databases.database import TIMELESS, Database, TableSchema
from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task

FLOAT_SPAN = 1e6  # of nonsense numbers, far from most columns' own


def write_nonsense(database: Database, folder: Path, *, start: int | None = None,
                   end: int | None = None,
                   keep: Mapping[str, np.ndarray] | None = None) -> Database:
    """Write a copy of a database whose cells dated in [start, end) are overwritten.

    A row without a time, in a table with a time column, is never visible: it is overwritten
    wherever `end` is open. Tables without a time column stay as they are.

    Args:
        database: what it hides is hidden in the copy too.
        folder: for the copy; made anew.
        start, end: microseconds since 1970; None is open.
        keep: by table, rows whose visible cells stay whatever their time: those that an
            autocomplete task asks about. Their hidden cells are overwritten all the same.

    Returns:
        The copy, without tasks: label rows are overwritten by `nonsense_labels`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "db").mkdir(parents=True)
    shutil.copy(database.folder / "manifest.yaml", folder / "manifest.yaml")
    for table, schema in database.tables.items():
        target = folder / "db" / f"{table}.parquet"
        if schema.time_col is None:
            shutil.copy(database.path(table), target)
            continue
        times = database.times(table)
        hit = inside(times, start, end)
        kept = hit.copy()
        kept[(keep or {}).get(table, np.empty(0, dtype=np.int64))] = False
        frame = pl.read_parquet(database.path(table))
        replaced = [_overwritten(database, schema, column,
                                 hit if (table, column.name) in database.hidden else kept)
                    for column in frame.iter_columns()]
        pl.DataFrame(replaced).write_parquet(target)
    return Database(database.name, folder, database.tables, database.val_timestamp,
                    database.test_timestamp, database.hidden)


def inside(times: np.ndarray, start: int | None, end: int | None) -> np.ndarray:
    """bool [n]: the rows dated in [start, end)."""
    first = TIMELESS + 1 if start is None else start
    return (times >= first) & ((times < end) if end is not None else True)


def nonsense_labels(task: Task, labels: LabelTable, hit: np.ndarray) -> LabelTable:
    """The same label rows with other targets where `hit` is true: classes change, numbers become
    random, destinations are dealt anew."""
    random = generator("nonsense", task.database.name, task.name)
    if isinstance(labels.target, Destinations):
        count = task.database.num_rows(task.destination_table)
        lists = [random.integers(0, count, max(1, len(labels.target.of_row(i)))) if hit[i]
                 else labels.target.of_row(i) for i in range(len(labels))]
        return LabelTable(labels.rows, labels.times, Destinations.of(lists))
    if task.task_type == "regression":
        other = random.uniform(-FLOAT_SPAN, FLOAT_SPAN, len(labels))
    else:
        classes = 2 if task.binary else len(task.classes)
        other = (labels.target + random.integers(1, classes, len(labels))) % classes
    return LabelTable(labels.rows, labels.times, np.where(hit, other, labels.target))


def _overwritten(database: Database, schema: TableSchema, column: pl.Series,
                 hit: np.ndarray) -> pl.Series:
    name = column.name
    if name in (schema.pkey_col, schema.time_col) or not hit.any():
        return column
    random = generator("nonsense", database.name, schema.name, name)
    other = _nonsense(database, schema, column, random)
    return column.zip_with(pl.Series(~hit), other.alias(name))


def _nonsense(database: Database, schema: TableSchema, column: pl.Series,
              random: np.random.Generator) -> pl.Series:
    rows, dtype = len(column), column.dtype
    if column.name in schema.fkeys:
        parents = database.num_rows(schema.fkeys[column.name])
        return pl.Series(random.integers(0, max(parents, 1), rows)).cast(dtype)
    if dtype == pl.Boolean:
        return ~column.fill_null(False)
    if dtype == pl.String:
        return pl.Series([f"nonsense {i}" for i in random.integers(0, 10**6, rows)])
    if dtype.is_integer():
        high = min(int(FLOAT_SPAN), np.iinfo(column.head(0).to_numpy().dtype).max)
        return pl.Series(random.integers(0, high, rows)).cast(dtype)
    if dtype.is_float():
        return pl.Series(random.uniform(-FLOAT_SPAN, FLOAT_SPAN, rows)).cast(dtype)
    if dtype == pl.Date or dtype == pl.Datetime:
        days = pl.Series(random.integers(0, 20_000, rows)).cast(pl.Int32).cast(pl.Date)
        return days.cast(dtype)
    return pl.Series([None] * rows, dtype=dtype)
