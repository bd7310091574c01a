"""Small random databases with awkward times and names, and window features by brute force.

Times are a few microseconds apart, so that many are equal; some are missing, some tables have
none, some are empty, some cells are written after their row. There are self references, two
foreign keys to one parent, null keys, and names that no one should give.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import polars as pl

from rowgraph.databases.database import NEVER, TIMELESS, Database, TableSchema
from rowgraph.databases.knowledge import EXPORT, Knowledge, Rule
from rowgraph.tasks.label_tables import LabelTable, Task

ODD = ("", "^a.*$", "a · b", "größe", 'say "so"', "a", "A", "b of c", "share")
VAL, TEST, TIMEDELTA = 14, 18, 2
DAY = 86_400e6


def random_task(seed: int, folder: Path, *, autocomplete: bool = False,
                tables: int = 4, late: bool = False) -> Task:
    """A task about table `t0` of a random database, with binary labels; `late`: somebody said of
    some columns when they are known."""
    random = np.random.default_rng(seed)
    names = [f"t{i}" for i in range(tables)]
    sizes = {n: int(random.choice([0, 1, 5, 12, 20])) for n in names}
    sizes["t0"] = max(sizes["t0"], 4)
    (folder / "db").mkdir(parents=True)
    schemas = {}
    for name in names:
        n = sizes[name]
        fkeys = {f"key{k}": str(random.choice(names)) for k in range(random.integers(0, 3))}
        time = "time" if random.random() < 0.75 else None
        schemas[name] = TableSchema(name, "id", time, fkeys)
        columns: dict[str, pl.Series] = {"id": pl.Series(range(n), dtype=pl.Int64)}
        if time:
            times = [None if random.random() < 0.1 else int(t) for t in random.integers(0, 24, n)]
            columns[time] = pl.Series(times, dtype=pl.Int64).cast(pl.Datetime("us"))
        for fkey, parent in fkeys.items():
            keys = [None if random.random() < 0.2 or not sizes[parent]
                    else int(random.integers(0, sizes[parent])) for _ in range(n)]
            columns[fkey] = pl.Series(keys, dtype=pl.Int64)
        for odd in random.choice(ODD, 3, replace=False):
            columns[str(odd)] = _column(random, n)
        pl.DataFrame(columns).write_parquet(folder / "db" / f"{name}.parquet")
    database = Database("rel-random", folder, schemas, VAL, TEST)
    if late:
        database = dataclasses.replace(database, knowledge=_knowledge(random, database))
    labels = {}
    for split, (low, high) in {"train": (2, VAL - TIMEDELTA), "val": (VAL, TEST - TIMEDELTA),
                               "test": (TEST, 24)}.items():
        moments = np.repeat(np.arange(low, high + 1, 2), 3).astype(np.int64)
        rows = random.integers(0, sizes["t0"], len(moments))
        labels[split] = LabelTable(rows, moments, random.integers(0, 2, len(rows)).astype(float))
    return Task("random", database, "binary_classification", "t0", TIMEDELTA, **labels,
                autocomplete=autocomplete)


def _knowledge(random: np.random.Generator, database: Database) -> Knowledge:
    rules, until = {}, {}
    for table, schema in database.tables.items():
        frame = database.read(table)
        dates = [c for c in frame.columns if frame[c].dtype == pl.Datetime and c != schema.time_col]
        keys = [c for c, p in schema.fkeys.items() if database.tables[p].time_col]
        for column in frame.columns:
            if column in (schema.pkey_col, schema.time_col) or random.random() < 0.4:
                continue
            words = [EXPORT, "as_is", *dates, *keys]
            words += ["itself"] * 3 + ["scheduled"] * (column in dates) if (
                column in (*dates, *keys)) else []
            rules[table, column] = Rule(str(random.choice(words)))
        if dates and random.random() < 0.5:
            until[table] = str(random.choice(dates))
    return Knowledge(rules, until)


def _column(random: np.random.Generator, n: int) -> pl.Series:
    empty = random.random(n) < random.choice([0, 0.3, 1])

    def of(values: list, kind: pl.DataType) -> pl.Series:
        return pl.Series([None if e else v for e, v in zip(empty, values, strict=True)],
                         dtype=kind)

    match random.integers(0, 8):
        case 0:
            return of(random.choice([-1.5, 0.0, 2.5, np.inf, np.nan, 1e30], n).tolist(), pl.Float64)
        case 1:
            return of(random.integers(0, 3, n).tolist(), pl.Int64)
        case 2:
            return of([bool(v) for v in random.integers(0, 2, n)], pl.Boolean)
        case 3:
            return of([str(v) for v in random.choice(["x", "y", " ", "z z"], n)], pl.String)
        case 4:
            return of([f"{'long ' * int(random.integers(1, 9))}text {i}" for i in range(n)],
                      pl.String)
        case 5:
            return of(random.integers(-50, 50, n).tolist(), pl.Int64).cast(pl.Datetime("us"))
        case 6:
            return of([[1, 2]] * n, pl.List(pl.Int64))
        case _:
            return of(random.integers(0, 10**9, n).tolist(), pl.Int64)


class Brute:
    """Window features of one seed, row by row, in plain Python."""

    def __init__(self, task: Task):
        self.task, self.database = task, task.database
        self.frames = {t: self.database.read(t, late=True) for t in self.database.tables}
        self.times = {t: self.database.times(t).tolist() for t in self.database.tables}
        self.keys = {(t, f): self.frames[t][f].to_list() for t, s in self.database.tables.items()
                     for f in s.fkeys}

    def known(self, table: str, column: str, row: int) -> int:
        """From when a cell is known, `TIMELESS` where with its row."""
        knowledge, schema = self.database.knowledge, self.database.tables[table]
        rule = knowledge.rules.get((table, column))
        said = rule.known_at if rule else None
        is_date = self.frames[table].schema[column] == pl.Datetime and column != schema.time_col
        if said in ("as_is", "scheduled") or (said is None and not is_date):
            return TIMELESS
        source = column if said in (None, "itself") else said
        newest = max((t for n in self.times if self.database.tables[n].time_col
                      for t in self.times[n] if t != NEVER), default=TIMELESS)
        if source == EXPORT:
            moment = newest
        else:
            value = self.value(table, source, row)
            if value is None:
                moment = TIMELESS if said is None else newest
            elif source in schema.fkeys:
                moment = self.times[schema.fkeys[source]][value]
            else:
                moment = (value - EPOCH) // MICROSECOND
        return moment if moment > self.times[table][row] else TIMELESS

    def value(self, table: str, column: str, row: int) -> object:
        """A cell as it stands; a name may be a pattern to polars, hence by position."""
        return self.frames[table][row, self.frames[table].columns.index(column)]

    def column_known(self, column, row: int) -> int:
        """The same for what is made of a cell."""
        if column.kind != "over":
            return self.known(column.table, column.name, row)
        value = self.value(column.table, column.name, row)
        return NEVER if value is None else (value - EPOCH) // MICROSECOND

    def anchor(self, anchor, row: int, before: int, cells: bool) -> int | None:
        """The anchor's row."""
        entity = self.task.entity_table
        if anchor.newest:
            found = self.events(anchor.newest, row, before)
            return found[-1][1] if found else None
        hidden = not self.task.autocomplete and self.times[entity][row] >= before
        if (cells or anchor.ups) and hidden:
            return None
        for step in anchor.ups:
            if self.known(step.table, step.fkey, row) >= before:
                return None
            row = self.keys[step.table, step.fkey][row]
            if row is None or self.times[step.parent][row] >= before:
                return None
        return row

    def events(self, branch, anchor: int, before: int, column=None) -> list[tuple[int, int]]:
        """(time, row) of everything visible along a branch, oldest first; of a column's values,
        where that is later."""
        ways = [(TIMELESS, anchor)]
        for step in branch.down:
            ways = [(max(time, self.times[step.table][c], self.known(step.table, step.fkey, c)), c)
                    for time, row in ways
                    for c, key in enumerate(self.keys[step.table, step.fkey]) if key == row]
        found = [(time, c, c) for time, c in ways]
        if branch.up:
            pairs = [(max(time, self.known(branch.up.table, branch.up.fkey, c)), c,
                      self.keys[branch.up.table, branch.up.fkey][c]) for time, c in ways]
            found = [(max(time, self.times[branch.up.parent][p]), c, p) for time, c, p in pairs
                     if p is not None]
        if column is not None and not isinstance(column, str):
            found = [(max(time, self.column_known(column, p)), c, p) for time, c, p in found]
        return [(t, row) for t, _, row in sorted(found) if t < before and t != NEVER]

    def cell(self, column, row: int) -> float:
        """What is made of a cell."""
        schema = self.database.tables[column.table]
        value = self.value(column.table, column.name, row)
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        if isinstance(value, str) and not value.strip():
            value = None
        if column.kind == "given":
            return float(value is not None)
        if value is None:
            return math.nan
        if column.kind == "over":
            return 1.0
        if column.kind == "delay":
            if self.times[column.table][row] == NEVER:
                return math.nan
            return ((value - EPOCH) // MICROSECOND - self.times[column.table][row]) / DAY
        if column.kind == "share":
            assert column.name not in schema.fkeys
            return float(value == column.value if isinstance(value, str)
                         else float(value) == float(column.value))
        if column.kind == "code":
            return float(column.words.index(value)) if value in column.words else math.nan
        if column.kind == "length":
            return float(len(value))
        if column.kind == "date":
            return float((value - EPOCH) // MICROSECOND)
        return float(value)

    def feature(self, candidate, windows, row: int, before: int) -> float:
        """One feature of one seed."""
        path, column, aggregate = candidate.path, candidate.column, candidate.aggregate
        anchor = self.anchor(path.anchor, row, before, path.branch is None)
        if anchor is None:
            return math.nan
        if path.branch is None:
            if self.column_known(column, anchor) >= before:
                return math.nan
            value = self.cell(column, anchor)
            return (before - value) / DAY if aggregate == "age" else value
        events = self.events(path.branch, anchor, before, column)
        w = candidate.window
        if w < len(windows.lasts):
            inside = range(max(0, len(events) - windows.lasts[w]), len(events))
        elif w < windows.ever:
            oldest = before - windows.spans[w - len(windows.lasts)]
            inside = [i for i, (t, _) in enumerate(events) if t >= oldest and t != TIMELESS]
        else:
            inside = range(len(events))
        if aggregate == "count":
            return float(len(inside))
        if aggregate.startswith("age of"):
            at = 0 if aggregate == "age of the first" else -1
            return (before - events[at][0]) / DAY if events else math.nan
        values = [self.event_value(column, events, i) for i in inside]
        if aggregate == "last":
            return values[-1] if values else math.nan
        values = [v for v in values if not math.isnan(v)]
        if aggregate == "sum":
            return sum(values)
        if not values:
            return math.nan
        return {"min": min, "max": max, "mean": lambda v: sum(v) / len(v)}[aggregate](values)

    def event_value(self, column, events: list[tuple[int, int]], i: int) -> float:
        """A column of an event, or of its place among the others."""
        time, row = events[i]
        if column == "days since the one before":
            return (time - events[i - 1][0]) / DAY if i else math.nan
        if column == "met for the first time":
            return float(row not in [r for _, r in events[:i]])
        value = self.cell(column, row)
        if column.kind == "date":  # without a time of its own an event has no age
            return (time - value) / DAY if time != TIMELESS else math.nan
        return value


EPOCH = pl.Series([0]).cast(pl.Datetime("us"))[0]
MICROSECOND = EPOCH.resolution
