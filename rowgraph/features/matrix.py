"""Computes the candidates of all seeds, path by path, in blocks of seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import groupby

import numpy as np

from rowgraph.cells.columns import DAY, Column, Tables
from rowgraph.features.candidates import Candidate, Described, Windows
from rowgraph.features.events import Events, Seeds
from rowgraph.features.paths import Branch
from rowgraph.features.windows import COUNT, MAX, MIN, SUM, Looks, blocks_of, look_back, summarize
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.regimes import hidden

BLOCK = 65_536  # seeds that are summarized at a time
LIMIT = float(np.finfo(np.float32).max)  # what is larger becomes this
YEAR = 365 * DAY
HELD = 4  # branches whose events are kept at a time


def of_seeds(seeds: Seeds, task: Task) -> Iterator[tuple[Described, np.ndarray]]:
    """What the seeds themselves say: how stale they are, the day of the week and of the year.

    The day of the year only where training covers two years: until it comes again it is a date,
    by which trees learn the rows of that date by heart.
    """
    day = seeds.times // int(DAY)
    yield (Described("seed", "", "staleness", "in horizons", "age"),
           (seeds.times - seeds.before) / max(task.timedelta, 1))
    yield Described("seed", "", "day of the week", "", "number"), ((day + 3) % 7).astype(float)
    if np.ptp(task.train.times) >= 2 * YEAR:
        years = seeds.times.astype("datetime64[us]").astype("datetime64[Y]")
        first = years.astype("datetime64[D]").astype(np.int64)
        yield Described("seed", "", "day of the year", "", "number"), (day - first).astype(float)


def compute(tables: Tables, entity: str, seeds: Seeds, candidates: list[Candidate],
            windows: Windows, put: Callable[[int, np.ndarray], None],
            log: Callable[[int], None]) -> None:
    """Compute candidates that follow each other by path and column.

    Args:
        put: called with a candidate's position and float64 [n].
        log: called with the number of paths that are done.
    """
    along = lru_cache(HELD)(lambda branch: Events.along(tables, branch))
    # Columns that share their moment share their events; the first of them stands for all.
    late = lru_cache(HELD)(lambda branch, source, column: Events.along(tables, branch, column))
    first: dict[tuple, Column] = {}

    def events_of(branch: Branch, column: Column | str | None) -> Events:
        source = tables.source(column) if isinstance(column, Column) else None
        if source is None:
            return along(branch)
        return late(branch, source, first.setdefault((column.table, source), column))

    start = 0
    for done, (path, group) in enumerate(groupby(candidates, key=lambda c: c.path)):
        wanted = list(group)
        rows = seeds.anchored(tables, entity, path.anchor, along, cells=path.branch is None)
        inverse, unique, before = _pairs(rows, seeds.before)
        computed = (_cells(tables, unique, before, wanted) if path.branch is None else
                    _events(tables, events_of, path.branch, unique, before, wanted, windows))
        for position, values in computed:
            put(start + position, np.where(unique >= 0, values, np.nan)[inverse])
        start += len(wanted)
        log(done + 1)


def _pairs(rows: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each different (row, effective time) once, and where each seed's is."""
    moments, at = np.unique(before, return_inverse=True)
    keys, inverse = np.unique(rows * np.int64(len(moments)) + at, return_inverse=True)
    return inverse, keys // len(moments), moments[keys % len(moments)]


def _cells(tables: Tables, rows: np.ndarray, before: np.ndarray,
           wanted: list[Candidate]) -> Iterator[tuple[int, np.ndarray]]:
    for position, candidate in enumerate(wanted):
        values, known = tables.values(candidate.column), tables.known_at(candidate.column)
        values = values[rows] if len(values) else np.full(len(rows), np.nan)
        if known is not None and len(known):
            values = np.where(hidden(known[rows], before), np.nan, values)
        yield position, (before - values) / DAY if candidate.aggregate == "age" else values


def _events(tables: Tables, events_of: Callable[[Branch, Column | str | None], Events],
            branch: Branch, rows: np.ndarray, before: np.ndarray, wanted: list[Candidate],
            windows: Windows) -> Iterator[tuple[int, np.ndarray]]:
    start, events, looks = 0, None, None
    for column, group in groupby(wanted, key=lambda c: c.column):
        same, found = list(group), events_of(branch, column)
        if found is not events:
            events = found
            looks = look_back(events.indptr, events.times, rows, before, windows.lasts,
                              windows.spans)
        if column is None:
            for i, candidate in enumerate(same):
                yield start + i, _of_times(candidate, events, looks, before)
        else:
            values = events.values(tables, column, branch)
            yield from ((start + i, v) for i, v in _of_values(values, events, looks, same))
        start += len(same)


def _of_times(candidate: Candidate, events: Events, looks: Looks,
              before: np.ndarray) -> np.ndarray:
    if candidate.aggregate == "count":
        return looks.sizes[:, candidate.window].astype(np.float64)
    out = np.full(len(looks), np.nan)
    there = looks.end > looks.begin
    at = looks.begin if candidate.aggregate == "age of the first" else looks.end - 1
    out[there] = (before[there] - events.times[at[there]]) / DAY
    return out


def _of_values(values: np.ndarray, events: Events, looks: Looks,
               same: list[Candidate]) -> Iterator[tuple[int, np.ndarray]]:
    out = np.empty((len(same), len(looks)), dtype=np.float32)
    blocks = blocks_of(events.indptr, values)
    for first in range(0, len(looks), BLOCK):
        some = looks.block(first, first + BLOCK)
        found = summarize(values, blocks, some)
        for i, candidate in enumerate(same):
            part = _aggregate(candidate, found[:, candidate.window], values, some)
            out[i, first:first + BLOCK] = np.clip(part, -LIMIT, LIMIT)
    yield from enumerate(out)


def _aggregate(candidate: Candidate, found: np.ndarray, values: np.ndarray,
               looks: Looks) -> np.ndarray:
    """float64 [n], NaN where there is nothing to aggregate.

    Args:
        found: float64 [n, 4]: count, sum, minimum and maximum in the window.
    """
    if candidate.aggregate == "sum":
        return found[:, SUM]
    if candidate.aggregate == "last":
        out = np.full(len(looks), np.nan)
        there = looks.end > looks.begin
        out[there] = values[looks.end[there] - 1]
        return out
    if candidate.aggregate == "mean":
        out = found[:, SUM] / np.maximum(found[:, COUNT], 1)
    else:
        out = found[:, MIN if candidate.aggregate == "min" else MAX].copy()
    out[found[:, COUNT] == 0] = np.nan
    return out
