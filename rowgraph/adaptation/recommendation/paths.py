"""Paths through the schema from the source table of a recommendation to its destination table.

A path is one event table and two chains of foreign keys that go up from it: one to the row that
the past belongs to (the anchor), one to the destination. `results` names its driver, and through
its race a circuit: every result is one dated link from a driver to a circuit. So a path has as
many links as its event table has rows, whatever the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rowgraph.databases.database import NEVER, TIMELESS, Database
from rowgraph.tasks.kinds import NO_ROW

CHAIN = 3  # foreign keys from an event up to an anchor or a destination
KEYS = 4  # foreign keys of both chains together


@dataclass(frozen=True)
class Chain:
    """Foreign keys from a table upwards.

    Args:
        table: where it starts.
        steps: (foreign key, table that it references), possibly none.
    """

    table: str
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def end(self) -> str:
        """The table that it leads to."""
        return self.steps[-1][1] if self.steps else self.table

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return ".".join((self.table, *(fkey for fkey, _ in self.steps)))


def chains_from(database: Database, table: str, most: int = CHAIN) -> Iterator[Chain]:
    """Every chain of at most `most` foreign keys from a table, shorter ones first.

    Hidden foreign keys are left out. A table may come twice (a row that replies to another), not
    three times.
    """
    level = [Chain(table)]
    for length in range(most + 1):
        yield from level
        if length < most:
            level = [Chain(table, (*c.steps, (fkey, parent))) for c in level
                     for fkey, parent in database.tables[c.end].fkeys.items()
                     if (c.end, fkey) not in database.hidden
                     and [table, *(t for _, t in c.steps)].count(parent) < 2]


@dataclass(frozen=True)
class Path:
    """Where links come from: the rows of an event table.

    Args:
        to_anchor, to_destination: chains from the same table, which part at once.
    """

    to_anchor: Chain
    to_destination: Chain

    @property
    def event(self) -> str:
        """The table whose rows are the links."""
        return self.to_anchor.table

    def __len__(self) -> int:
        return len(self.to_anchor) + len(self.to_destination)

    def __str__(self) -> str:
        return f"{self.to_anchor} - {self.to_destination}"


def paths_between(database: Database, anchor: str, destination: str) -> list[Path]:
    """The paths from rows of one table to rows of another, fewest keys first.

    Of equally long ones those whose event table has more rows come first.
    """
    found = []
    for table in database.tables:
        chains = list(chains_from(database, table))
        ups = [c for c in chains if c.end == anchor]
        downs = [c for c in chains if c.end == destination]
        found += [Path(u, d) for u in ups for d in downs
                  if 0 < len(u) + len(d) <= KEYS and u.steps[:1] != d.steps[:1]]
    return sorted(found, key=lambda p: (len(p), -database.num_rows(p.event), str(p)))


class Walker:
    """Follows chains for all rows of a table at once; reads each key and time column once."""

    def __init__(self, database: Database):
        self.database = database
        self._keys: dict[tuple[str, str], np.ndarray] = {}
        self._times: dict[str, np.ndarray] = {}

    def key(self, table: str, fkey: str) -> np.ndarray:
        """int64 [rows of the table]: the row that a foreign key names, -1 for none."""
        if (table, fkey) not in self._keys:
            self._keys[table, fkey] = self.database.keys(table, fkey)
        return self._keys[table, fkey]

    def times(self, table: str) -> np.ndarray:
        """int64 [rows of the table]: as `Database.times`."""
        if table not in self._times:
            self._times[table] = self.database.times(table)
        return self._times[table]

    def walk(self, chain: Chain, first: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Where a chain leads from each row of its table, and when all of that was there.

        Args:
            first: the time of the first row counts too.

        Returns:
            int64 rows of `chain.end`, -1 where a key is missing; int64 microseconds, the newest
            of the times of the rows that a key was read from, and of the keys (`TIMELESS` without
            one).
        """
        rows = np.arange(self.database.num_rows(chain.table), dtype=np.int64)
        known = self.times(chain.table).copy() if first else np.full(len(rows), TIMELESS)
        table = chain.table
        for i, (fkey, parent) in enumerate(chain.steps):
            if i:
                known = np.maximum(known, at(self.times(table), rows, NEVER))
            if (written := self.database.known_at(table, fkey)) is not None:
                known = np.maximum(known, at(written, rows, NEVER))
            rows, table = at(self.key(table, fkey), rows, NO_ROW), parent
        return rows, known

    def events(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Anchor, destination and time of each row of the event table.

        A link is as new as the newest row on the path, the destination itself included: who does
        not exist yet is nobody's past. The anchor does not count: it is who asks.
        """
        anchor, met = self.walk(path.to_anchor)
        destination, known = self.walk(path.to_destination)
        exists = at(self.times(path.to_destination.end), destination, NEVER)
        return anchor, destination, np.maximum.reduce([met, known, exists])


def at(values: np.ndarray, rows: np.ndarray, missing: int) -> np.ndarray:
    """`values[rows]`, and `missing` where a row is -1."""
    if not len(values):
        return np.full(len(rows), missing, dtype=np.int64)
    return np.where(rows < 0, missing, values[rows])
