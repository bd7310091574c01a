"""A small racing world with what makes databases awkward, and its deliberate corruption.

A driver's form changes every few race days, and a label repeats the driver's newest race strictly
before the seed: the driver's own row says nothing about it, the newest result does. Some races
take place on the day of a seed, circuits have no time column, a few results have no time or no
driver, and a few drivers enter the database late, on the day of a seed.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import yaml

from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.databases.database import Database
from rowgraph.embeddings import EmbeddingStore
from rowgraph.graph.entity_graph import EntityGraph, build_entity_graph
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.loading import load_task

DAY = 86_400_000_000
DRIVERS, DATES, DIM = 40, 30, 8
START = 1_000 * DAY
SEED_DATES = START + 10 * DAY * np.arange(DATES)  # train 0 to 19, val 20 to 24, test 25 to 29
VAL, TEST = int(SEED_DATES[20]), int(SEED_DATES[25])
SPLITS = {"train": range(2, 20), "val": range(20, 25), "test": range(25, 30)}
MANIFEST = {
    "name": "rel-races", "manifest_version": 1, "description": "a test",
    "tables": {
        "circuits": {"pkey": "circuitId", "time_col": None, "fkeys": {}},
        "drivers": {"pkey": "driverId", "time_col": "debut", "fkeys": {}},
        "races": {"pkey": "raceId", "time_col": "date", "fkeys": {"circuitId": "circuits"}},
        "results": {"pkey": None, "time_col": "date",
                    "fkeys": {"raceId": "races", "driverId": "drivers"}}}}
SETTINGS = DownstreamMetricsSettings(seeds=(0, 1), epochs=2, batch=128, learning_rate=1e-2,
                                     head_hidden=8, fan_out=(3, 2), sampling="latest",
                                     dropout=0.1, folds=2, workers=1)
SAGE = SageWeightsSettings(hidden=8, fan_out=(3, 2))


@dataclass(frozen=True, eq=False)
class World:
    """A database folder with everything that is made from it."""

    database: Database
    graph: EntityGraph
    store: EmbeddingStore
    task: Task


def frames(random_labels: bool = False) -> dict[str, pl.DataFrame]:
    """Tables and label tables (`train`, `val`, `test`), the same on every call."""
    random = np.random.default_rng(7)
    form = random.integers(0, 2, (DRIVERS, DATES // 3 + 1))
    day = SEED_DATES + np.where(np.arange(DATES) % 4 == 0, 0, 3 * DAY)  # some on a seed's day
    race = np.repeat(np.arange(DATES), DRIVERS)
    driver = np.tile(np.arange(DRIVERS), DATES)
    failed = form[driver, race // 3]
    debut = START - 30 * DAY + np.zeros(DRIVERS, dtype=np.int64)
    debut[:3] = SEED_DATES[[5, 26, 28]]  # row 0 while training, rows 1 and 2 in the test span
    keep = random.random(len(race)) < 0.9
    results = pl.DataFrame({
        "raceId": race, "driverId": driver, "failed": failed, "laps": random.integers(1, 70,
                                                                                      len(race)),
        "date": day[race]}).filter(pl.Series(keep)).with_columns(
        driverId=pl.when(pl.int_range(pl.len()) % 41 == 0).then(None).otherwise("driverId"),
        date=pl.when(pl.int_range(pl.len()) % 53 == 0).then(None).otherwise("date"))
    tables = {
        "circuits": pl.DataFrame({"circuitId": range(5), "country": list("abcde")}),
        "drivers": pl.DataFrame({
            "driverId": range(DRIVERS), "debut": debut,
            "name": [f"driver {i}" for i in range(DRIVERS)],
            "country": [["x", "y", "z", None][i % 4] for i in range(DRIVERS)],
            "height": [float(150 + 7 * i % 40) if i % 9 else None for i in range(DRIVERS)],
            "rookie": [i % 2 == 0 for i in range(DRIVERS)]}),
        "races": pl.DataFrame({"raceId": range(DATES), "circuitId": np.arange(DATES) % 5,
                               "date": day}),
        "results": results}
    for split, dates in SPLITS.items():
        at = np.repeat(np.array(dates), DRIVERS)
        who = np.tile(np.arange(DRIVERS), len(dates))
        # The race on a seed's own day is not in the past: form of the date before it.
        true = form[who, (at - 1) // 3]
        if random_labels:
            true = random.integers(0, 2, len(true))
        tables[split] = pl.DataFrame({"date": SEED_DATES[at], "driverId": who, "fails": true,
                                      "points": true * 10.0 + who % 3})
    return tables


def corrupted(tables: dict[str, pl.DataFrame], *, start: int | None = None,
              end: int | None = None) -> dict[str, pl.DataFrame]:
    """Overwrite every cell of rows dated in [start, end), keys and labels too, with nonsense.

    Primary keys, which are row numbers, and times stay.
    """
    random = np.random.default_rng(99)
    out = {}
    for name, frame in tables.items():
        time = MANIFEST["tables"].get(name, {"time_col": "date"})["time_col"]
        if time is None:
            out[name] = frame
            continue
        hit = pl.col(time).is_between(-2**62 if start is None else start,
                                      2**62 if end is None else end, closed="left")
        hit = hit.fill_null(start is not None)  # a missing time is never visible
        pkey = MANIFEST["tables"].get(name, {}).get("pkey")
        columns = [c for c in frame.columns if c not in (time, pkey)
                   and not (name in SPLITS and c == "driverId")]
        nonsense = {c: _nonsense(frame[c], random) for c in columns}
        out[name] = frame.with_columns(
            pl.when(hit).then(pl.lit(nonsense[c])).otherwise(c).alias(c) for c in columns)
    return out


def _nonsense(series: pl.Series, random: np.random.Generator) -> pl.Series:
    if series.name.endswith("Id"):  # a key: any other row of the same table
        return pl.Series(random.integers(0, 5, len(series)))
    if series.name == "fails":
        return (1 - series).alias("fails")
    if series.dtype == pl.Boolean:
        return ~series
    if series.dtype == pl.String:
        return pl.Series([f"nonsense {i}" for i in range(len(series))])
    return pl.Series(random.integers(10**6, 10**7, len(series))).cast(series.dtype)


def vectors(name: str, frame: pl.DataFrame) -> np.ndarray:
    """float32 [rows, DIM]: a stand-in for the language model, row by row from the row's cells."""
    random = np.random.default_rng(len(name))
    numbers = [frame[c].cast(pl.Float64).fill_null(0).to_numpy() for c in frame.columns
               if not c.endswith("Id") and frame[c].dtype != pl.String and c not in ("date",
                                                                                     "debut")]
    words = [frame[c].fill_null("").hash(seed=1).to_numpy() % 97 / 97 for c in frame.columns
             if frame[c].dtype == pl.String]
    cells = np.stack([*numbers, *words, np.ones(len(frame))], axis=1)
    cells = np.where(np.abs(cells) > 1, np.log10(np.abs(cells) + 1), cells)
    return (cells @ random.standard_normal((cells.shape[1], DIM))).astype(np.float32)


