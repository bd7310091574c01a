"""A small shop for recommendation: who buys which product next?

Every shopper has two favourites, which nobody's popularity tells, and buys one thing at random.
What makes databases awkward: purchases on the day of a seed, without a time, a shopper or an item;
products that are released late, one of them on the day of a seed; items without a product; a
product without a release date; a region column that two tables share; a self reference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch
import yaml

from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.databases.database import Database
from rowgraph.graph.entity_graph import EntityGraph, build_entity_graph
from rowgraph.randomness import torch_generator
from rowgraph.sage.model import HeteroGraphSAGE
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.loading import load_task

DAY = 86_400_000_000
SHOPPERS, PRODUCTS, ITEMS, DATES, DIM, EVAL_K = 30, 14, 28, 16, 8, 4
SEED_DATES = 1_000 * DAY + 10 * DAY * np.arange(DATES)
SPLITS = {"train": range(3, 11), "val": range(11, 12), "test": range(13, 14)}
VAL, TEST = int(SEED_DATES[11]), int(SEED_DATES[13])
LATE = {11: 7, 12: 13, 13: 14}  # product -> date of its release; 12 comes on the day of the test
MANIFEST = {
    "name": "rel-shop", "manifest_version": 1, "description": "a test",
    "val_timestamp": str(np.datetime64(VAL, "us")),
    "test_timestamp": str(np.datetime64(TEST, "us")),
    "tables": {
        "regions": {"pkey": "region_id", "time_col": None, "fkeys": {}},
        "products": {"pkey": "product_id", "time_col": "released",
                     "fkeys": {"region_id": "regions", "replaces": "products"}},
        "items": {"pkey": "item_id", "time_col": None, "fkeys": {"product_id": "products"}},
        "shoppers": {"pkey": "shopper_id", "time_col": None, "fkeys": {"region_id": "regions"}},
        "purchases": {"pkey": "purchase_id", "time_col": "time",
                      "fkeys": {"shopper_id": "shoppers", "item_id": "items"}}}}
SAGE = SageWeightsSettings(hidden=16, fan_out=(6, 3))
SETTINGS = DownstreamMetricsSettings(
    seeds=(0, 1), epochs=4, batch=64, learning_rate=1e-2, head_hidden=16, fan_out=(6, 3),
    sampling="latest", dropout=0.0, folds=2, variants=("bart_gnn_scratch",))


def frames() -> dict[str, pl.DataFrame]:
    """Tables and label tables, the same on every call."""
    random = np.random.default_rng(5)
    favourites = np.stack([random.permutation(11)[:2] for _ in range(SHOPPERS)])
    released = np.full(PRODUCTS, SEED_DATES[0] - 100 * DAY)
    for product, date in LATE.items():
        released[product] = SEED_DATES[date]
    who, what, when = [], [], []
    for date in range(DATES):
        for shopper in range(SHOPPERS):
            there = np.flatnonzero(released <= SEED_DATES[date])
            for product in (*favourites[shopper], random.choice(there)):
                who.append(shopper)
                what.append(2 * product + random.integers(0, 2))
                when.append(SEED_DATES[date] + DAY * int(random.integers(0, 9)))
    n = len(who)
    order = np.argsort(when, kind="stable")
    index = pl.int_range(pl.len())
    purchases = pl.DataFrame({
        "purchase_id": np.arange(n), "shopper_id": np.array(who)[order],
        "item_id": np.array(what)[order], "time": np.array(when)[order],
        "price": random.random(n)}).with_columns(
        shopper_id=pl.when(index % 61 == 0).then(None).otherwise("shopper_id"),
        item_id=pl.when(index % 67 == 0).then(None).otherwise("item_id"),
        time=pl.when(index % 71 == 0).then(None).otherwise("time"))
    tables = {
        "regions": pl.DataFrame({"region_id": range(3), "name": list("abc")}),
        "products": pl.DataFrame({
            "product_id": range(PRODUCTS), "region_id": np.arange(PRODUCTS) % 3,
            "replaces": [None if p % 4 else (p + 1) % PRODUCTS for p in range(PRODUCTS)],
            "released": released}),
        "items": pl.DataFrame({"item_id": range(ITEMS),
                               "product_id": [i // 2 if i != 9 else None for i in range(ITEMS)]}),
        "shoppers": pl.DataFrame({"shopper_id": range(SHOPPERS),
                                  "region_id": np.arange(SHOPPERS) % 3}),
        "purchases": purchases}
    return tables | labels(tables)


def labels(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """What each shopper buys in the ten days after each date."""
    bought = tables["purchases"].join(tables["items"], on="item_id").drop_nulls(
        ["shopper_id", "product_id", "time"])
    made = {}
    for split, dates in SPLITS.items():
        parts = []
        for date in dates:
            t = int(SEED_DATES[date])
            parts.append(bought.filter((pl.col("time") > t) & (pl.col("time") <= t + 10 * DAY))
                         .group_by("shopper_id").agg(pl.col("product_id").unique().sort())
                         .sort("shopper_id").with_columns(date=pl.lit(t)))
        made[split] = pl.concat(parts)
    return made


def corrupted(tables: dict[str, pl.DataFrame], *, start: int | None = None,
              end: int | None = None) -> dict[str, pl.DataFrame]:
    """Overwrite keys, cells and labels of rows dated in [start, end) with nonsense."""
    random = np.random.default_rng(99)
    out = dict(tables)
    p = tables["purchases"]
    hit = pl.col("time").is_between(-2**62 if start is None else start,
                                    2**62 if end is None else end, closed="left")
    hit = hit.fill_null(start is not None)
    out["purchases"] = p.with_columns(
        pl.when(hit).then(pl.lit(pl.Series(random.integers(0, high, len(p))))).otherwise(c).alias(c)
        for c, high in (("shopper_id", SHOPPERS), ("item_id", ITEMS), ("price", 1_000)))
    for split in SPLITS:
        frame = tables[split]
        nonsense = pl.Series([[int(x)] for x in random.integers(0, PRODUCTS, len(frame))])
        late = pl.col("date") >= (-2**62 if start is None else start)
        soon = pl.col("date") < (2**62 if end is None else end)
        out[split] = frame.with_columns(
            pl.when(late & soon).then(pl.lit(nonsense)).otherwise("product_id").alias("product_id"))
    return out


def build(folder: Path, tables: dict[str, pl.DataFrame]) -> Task:
    """Write a RelBench 3 folder with two tasks and load the forecast."""
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(MANIFEST))
    for name, spec in MANIFEST["tables"].items():
        frame = tables[name]
        if spec["time_col"]:
            frame = frame.with_columns(pl.col(spec["time_col"]).cast(pl.Datetime("us")))
        frame.write_parquet(folder / "db" / f"{name}.parquet")
    task = folder / "tasks" / "shopper-product"
    task.mkdir(parents=True)
    (task / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "shopper-product", "kind": "forecast", "task_type": "recommendation",
        "description": "a test", "src_entity_table": "shoppers", "src_entity_col": "shopper_id",
        "dst_entity_table": "products", "dst_entity_col": "product_id", "time_col": "date",
        "timedelta": "10 days", "eval_k": EVAL_K, "sql": "SELECT 1", "manifest_version": 1}))
    for split in SPLITS:
        tables[split].select(pl.col("date").cast(pl.Datetime("us")), "shopper_id",
                             "product_id").write_parquet(task / f"{split}.parquet")
    key = folder / "tasks" / "purchases-shopper"
    key.mkdir()
    (key / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "purchases-shopper", "kind": "autocomplete", "task_type": "recommendation",
        "description": "a test", "entity_table": "purchases", "target_col": "shopper_id",
        "eval_k": EVAL_K, "manifest_version": 1}))
    return load_task(Database.open(folder), "shopper-product")


class Vectors:
    """Row vectors that tell products and items apart, and shoppers too."""

    dim = DIM

    def __init__(self, graph: EntityGraph, prices: np.ndarray):
        random = np.random.default_rng(3)
        products = random.standard_normal((PRODUCTS, DIM))
        made = {"products": products, "items": np.repeat(products, 2, axis=0),
                "shoppers": random.standard_normal((SHOPPERS, DIM)),
                "regions": random.standard_normal((3, DIM)),
                "purchases": np.nan_to_num(prices)[:, None] * np.ones(DIM)}
        self._tables = {t: torch.from_numpy(made[t].astype(np.float32)) for t in graph.node_types}
        self.range = np.stack([np.full(DIM, -2, np.float32), np.full(DIM, 2, np.float32)])
        self.tables = graph.node_types

    def num_rows(self, table: str) -> int:
        return len(self._tables[table])

    def gather(self, table: str, rows: np.ndarray) -> torch.Tensor:
        return self._tables[table][torch.as_tensor(rows)]


def made_of(task: Task) -> tuple[EntityGraph, dict[int, BartVectors]]:
    """Graph and vectors of a task's database."""
    graph = build_entity_graph(task.database)
    prices = task.database.read("purchases", ["price"])["price"].to_numpy()
    shared = HeteroGraphSAGE(DIM, ["elsewhere"], SAGE.hidden, SAGE.layers, SAGE.edge_type_reduce,
                             torch_generator("test", "shared")).shared_state_dict()
    return graph, {0: BartVectors(Vectors(graph, prices), shared, SAGE)}
