"""A tiny awkward database: timeless parents, missing keys and times, a table that names itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
import yaml

from rowgraph.databases.database import Database

DAY = 86_400_000_000  # microseconds


def write_database(folder: Path, tables: dict[str, dict],
                   frames: dict[str, pl.DataFrame]) -> Database:
    (folder / "db").mkdir(parents=True)
    for name, frame in frames.items():
        frame.write_parquet(folder / "db" / f"{name}.parquet")
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "rel-tiny", "val_timestamp": "1970-01-03", "test_timestamp": "1970-01-05",
        "tables": tables}))
    return Database.open(folder)


TABLES = {
    "clubs": {"pkey": "club_id"},
    "members": {"pkey": "member_id", "time_col": "joined",
                "fkeys": {"club_id": "clubs", "sponsor_id": "members"}},
    "visits": {"time_col": "day", "fkeys": {"member_id": "members"}},
}


def frames() -> dict[str, pl.DataFrame]:
    day = [None if d is None else dt.datetime(1970, 1, 1) + dt.timedelta(days=d)
           for d in (3, 1, None, 1, 0)]
    return {
        "clubs": pl.DataFrame({"club_id": [0, 1, 2], "name": ["a", "b", None]}),
        "members": pl.DataFrame({
            "member_id": [0, 1, 2, 3],
            "club_id": [1.0, None, 1.0, float("nan")],  # pandas turns keys with gaps into floats
            "sponsor_id": pl.Series([None, 0, 1, 1], dtype=pl.Int64),
            "joined": [dt.datetime(1970, 1, 1 + d) for d in (2, 2, 0, 1)],
        }),
        "visits": pl.DataFrame({"member_id": [0, 0, 0, 0, 2], "day": day}),
    }


@pytest.fixture
def make_database(tmp_path):
    """Write a database with some frames replaced."""
    def make(**replaced: pl.DataFrame) -> Database:
        return write_database(tmp_path / "rel-tiny", TABLES, frames() | replaced)

    return make
