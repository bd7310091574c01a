"""What a predictive query says, part by part; names mean nothing yet.

Every part remembers where it stood in the text, so that whoever finds fault with it can point at
the word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

AGGREGATES = ("COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "FIRST", "LAST",
              "LIST_DISTINCT")
UNITS = ("minutes", "hours", "days", "weeks", "months")


SHOWN = 100  # characters of a query before and after its fault


class QueryError(ValueError):
    """A query that cannot be understood or answered; the message points at the word.

    Args:
        text: the query.
        start, end: where the fault stands in it.
        message: what is wrong there, and the next move.
    """

    def __init__(self, text: str, start: int, end: int, message: str):
        begin = text.rfind("\n", 0, start) + 1
        begin = max(begin, start - SHOWN)
        line = text[begin:start + SHOWN].split("\n", 1)[0]
        carets = max(1, min(end, begin + len(line)) - start)
        super().__init__(f"{message}\n  {line}\n  {' ' * (start - begin)}{'^' * carets}")
        self.text, self.start, self.end, self.fault = text, start, end, message


@dataclass(frozen=True)
class Column:
    """`table.column`, as written."""

    table: str
    column: str
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True)
class Rows:
    """`table.*`, as written."""

    table: str
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True)
class Aggregate:
    """What is made of the rows of a window.

    Args:
        function: of `AGGREGATES`.
        of: the rows, or their cells.
        where: which of them; None is all.
        first, last: the window (first, last], in units; None is without an end.
        unit: of `UNITS`.
    """

    function: str
    of: Column | Rows
    where: Condition | None
    first: float | None
    last: float | None
    unit: str
    start: int = field(compare=False)
    end: int = field(compare=False)

    @property
    def of_column(self) -> Column:
        """What it is made of, unless it is COUNT of the rows themselves."""
        assert isinstance(self.of, Column)
        return self.of

    @property
    def until(self) -> float:
        """The end of a window that has one, as all have that are asked for."""
        assert self.last is not None
        return self.last


@dataclass(frozen=True)
class Compared:
    """An operand and what it is compared with.

    Args:
        operator: `=`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `like`, `contains`, `starts with`,
            `ends with` or `is null`.
        values: of `in` several, of `is null` none, else one.
        negated: whether NOT stands before it.
    """

    operand: Aggregate | Column
    operator: str
    values: tuple[float | int | str | bool, ...]
    negated: bool
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True)
class Joined:
    """Conditions joined by `and` or `or`."""

    word: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Negation:
    """NOT of a condition."""

    of: Condition


Operand = Aggregate | Column
Condition = Compared | Joined | Negation | Operand


@dataclass(frozen=True)
class Query:
    """A whole query.

    Args:
        target: a condition, an aggregate or a column.
        ranked: of RANK TOP k, k; None without.
        classified: whether CLASSIFY stands behind the target.
        entity: whom is asked about.
        where: of whom and when; None is everybody, always.
    """

    text: str
    target: Condition
    ranked: int | None
    classified: bool
    entity: Column
    where: Condition | None

    def fault(self, part: Any, message: str) -> QueryError:
        """An error that points at a part."""
        start, end = place_of(part)
        return QueryError(self.text, start, end, message)


def aggregates_of(condition: Condition | None) -> Iterator[Aggregate]:
    """Every aggregate of a condition, from left to right; none that stands inside another."""
    if isinstance(condition, Aggregate):
        yield condition
    elif isinstance(condition, Compared):
        yield from aggregates_of(condition.operand)
    elif isinstance(condition, Joined):
        for part in condition.parts:
            yield from aggregates_of(part)
    elif isinstance(condition, Negation):
        yield from aggregates_of(condition.of)


def place_of(part: Any) -> tuple[int, int]:
    """Where a part of a query stands in its text."""
    if isinstance(part, Joined):
        return place_of(part.parts[0])[0], place_of(part.parts[-1])[1]
    if isinstance(part, Negation):
        return place_of(part.of)
    return part.start, part.end
