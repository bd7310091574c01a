"""What a check of a database found: problems, warnings and the facts a reader wants first."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class DatabaseError(ValueError):
    """A folder that is no sound database; the message lists every problem and its next move."""


@dataclass(frozen=True)
class Problem:
    """One finding.

    Args:
        file: relative to the database's folder.
        table, column: where they apply.
        message: what was expected and what was found.
        next_move: what mends it.
    """

    file: str
    table: str | None
    column: str | None
    message: str
    next_move: str

    def __str__(self) -> str:
        where = [self.file]
        where += [f"table {self.table}"] if self.table else []
        where += [f"column {self.column}"] if self.column else []
        return f"{', '.join(where)}: {self.message}; {self.next_move}"


@dataclass(frozen=True)
class TableFacts:
    """The size of a table and the first and last of its times (ISO, None without any)."""

    rows: int
    columns: tuple[str, ...]
    first: str | None
    last: str | None


@dataclass(frozen=True)
class TaskFacts:
    """The type of a task and the label rows of each split that is shipped."""

    task_type: str
    splits: dict[str, int]


@dataclass(frozen=True)
class Report:
    """The outcome of a check: problems forbid the use of a database, warnings do not."""

    folder: Path
    name: str | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    tables: dict[str, TableFacts]
    tasks: dict[str, TaskFacts]

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(t.rows for t in self.tables.values())

    @property
    def time_span(self) -> tuple[str, str] | None:
        """The first and the last time of any table (ISO), None where no table has times."""
        firsts = [t.first for t in self.tables.values() if t.first]
        lasts = [t.last for t in self.tables.values() if t.last]
        return (min(firsts), max(lasts)) if firsts else None

    def raise_if_broken(self) -> None:
        """Refuse a database with problems.

        Raises:
            DatabaseError: there are problems; each is a line with file, table, column, next move.
        """
        if self.problems:
            count = len(self.problems)
            head = f"{self.folder}: {count} problem{'s' if count > 1 else ''}"
            raise DatabaseError("\n".join([head, *(f"- {p}" for p in self.problems)]))


class Findings:
    """Collects problems and warnings while a check runs."""

    def __init__(self):
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, file: str, message: str, next_move: str, table: str | None = None,
                column: str | None = None) -> None:
        """Something that forbids the use of the database."""
        self.problems.append(Problem(file, table, column, message, next_move))

    def warn(self, file: str, message: str, next_move: str, table: str | None = None,
             column: str | None = None) -> None:
        """Something that a person should know and may leave."""
        self.warnings.append(Problem(file, table, column, message, next_move))


def near(name: object, options: Iterable[object]) -> str:
    """The next move where a name is unknown: the nearest names, or else all of them."""
    options = [str(o) for o in options]
    found = difflib.get_close_matches(str(name), options, n=3)
    if found:
        return f"did you mean {' or '.join(found)}?"
    return f"use one of {', '.join(options)}" if options else "there is none to choose from"


def reason(error: BaseException) -> str:
    """An exception's text on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
