"""Makes the label tables that a task does not ship, as RelBench would.

An autocomplete task's labels are cells of its entity table. A forecast task's labels follow from
the SQL of its manifest, run by RelBench's own split logic, but behind a fence
(`rowgraph.databases.guarded_sql`): opening a folder can neither read nor write elsewhere, and equal
folders give equal labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases import guarded_sql
from rowgraph.databases.columns import key_values, microseconds_of
from rowgraph.databases.database import NEVER, Database
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.report import near, reason

Split = str
FRAMES = 3  # training windows that RelBench needs at least
MOST_FRAMES = 100_000  # windows of an hour over eleven years


class NoRows(ValueError):
    """The SQL of a task yields nothing for a split."""


def make_labels(database: Database, task: LabelSchema,
                splits: Iterable[Split]) -> dict[Split, pa.Table]:
    """Label tables of a task, in RelBench's order.

    Args:
        database: whole; its rows are the truth.
        task: its manifest.
        splits: those that are wanted.

    Raises:
        ValueError: they cannot be made; the message says why, but not of which task.
    """
    splits, span = tuple(splits), Span(database)
    for split in splits:
        if refusal := why_not(span, task, split):
            raise ValueError(refusal)
    if task.autocomplete:
        return _cells(database, task, splits)
    return _forecasts(database, task, splits)


class Span:
    """When the rows of a database begin and end, read once and only if it is asked.

    Args:
        database: whole.
    """

    def __init__(self, database: Database):
        self.database = database

    @cached_property
    def times(self) -> np.ndarray:
        """int64: the oldest time, the newest up to test_timestamp and the newest; or empty."""
        database = self.database
        found = [database.times(t) for t, schema in database.tables.items() if schema.time_col]
        times = np.concatenate([t[t != NEVER] for t in found] or [np.empty(0, np.int64)])
        if not (times <= database.test_timestamp).any():
            return np.empty(0, np.int64)
        return np.array([times.min(), times[times <= database.test_timestamp].max(), times.max()])


def why_not(span: Span, task: LabelSchema, split: Split) -> str | None:
    """Why sound labels of a split cannot be made, as far as manifest and times decide it."""
    if task.kind == "external":
        return f"external labels cannot be made from the database; fetch {split}.parquet"
    return None if task.autocomplete else why_no_windows(span, task.timedelta, split)


def why_no_windows(span: Span, timedelta: int, split: Split) -> str | None:
    """Why a split has no windows of a length, in which labels could be looked for."""
    database = span.database
    val, test = database.val_timestamp, database.test_timestamp
    if timedelta > test - val:
        return (f"timedelta ({_days(timedelta)}) is longer than from val_timestamp to "
                f"test_timestamp ({_days(test - val)}), so that validation would overlap with "
                "test; shorten it, or move the timestamps")
    if not len(span.times):
        return (f"no row has a time up to test_timestamp, from which {split} labels could be "
                "made; name a time_col, or move the timestamps")
    oldest, known, newest = map(int, span.times)
    if split == "train":
        frames = max((val - oldest) // timedelta, 0)
        if (wrong := too_fine(span, timedelta)) is not None:
            return wrong
        return None if frames >= FRAMES else (
            f"only {frames} windows of {_days(timedelta)} lie before val_timestamp, training "
            f"needs {FRAMES}; shorten timedelta, or move val_timestamp")
    return _late(span, timedelta, split, known if split == "val" else newest)


def too_fine(span: Span, timedelta: int) -> str | None:
    """Whether windows are so short that there would be more of them than anybody asks about."""
    frames = (span.database.val_timestamp - int(span.times[0])) // timedelta if len(
        span.times) else 0
    return None if frames <= MOST_FRAMES else (
        f"{frames:,} windows of {timedelta / 60_000_000:.3g} minutes lie before val_timestamp, "
        f"more than {MOST_FRAMES:,}; ask for a longer one")


def late(span: Span, task: LabelSchema, split: Split) -> str | None:
    """Whether the windows of shipped labels begin so late that the database ends within them."""
    return _late(span, task.timedelta, split, int(span.times[2])) if len(span.times) else None


def _late(span: Span, timedelta: int, split: Split, last: int) -> str | None:
    cut = span.database.val_timestamp if split == "val" else span.database.test_timestamp
    if (end := cut + timedelta) <= last:
        return None
    upto = " up to test_timestamp" if last < int(span.times[2]) else ""
    return (f"{split}_timestamp + timedelta is {_date(end)}, later than the newest row{upto} "
            f"({_date(last)}), so that {split} labels would miss events; shorten timedelta, or "
            f"move {split}_timestamp")


def why_no_query(database: Database, task: LabelSchema) -> str | None:
    """What is wrong with the SQL of a forecast task, from names and types alone."""
    tables = {t: pq.read_schema(database.path(t)).empty_table() for t in database.tables}
    tables["timestamps"] = pa.table({"timestamp": pa.array([], pa.timestamp("us"))})
    try:
        found = guarded_sql.run(query_of(task), tables)
    except (duckdb.Error, ValueError, TypeError, AttributeError) as error:
        return f"its SQL cannot be run ({reason(error)}); correct it in the manifest"
    return _lacking(task, found.columns) or _untimely(task, found[task.time_col].dtype)


def _untimely(task: LabelSchema, kind: Any) -> str | None:
    """Whether the seed times of label rows are none, by the type that SQL gives them."""
    return None if isinstance(kind, np.dtype) and kind.kind == "M" else (
        f"its SQL yields {task.time_col} as {kind}, expected timestamps without a time zone; "
        "select t.timestamp itself")


def _lacking(task: LabelSchema, columns: Iterable[str]) -> str | None:
    for column in filter(None, (*task.entities, task.target_col, task.time_col)):
        if column not in columns:
            return f"its SQL yields no column {column}; {near(column, columns)}"
    return None


def _cells(database: Database, task: LabelSchema,
           splits: tuple[Split, ...]) -> dict[Split, pa.Table]:
    """Cells of the entity table: train up to val_timestamp, val up to test_timestamp, test after.

    A cell without a value is no label, a row without a time belongs to no split.
    """
    target = task.target_col or task.destination_col
    cells = _read(database, task.entity_table, [task.time_col, target])
    column = cells.column(1).combine_chunks()
    times, missing = microseconds_of(cells.column(0).combine_chunks())
    if task.destination_col:
        keys, none = key_values(column)
        column = pa.array(keys.astype(np.int64), pa.int64(), mask=none)
    known = ~missing & column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(column.type):
        known &= ~column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    val, test = database.val_timestamp, database.test_timestamp
    sides = {"train": times <= val, "val": (times > val) & (times <= test), "test": times > test}
    tables = {}
    for split in splits:
        rows = np.flatnonzero(known & sides[split])
        rows = rows[np.argsort(times[rows], kind="stable")]
        tables[split] = pa.table({
            task.time_col: cells.column(0).take(pa.array(rows)), task.entity_col: pa.array(rows),
            target: column.take(pa.array(rows))})
    return tables


def _read(database: Database, table: str, columns: list[str]) -> pa.Table:
    with pq.ParquetFile(database.path(table)) as file:
        return file.read(columns=columns).select(columns)


def _forecasts(database: Database, task: LabelSchema,
               splits: tuple[Split, ...]) -> dict[Split, pa.Table]:
    import relbench
    from relbench.load import build_task

    manifest = task.manifest
    if task.task_type != "recommendation":
        # No label depends on it, and of a regression RelBench would make the training labels twice.
        manifest = dataclasses.replace(manifest, task_type="binary_classification")
    try:
        asked = build_task(relbench.load_dataset(database.folder), manifest)
        asked.make_table = lambda db, timestamps: _asked(asked, task, db, timestamps)
        asked.filter_dangling_entities = _some_left(asked.filter_dangling_entities)
        whole = asked.get_db(upto_test_timestamp=False)
        frames = {split: asked.get_table(split, mask_input_cols=False, db=whole).df
                  for split in splits}
        made = {split: pa.Table.from_pandas(frame, preserve_index=False)
                for split, frame in frames.items()}
    except NoRows:
        raise
    except Exception as error:  # of RelBench, DuckDB, pandas or Arrow, each of which has its own
        raise ValueError(f"RelBench cannot make its labels ({type(error).__name__}: "
                         f"{reason(error)}); correct the manifest, or ship the label tables"
                         ) from error
    for table in made.values():
        if lacking := _lacking(task, table.column_names):
            raise ValueError(lacking)
    return made


def _asked(asked: Any, task: LabelSchema, db: Any, timestamps: Any) -> Any:
    import pandas as pd
    from relbench.base import Table

    tables = {name: table.df for name, table in db.table_dict.items()}
    tables["timestamps"] = pd.DataFrame({"timestamp": timestamps})
    frame = guarded_sql.run(query_of(task), tables)
    if not len(frame):  # RelBench would fail on its way, with other words
        span = " to ".join(dict.fromkeys(str(t).removesuffix(" 00:00:00") for t in (
            min(timestamps), max(timestamps))))
        raise NoRows(f"nobody is asked about at any date from {span}; ask about more rows, or move "
                     "val_timestamp and test_timestamp")
    return Table(frame, dict(task.entities), None, task.time_col)


def _some_left(filtered: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """RelBench's filter of label rows whose entities are not there; where none is left, RelBench
    would fail on its way, with other words."""
    def kept(table: Any, db: Any) -> Any:
        found = filtered(table, db)
        if not len(found.df):
            raise NoRows("none of the rows that its labels name is there when they are asked about "
                         "(a recommendation is of rows that are known by then); ask about others")
        return found

    return kept


def query_of(task: LabelSchema) -> str:
    """The SQL of a forecast task, its horizon put in."""
    import pandas as pd

    length = str(pd.Timedelta(task.manifest.timedelta))
    return task.manifest.sql.replace("{timedelta}", length)


def _days(microseconds: int) -> str:
    return f"{microseconds / 86_400_000_000:.15g} days"


def _date(time: int) -> str:
    return str(np.datetime64(time, "us").astype("datetime64[s]")).removesuffix("T00:00:00")
