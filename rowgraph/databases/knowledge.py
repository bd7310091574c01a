"""When a cell became known: what a person says of columns, in a profile or beside the manifest.

    tickets:
      valid_until: ended_at          # the row stays as history; from then on it no longer holds
      columns:
        status: {known_at: ended_at}     # written when that time was reached
        ended_at: {known_at: itself}     # a time, or a key, that is known once it is reached
        score: {known_at: export}        # overwritten for ever: as it stood when the data were read
        due: scheduled                   # known with its row, although it lies later
        priority: as_is                  # known with its row, whatever it looks like
        notes: drop                      # used by nothing

What nobody says anything about is settled by measures (`rowgraph.databases.settling`). The copy of
a database that every stage reads holds the outcome in the same form, so that nothing is settled
twice. See docs/decisions/knowledge.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rowgraph.databases.report import near
from rowgraph.yaml_files import UnreadableYaml, read_yaml

FILE = "knowledge.yaml"
ITSELF, EXPORT, SCHEDULED, AS_IS, DROP = "itself", "export", "scheduled", "as_is", "drop"
WITH_ITS_ROW = (SCHEDULED, AS_IS)
WORDS = (ITSELF, EXPORT, SCHEDULED, AS_IS, DROP)

Cell = tuple[str, str]  # table, column


class KnowledgeError(ValueError):
    """What is said about columns cannot be understood; a line for each fault."""


@dataclass(frozen=True)
class Rule:
    """When the cells of one column are known.

    Args:
        known_at: `itself`, `export`, `scheduled`, `as_is`, `drop`, or the column of the same row
            whose moment it is: a time, or a key (the time of the row that it names).
        because: why, where a measure says so; empty where a person does.
    """

    known_at: str
    because: str = ""

    @property
    def late(self) -> bool:
        """Cells may be known later than their row."""
        return self.known_at not in (*WITH_ITS_ROW, DROP)


@dataclass(frozen=True)
class Knowledge:
    """The rules of a database.

    Args:
        rules: by (table, column).
        valid_until: by table, the column with the time at which a row ceases to hold.
    """

    rules: Mapping[Cell, Rule] = field(default_factory=dict)
    valid_until: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rules or self.valid_until)

    @property
    def dropped(self) -> frozenset[Cell]:
        """What no stage may use."""
        return frozenset(cell for cell, rule in self.rules.items() if rule.known_at == DROP)

    def source(self, table: str, column: str) -> str | None:
        """The column whose moment decides, or `EXPORT`; None where the row's time does."""
        rule = self.rules.get((table, column))
        if rule is None or not rule.late:
            return None
        return column if rule.known_at == ITSELF else rule.known_at

    def over(self, other: Knowledge) -> Knowledge:
        """These rules, and those of another where these say nothing."""
        return Knowledge({**other.rules, **self.rules}, {**other.valid_until, **self.valid_until})

    def as_dict(self) -> dict[str, Any]:
        """As it is written, tables and columns in order."""
        out: dict[str, Any] = {}
        for (table, column), rule in sorted(self.rules.items()):
            said = {"known_at": rule.known_at} | ({"because": rule.because} if rule.because else {})
            out.setdefault(table, {}).setdefault("columns", {})[column] = said
        for table, column in sorted(self.valid_until.items()):
            out.setdefault(table, {})["valid_until"] = column
        return out

    def write(self, folder: Path) -> None:
        """Write `knowledge.yaml` where there is something to say; else remove an older one."""
        path = Path(folder) / FILE
        if not self:
            path.unlink(missing_ok=True)
            return
        path.write_text(yaml.safe_dump(self.as_dict(), sort_keys=True, allow_unicode=True),
                        encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Knowledge:
        """What `knowledge.yaml` beside a manifest says; nothing where there is no such file.

        Raises:
            KnowledgeError: it cannot be read, or has another form.
        """
        path = Path(folder) / FILE
        if not os.path.lexists(path):  # a link to nothing is a mistake
            return cls()
        try:
            return cls.parse(read_yaml(path) or {})
        except UnreadableYaml as error:
            raise KnowledgeError(f"not readable as YAML ({error}); mend or remove it") from None

    @classmethod
    def parse(cls, said: Any) -> Knowledge:
        """From the mapping that YAML gives; names are checked by `faults`.

        Raises:
            KnowledgeError: the form is another.
        """
        rules, until, wrong = {}, {}, []
        for table, entry in _items(said, "knowledge", wrong):
            if unknown := [k for k in entry if k not in ("columns", "valid_until")] if isinstance(
                    entry, dict) else []:
                wrong.append(f"{table}: {unknown[0]!r} is not known; "
                             f"{near(unknown[0], ('columns', 'valid_until'))}")
                continue
            if isinstance(entry, dict) and not any(entry.values()):
                wrong.append(f"{table}: says nothing; name its columns, or remove it")
                continue
            for key, value in _items(entry, str(table), wrong):
                if key == "valid_until":
                    until[str(table)] = str(value)
                    continue
                for column, rule in _items(value, f"{table}.columns", wrong):
                    try:
                        rules[str(table), str(column)] = _rule(rule)
                    except ValueError as error:
                        wrong.append(f"{table}.{column}: {error}")
        if wrong:
            raise KnowledgeError("\n".join(wrong))
        return cls(rules, until)


def faults(knowledge: Knowledge, columns: Mapping[str, Mapping[str, str]],
           ) -> Iterator[tuple[str | None, str | None, str, str]]:
    """What is said of tables and columns that are not there, or cannot be as said.

    Args:
        columns: by table and column, what it is: `pkey`, `time_col`, `time`, `fkey` (to a table
            with times) or `other`.

    Yields:
        Table, column, what is wrong, the next move.
    """
    for (table, column), rule in knowledge.rules.items():
        yield from _fault(table, column, rule.known_at, columns)
        if (table, rule.known_at) in knowledge.dropped:
            yield (table, column, f"known_at names {rule.known_at!r}, which is dropped",
                   "keep that column, or write `export`")
    for table, column in knowledge.valid_until.items():
        if table not in columns or column not in columns[table]:
            yield from _fault(table, column, AS_IS, columns)
        elif columns[table][column] != "time":
            yield (table, column, "valid_until names a column that is no time of the row's own",
                   f"name one of {_named(columns[table], ('time',))}")


def _fault(table: str, column: str, known_at: str, columns: Mapping[str, Mapping[str, str]],
           ) -> Iterator[tuple[str | None, str | None, str, str]]:
    if table not in columns:
        yield table, None, "there is no such table", near(table, columns)
        return
    there = columns[table]
    if column not in there:
        yield table, column, "there is no such column", near(column, there)
        return
    if there[column] in ("pkey", "time_col"):
        what = "primary key" if there[column] == "pkey" else "row's own time"
        yield (table, column, f"it is the {what}, from which the row itself is known",
               "remove the entry")
    elif known_at == ITSELF and there[column] not in ("time", "fkey"):
        yield (table, column, "only a time, or a key to a table with times, can be known at "
               "`itself`", "name the time column of the row that it goes along with, or `export`")
    elif known_at not in WORDS and known_at not in there:
        yield (table, column, f"known_at names {known_at!r}, which is no column of the table",
               near(known_at, (*there, *WORDS)))
    elif known_at not in WORDS and there[known_at] not in ("time", "fkey", "time_col"):
        yield (table, column, f"known_at names {known_at!r}, which is neither a time nor a key to "
               "a table with times", f"name one of "
               f"{_named(there, ('time', 'fkey')) or 'itself, export, as_is, drop'}")


def _named(there: Mapping[str, str], kinds: tuple[str, ...]) -> str:
    return ", ".join(column for column, kind in there.items() if kind in kinds)


def _rule(said: Any) -> Rule:
    if isinstance(said, str):
        if said not in WORDS:
            raise ValueError(f"{said!r} is none of {', '.join(WORDS)}; for a time column write "
                             f"{{known_at: {said}}}")
        return Rule(said)
    if not isinstance(said, dict) or not isinstance(said.get("known_at"), str) or set(said) - {
            "known_at", "because"}:
        raise ValueError(f"expected one of {', '.join(WORDS)}, or {{known_at: <column>}}; found "
                         f"{said!r}")
    return Rule(said["known_at"], str(said.get("because", "")))


def _items(said: Any, where: str, wrong: list[str]) -> list[tuple[Any, Any]]:
    if isinstance(said, dict):
        return list(said.items())
    wrong.append(f"{where}: expected names and what is said of them, found {said!r}")
    return []
