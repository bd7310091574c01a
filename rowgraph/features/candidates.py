"""Which features are tried: path, column, aggregate and window, near and plain ones first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rowgraph.cells.columns import DAY, Column, Tables
from rowgraph.databases.database import TIMELESS
from rowgraph.features.events import GAP, NEW
from rowgraph.features.paths import Path, paths_of
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.tasks.label_tables import Task

Aggregate = Literal["value", "count", "age", "age of the first", "age of the last", "mean", "sum",
                    "min", "max", "last"]
ALIKE = 0.15  # a span this close to a multiple of the horizon says nothing more
COUNTED = ("share", "given", "over")  # columns of 0 and 1: their sums are counts


@dataclass(frozen=True)
class Described:
    """What a person reads of a feature.

    Args:
        path, column, aggregate, window: its parts, "" where there is nothing to say.
        kind: `number`, `share`, `given`, `length`, `age` (days), `count`, `code` or `label`.
    """

    path: str
    column: str
    aggregate: str
    window: str
    kind: str

    @property
    def name(self) -> str:
        """`results by driverId · points · mean over 3 horizons`."""
        ending = " ".join(part for part in (self.aggregate, self.window) if part)
        return " · ".join(part for part in (self.path, self.column, ending) if part)


@dataclass(frozen=True)
class Windows:
    """The windows of a task, all ending where the seed's view ends.

    Args:
        lasts: numbers of newest events.
        spans: microseconds.
        labels: of all windows, as a person reads them.
        detail: of all windows, how much of a detail each is: 1 of the longest horizon, 2 of
            shorter ones, 3 of shares of the past.
    """

    lasts: tuple[int, ...]
    spans: tuple[int, ...]
    labels: tuple[str, ...]
    detail: tuple[int, ...]

    @classmethod
    def of(cls, task: Task, settings: WindowFeaturesSettings, tables: Tables) -> Windows:
        """Multiples of the task's horizon, shares of the database's past, newest events, all."""
        lasts = tuple(sorted(set(settings.lasts)))
        spans: dict[int, tuple[str, int]] = {}
        for multiple in () if task.autocomplete else settings.horizons:
            label = f"over {multiple:g} horizon{'s' if multiple != 1 else ''}"
            spans[max(int(multiple * task.timedelta), 1)] = label, 2
        if spans:
            spans[max(spans)] = spans[max(spans)][0], 1
        for share in settings.spans:
            span = max(int(share * tables.span), 1)
            if not any(abs(span - other) <= ALIKE * other for other in spans):
                days = span / DAY
                spans[span] = f"over {days:{',.0f' if days >= 10 else '.2g'}} days", 3
        found = sorted(spans.items())
        return cls(lasts, tuple(span for span, _ in found),
                   (*(f"of last {k}" for k in lasts), *(label for _, (label, _) in found), ""),
                   (*(0 for _ in lasts), *(detail for _, (_, detail) in found), 0))

    @property
    def newest(self) -> range:
        """The windows of the newest events."""
        return range(len(self.lasts))

    @property
    def middle(self) -> int:
        """Of these the one in the middle; the window of all where there is none."""
        return len(self.lasts) // 2 if self.lasts else self.ever

    @property
    def recent(self) -> range:
        """The windows of the last so many microseconds."""
        return range(len(self.lasts), self.ever)

    @property
    def ever(self) -> int:
        """The window of all that is visible."""
        return len(self.labels) - 1


@dataclass(frozen=True)
class Candidate:
    """A feature that may be computed.

    Args:
        path: where from.
        column: of the rows there or of the events (`GAP`, `NEW`); None for the events themselves.
        aggregate: over the window, or `value` and `age` of a single row's cell.
        window: position in `Windows`.
        rank: candidates of lower rank come first where there are too many.
    """

    path: Path
    column: Column | str | None
    aggregate: Aggregate
    window: int
    rank: int

    def described(self, windows: Windows) -> Described:
        """For people."""
        label, kind = "", "count"
        if isinstance(self.column, Column):
            label, kind = self.column.label, self.column.kind
        elif self.column is not None:
            label, kind = self.column, "share" if self.column == NEW else "age"
        aggregate = {"value": "", "age": "age in days"}.get(self.aggregate, self.aggregate)
        if self.aggregate.startswith("age"):
            kind = "age"
        window = windows.labels[self.window] if self.aggregate != "value" else ""
        if self.aggregate == "sum" and kind in COUNTED:
            aggregate, kind = "count", "count"
        kind = {"date": "age", "delay": "age", "over": "share"}.get(kind, kind)
        return Described(str(self.path), label, aggregate, window, kind)


def candidates_of(task: Task, tables: Tables, windows: Windows,
                  settings: WindowFeaturesSettings) -> list[Candidate]:
    """What a task's database offers, the `2 * max_features` of lowest rank, by path and column.

    Twice what is kept, because what is constant on the training rows goes.
    """
    sizes = {t: int(tables.past(t).sum()) for t in task.database.tables}
    found = []
    for path in paths_of(task.database.tables, task.entity_table, sizes,
                         two_hops=settings.two_hops):
        found += _of_cells(path, tables) if path.branch is None else _of_events(path, tables,
                                                                                windows)
    order = sorted(range(len(found)), key=lambda i: found[i].rank)  # stable: near paths first
    return [found[i] for i in sorted(order[:2 * settings.max_features])]


def _of_cells(path: Path, tables: Tables) -> Iterator[Candidate]:
    own = not (path.anchor.ups or path.anchor.newest)
    most = tables.past(path.table).sum() / 2
    for column in tables.columns(path.table, single=True):
        if own and len(column.words) > most:  # a name: it says who, and nothing about the others
            continue
        aggregate = "age" if column.kind == "date" else "value"
        yield Candidate(path, column, aggregate, -1, path.distance)


def _of_events(path: Path, tables: Tables, windows: Windows) -> Iterator[Candidate]:
    timed = _timed(path, tables)
    for column, aggregate, window, rank in _aggregates(path, tables, windows):
        # Without times there is no newest event and no recent one.
        if timed or (window == windows.ever and aggregate != "last"
                     and not aggregate.startswith("age") and column != GAP):
            yield Candidate(path, column, aggregate, window, rank + path.distance)


def _timed(path: Path, tables: Tables) -> bool:
    branch = path.branch
    passed = {step.table for step in branch.down} | ({branch.up.parent} if branch.up else set())
    return any(len(tables.times(t)) and tables.times(t)[0] != TIMELESS for t in passed)


def _aggregates(path: Path, tables: Tables, windows: Windows,
                ) -> Iterator[tuple[Column | str | None, Aggregate, int, int]]:
    """Column, aggregate, window and rank, in the order in which they are shown."""
    newest, recent, ever = windows.newest, windows.recent, windows.ever
    if path.branch.up is None:
        yield from ((None, "count", w, 0) for w in (*recent, ever))
        yield None, "age of the last", ever, 0
        yield None, "age of the first", ever, 0
        yield from ((GAP, "mean", w, 1 if w == windows.middle else 2) for w in newest)
        yield GAP, "mean", ever, 1
        yield GAP, "last", ever, 1
    else:
        yield from ((NEW, "mean", w, 1 if w == windows.middle else 2) for w in newest)
        yield NEW, "last", ever, 2
        yield from ((NEW, "sum", w, 2) for w in recent)
        yield NEW, "sum", ever, 1
    for column in tables.columns(path.table, single=False):
        yield from _of_column(column, windows, int(column.kind == "share"))


def _of_column(column: Column, windows: Windows,
               more: int) -> Iterator[tuple[Column, Aggregate, int, int]]:
    for w in windows.newest:
        yield column, "mean", w, more + (w != windows.middle)
    for w in windows.recent:
        yield column, "mean", w, more + windows.detail[w]
    yield column, "mean", windows.ever, more
    yield column, "last", windows.ever, more + 1
    for w in windows.recent:
        yield column, "sum", w, more + windows.detail[w] + 1
    yield column, "sum", windows.ever, more + 3
    if column.kind in ("number", "date", "length", "delay"):
        for w in range(len(windows.labels)):
            rank = 3 if w in (windows.middle, windows.ever) else 4
            yield column, "min", w, more + rank
            yield column, "max", w, more + rank
