"""A tiny awkward world: a null, a dangling key, a timeless table, an empty one, a `row` column."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
import yaml

from rowgraph.databases.database import Database


def write_database(folder: Path, name: str, tables: dict, frames: dict[str, pl.DataFrame]) -> Path:
    """A RelBench 3 folder with the given tables."""
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": name, "val_timestamp": "2020-01-01", "test_timestamp": "2021-01-01",
        "tables": tables}))
    for table, frame in frames.items():
        frame.write_parquet(folder / "db" / f"{table}.parquet")
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Database:
    """Drivers (timeless), results (dated, a null and a dangling key) and an empty table."""
    results = 40
    return Database.open(write_database(
        tmp_path_factory.mktemp("world") / "rel-tiny", "rel-tiny",
        {"drivers": {"pkey": "driver_id"},
         "results": {"time_col": "date", "fkeys": {"driver_id": "drivers"}},
         "empty": {"pkey": "id"}},
        {"drivers": pl.DataFrame({"driver_id": [0, 1, 2], "name": ["Ada", None, "<value> Bo"]}),
         "results": pl.DataFrame({
             "driver_id": [i % 4 if i % 7 else None for i in range(results)],
             "row": [f"r{i}" for i in range(results)],
             "points": [float(i) if i % 5 else None for i in range(results)],
             "date": [dt.datetime(2020, 1, 1) + dt.timedelta(hours=12 * i)
                      for i in range(results)]}),
         "empty": pl.DataFrame({"id": [], "text": []},
                               schema={"id": pl.Int64, "text": pl.String})}))
