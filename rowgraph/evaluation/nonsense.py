"""The canary's other world: the same database with the cells of a span of time overwritten.

Primary keys, which are row numbers, and times stay, so that row i is still row i and what may be
seen is still the same rows; every other cell dated in the span becomes nonsense of its own type, a
foreign key another row of the same table. Cells that are known later than their row have the date
at which they are known: they are changed, emptied and filled, in rows of any age, and a time that
lies in the span stays one of the span. Label tables follow the same rule.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from rowgraph.databases.database import TIMELESS, Database, TableSchema
from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task

DAY = 86_400_000_000  # microseconds
FLOAT_SPAN = 1e6  # of nonsense numbers, far from most columns' own


def write_nonsense(database: Database, folder: Path, *, start: int | None = None,
                   end: int | None = None,
                   keep: Mapping[str, np.ndarray] | None = None,
                   only_late: bool = False) -> Database:
    """Write a copy of a database whose cells dated in [start, end) are overwritten.

    A row without a time, in a table with a time column, is never visible: it is overwritten
    wherever `end` is open. Tables without a time column stay as they are, but for cells that are
    known later.

    Args:
        database: what it hides is hidden in the copy too.
        folder: for the copy; made anew.
        start, end: microseconds since 1970; None is open.
        keep: by table, rows whose visible cells stay whatever their time: those that an
            autocomplete task asks about. Their hidden cells, and those that are known later, are
            overwritten all the same.
        only_late: overwrite nothing but cells that are known later than their row.

    Returns:
        The copy, without tasks: label rows are overwritten by `nonsense_labels`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "db").mkdir(parents=True)
    shutil.copy(database.folder / "manifest.yaml", folder / "manifest.yaml")
    for table, schema in database.tables.items():
        target, known = folder / "db" / f"{table}.parquet", _known(database, table)
        if (schema.time_col is None or only_late) and not known:
            shutil.copy(database.path(table), target)
            continue
        hit = inside(database.times(table), start, end) & (not only_late)
        kept = hit.copy()
        kept[(keep or {}).get(table, np.empty(0, dtype=np.int64))] = False
        frame = pl.read_parquet(database.path(table))
        replaced = [_overwritten(database, schema, column,
                                 hit if (table, column.name) in database.hidden else kept)
                    for column in frame.iter_columns()]
        replaced = [_late_overwritten(database, schema, column, inside(known[column.name], start,
                                                                       end), (start, end))
                    if column.name in known else column for column in replaced]
        pl.DataFrame(replaced).write_parquet(target)
    return dataclasses.replace(database, folder=folder)


def _known(database: Database, table: str) -> dict[str, np.ndarray]:
    """By column, from when its cells are known, where that is later than their row."""
    found = {c: database.known_at(table, c) for c in database.columns(table)}
    return {column: known for column, known in found.items() if known is not None}


def _late_overwritten(database: Database, schema: TableSchema, column: pl.Series, hit: np.ndarray,
                      span: tuple[int | None, int | None]) -> pl.Series:
    """Where `hit`, another cell or none, known no earlier than the one that was there."""
    if not hit.any():
        return column
    name, rows = column.name, len(column)
    random = generator("nonsense", database.name, schema.name, name, "late")
    start, end = span
    if column.dtype in (pl.Date, pl.Datetime):
        known = database.known_at(schema.name, name)
        times = database.times(schema.name)
        first = np.where(times == TIMELESS, known, times)[hit] + 1  # later than its row as before
        first = np.maximum(first, TIMELESS + 1 if start is None else start)
        last = first + 400 * DAY if end is None else np.maximum(end, first + 1)
        moments = np.zeros(rows, dtype=np.int64)
        moments[hit] = random.integers(first, last)
        other = pl.Series(moments).cast(pl.Datetime("us")).cast(column.dtype)
        if column.dtype == pl.Date:  # cut to the day, it might be before the span
            other = other.dt.offset_by("1d")
    elif name in schema.fkeys:
        parent = database.times(schema.fkeys[name])
        late = np.flatnonzero(inside(parent, start, end))
        other = (pl.Series(random.choice(late, rows)) if len(late) else pl.Series(
            [None] * rows, dtype=pl.Int64)).cast(column.dtype)
    else:
        other = _nonsense(database, schema, column, random)
    empty = pl.Series(random.random(rows) < 0.3)
    cells = pl.DataFrame([column.alias("was"), other.alias("other"), empty.alias("empty"),
                          pl.Series("hit", hit)])
    return cells.select(pl.when(~pl.col("hit")).then("was").when(~pl.col("empty")).then("other")
                        )["was"].alias(name)


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
        # On one side, so that a median moves too where every second label is another.
        other = random.uniform(FLOAT_SPAN / 2, FLOAT_SPAN, len(labels))
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
