"""Which cells are asked, and what a cell's value is to those who answer.

A cell is asked when its row lies on the far side of a split: of the corpus, for a pre-training
database; of `test_timestamp`, for a held-out one. A row whose time is missing in a table with a
time column is on neither side. Which cells of a column are drawn is a hash of the row's identity
and the column, so asking for more keeps those already asked.

| kind | columns | value | judged by |
|---|---|---|---|
| `number` | integers, floats, decimals | float64 | absolute error |
| `time` | dates and timestamps | float64, days since 1970 | absolute error |
| `text` | all others: texts, categories, booleans, lists, times of day | its text | exact match |
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from rowgraph.databases.database import NEVER, Database
from rowgraph.randomness import uniform_of_rows
from rowgraph.rows.linearization import text_of, texts_of
from rowgraph.rows.settings import LinearizedCorpusSettings
from rowgraph.rows.splitting import split_of
from rowgraph.trees import numbers_of

Kind = Literal["text", "number", "time"]
_EPOCH = dt.datetime(1970, 1, 1)
_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f")  # as a cell is written


@dataclass(frozen=True)
class SplitTable:
    """The rows of a table that answers may be fitted on, and those whose cells are asked.

    Args:
        database, name: of the table.
        attributes: the columns that make a row's text, in order.
        targets: those of them whose cells are asked, which keys never are.
        fitted, asked: the rows of either side, all attributes.
        rows: int64 [asked], their row numbers.
    """

    database: str
    name: str
    attributes: list[str]
    targets: list[str]
    fitted: pl.DataFrame
    asked: pl.DataFrame
    rows: np.ndarray


def split_table(database: Database, table: str, corpus: pl.DataFrame | None, keys: bool,
                fit_rows: int, seed: int) -> SplitTable:
    """Read both sides of a table.

    Args:
        corpus: database, table, row, split (`write_corpus`): its train rows are fitted on, its
            test rows asked. None for a held-out database, which is split at `test_timestamp`, and
            where a table has no time as a corpus would be.
        keys: whether a row's text shows its keys.
        fit_rows: the most rows that are fitted on, drawn by a hash of their numbers.
        seed: of that draw and of the split of a table without time.
    """
    fitted, asked = _sides(database, table, corpus, seed)
    if len(fitted) > fit_rows:
        fitted = np.sort(draw(fitted, fit_rows, database.name, table, "fitted", seed))
    attributes = database.attributes(table, keys)
    frame = database.read(table, attributes or None)
    targets = [c for c in attributes if c not in database.tables[table].key_cols]
    return SplitTable(database.name, table, attributes, targets, frame[fitted], frame[asked], asked)


def _sides(database: Database, table: str, corpus: pl.DataFrame | None,
           seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers that are fitted on and row numbers that are asked, ascending."""
    times = database.times(table)
    if corpus is not None:
        mine = corpus.filter(database=database.name, table=table)
        sides = [np.sort(mine.filter(split=s)["row"].to_numpy()) for s in ("train", "test")]
        fitted, asked = [rows[times[rows] != NEVER] for rows in sides]
        return fitted, asked
    if database.tables[table].time_col is None:
        split = split_of(database.name, table, np.arange(len(times)),
                         LinearizedCorpusSettings(seed=seed))
        return np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    cut = database.test_timestamp
    return np.flatnonzero(times < cut), np.flatnonzero((times >= cut) & (times != NEVER))


def draw(rows: np.ndarray, count: int, *purpose: object) -> np.ndarray:
    """The rows that come first by a hash of their numbers, in that order."""
    place = uniform_of_rows(rows, "imputation_metrics", *purpose)
    return rows[np.argsort(place, kind="stable")[:count]]


def kind_of(dtype: pl.DataType) -> Kind:
    """How a column's cells are judged."""
    if dtype.is_numeric():
        return "number"
    return "time" if dtype in (pl.Date, pl.Datetime) else "text"


def values_of(column: pl.Series) -> np.ndarray:
    """The cells of a column: float64, NaN where missing or infinite; or texts without spaces
    around them (which no tokenizer of ours keeps), empty where missing."""
    if kind_of(column.dtype) == "text":
        return texts_of(column).str.strip_chars().to_numpy()
    numbers, _ = numbers_of(column)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def is_there(values: np.ndarray) -> np.ndarray:
    """bool of the same shape: cells with a value, among `values_of` a column."""
    return ~np.isnan(values) if values.dtype == np.float64 else values != ""


def read_values(texts: Iterable[str], kind: Kind) -> np.ndarray:
    """Texts as values of a column of numbers or times: float64, NaN where one is neither."""
    column = pl.Series(list(texts), dtype=pl.String)
    if kind == "time":
        moments = [column.str.to_datetime(f, time_unit="us", strict=False) for f in _FORMATS]
        column = pl.select(pl.coalesce(moments)).to_series()
    else:
        column = column.cast(pl.Float64, strict=False)
    return values_of(column)


def write_values(values: np.ndarray, kind: Kind) -> list[str]:
    """Values as texts, the way cells are written."""
    if kind == "time":
        moments = [_EPOCH + dt.timedelta(days=v) for v in values.tolist()]
        return [text_of(m.replace(microsecond=0)) for m in moments]
    return [text_of(v) for v in values.tolist()]
