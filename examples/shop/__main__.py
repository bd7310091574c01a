"""From `import` to predictions, next week's predictions, and what came of them.

A shop is made and put into a PostgreSQL server of its own; every step after that is a command of
`rowgraph` as a person would type it. At the end the predictions are compared with the best possible
ones, which the shop's maker can compute.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg

from examples.shop.best import no_order_within
from examples.shop.generating import START, Shop, make_shop
from examples.shop.page import write_page
from examples.shop.server import server

TODAY = START + timedelta(days=640)
HORIZON = 30
QUESTION = (f"PREDICT COUNT(orders.*, 0, {HORIZON}, days) = 0 FOR EACH customers.id "
            "WHERE COUNT(orders.*, -90, 0, days) > 0")
TASK = "no-more-orders"
TABLES = """
CREATE TABLE customers (id uuid PRIMARY KEY, email text, country text, channel text,
                        created_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE TABLE products (sku text PRIMARY KEY, name text, category text, price numeric(10, 2));
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id uuid NOT NULL REFERENCES customers,
                     placed_at timestamptz NOT NULL, status text, total numeric(12, 2),
                     details jsonb);
CREATE TABLE order_items (order_id bigint REFERENCES orders, line integer,
                          sku text REFERENCES products, quantity integer,
                          PRIMARY KEY (order_id, line));
CREATE TABLE deliveries (order_id bigint PRIMARY KEY REFERENCES orders,
                         delivered_at timestamptz NOT NULL, days_late integer);
"""
KEYS = {"customers": ["id"], "products": ["sku"], "orders": ["id"],
        "order_items": ["order_id", "line"], "deliveries": ["order_id"]}


def main() -> None:
    """Everything, with the seconds of each step."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".rowgraph/shop"),
                        help="gets the imported database, its profile and the lists")
    parser.add_argument("--customers", type=int, default=3000)
    arguments = parser.parse_args()
    folder, steps = arguments.folder, Steps()
    folder.mkdir(parents=True, exist_ok=True)
    databases, lists = folder / "databases", folder / "lists"
    profile = databases / "shop.yaml"
    shop = steps.timed("make a shop", lambda: make_shop(arguments.customers))
    with server() as url:
        commands = Commands(url)
        steps.timed("load PostgreSQL", lambda: load(url, shop, TODAY))
        steps.timed("import", lambda: commands("import", commands.url, databases / "shop", "--yes"))
        steps.timed("task", lambda: commands("task", databases / "shop", QUESTION, "--name", TASK))
        steps.timed("run", lambda: commands("run", "--profile", profile))
        name = f"shop/{TASK}"
        steps.timed("predict", lambda: commands("predict", name, "--profile", profile, "--out",
                                                lists / "today.csv"))
        load(url, shop, TODAY + timedelta(days=7))
        steps.timed("next week: import", lambda: commands("import", commands.url,
                                                          databases / "shop", "--yes"))
        steps.timed("next week: predict", lambda: commands(
            "predict", name, "--profile", profile, "--out", lists / "next_week.csv"))
        load(url, shop, TODAY + timedelta(days=HORIZON + 2))
        steps.timed("a month later: import", lambda: commands("import", commands.url,
                                                              databases / "shop", "--yes"))
        steps.timed("a month later: check", lambda: commands("predict", name, "--profile", profile,
                                                             "--check"))
    compare(shop, lists / "today.csv", folder / "shop.html")
    steps.show()


class Steps:
    """How long each step took."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, step):
        """Do it, and remember."""
        print(f"\n── {name}", flush=True)
        started = time.perf_counter()
        found = step()
        self.seconds[name] = time.perf_counter() - started
        return found

    def show(self) -> None:
        """A line a step."""
        print("\nseconds")
        for name, seconds in {**self.seconds, "together": sum(self.seconds.values())}.items():
            print(f"{seconds:8.1f}  {name}")


class Commands:
    """Runs `rowgraph`; the password is in the environment, the URL has none."""

    def __init__(self, url: str):
        who, _, where = url.removeprefix("postgresql://").partition("@")
        user, _, password = who.partition(":")
        self.url = f"postgresql://{user}@{where}"
        self.environment = {**os.environ, "PGPASSWORD": password}

    def __call__(self, *arguments: object) -> None:
        words = [f'"{a}"' if " " in str(a) else str(a) for a in arguments]
        print("$ rowgraph", *words, flush=True)
        code = "from pipeline.cli import main; main()"
        subprocess.run([sys.executable, "-c", code, *map(str, arguments)],
                       env=self.environment, check=True)


def load(url: str, shop: Shop, moment: datetime) -> None:
    """Bring the database up to a moment: rows that are new, and accounts that were deleted."""
    tables = shop.until(moment)
    with psycopg.connect(url) as connection:
        there = connection.execute("SELECT to_regclass('customers')").fetchone()[0]
        if there is None:
            connection.execute(TABLES)
        for name, frame in tables.items():
            keys = ", ".join(KEYS[name])
            known = set(connection.execute(f"SELECT {keys} FROM {name}").fetchall())
            keep = [tuple(map(str, row)) for row in frame.select(KEYS[name]).iter_rows()]
            old = {tuple(map(str, row)) for row in known}
            fresh = frame.filter(pl.Series([key not in old for key in keep], dtype=pl.Boolean))
            columns = ", ".join(frame.columns)
            with connection.cursor().copy(f"COPY {name} ({columns}) FROM STDIN") as copy:
                for row in fresh.iter_rows():
                    copy.write_row(row)
        deleted = tables["customers"].filter(pl.col("deleted_at").is_not_null())
        connection.cursor().executemany(
            "UPDATE customers SET deleted_at = %s WHERE id = %s",
            deleted.select("deleted_at", "id").rows())
    print({name: len(frame) for name, frame in tables.items()}, f"until {moment:%Y-%m-%d}")


def compare(shop: Shop, path: Path, written: Path) -> None:
    """How close predictions come to the best that can be said, and to what came true."""
    said = pl.read_csv(path)
    best = no_order_within(shop.until(TODAY), TODAY, HORIZON)
    later = shop.until(TODAY + timedelta(days=HORIZON))["orders"].filter(
        pl.col("placed_at") > TODAY)
    rows = said.join(best, on="id", how="inner")
    target = (~rows["id"].is_in(later["customer_id"].unique().to_list())).cast(
        pl.Float64).to_numpy()
    table = write_page(written, TODAY, HORIZON, target, rows["prediction"].to_numpy(),
                       rows["chance"].to_numpy())
    print(f"\n{len(rows)} customers as of {TODAY:%Y-%m-%d}; {target.mean():.3f} did not order "
          f"again within {HORIZON} days")
    for row in [table.head, *table.rows]:
        print("".join(f"{cell:>{width}}" for cell, width in zip(row, (22, 9, 10, 38),
                                                                strict=True)))
    print(f"The page: {written}")


if __name__ == "__main__":
    main()
