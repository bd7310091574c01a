"""A shop of few rows with hostile names, two ways to a parent, null keys and cells, and events on
the very day of a date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from rowgraph.databases.database import Database

DAY = 86_400_000_000
VAL, TEST = "2020-07-01", "2020-09-01"
MANIFEST = {
    "name": "shop", "manifest_version": 1, "val_timestamp": VAL, "test_timestamp": TEST,
    "tables": {
        "people": {"pkey": "id", "time_col": None, "fkeys": {}},
        "goods": {"pkey": "good", "time_col": None, "fkeys": {}},
        "or ders": {"pkey": "order", "time_col": "placed", "fkeys": {
            "person": "people", "gift to": "people"}},
        "items": {"pkey": None, "time_col": "at", "fkeys": {"order": "or ders", "good": "goods"}},
        "notes": {"pkey": None, "time_col": None, "fkeys": {"person": "people"}}}}


def tables() -> dict[str, pl.DataFrame]:
    random = np.random.default_rng(3)
    start = int(np.datetime64("2020-01-01", "us").astype(np.int64))
    orders, people = 240, 12
    placed = np.sort(start + random.integers(0, 660, orders) * DAY // 2)
    items = 400
    order = np.sort(random.integers(0, orders, items))

    def some(values: np.ndarray, every: int) -> list:
        return [None if i % every == 3 else v for i, v in enumerate(values.tolist())]

    return {
        "people": pl.DataFrame({"id": range(people), "town": list("aabbccddeeff"),
                                "select": [i % 3 for i in range(people)]}),
        "goods": pl.DataFrame({"good": range(5)}),
        "or ders": pl.DataFrame({
            "order": range(orders), "placed": pl.Series(placed).cast(pl.Datetime("us")),
            "person": some(random.integers(0, people, orders), 17),
            "gift to": some(random.integers(0, people, orders), 3),
            "paid": some(random.integers(0, 2, orders) == 1, 11),
            'it"s': some(np.array(["card", "cash", "it's"])[random.integers(0, 3, orders)], 7)}),
        "items": pl.DataFrame({
            "order": some(order, 29), "good": some(random.integers(0, 5, items), 23),
            "price": some(random.integers(1, 9, items) / 2, 13),
            "at": pl.Series(placed[order]).cast(pl.Datetime("us"))}),
        "notes": pl.DataFrame({"person": [0, 1]})}


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Database:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "db").mkdir()
    for name, frame in tables().items():
        frame.write_parquet(folder / "db" / f"{name}.parquet")
    (folder / "manifest.yaml").write_text(yaml.safe_dump(MANIFEST, sort_keys=False))
    return Database.open(Path(folder))
