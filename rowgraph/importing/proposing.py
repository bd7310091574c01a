"""First decisions about a database: from its catalogue, from names, and from rows where it is
silent. Each says why, and a person may change it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np

from rowgraph.databases.sql_text import literal, quoted
from rowgraph.importing.connections import without_bar
from rowgraph.importing.decisions import Decisions, Inherited, Link, TableDecisions
from rowgraph.importing.found import FoundColumn, FoundTable
from rowgraph.importing.staging import MEMORY, Staged

DECLARED = "declared"
INCLUDED = 0.95  # share of a column's values that a parent must hold to be proposed as one
TENTH = 0.1  # of the span, for validation and for test
DAY = 86_400_000_000  # microseconds
MONTH = 30 * DAY  # of data: with less, cuts are not at midnight
# Words of a column's name, split at capitals and underscores.
MADE = ("created", "inserted", "placed", "ordered", "registered", "joined", "signup", "signed",
        "added", "opened", "posted", "recorded", "logged", "booked", "occurred", "issued", "sold",
        "invoiced", "transaction", "event", "purchase", "order", "timestamp", "datetime", "date",
        "time", "at", "on", "day", "ts", "dt")
LATER = ("updated", "modified", "changed", "edited", "last", "latest", "deleted", "removed",
         "closed", "ended", "end", "finished", "completed", "cancelled", "canceled", "resolved",
         "shipped", "delivered", "paid", "returned", "expires", "expiry", "expired", "until", "due",
         "birth", "birthday", "birthdate", "born", "dob", "valid", "scheduled", "synced",
         "processed", "refreshed", "archived", "seen", "login")
HAPPENED = ("closed", "ended", "finished", "completed", "cancelled", "canceled", "resolved",
            "shipped", "delivered", "paid", "returned")  # of LATER, what a row may tell of
STATES = ("status", "state", "stage", "phase", "current", "outcome", "result", "active", "closed",
          "enabled", "flag", "archived", "cancelled", "canceled")
REWRITTEN = ("updated", "modified", "changed", "edited", "last", "latest", "synced", "refreshed")
COUNTERS = ("count", "counter", "balance", "lifetime", "cumulative", "ltv", "visits")
GONE = ("deleted", "removed", "archived")
REGIONS = {"state", "stage"}  # of an address, where the words beside them say so
PLACES = ("ship", "bill", "address", "province", "country", "home", "billing", "shipping", "zip")


@dataclass(frozen=True)
class Note:
    """Something a person should know about the first decisions."""

    table: str
    column: str | None
    text: str


def propose(name: str, source: str, tables: Iterable[FoundTable],
            staged: Mapping[str, Staged], unwanted: Iterable[str] = ()
            ) -> tuple[Decisions, list[Note]]:
    """Decide about every table for the first time.

    Args:
        name: of the database, as it will be called.
        source: for people.
        tables: of the source.
        staged: rows of those that are tables, by their names there; perhaps only some rows.
        unwanted: tables that are not to be imported.

    Returns:
        The decisions, and what is to be said about them.
    """
    notes: list[Note] = []
    chosen, leave_out = {}, {}
    here = _names([t.name for t in tables])
    for table in tables:
        if table.view:
            leave_out[table.name] = "a view: its rows are those of tables"
        elif not table.readable:
            leave_out[table.name] = "this user may not read it"
        elif table.name in unwanted:
            leave_out[table.name] = "nobody asked for it"
        elif table.name not in staged or not staged[table.name].rows:
            leave_out[table.name] = "it holds no row"
        elif not [c for c in table.columns if c.kind != "binary"]:
            leave_out[table.name] = "it holds nothing but bytes"
        else:
            chosen[table.name] = table
    looked = _Looked({n: staged[n] for n in chosen})
    pkeys = {n: _pkey(t, looked, {c.name for o in chosen.values() if o is not t
                                  for c in o.columns}, notes) for n, t in chosen.items()}
    links = {n: _links(t, chosen, pkeys, looked, here, notes) for n, t in chosen.items()}
    times = {n: _time(t, looked, notes) for n, t in chosen.items()}
    decided: dict[str, TableDecisions] = {}
    for found, table in chosen.items():
        time = times[found] or _inherited(found, pkeys, links, times, here, notes)
        decided[here[found]] = TableDecisions.model_validate({
            "from": None if here[found] == found else found, "pkey": pkeys[found], "time": time,
            "fkeys": links[found], "columns": _columns(table, pkeys[found], links[found], time,
                                                       notes),
            "valid_until": _gone(table, notes)})
    val, test = _cuts(decided, looked)
    looked.close()
    return Decisions(name=name, source=source, val_timestamp=val, test_timestamp=test,
                     tables=decided, leave_out=leave_out), notes


class _Looked:
    """Questions about staged rows; what does not fit into memory lies beside them meanwhile."""

    def __init__(self, staged: Mapping[str, Staged]):
        beside = next((one.files[0].parent.parent for one in staged.values()), None)
        self._spill = tempfile.TemporaryDirectory(dir=beside)
        self._connection = without_bar(duckdb.connect(config={
            "memory_limit": MEMORY, "temp_directory": self._spill.name}))
        self._views = {}
        for i, (table, one) in enumerate(staged.items()):
            files = ", ".join(literal(str(f)) for f in one.files)
            self._connection.execute(f"CREATE VIEW v{i} AS SELECT * FROM read_parquet([{files}])")
            self._views[table] = f"v{i}"

    def close(self) -> None:
        """Let go of what lies on disk."""
        self._connection.close()
        self._spill.cleanup()

    def unique(self, table: str, column: str) -> bool:
        """Never empty and never twice."""
        rows, given, kinds = self._connection.execute(
            f"SELECT count(*), count({quoted(column)}), count(DISTINCT {quoted(column)}) FROM "
            f"{self._views[table]}").fetchone()
        return rows > 0 and rows == given == kinds

    def given(self, table: str, column: str) -> float:
        """The share of cells that are given."""
        return self._connection.execute(f"SELECT count({quoted(column)}) / count(*) FROM "
                                        f"{self._views[table]}").fetchone()[0]

    def included(self, table: str, column: str, parent: str, key: str) -> float | None:
        """The share of a column's distinct values that a parent's key holds; None of none."""
        named, there = (
            f"(SELECT DISTINCT CAST({quoted(c)} AS VARCHAR) AS x FROM {self._views[t]} "
            f"WHERE {quoted(c)} IS NOT NULL)" for t, c in ((table, column), (parent, key)))
        values, inside = self._connection.execute(
            f"SELECT count(*), count(p.x) FROM {named} c LEFT JOIN {there} p USING (x)").fetchone()
        return inside / values if values else None

    def span(self, table: str, column: str) -> tuple[int, int] | None:
        """Microseconds: oldest and newest."""
        low, high = self._connection.execute(
            f"SELECT epoch_us(min({quoted(column)})), epoch_us(max({quoted(column)})) FROM "
            f"{self._views[table]}").fetchone()
        return None if low is None else (low, high)


def _pkey(table: FoundTable, looked: _Looked, elsewhere: set[str],
          notes: list[Note]) -> tuple[str, ...]:
    if table.pkey:
        return table.pkey
    wanted = ("id", "key", "uuid", *(f"{w}{end}" for w in _singulars(table.name)
                                     for end in ("_id", "id", "_key", "_uuid")))
    for column in table.columns:
        if column.name.lower() in wanted and looked.unique(table.name, column.name):
            notes.append(Note(table.name, column.name, "taken for the primary key: by its name, "
                              "and no value is empty or repeats"))
            return (column.name,)
    for column in table.columns:  # a name that other tables have too, as of a code or a number
        if (column.kind in ("integer", "text", "identifier") and column.name in elsewhere
                and looked.unique(table.name, column.name)):
            notes.append(Note(table.name, column.name, "taken for the primary key: no value is "
                              "empty or repeats, and other tables have a column of this name"))
            return (column.name,)
    return ()


def _links(table: FoundTable, tables: Mapping[str, FoundTable], pkeys: Mapping[str, tuple],
           looked: _Looked, here: Mapping[str, str], notes: list[Note]) -> list[Link]:
    links, linked = [], set()
    for key in table.fkeys:
        if key.parent not in tables:
            notes.append(Note(table.name, key.columns[0], f"names {key.parent}, which is not "
                              "imported; the key is left out"))
        elif set(key.parent_columns) != set(pkeys[key.parent]):
            notes.append(Note(table.name, key.columns[0], f"names columns of {key.parent} that are "
                              "not its primary key; the key is left out"))
        else:
            by_parent = dict(zip(key.parent_columns, key.columns, strict=True))
            columns = tuple(by_parent[c] for c in pkeys[key.parent])
            links.append(Link(columns=columns, parent=here[key.parent], because=DECLARED))
            linked |= set(columns)
    for column in table.columns:
        if column.name in linked or column.kind not in ("integer", "number", "text", "identifier"):
            continue
        for parent in tables:
            key = pkeys[parent]
            if len(key) != 1 or (parent == table.name and key[0] == column.name):
                continue
            if not _names_parent(column.name, parent, key[0], pkeys[table.name]):
                continue
            share = looked.included(table.name, column.name, parent, key[0])
            if share is not None and share >= INCLUDED:
                because = f"by name; {share:.1%} of its values are there"
                links.append(Link(columns=(column.name,), parent=here[parent], because=because))
                notes.append(Note(table.name, column.name,
                                  f"taken for a key to {parent} {because}"))
                break
    return links


def _names_parent(column: str, parent: str, key: str, own: tuple[str, ...]) -> bool:
    name = column.lower()
    if (column,) == own:
        return False
    if name == key.lower() and key.lower() not in ("id", "key", "uuid", "name", "code"):
        return True
    ends = [f"{w}{end}" for w in _singulars(parent) for end in ("_id", "id", "_key", "_uuid")]
    return any(name == end or name.endswith("_" + end) for end in ends)


def _time(table: FoundTable, looked: _Looked, notes: list[Note]) -> str | None:
    """The column that says when a row came: by its words, and by how often it is given."""
    found: list[tuple[tuple, str]] = []
    for place, column in enumerate(table.columns):
        if column.kind not in ("time", "date"):
            continue
        words = _words(column.name)
        given = looked.given(table.name, column.name)
        made = min((MADE.index(w) for w in words if w in MADE), default=len(MADE))
        if given >= 0.5:
            found.append(((any(w in LATER for w in words), made, -given, place), column.name))
    if not found:
        return None
    (later, _, given, _), best = min(found)
    if later and len(found) == 1 and given == -1.0 and set(_words(best)) & set(HAPPENED):
        notes.append(Note(table.name, best, "taken for the row's time: it is the only one and "
                          "always given, so the row tells of what happened then"))
        return best
    if later:
        notes.append(Note(table.name, best, "not taken for the row's time although it is the only "
                          "one: its name says that it comes later"))
        return None
    return best


def _inherited(table: str, pkeys: Mapping[str, tuple], links: Mapping[str, list[Link]],
               times: Mapping[str, str | None], here: Mapping[str, str],
               notes: list[Note]) -> dict | None:
    """The time of the parent that a table is a part of: its key is in the own one, or its name."""
    there = {new: old for old, new in here.items()}
    for link in links[table]:
        parent = there[link.parent]
        part = set(link.columns) <= set(pkeys[table]) or any(
            table.lower().startswith(w) and table != parent for w in _singulars(parent))
        if part and times.get(parent):
            notes.append(Note(table, link.columns[0], f"has no time of its own and takes that of "
                              f"its {parent}"))
            return Inherited.model_validate({"from": link.columns[0]})
    notes.append(Note(table, None, "has no time: its rows are taken for known always"))
    return None


def _columns(table: FoundTable, pkey: tuple[str, ...], links: list[Link], time: object,
             notes: list[Note]) -> dict[str, dict[str, str]]:
    """Columns that are left out, because they are written on after the row."""
    keys = {*pkey, *(c for link in links for c in link.columns)}
    found = {}
    for column in table.columns:
        if column.name in keys or column.name == time or column.kind == "binary":
            continue
        if because := _why_later(column, _words(column.name)):
            found[column.name] = {"known_at": "drop", "because": because}
            notes.append(Note(table.name, column.name, f"left out: {because}"))
    return found


def _why_later(column: FoundColumn, words: list[str]) -> str | None:
    if column.kind in ("time", "date"):
        return "by its name it is overwritten" if any(w in REWRITTEN for w in words) else None
    place = any(w in PLACES for w in words)
    if any(w in STATES for w in words) and not (place and set(words) & REGIONS):
        return "by its name it is a state, which changes"
    if column.kind in ("integer", "number") and any(w in COUNTERS for w in words):
        return "by its name it may be counted on"
    return "by its name it is overwritten" if words and words[0] in ("last", "latest") else None


def _gone(table: FoundTable, notes: list[Note]) -> str | None:
    """The time at which a row is deleted, though it stays."""
    for column in table.columns:
        if column.kind in ("time", "date") and any(w in GONE for w in _words(column.name)):
            notes.append(Note(table.name, column.name, "ends its row: from then on it is over"))
            return column.name
    return None


def _cuts(decided: Mapping[str, TableDecisions], looked: _Looked) -> tuple[str | None, str | None]:
    """Validation and test: the last two tenths of the span."""
    spans = [looked.span(one.source or table, one.time) for table, one in decided.items()
             if isinstance(one.time, str)]
    spans = [span for span in spans if span is not None]
    if not spans:
        return None, None
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    step = DAY if high - low >= MONTH else 1
    length = max(round(TENTH * (high - low)), step)
    cuts = [(high - tenths * length) // step * step for tenths in (2, 1)]
    return tuple(str(np.datetime64(cut, "us")).replace("T", " ").removesuffix(" 00:00:00.000000")
                 for cut in cuts)


def _names(tables: list[str]) -> dict[str, str]:
    """A name for each table that can be a file on any disk, and no two alike but for capitals."""
    found, taken = {}, set()
    for table in tables:
        name = base = re.sub(r"[^\w.-]+", "_", table).strip("._-")[:80] or "table"
        number = 2
        while name.casefold() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.casefold())
        found[table] = name
    return found


def _words(name: str) -> list[str]:
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def _singulars(table: str) -> list[str]:
    """A table's name as a row of it may be called."""
    name = table.lower()
    found = [name]
    for end, one in (("ies", "y"), ("ses", "s"), ("es", ""), ("s", "")):
        if name.endswith(end):
            found.append(name.removesuffix(end) + one)
    return found



