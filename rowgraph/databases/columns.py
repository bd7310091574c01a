"""What a column may hold, seen batch by batch so that no column is ever held whole.

A watcher is shown the batches of one column in order (`see`) and says at the end what is wrong
with it (`findings`: message, next move, whether it forbids the use of the database).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rowgraph.databases.report import Findings, near, reason

BATCH_ROWS = 65_536
YEARS = (-62_135_596_800, 253_402_300_800)  # 0001 and 10000 begin, in seconds since 1970
UNREADABLE = (OSError, ValueError, pa.ArrowException)
Finding = tuple[str, str, bool]


class Watcher(Protocol):
    """What `check_column` shows the batches of a column."""

    def see(self, start: int, array: pa.Array) -> None:
        """Look at the rows from `start` on."""

    def findings(self) -> Iterable[Finding]:
        """Message, next move, whether it forbids the use of the database."""


def open_parquet(folder: Path, file: str, table: str | None,
                 found: Findings) -> pq.ParquetFile | None:
    """A Parquet file with its footer read, or None with the problem noted."""
    path = folder / file
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            found.problem(file, "not a regular file", "put the Parquet file itself there", table)
            return None
        return pq.ParquetFile(path)
    except FileNotFoundError:
        if path.is_symlink():
            found.problem(file, "a link to a file that is not there", "put the file itself there",
                          table)
            return None
        others = sorted(p.stem for p in path.parent.glob("*.parquet") if p.name != path.name)
        found.problem(file, "the file is missing", near(path.stem, others), table)
    except UNREADABLE as error:
        found.problem(file, f"not a readable Parquet file ({reason(error)})",
                      "it is truncated or damaged: fetch or build it again", table)
    return None


def check_column(parquet: pq.ParquetFile, file: str, table: str | None, column: str,
                 watchers: Iterable[Watcher], found: Findings) -> bool:
    """Show a column to its watchers and note what they say; False where it cannot be read."""
    try:
        for start, array in batches(parquet, column):
            for watcher in watchers:
                watcher.see(start, array)
    except UNREADABLE as error:
        found.problem(file, f"the column cannot be read ({reason(error)})",
                      "the file is damaged: fetch or build it again", table, column)
        return False
    for watcher in watchers:
        for message, move, forbids in watcher.findings():
            (found.problem if forbids else found.warn)(file, message, move, table, column)
    return True


def batches(parquet: pq.ParquetFile, column: str) -> Iterator[tuple[int, pa.Array]]:
    """The first row number and the values of each batch of one column."""
    start = 0
    for batch in parquet.iter_batches(BATCH_ROWS, columns=[column]):
        yield start, batch.column(column)
        start += len(batch)


def is_key_type(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold foreign keys: pandas writes nullable ones as float."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists, as the destinations of a recommendation task do."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def foreign_kind(kind: pa.DataType) -> str | None:
    """What polars or a kernel of Arrow cannot hold of a column's type, at any depth; None where
    they hold all."""
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        try:
            pl.from_arrow(pa.array([], kind))
        except pl.exceptions.PolarsError:
            return f"the time zone {kind.tz!r}"
    if pa.types.is_decimal(kind) and kind.precision > 38:
        return f"decimals of {kind.precision} digits"
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return "list views"
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return "views of text or bytes"
    for i in range(kind.num_fields):
        if found := foreign_kind(kind.field(i).type):
            return found
    return foreign_kind(kind.value_type) if pa.types.is_dictionary(kind) else None


def moments(array: pa.Array) -> Iterator[pa.Array]:
    """The dates and timestamps of a column, at any depth."""
    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        yield array
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from moments(part)
    elif pa.types.is_map(kind):
        yield from moments(array.keys)
        yield from moments(array.items)
    elif is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from moments(pc.list_flatten(array))
    elif pa.types.is_dictionary(kind):
        yield from moments(array.dictionary)


def key_values(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Keys and where they are missing (null or NaN, both of which pandas writes for no key).

    Args:
        array: of a type that `is_key_type` accepts.

    Returns:
        The values, int or float [n], 0 where missing; and bool [n].
    """
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.int64), np.ones(len(array), bool)
    missing = array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    values = pc.if_else(pa.array(missing), pa.scalar(0, array.type), array)
    return values.to_numpy(zero_copy_only=False), missing


