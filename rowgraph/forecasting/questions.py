"""Forecast questions: what the rows of a database will do next, asked where the answer is known.

For a row of a parent table, a time t and a horizon h: will it have a child row in (t, t + h]? How
many? What will a column's mean be over them, or the share of a word? Nothing is labelled; every
database has as many as one likes. Each question is told the past of what it asks about: counts and
means of the same relation and column over 1, 3 and 10 horizons and ever.

Some seeds see the database as it was well before t, as frozen databases are seen. Questions may be
told precedents too (`rowgraph.forecasting.precedents`).

Shapes: n seeds, q questions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.forecasting.precedents import AFTER, Line, Precedents
from rowgraph.forecasting.reader import Reader
from rowgraph.forecasting.relations import Relation
from rowgraph.forecasting.told import EXISTS, KINDS, MEAN, came, told

SHARES = (0.3, 0.2, 0.5)  # of the kinds
FEWEST = (50, 20)  # events and gaps between them below which a relation is not asked about
FUTURE = 0.2  # share of events that have a later one of the same row, below which it is not asked
HOUR = 3.6e9
STALEST = 20  # horizons
ROWS = ("rows", "before", "horizon", "ahead")  # fields of `Asked` by row, and by question
QUESTIONS = ("seed", "relation", "column", "kind", "past", "answer", "rule")


@dataclass(frozen=True, eq=False)
class Asked:
    """Some questions about some rows of one table.

    Args:
        table: of the rows.
        rows, before, horizon, ahead: int64 [n], as in `Reader.batch`.
        seed: int64 [q], whom each question is about.
        relation: int64 [q], place among the table's relations.
        column: int64 [q], place among the relation's columns; -1 where none is meant.
        kind: int64 [q], of `KINDS`.
        past: float32 [q, PER_PAST], of what is asked about.
        answer: float32 [q]: 0 or 1, log of one and how many, or a mean of places.
        rule: float32 [q]: what counting the last three horizons says.
        precedents: what became of others; None where nobody asked for it.
    """

    table: str
    rows: np.ndarray
    before: np.ndarray
    horizon: np.ndarray
    ahead: np.ndarray
    seed: np.ndarray
    relation: np.ndarray
    column: np.ndarray
    kind: np.ndarray
    past: np.ndarray
    answer: np.ndarray
    rule: np.ndarray
    precedents: Precedents | None = None

    def part(self, seeds: slice) -> Asked:
        """What is asked about some of the rows, which lie in one piece."""
        mine = np.flatnonzero((self.seed >= seeds.start) & (self.seed < seeds.stop))
        rows = {name: getattr(self, name)[seeds] for name in ROWS}
        asked = {name: getattr(self, name)[mine] for name in QUESTIONS}
        precedents = None if self.precedents is None else self.precedents.take(mine)
        return Asked(self.table, **rows, **asked | {"seed": asked["seed"] - seeds.start},
                     precedents=precedents)


@dataclass(frozen=True, eq=False)
class Askable:
    """A relation that can be asked about.

    Args:
        place: among the relations of its parent.
        anchors: int64, events that questions are asked after; those of `since` and later.
        horizons: int64, microseconds.
        weight: how often it is asked about.
    """

    relation: Relation
    place: int
    anchors: np.ndarray
    horizons: np.ndarray
    weight: float

    @cached_property
    def owner(self) -> np.ndarray:
        """int64 [E]: the row of each event."""
        indptr = self.relation.events.indptr
        return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))

    @cached_property
    def line(self) -> Line:
        """Its events in the order of time."""
        return Line.of(self.relation)


class Questions:
    """The questions of a database.

    Args:
        reader: of the database.
        until: microseconds; every question's span ends before.
        since: microseconds; every question is asked at or after it.
        horizons: how many different ones a relation is asked with.
        stale: share of seeds that see the database as it was some time before.
        precedents: of each question; 0 is none.
    """

    def __init__(self, reader: Reader, until: int, since: int = TIMELESS, horizons: int = 6,
                 stale: float = 0.3, precedents: int = 0):
        self.reader, self.until, self.since, self.stale = reader, until, since, stale
        self.precedents = precedents
        self.askable: dict[str, list[Askable]] = {}
        for table, relations in reader.relations.items():
            for place, relation in enumerate(relations):
                found = _askable(relation, place, until, since, horizons, reader.span)
                if found is not None:
                    self.askable.setdefault(table, []).append(found)
        every = [one for found in self.askable.values() for one in found]
        weights = np.array([one.weight for one in every])
        self._every, self._chance = every, weights / max(weights.sum(), 1e-9)

    def __bool__(self) -> bool:
        return bool(self._every)

    def draw(self, random: np.random.Generator, seeds: int, each: int) -> Asked:
        """Some questions about rows of one table.

        Args:
            seeds: n.
            each: questions about a seed; fewer where a mean is of nothing.
        """
        first = self._every[random.choice(len(self._every), p=self._chance)]
        rows, at, horizon = self._seeds(first, random, seeds)
        late = random.random(len(rows)) < self.stale
        ahead = np.where(late, random.random(len(rows)) ** 2 * STALEST * horizon, 0.0)
        ahead = ahead.astype(np.int64)
        before = at - ahead
        table = first.relation.parent
        askable = self.askable[table]
        which = random.integers(len(askable), size=(len(rows), each))
        which[:, :each // 2] = askable.index(first)
        found = []
        for place, one in enumerate(askable):
            seed = np.nonzero(which == place)[0]
            if len(seed):
                found.append(_ask(one, seed, rows[seed], before[seed], at[seed], horizon[seed],
                                  random))
        fields = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        asked = Asked(table, rows, before, horizon, ahead, *fields)
        return self._with_precedents(asked, random) if self.precedents else asked

    def _with_precedents(self, asked: Asked, random: np.random.Generator) -> Asked:
        """Drawn last, so that the same is asked with and without."""
        draws, found = random.random((2, len(asked.seed), self.precedents)), []
        for one in self.askable[asked.table]:  # in whose order questions are
            mine = np.flatnonzero(asked.relation == one.place)
            seed = asked.seed[mine]
            found.append(one.line.precedents(
                asked.before[seed], asked.horizon[seed], asked.ahead[seed], asked.kind[mine],
                asked.column[mine], np.ascontiguousarray(draws[:, mine])))
        return replace(asked, precedents=Precedents.joined(found))

    def _seeds(self, one: Askable, random: np.random.Generator,
               count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, times and horizons: a while after an event of the row, before `until`."""
        times = one.relation.events.times
        rows, at, horizon, got = [], [], [], 0
        while got < count:
            anchor = one.anchors[random.integers(len(one.anchors), size=4 * count)]
            span = one.horizons[random.integers(len(one.horizons), size=4 * count)]
            after = times[anchor] + 1 + (random.random(4 * count) * AFTER * span).astype(np.int64)
            fits = after + span < self.until
            rows.append(one.owner[anchor][fits])
            at.append(after[fits])
            horizon.append(span[fits])
            got += int(fits.sum())
        return tuple(np.concatenate(part)[:count] for part in (rows, at, horizon))


