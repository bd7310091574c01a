"""What the catalogue of a database says of its tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["integer", "number", "text", "flag", "time", "date", "identifier", "nested",
               "interval", "binary", "other"]


_INTEGER = re.compile(
    r"u?(tiny|small|medium|big|huge)?int(eger|[1-8]|16|32|64|128)?( unsigned)?|year|"
    r"(small|big)?serial")


class ImportFault(ValueError):
    """A database, or what is said of it, that cannot be imported; the message says the next
    move. It holds no password."""


@dataclass(frozen=True)
class FoundColumn:
    """A column.

    Args:
        said: its type, as the database writes it.
        generated: whether the database computes it from other columns.
    """

    name: str
    kind: Kind
    said: str
    nullable: bool = True
    generated: bool = False


@dataclass(frozen=True)
class FoundKey:
    """A declared foreign key: columns, and the table and columns that they name."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True)
class FoundTable:
    """A table, or a view.

    Args:
        name: as the database writes it.
        pkey: the columns of its declared primary key; empty where there is none.
        rows: how many, about; None where nobody knows.
        readable: whether this user may read its rows, where the catalogue says it.
    """

    name: str
    columns: tuple[FoundColumn, ...]
    pkey: tuple[str, ...] = ()
    fkeys: tuple[FoundKey, ...] = ()
    rows: int | None = None
    view: bool = False
    readable: bool = True
    kinds: dict[str, Kind] = field(init=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "kinds", {c.name: c.kind for c in self.columns})


def kind_of(said: str) -> Kind:
    """What a type holds, by the name that a database gives it."""
    word = said.lower().split("(")[0].strip()
    base = word.removesuffix("[]")
    if word != base or word.startswith(("array", "struct", "map", "union", "list", "row")):
        return "nested"
    if base in ("json", "jsonb", "hstore", "xml", "variant"):
        return "nested"
    if base in ("bool", "boolean", "bit"):
        return "flag"
    if base.startswith("interval"):
        return "interval"
    if base.startswith(("timestamp", "datetime")):
        return "time"
    if base == "date":
        return "date"
    if base in ("uuid", "uniqueidentifier", "guid"):
        return "identifier"
    if any(part in base for part in ("bytea", "blob", "binary", "bytes")):
        return "binary"
    if _INTEGER.fullmatch(base):
        return "integer"
    if any(base.startswith(part) for part in ("numeric", "decimal", "double", "float", "real",
                                              "money", "number")):
        return "number"
    if any(part in base for part in ("char", "text", "clob", "string", "enum", "citext", "name",
                                     "set", "inet", "cidr", "macaddr")):
        return "text"
    return "other"
