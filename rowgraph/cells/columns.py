"""The columns of a database as numbers to aggregate.

| kind | from | value of a row |
|---|---|---|
| `number` | numbers, booleans, decimals, durations (days), times of day (hours) | as it is |
| `share` | words and numbers with frequent values | 1 where it is a certain value, else 0 |
| `given` | columns and foreign keys that are sometimes empty | 1 where there is a value, else 0 |
| `length` | long texts | characters |
| `date` | times other than the row's own | microseconds since 1970; aggregated as an age |
| `delay` | times that are known later than their row | days from the row's time to it |
| `over` | the time until which a row holds | 1 from that time on |
| `code` | words, for a single row only | position among the words of the past |

Which values are frequent, which words have a code and which columns are ever empty is decided by
rows strictly older than `val_timestamp`, and by cells that were known by then. Primary keys, and
columns that are none of these (lists, binary), are left out; of foreign keys only whether they are
there.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
import polars as pl

from rowgraph.databases.database import NEVER, TIMELESS, Database, moments

Kind = Literal["number", "share", "given", "length", "date", "delay", "over", "code"]
DAY = 86_400e6  # microseconds
MAX_CODES = 255  # a column of more different words has no codes
TEXT = 24  # mean characters from which on a column of many different words is text
WORD_SHARES = (0.02, 0.98)  # a word between these shares of a column's past is frequent
NUMBER_SHARES = (0.05, 0.95)  # so is a number between these
OFTEN = 3  # but neither is where it occurs less often than this
GIVEN_SHARES = (0.005, 0.995)  # a column is sometimes empty between these
CACHED_VALUES = 2**25  # values of columns that are kept, 8 bytes each


@dataclass(frozen=True)
class Column:
    """One number of a row.

    Args:
        table, name: where it comes from.
        kind: what is made of it.
        value: of a share: the value that counts, as text.
        words: of a code: what the codes stand for.
    """

    table: str
    name: str
    kind: Kind
    value: str | None = None
    words: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """For people."""
        name = self.name or "(column without a name)"
        return {"share": f"{name} = {_short(self.value or '')}", "given": f"{name} is given",
                "length": f"length of {name}", "delay": f"days until {name}",
                "over": f"{name} is over"}.get(self.kind, name)


class Tables:
    """A database's rows, keys, times and columns as arrays, read when asked for.

    Args:
        database: as a task sees it: hidden columns are not there.
        frequent: values of a column that become a share, at most.
    """

    def __init__(self, database: Database, frequent: int):
        self.database, self.frequent = database, frequent
        self.num_rows = {table: database.num_rows(table) for table in database.tables}
        self.times = cache(database.times)
        self.keys = cache(database.keys)
        self._known = cache(database.known_at)
        self._columns = cache(self._fitted)
        self._held: dict[tuple[str, str], pl.Series] = {}

    def past(self, table: str) -> np.ndarray:
        """bool [rows]: strictly older than `val_timestamp`; all of a table without time."""
        return self.times(table) < self.database.val_timestamp

    @cached_property
    def span(self) -> int:
        """Microseconds that the past covers, but for its oldest and newest thousandth."""
        times = [self.times(t)[self.past(t)] for t in self.database.tables]
        times = np.concatenate([t[t != TIMELESS] for t in times if len(t) and t[0] != TIMELESS]
                               or [np.zeros(1, np.int64)])
        low, high = np.quantile(times, [0.001, 0.999], method="nearest")
        return int(high - low)

    def written(self, table: str, fkey: str) -> np.ndarray:
        """int64 [rows of its table]: from when each value of a foreign key is known."""
        known = self._known(table, fkey)
        times = self.times(table)
        return times if known is None else np.maximum(times, known)

    def known_at(self, column: Column) -> np.ndarray | None:
        """int64 [rows of its table]: from when each value is known, as `Database.known_at` says."""
        if column.kind == "over":
            return moments(self._series(column.table, column.name), NEVER)
        return self._known(column.table, column.name)

    def source(self, column: Column) -> Hashable | None:
        """By whose moment its values are known, if any: columns that share it are known at the
        same times."""
        if column.kind == "over":
            return "over", column.name
        if self.known_at(column) is None:
            return None
        said = self.database.knowledge.source(column.table, column.name)
        return ("reached", column.name) if said is None else said

    def columns(self, table: str, single: bool) -> tuple[Column, ...]:
        """What can be aggregated over rows of a table, or (`single`) said of one row."""
        if single:
            kinds = ("number", "code", "length", "date", "delay", "over")
            return tuple(c for c in self._columns(table) if c.kind in kinds)
        time_col = self.database.tables[table].time_col
        return tuple(c for c in self._columns(table) if c.kind != "code"
                     and not (c.kind == "date" and c.name == time_col))

    def values(self, column: Column) -> np.ndarray:
        """float64 [rows of its table], NaN where missing."""
        if column.kind == "given" and column.name in self.database.tables[column.table].fkeys:
            return (self.keys(column.table, column.name) >= 0).astype(np.float64)
        return numbers_in(column, self._series(column.table, column.name),
                          self.times(column.table))

    def _series(self, table: str, column: str) -> pl.Series:
        found = self._held.pop((table, column), None)
        if found is None:
            found = self.database.column(table, column, late=True).alias("column")
        self._held[table, column] = found  # the newest last
        while sum(map(len, self._held.values())) > CACHED_VALUES and len(self._held) > 1:
            self._held.pop(next(iter(self._held)))
        return found

    def _fitted(self, table: str) -> tuple[Column, ...]:
        schema, cut = self.database.tables[table], self.database.val_timestamp
        found: list[Column] = []
        until = self.database.knowledge.valid_until.get(table)
        if until in self.database.columns(table):
            found.append(Column(table, until, "over"))
        for name in self.database.columns(table):
            late = self.database.knowledge.source(table, name) is not None
            known = self._known(table, name) if late else None
            past = np.flatnonzero(self.past(table) & ((known is None) or known < cut))
            if name == schema.pkey_col or not len(past):
                continue
            if name in schema.fkeys:
                given = (self.keys(table, name)[past] >= 0).mean()
                if late or _between(given, GIVEN_SHARES):
                    found.append(Column(table, name, "given"))
                continue
            plain = _plain(self._series(table, name))
            if plain is not None:
                found += self._of_column(table, name, plain.gather(past), late)
        return tuple(found)

    def _of_column(self, table: str, name: str, past: pl.Series, late: bool) -> list[Column]:
        found = []
        known = past.drop_nulls()
        counts = known.value_counts(sort=True, name="count") if len(known) else None
        if past.dtype == pl.Datetime:
            found.append(Column(table, name, "date"))
            if late and self.database.tables[table].time_col:
                found.append(Column(table, name, "delay"))
        elif past.dtype == pl.String:
            if counts is not None and len(counts) <= MAX_CODES:
                words = tuple(known.unique().sort().to_list())
                found.append(Column(table, name, "code", words=words))
            elif counts is not None and known.str.len_chars().mean() >= TEXT:
                found.append(Column(table, name, "length"))
            found += self._shares(table, name, counts, WORD_SHARES)
        else:
            found.append(Column(table, name, "number"))
            if counts is not None and len(counts) > 2:  # of two values the mean says it
                found += self._shares(table, name, counts, NUMBER_SHARES)
        # Of late cells how many are given says how many came.
        if len(past) and (late or _between(len(known) / len(past), GIVEN_SHARES)):
            found.append(Column(table, name, "given"))
        return found

    def _shares(self, table: str, name: str, counts: pl.DataFrame | None,
                bounds: tuple[float, float]) -> list[Column]:
        if counts is None or not self.frequent:
            return []
        number, total = counts.to_series(1).to_numpy(), counts.to_series(1).sum()
        often = (number >= OFTEN) & (number / total >= bounds[0]) & (number / total <= bounds[1])
        values = [v if isinstance(v, str) else f"{v!r}".removesuffix(".0")
                  for v in counts.to_series(0).filter(pl.Series(often)).to_list()]
        frequent = [(-n, v) for n, v in zip(number[often].tolist(), values, strict=True)]
        most = self.frequent if len(counts) > 2 else min(self.frequent, 1)
        return [Column(table, name, "share", value) for _, value in sorted(frequent)[:most]]


def numbers_in(column: Column, series: pl.Series, times: np.ndarray) -> np.ndarray:
    """What is made of some rows of a column.

    Args:
        series: its cells, whenever known.
        times: int64 [rows], of the same rows.

    Returns:
        float64 [rows], NaN where missing.
    """
    if column.kind in ("delay", "over"):
        there = series.is_not_null().to_numpy().copy()
        there &= (column.kind == "over") | (times != NEVER)  # no time, no days until
        days = (moments(series, 0) - np.where(times == NEVER, 0, times)) / DAY
        return np.where(there, days if column.kind == "delay" else 1.0, np.nan)
    plain = _plain(series)
    if column.kind == "given":
        return plain.is_not_null().to_numpy().astype(np.float64)
    if column.kind == "share":
        found = plain == (column.value if plain.dtype == pl.String else float(column.value))
    elif column.kind == "code":
        found = plain.replace_strict(list(column.words), np.arange(len(column.words)),
                                     default=None, return_dtype=pl.Float64)
    elif column.kind == "length":
        found = plain.str.len_chars()
    else:
        found = plain
    return found.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _between(share: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= share <= bounds[1]


def _short(text: str, most: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most - 1] + "…"


def _plain(series: pl.Series) -> pl.Series | None:
    """Numbers as float64, times as naive microseconds, words as strings; None for the rest.

    What is infinite, not a number or a word of blanks counts as missing.
    """
    kind = series.dtype
    if kind == pl.Duration:
        return _finite(series.dt.total_microseconds()) / DAY
    if kind == pl.Time:
        return _finite(series.cast(pl.Int64)) / 3.6e12
    if kind.is_numeric() or kind in (pl.Boolean, pl.Null):
        return _finite(series)
    if kind in (pl.Date, pl.Datetime):
        return series.dt.epoch("us").cast(pl.Datetime("us"))
    if kind in (pl.String, pl.Categorical, pl.Enum):
        words = series.cast(pl.String)
        return words.set(words.str.strip_chars() == "", None)
    return None


def _finite(series: pl.Series) -> pl.Series:
    values = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return pl.Series(np.where(np.isfinite(values), values, np.nan), nan_to_null=True)