def _askable(relation: Relation, place: int, until: int, since: int, horizons: int,
             span: float) -> Askable | None:
    times, indptr = relation.events.times, relation.events.indptr
    timed = (times != TIMELESS) & (times != NEVER) & (times < until)
    if timed.sum() < FEWEST[0]:
        return None
    owner = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    same = (owner[1:] == owner[:-1]) & timed[1:] & timed[:-1]
    followed = np.append(same, False)[timed].mean()
    gaps = np.diff(times)[same]
    gaps = gaps[gaps > 0]
    if followed < FUTURE or len(gaps) < FEWEST[1]:
        return None
    low = max(0.7 * np.quantile(gaps, 0.3), HOUR)
    low = min(low, span / 12)
    spans = np.geomspace(low, max(2 * low, span / 12), horizons).astype(np.int64)
    room = until - times  # the shortest horizon must fit behind an anchor
    anchors = np.flatnonzero(timed & (times >= since) & (room > 2 * spans[0]))
    if not len(anchors):
        return None
    fitting = spans[[bool((room[anchors] > 2 * s).any()) for s in spans]]
    return Askable(relation, place, anchors, fitting, float(np.sqrt(len(anchors)) * followed))


def _ask(one: Askable, seed: np.ndarray, rows: np.ndarray, before: np.ndarray, at: np.ndarray,
         horizon: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Questions about one relation, in the order of `Asked`'s fields from `seed` on."""
    relation = one.relation
    columns, count = len(relation.columns), len(seed)
    kind = random.choice(len(KINDS), size=count, p=SHARES)
    column = random.integers(max(columns, 1), size=count)
    if not columns:
        kind[kind == MEAN] = EXISTS
    column[kind != MEAN] = -1
    past, rule = told(relation, rows, before, horizon, kind, column)
    answer, asked = came(relation, rows, at, horizon, kind, column)
    fields = seed, np.full(count, one.place), column, kind, past, answer, rule
    return tuple(field[asked] for field in fields)