def microseconds_of(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Times as int64 [n] microseconds since 1970, 0 where missing; and bool [n]."""
    missing = array.is_null().to_numpy(zero_copy_only=False)
    times = array.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).fill_null(0)
    return times.to_numpy(zero_copy_only=False), missing


class Values:
    """Any column: null throughout, NaN (but for foreign keys, where it is null), infinite; text
    that is none, and times that no calendar has."""

    def __init__(self, rows: int, nan_is_null: bool = False):
        self.rows, self.nan_is_null = rows, nan_is_null
        self.null = self.nan = self.infinite = self.odd_times = 0
        self.no_text: str | None = None

    def see(self, start: int, array: pa.Array) -> None:
        """Count."""
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            self.no_text = self.no_text or f"in rows {start} to {start + len(array) - 1}: " + \
                reason(error)
            return
        for times in moments(array):
            first, last = _ends_of_the_calendar(times.type)
            ticks = times.view(pa.int32() if times.type.bit_width == 32 else pa.int64())
            ticks = ticks.drop_null().to_numpy(zero_copy_only=False)
            self.odd_times += int(((ticks < first) | (ticks >= last)).sum())
        self.null += array.null_count
        if pa.types.is_floating(array.type):
            values = array.drop_null().to_numpy(zero_copy_only=False)
            self.nan += int(np.isnan(values).sum())
            self.infinite += int(np.isinf(values).sum())

    def findings(self) -> Iterable[Finding]:
        """Mostly warnings: what polars cannot hold stops a pipeline, the rest does not."""
        if self.no_text:
            yield (f"values that cannot be decoded, {self.no_text}", "write the text as UTF-8",
                   True)
        if self.odd_times:
            yield (f"{self.odd_times} times before the year 1 or after the year 9999",
                   "write null where a time is missing or unknown", True)
        if self.rows and self.null + self.nan == self.rows:
            yield ("no row has a value", "remove the column, or leave it: it tells nothing", False)
        elif self.infinite or (self.nan and not self.nan_is_null):
            yield (f"{self.nan} NaN and {self.infinite} infinite values where numbers or null are "
                   "expected", "write null where a value is missing", False)


def _ends_of_the_calendar(kind: pa.DataType) -> tuple[int, int]:
    """The first moment of the year 1 and of the year 10000, in ticks of a date or time type."""
    if pa.types.is_date32(kind):
        return YEARS[0] // 86_400, YEARS[1] // 86_400
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return YEARS[0] * ticks, YEARS[1] * ticks


class PrimaryKey:
    """The row numbers themselves, as RelBench requires."""

    def __init__(self):
        self.first: tuple[int, object] | None = None

    def see(self, start: int, array: pa.Array) -> None:
        """Compare with 0..n-1."""
        if self.first is None:
            values, missing = key_values(array)
            wrong = np.flatnonzero(missing | (values != np.arange(start, start + len(values))))
            if len(wrong):
                self.first = (start + int(wrong[0]), array[int(wrong[0])].as_py())

    def findings(self) -> Iterable[Finding]:
        """A key that is no row number is a problem."""
        if self.first:
            row, value = self.first
            yield (f"a primary key must be the row's number, 0..n-1 in row order; row {row} holds "
                   f"{value}", "renumber it, and the foreign keys that point to it", True)


class ForeignKey:
    """Row numbers of another table, or missing; in a label table perhaps a list of them."""

    def __init__(self, table: str, rows: int):
        self.table, self.rows, self.missing = table, rows, 0
        self.fractions, self.dangling = [0, ""], [0, ""]

    def see(self, start: int, array: pa.Array) -> None:
        """Count keys that are no whole number and keys that point to no row."""
        rows = np.arange(start, start + len(array))
        if is_list(array.type):
            rows = rows[pc.list_parent_indices(array).to_numpy(zero_copy_only=False)]
            array = pc.list_flatten(array)
        values, missing = key_values(array)
        self.missing += int(missing.sum())
        fraction = ~missing & np.isfinite(values) & (values != np.floor(values))
        outside = ~missing & ~fraction & ((values < 0) | (values >= self.rows))
        for tally, mask in ((self.fractions, fraction), (self.dangling, outside)):
            wrong = np.flatnonzero(mask)
            if len(wrong) and not tally[0]:
                tally[1] = f"the first is {values[wrong[0]]:.15g} in row {rows[wrong[0]]}"
            tally[0] += len(wrong)

    def findings(self) -> Iterable[Finding]:
        """Both are problems."""
        if self.fractions[0]:
            yield (f"{self.fractions[0]} keys are not whole numbers, {self.fractions[1]}",
                   f"write row numbers of {self.table}, null where there is none", True)
        if self.dangling[0]:
            yield (f"{self.dangling[0]} keys dangle: {self.table} has {self.rows} rows, numbered "
                   f"from 0, and {self.dangling[1]}",
                   f"set them to null or add the rows to {self.table}", True)


class Times:
    """A time column; with a primary key its order matters.

    RelBench's `get_db()` cuts a database at `test_timestamp` and refuses a table whose primary key
    is then no longer 0..n-1, so the rows that it keeps must come first.
    """

    def __init__(self, column: str, has_pkey: bool, cut: int):
        self.column, self.has_pkey, self.cut = column, has_pkey, cut
        self.first = self.last = self.previous = None
        self.null, self.hidden_row, self.late_row, self.unsorted_row = 0, None, None, None

    def see(self, start: int, array: pa.Array) -> None:
        """Keep the span, the order, and the first row that the cut keeps after one it hides."""
        times, missing = microseconds_of(array)
        self.null += int(missing.sum())
        known = times[~missing]
        if len(known):
            self.first = min(known.min(), known.min() if self.first is None else self.first)
            self.last = max(known.max(), known.max() if self.last is None else self.last)
            before = known[:1] if self.previous is None else [self.previous]
            steps = np.flatnonzero(np.diff(np.concatenate([before, known])) < 0)
            if len(steps) and self.unsorted_row is None:
                self.unsorted_row = start + int(np.flatnonzero(~missing)[steps[0]])
            self.previous = known[-1]
        visible = ~missing & (times <= self.cut)
        if self.hidden_row is None and not visible.all():
            self.hidden_row = start + int(np.argmin(visible))
        if self.hidden_row is not None and self.late_row is None:
            late = np.flatnonzero(visible[max(self.hidden_row - start, 0):])
            if len(late):
                self.late_row = start + max(self.hidden_row - start, 0) + int(late[0])

    def findings(self) -> Iterable[Finding]:
        """A broken cut is a problem; rows out of order or without a time are warnings."""
        mend = f"sort the table by {self.column}, missing times last, and renumber its primary key"
        if self.has_pkey and self.late_row is not None:
            yield (f"row {self.late_row} is visible at test_timestamp but row {self.hidden_row} "
                   "before it is not; a table with a primary key must be sorted by time", mend,
                   True)
        elif self.has_pkey and self.unsorted_row is not None:
            yield (f"row {self.unsorted_row} is older than the row before it; a table with a "
                   "primary key should be sorted by time", mend, False)
        if self.null:
            yield (f"{self.null} rows have no time and are never visible",
                   "give them a time, or leave them", False)
