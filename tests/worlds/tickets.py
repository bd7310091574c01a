"""A help desk whose tickets are written on after they were opened.

Tickets end after a memoryless time, so that nothing which is known of an open one says whether it
will end within `HORIZON` days: the right ROC-AUC is .50. `ended`, `state` and `effort` are written
at the end, `next_step` is another ticket that came later, `replies` counts what came, `seen` stands
in a table without times and is overwritten, `due` lies later and is known from the beginning.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import yaml

from rowgraph.databases.database import Database

DAY = 86_400_000_000
HORIZON = 30
SPAN = 730  # days
VAL, TEST = 500, 600
LATE = {("tickets", "ended"), ("tickets", "state"), ("tickets", "effort"),
        ("tickets", "next_step"), ("tickets", "replies"), ("people", "seen")}


def write_tickets(folder: Path, rows: int = 1500) -> Database:
    """A RelBench 3 folder named `rel-desk` with the task `ticket-ends`."""
    random, people = np.random.default_rng(7), 40
    opened = np.sort(random.uniform(0, SPAN, rows))
    days = random.exponential(45, rows)
    ended = opened + days
    over = ended < SPAN
    later = np.minimum(np.arange(rows) + random.integers(20, 60, rows), rows - 1)
    ticket = np.repeat(np.arange(rows), random.poisson(3, rows))
    replied = opened[ticket] + random.exponential(20, len(ticket))
    order = np.argsort(replied)
    order = order[replied[order] < SPAN]
    person = random.integers(0, people, rows)
    seen = np.zeros(people)
    np.maximum.at(seen, person, np.where(over, ended, opened + 1))
    _write(folder, "people", {"person_id": np.arange(people), "seen": _time(seen),
                              "team": [f"team {i % 4}" for i in range(people)]})
    _write(folder, "tickets", {
        "ticket_id": np.arange(rows), "person_id": person, "opened": _time(opened),
        "urgency": random.integers(1, 5, rows),
        "ended": _time(np.where(over, ended, np.nan)),
        "state": np.where(over, "ended", "open"),
        "effort": pl.Series(np.where(over, days * random.uniform(1, 3, rows), np.nan)).fill_nan(
            None),
        "next_step": pl.Series(np.where(over & (random.random(rows) < .7), later, np.nan)).fill_nan(
            None).cast(pl.Int64),
        "replies": np.bincount(ticket[order], minlength=rows),
        "due": _time(opened + random.uniform(5, 9, rows))})
    _write(folder, "replies", {"ticket_id": ticket[order], "written": _time(replied[order])})
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "rel-desk", "manifest_version": 1, "val_timestamp": _date(VAL),
        "test_timestamp": _date(TEST), "tables": {
            "people": {"pkey": "person_id"},
            "tickets": {"pkey": "ticket_id", "time_col": "opened",
                        "fkeys": {"person_id": "people", "next_step": "tickets"}},
            "replies": {"time_col": "written", "fkeys": {"ticket_id": "tickets"}}}}))
    task = folder / "tasks" / "ticket-ends"
    task.mkdir(parents=True)
    (task / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "ticket-ends", "kind": "forecast", "task_type": "binary_classification",
        "entity_table": "tickets", "entity_col": "ticket_id", "target_col": "label",
        "time_col": "date", "timedelta": f"{HORIZON} days", "num_eval_timestamps": 3,
        "sql": "SELECT 1", "manifest_version": 1}))
    splits = {"train": range(100, VAL - HORIZON, 20), "val": range(VAL, TEST - HORIZON, 25),
              "test": range(TEST, SPAN - HORIZON, 25)}
    for split, moments in splits.items():
        frames = []
        for moment in moments:
            now_open = np.flatnonzero((opened <= moment) & (ended > moment)
                                      & (opened > moment - 90))
            frames.append(pl.DataFrame({
                "date": _time(np.full(len(now_open), moment)), "ticket_id": now_open,
                "label": (ended[now_open] <= moment + HORIZON).astype(int)}))
        pl.concat(frames).write_parquet(task / f"{split}.parquet")
    return Database.open(folder)


def _write(folder: Path, table: str, columns: dict) -> None:
    (folder / "db").mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(folder / "db" / f"{table}.parquet")


def _time(days: np.ndarray) -> pl.Series:
    ticks = pl.Series(np.asarray(days, dtype=float)).fill_nan(None) * DAY
    return ticks.cast(pl.Int64).cast(pl.Datetime("us"))


def _date(day: int) -> str:
    return str(np.datetime64("1970-01-01") + day)
