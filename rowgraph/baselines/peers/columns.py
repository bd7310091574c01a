"""A table's columns as peers can read them, and which rows their statistics may come from.

Peers look at columns in ways of their own (semantic types, statistics, categories). Whatever they
fit, they fit on rows that are strictly older than a cut, which is stricter than RelBench: it fits
on everything up to `test_timestamp`, and infers types from a random sample of that.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rowgraph.databases.database import Database
from rowgraph.tasks.regimes import hidden

LARGEST = float(np.finfo(np.float32).max)  # what peers can hold


def past_rows(database: Database, table: str, cut: int) -> np.ndarray:
    """bool [rows]: strictly older than the cut (microseconds), or timeless."""
    times = database.times(table)
    return ~hidden(times, np.full_like(times, cut))


def plain_columns(database: Database, table: str) -> dict[str, pl.Series]:
    """The visible columns of a table but for its keys, in few types.

    Returns:
        By name: Int64, Float64 (finite or null), Boolean, String, Datetime("us") or List(String),
        rows in file order. A column of any other type is left out.
    """
    frame = database.read(table, database.attributes(table))
    # Without their names, of which polars' methods take some for patterns.
    found = {name: _plain(frame[name].alias("")) for name in frame.columns}
    return {name: column for name, column in found.items() if column is not None}


def _plain(column: pl.Series) -> pl.Series | None:
    dtype = column.dtype
    if dtype == pl.Boolean or dtype == pl.String:
        return column
    if dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    if dtype.is_numeric():
        numbers = column.cast(pl.Float64)
        sound = (numbers.abs() <= LARGEST).fill_null(False)  # neither NaN nor infinite
        return pl.select(pl.when(sound).then(numbers)).to_series().alias(column.name)
    if dtype == pl.Date or dtype == pl.Datetime:
        if getattr(dtype, "time_zone", None):
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column.cast(pl.Datetime("us"))
    if dtype == pl.Duration:
        return column.dt.total_microseconds().cast(pl.Float64)
    if dtype == pl.Categorical or dtype == pl.Enum:
        return column.cast(pl.String)
    if dtype == pl.List(pl.String):
        return column
    return None
