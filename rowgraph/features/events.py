"""The rows along a branch as events of the anchor's rows, and the anchor's row of each seed.

An event is visible from the latest time of the rows on its way: a row of D that names a row of C
tells nothing before both are there. Rows whose time is missing are never visible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rowgraph.cells.columns import DAY, Column, Tables
from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.features.paths import Anchor, Branch
from rowgraph.features.windows import firsts, gaps, look_back
from rowgraph.graph.adjacency import grouped_by_parent
from rowgraph.tasks.regimes import hidden

GAP, NEW = "days since the one before", "met for the first time"  # columns of the events


@dataclass(frozen=True, eq=False)
class Events:
    """The events of each row of a table.

    Args:
        indptr: int64 [rows + 1], the events of row r are `indptr[r]:indptr[r + 1]`.
        times: int64 [E], microseconds or `TIMELESS`, ascending within a row.
        rows: int64 [E], rows of the table whose columns are meant.
    """

    indptr: np.ndarray
    times: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def grouped(cls, owners: np.ndarray, times: np.ndarray, rows: np.ndarray,
                num_owners: int) -> Events:
        """From events in any order; equal times stay in the given order.

        Args:
            owners: int64 [n], the row that each event belongs to; -1 for none.
            times: int64 [n]; what is `NEVER` is left out.
            rows: int64 [n].
        """
        owners = np.where(times == NEVER, -1, owners)
        ascending = not np.any(times[1:] < times[:-1])
        by_time = np.empty(0, np.int64) if ascending else np.argsort(times, kind="stable")
        indptr = np.zeros(num_owners + 1, np.int64)
        np.cumsum(np.bincount(owners[owners >= 0], minlength=num_owners), out=indptr[1:])
        order = grouped_by_parent(by_time, owners, indptr)
        return cls(indptr, times[order], rows[order])

    @classmethod
    def along(cls, tables: Tables, branch: Branch, column: Column | None = None) -> Events:
        """The events of a branch.

        Args:
            column: one whose values are known later than their rows: an event is then that its
                value came to be known.
        """
        first = branch.down[0]
        owners = tables.keys(first.table, first.fkey)
        times = tables.written(first.table, first.fkey)
        for step in branch.down[1:]:
            middle = tables.keys(step.table, step.fkey)
            owners = _at(owners, middle)
            times = _later(tables.written(step.table, step.fkey), times, middle)
        rows = np.arange(len(owners))
        if branch.up:
            rows = tables.keys(branch.up.table, branch.up.fkey)
            owners = np.where(rows >= 0, owners, -1)
            if branch.up.table == branch.down[-1].table:
                times = np.maximum(times, tables.written(branch.up.table, branch.up.fkey))
            times = _later(times, tables.times(branch.up.parent), rows)
        if column is not None:
            times = _later(times, tables.known_at(column), rows)
        return cls.grouped(owners, times, rows, tables.num_rows[branch.root])

    def values(self, tables: Tables, column: Column | str, branch: Branch) -> np.ndarray:
        """float64 [E]: a column of the rows, or `GAP` or `NEW` of the events themselves.

        A date becomes its age in days at the event's time.
        """
        if column == GAP:
            return gaps(self.indptr, self.times) / DAY
        if column == NEW:
            return firsts(self.indptr, self.rows, max(tables.num_rows[branch.table], 1))
        values = tables.values(column)[self.rows]
        if column.kind == "date":
            return np.where(self.times != TIMELESS, (self.times - values) / DAY, np.nan)
        return values


@dataclass(frozen=True, eq=False)
class Seeds:
    """Who asks, and what is hidden from each.

    Args:
        rows: int64 [n], rows of the entity table.
        times: int64 [n], microseconds: the seeds' own.
        before: int64 [n]: only what is strictly older is visible.
        own_row: the cells of the entity's own row are visible whatever its time (autocomplete).
    """

    rows: np.ndarray
    times: np.ndarray
    before: np.ndarray
    own_row: bool

    def __len__(self) -> int:
        return len(self.rows)

    def anchored(self, tables: Tables, entity: str, anchor: Anchor,
                 along: Callable[[Branch], Events], *, cells: bool) -> np.ndarray:
        """int64 [n]: the anchor's row of each seed, -1 where there is none that it may see.

        Args:
            entity: the table of `rows`.
            along: gives the events of a branch.
            cells: the row's own cells are meant: an entity's own row must be visible itself. Rows
                that name it are visible by their own times.
        """
        if anchor.newest:
            events = along(anchor.newest)
            looks = look_back(events.indptr, events.times, self.rows, self.before, (), ())
            if not len(events):
                return np.full(len(self), -1)
            return np.where(looks.end > looks.begin, events.rows[np.maximum(looks.end - 1, 0)], -1)
        rows = self.rows
        if (cells or anchor.ups) and not self.own_row:
            rows = self._seen(tables, entity, rows)
        for step in anchor.ups:
            keys = tables.keys(step.table, step.fkey)
            written = tables.database.known_at(step.table, step.fkey)
            if written is not None and len(written):
                rows = np.where((rows >= 0) & ~hidden(written[rows], self.before), rows, -1)
            rows = self._seen(tables, step.parent, _at(keys, rows))
        return rows

    def _seen(self, tables: Tables, table: str, rows: np.ndarray) -> np.ndarray:
        times = tables.times(table)
        if not len(times):
            return np.full(len(rows), -1)
        return np.where((rows >= 0) & ~hidden(times[rows], self.before), rows, -1)


def _later(times: np.ndarray, others: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The later of each time and that of the row of another table beside it, if there is one."""
    return np.where(rows >= 0, np.maximum(times, _at(others, rows)), times)


def _at(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The values of some rows; -1 where there is no row."""
    return np.where(rows >= 0, values[rows], -1) if len(values) else np.full(len(rows), -1)
