"""The best possible prediction: what follows from the shop's rules and from all that it can see.

With `x` orders of a customer in `T` days at a gamma distributed rate (shape `a`, rate `b`),
order `k` was not the last with the chance `1 - q_k`, where `q_k` is that of its delivery having put
the customer off. By Bayes' rule, with the rate integrated out:

    still there:          Π (1 - q_k) · Γ(a + x) / (b + T)^(a + x)
    put off by the x-th:  Π_{k<x} (1 - q_k) · q_x · Γ(a + x) / (b + t_x)^(a + x)

and who is still there orders nothing in `h` days with the chance ((b + T) / (b + T + h))^(a + x).
Fader, Hardie and Lee (Marketing Science 2005) have it for a `q` that is the same for all.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from examples.shop.generating import (
    CHANNELS,
    COUNTRIES,
    DELETED,
    DELETED_AFTER,
    LATE,
    MONTHLY,
    PUT_OFF,
    SHAPE,
    day_of,
)

UNKNOWN = LATE * PUT_OFF[True] + (1 - LATE) * PUT_OFF[False]  # while nothing is delivered yet


def no_order_within(tables: dict[str, pl.DataFrame], moment: datetime,
                    days: float) -> pl.DataFrame:
    """The chance that a customer places no order within some days.

    Args:
        tables: as the database is at the moment (`Shop.until`).
        moment: the date.

    Returns:
        `id` and `chance`, a row for each customer.
    """
    now = day_of(moment)
    orders = (tables["orders"].join(tables["deliveries"], left_on="id", right_on="order_id",
                                    how="left", maintain_order="left").sort("placed_at"))
    seen: dict[str, list[tuple[float, float]]] = {}
    for who, placed, late in orders.select("customer_id", "placed_at", "days_late").iter_rows():
        chance = UNKNOWN if late is None else PUT_OFF[late > 0]
        seen.setdefault(who, []).append((day_of(placed), chance))
    chances = []
    for who, country, channel, created, deleted in tables["customers"].select(
            "id", "country", "channel", "created_at", "deleted_at").iter_rows():
        rate = SHAPE / (MONTHLY / 30 * COUNTRIES[country] * CHANNELS[channel])
        chances.append(1.0 if deleted is not None else _chance(
            seen.get(who, []), day_of(created), now, days, rate))
    return pl.DataFrame({"id": tables["customers"]["id"], "chance": chances})


def _chance(orders: list[tuple[float, float]], created: float, now: float, days: float,
            rate: float) -> float:
    shape, age = SHAPE + len(orders), now - created
    ahead = ((rate + age) / (rate + age + days)) ** shape
    if not orders:
        return ahead
    last, put_off = orders[-1]
    gone = put_off / (1 - put_off) * ((rate + age) / (rate + last - created)) ** shape
    if now > last + DELETED_AFTER:  # who was put off might have deleted the account by now
        gone *= 1 - DELETED
    return float((ahead + gone) / (1 + gone))


def log_loss(target: np.ndarray, chance: np.ndarray) -> float:
    """The mean of minus the log likelihood, nats."""
    said = np.clip(np.where(target == 1, chance, 1 - chance), 1e-6, None)
    return float(-np.log(said).mean())