def build_world(folder: Path, tables: dict[str, pl.DataFrame], target: str = "fails") -> World:
    """Write a RelBench folder and a store, and open both."""
    (folder / "db").mkdir(parents=True)
    (folder / "store").mkdir()
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        **MANIFEST, "val_timestamp": str(np.datetime64(VAL, "us")),
        "test_timestamp": str(np.datetime64(TEST, "us"))}))
    facts, ranges = {}, []
    for name, spec in MANIFEST["tables"].items():
        frame = tables[name]
        array = vectors(name, frame)
        np.save(folder / "store" / f"{name}.npy", array)
        facts[name] = {"rows": len(frame), "distinct": len(frame)}
        ranges.append((array.min(0), array.max(0)))
        time = spec["time_col"]
        if time:
            frame = frame.with_columns(pl.col(time).cast(pl.Datetime("us")))
        frame.write_parquet(folder / "db" / f"{name}.parquet")
    np.save(folder / "store" / "range.npy", np.stack([np.min([r[0] for r in ranges], axis=0),
                                                      np.max([r[1] for r in ranges], axis=0)]))
    (folder / "store" / "store.json").write_text(json.dumps(
        {"database": "rel-races", "dim": DIM, "dtype": "float32", "tables": facts}))
    write_task(folder, "driver-fails", tables, target=target)
    database = Database.open(folder)
    graph = build_entity_graph(database)
    return World(database, graph, EmbeddingStore.open(folder / "store", graph.num_nodes),
                 load_task(database, "driver-fails"))


def write_task(folder: Path, name: str, tables: dict[str, pl.DataFrame], *,
               target: str = "fails", **changes: object) -> None:
    """Write one task's manifest and label tables."""
    task = folder / "tasks" / name
    task.mkdir(parents=True)
    kind = "regression" if target == "points" else "binary_classification"
    (task / "manifest.yaml").write_text(yaml.safe_dump({
        "name": name, "kind": "forecast", "task_type": kind, "description": "a test",
        "entity_table": "drivers", "entity_col": "driverId", "target_col": target,
        "time_col": "date", "timedelta": "5 days", "num_eval_timestamps": 5,
        "sql": "SELECT 1", "manifest_version": 1, **changes}))
    for split in SPLITS:
        tables[split].select(pl.col("date").cast(pl.Datetime("us")), "driverId",
                             target).write_parquet(task / f"{split}.parquet")


def upto(task: Task, split: str, time: int) -> Task:
    """The task with the label rows of one split at or before a time."""
    labels = task.labels(split)
    return dataclasses.replace(task, **{split: labels.take(np.flatnonzero(labels.times <= time))})


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """What the tests build with: files here cannot be imported by name."""
    return SimpleNamespace(
        frames=frames, corrupted=corrupted, build_world=build_world, write_task=write_task,
        upto=upto, SETTINGS=SETTINGS, SAGE=SAGE, VAL=VAL, TEST=TEST, DAY=DAY,
        SEED_DATES=SEED_DATES, DIM=DIM)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    return build_world(tmp_path_factory.mktemp("world") / "db", frames())


@pytest.fixture(scope="session")
def regression_world(tmp_path_factory) -> World:
    return build_world(tmp_path_factory.mktemp("regression") / "db", frames(), "points")


@pytest.fixture(scope="session")
def shared(world) -> dict:
    """Weights as pre-training would hand them over."""
    from rowgraph.randomness import torch_generator
    from rowgraph.sage.model import HeteroGraphSAGE

    model = HeteroGraphSAGE(DIM, ["elsewhere"], SAGE.hidden, SAGE.layers, SAGE.edge_type_reduce,
                            torch_generator("test", "shared"))
    return {k: v.clone() for k, v in model.shared_state_dict().items()}
