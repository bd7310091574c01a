"""A shop whose customers are known better than any shop knows its own.

Every customer orders at a rate of their own, drawn from a gamma distribution whose mean depends on
country and channel, until an order puts them off: a late delivery often, a punctual one seldom.
Then they never order again, and nobody is told; a few ask for their account to be deleted weeks
later. So buying until "death", as of Fader, Hardie and Lee (Marketing Science 2005), with a chance
of death that depends on the delivery.

Shapes: N customers.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 730.0
SHAPE, MONTHLY = 1.2, 2.2  # of the gamma distribution of rates; mean orders in 30 days
COUNTRIES = {"DE": 1.0, "FR": 0.7, "IT": 1.3, "PL": 0.9}  # factors of the rate
CHANNELS = {"search": 1.0, "friend": 1.5, "advert": 0.6}
LATE = 0.2  # share of orders that are delivered late
PUT_OFF = {True: 0.35, False: 0.04}  # chance that such a delivery was the last one
DELIVERY = {True: 9.0, False: 2.0}  # days until it is delivered
KINDS, PRODUCTS = ("shelf", "lamp", "chair", "table", "plant"), 80
DELETED, DELETED_AFTER = 0.25, 21.0  # share of those put off who delete their account; days


@dataclass(frozen=True, eq=False)
class Shop:
    """What the shop's database holds, and what only its maker knows.

    Args:
        tables: by name; `created_at`, `placed_at`, `delivered_at` and `deleted_at` say when.
        rates: float64 [N], orders a day.
        ended: float64 [N], days since `START` after which nobody orders; infinite for those who
            were never put off.
    """

    tables: dict[str, pl.DataFrame]
    rates: np.ndarray
    ended: np.ndarray

    def until(self, moment: datetime) -> dict[str, pl.DataFrame]:
        """The database as it is at a moment: what happened later is not there yet."""
        found = {}
        for name, time in (("customers", "created_at"), ("products", None),
                           ("orders", "placed_at"), ("deliveries", "delivered_at")):
            frame = self.tables[name]
            found[name] = frame if time is None else frame.filter(pl.col(time) <= moment)
        found["customers"] = found["customers"].with_columns(
            pl.when(pl.col("deleted_at") <= moment).then("deleted_at").alias("deleted_at"))
        found["order_items"] = self.tables["order_items"].join(
            found["orders"].select("id"), left_on="order_id", right_on="id", how="semi",
            maintain_order="left")
        return found


def make_shop(customers: int = 3000, seed: int = 0) -> Shop:
    """Make a shop; equal arguments make equal ones."""
    random = np.random.default_rng(seed)
    countries = random.choice(list(COUNTRIES), customers)
    channels = random.choice(list(CHANNELS), customers)
    factor = np.array([COUNTRIES[c] * CHANNELS[h]
                       for c, h in zip(countries, channels, strict=True)])
    rates = random.gamma(SHAPE, MONTHLY / 30 / SHAPE, customers) * factor
    joined = np.sort(random.random(customers)) ** 0.8 * (DAYS - 60)
    ended = np.full(customers, np.inf)
    deleted = np.full(customers, np.nan)
    orders, deliveries = [], []
    for who in range(customers):
        day = joined[who]
        while (day := day + random.exponential(1 / rates[who])) < DAYS:
            late = bool(random.random() < LATE)
            orders.append((who, day))
            deliveries.append((day + DELIVERY[late], late))
            if random.random() < PUT_OFF[late]:
                ended[who] = day
                if random.random() < DELETED:
                    deleted[who] = day + DELETED_AFTER
                break
    order = np.argsort([day for _, day in orders], kind="stable")
    orders, deliveries = [orders[i] for i in order], [deliveries[i] for i in order]
    keys = [str(uuid.UUID(int=int.from_bytes(random.bytes(16), "big"), version=4))
            for _ in range(customers)]
    tables = {
        "customers": pl.DataFrame({
            "id": keys, "email": [f"customer{i}@example.org" for i in range(customers)],
            "country": countries.tolist(), "channel": channels.tolist(),
            "created_at": _moments(joined), "deleted_at": _moments(deleted)}),
        "products": _products(random),
        **_orders(random, keys, orders, deliveries)}
    return Shop(tables, rates, ended)


def _products(random: np.random.Generator) -> pl.DataFrame:
    numbers = range(PRODUCTS)
    return pl.DataFrame({
        "sku": [_sku(i) for i in numbers], "name": [f"{KINDS[i % 5]} no. {i}" for i in numbers],
        "category": [KINDS[i % 5] for i in numbers],
        "price": np.round(random.gamma(3, 12, PRODUCTS) + 4, 2).tolist()})


def _sku(number: int) -> str:
    return f"{KINDS[number % 5][:2].upper()}-{number:03}"


def _orders(random: np.random.Generator, keys: list[str], orders: list[tuple[int, float]],
            deliveries: list[tuple[float, bool]]) -> dict[str, pl.DataFrame]:
    count, skus = len(orders), pl.Series([_sku(i) for i in range(PRODUCTS)])
    lines = random.integers(1, 4, count)
    number = np.repeat(np.arange(count), lines)
    first = np.repeat(np.cumsum(lines) - lines, lines)
    price = random.gamma(3, 12, len(number))
    quantity = random.integers(1, 4, len(number))
    total = np.bincount(number, weights=quantity * price, minlength=count)
    ids = np.arange(1001, 1001 + count)
    status = ["delivered"] * count
    return {
        "orders": pl.DataFrame({
            "id": ids, "customer_id": [keys[who] for who, _ in orders],
            "placed_at": _moments(np.array([day for _, day in orders])), "status": status,
            "total": np.round(total, 2),
            "details": [json.dumps({"gift": bool(g), "device": "phone" if p else "computer"})
                        for g, p in zip(random.random(count) < 0.1, random.random(count) < 0.6,
                                        strict=True)]}),
        "order_items": pl.DataFrame({
            "order_id": ids[number], "line": np.arange(len(number)) - first + 1,
            "sku": skus.gather(random.integers(0, len(skus), len(number))),
            "quantity": quantity}),
        "deliveries": pl.DataFrame({
            "order_id": ids, "delivered_at": _moments(np.array([d for d, _ in deliveries])),
            "days_late": [7 if late else 0 for _, late in deliveries]})}


def _moments(days: np.ndarray) -> pl.Series:
    """Days since `START` as times; NaN is none."""
    micro = np.where(np.isnan(days), 0, days * 86_400e6).astype(np.int64)
    start = int(START.timestamp() * 1e6)
    series = pl.Series(micro + start).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.select(pl.when(pl.Series(~np.isnan(days))).then(series)).to_series()


def day_of(moment: datetime) -> float:
    """Days since `START`."""
    return (moment - START) / timedelta(days=1)
