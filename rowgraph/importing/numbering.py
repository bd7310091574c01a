"""Row numbers in the place of keys: staged rows become the tables of a RelBench 3 folder.

Rows are ordered by time, then by key, and numbered from 0; a foreign key is the number of the row
that it names. `keys/<table>.parquet` holds the way back. DuckDB joins and sorts, on disk where
memory is short, so that a table may be larger than it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb

from rowgraph.databases.sql_text import literal, quoted
from rowgraph.importing.connections import without_bar
from rowgraph.importing.decisions import Decisions, Inherited, Link, TableDecisions
from rowgraph.importing.found import ImportFault
from rowgraph.importing.staging import MEMORY, Staged

NUMBERS = {"BIGINT", "DOUBLE"}


@dataclass(frozen=True)
class Shape:
    """How a table looks when its keys are numbers.

    Args:
        pkey: the column of its row numbers; None without a primary key.
        time: the column of its time; None without.
        fkeys: column of numbers -> parent.
        columns: all, in order.
        rows: how many.
    """

    pkey: str | None
    time: str | None
    fkeys: Mapping[str, str]
    columns: tuple[str, ...]
    rows: int


@dataclass
class Losses:
    """What keys and times lacked, by table and column: counted, and nothing left out in silence.

    Args:
        dangling: keys whose parent is not there: they became empty.
        empty: keys that were empty.
        timeless: rows without a time in a table that has times: no seed ever sees them.
    """

    dangling: dict[str, int] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)
    timeless: dict[str, int] = field(default_factory=dict)


class Numbering:
    """One import's rows and what was decided about them.

    Args:
        decisions: checked.
        staged: rows by table.
        folder: gets `db/` and `keys/`.
        work: an empty folder for what does not fit into memory.
    """

    def __init__(self, decisions: Decisions, staged: Mapping[str, Staged], folder: Path,
                 work: Path):
        self.decisions, self.staged, self.folder = decisions, staged, folder
        self.losses = Losses()
        self._connection = without_bar(duckdb.connect(str(work / "keys.duckdb"), config={
            "memory_limit": MEMORY, "temp_directory": str(work / "spill")}))
        self._names = {table: f"t{i}" for i, table in enumerate(decisions.tables)}
        for table, name in self._names.items():
            files = ", ".join(literal(str(f)) for f in staged[table].files)
            self._run(f"CREATE VIEW {name}_raw AS SELECT * FROM read_parquet([{files}])")

    def close(self) -> None:
        """Let go of what lies on disk."""
        self._connection.close()

    def write(self, tick: Callable[[str], None] = lambda table: None) -> dict[str, Shape]:
        """Write every table and the way back of every key.

        Args:
            tick: hears each table that is done.

        Raises:
            ImportFault: a primary key is empty or repeats, or times are inherited in a circle.
        """
        for folder in ("db", "keys"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for table in self._by_inheritance:
            self._number(table)
        shapes = {}
        for table in self.decisions.tables:
            shapes[table] = self._write(table)
            tick(table)
        return shapes

    @cached_property
    def _by_inheritance(self) -> list[str]:
        """Tables, those before others that take their times."""
        done: list[str] = []

        def visit(table: str, way: tuple[str, ...]) -> None:
            if table in way:
                raise ImportFault(f"import.yaml: times are taken in a circle: "
                                  f"{' from '.join((*way[way.index(table):], table))}; give one of "
                                  "these tables a time of its own")
            if table not in done:
                if (link := self._time_link(table)) is not None:
                    visit(link.parent, (*way, table))
                done.append(table)

        for table in self.decisions.tables:
            visit(table, ())
        return done

    def _time_link(self, table: str) -> Link | None:
        decided = self.decisions.tables[table]
        if not isinstance(decided.time, Inherited):
            return None
        return next(link for link in decided.fkeys if link.columns[0] == decided.time.of)

    def _number(self, table: str) -> None:
        """Tables `<t>_rows` (rows with their moment) and, with a primary key, `<t>_keys`."""
        name, decided = self._names[table], self.decisions.tables[table]
        moment, join = "NULL::TIMESTAMP", ""
        if isinstance(decided.time, str):
            moment = f"CAST(r.{quoted(decided.time)} AS TIMESTAMP)"
        elif (link := self._time_link(table)) is not None:
            moment, join = "p.moment", self._join(table, link, "p")
        self._run(f"CREATE VIEW {name}_rows AS SELECT r.*, {moment} AS {quoted(_MOMENT)} "
                  f"FROM {name}_raw r {join}")
        if decided.time is not None:
            lost = self._one(f"SELECT count(*) FROM {name}_rows WHERE {quoted(_MOMENT)} IS NULL")
            if lost:
                self.losses.timeless[table] = lost
        if not decided.pkey:
            return
        keys = [quoted(c) for c in decided.pkey]
        self._refuse_bad_keys(table, name, decided, keys)
        self._run(f"CREATE TABLE {name}_keys AS SELECT row_number() OVER (ORDER BY "
                  f"{quoted(_MOMENT)} NULLS LAST, {', '.join(keys)}) - 1 AS number, "
                  f"{', '.join(f'{k} AS k{i}' for i, k in enumerate(keys))}, "
                  f"{quoted(_MOMENT)} AS moment FROM {name}_rows")
        columns = ", ".join(f"k{i} AS {k}" for i, k in enumerate(keys))
        self._copy(f"SELECT number AS {quoted(_free('row', decided.pkey))}, {columns} "
                   f"FROM {name}_keys ORDER BY number", self.folder / "keys" / f"{table}.parquet")

    def _refuse_bad_keys(self, table: str, name: str, decided: TableDecisions,
                         keys: list[str]) -> None:
        said = ", ".join(decided.pkey)
        empty = self._one(f"SELECT count(*) FROM {name}_raw WHERE "
                          + " OR ".join(f"{k} IS NULL" for k in keys))
        if empty:
            raise ImportFault(f"{table}: {empty:,} rows have no {said}, which is to be the primary "
                              f"key; name other columns under tables.{table}.pkey in import.yaml, "
                              "or none")
        twice = self._connection.execute(
            f"SELECT {', '.join(keys)}, count(*) FROM {name}_raw GROUP BY ALL "
            f"HAVING count(*) > 1 ORDER BY 1 LIMIT 1").fetchone()
        if twice:
            shown = ", ".join(map(str, twice[:-1]))
            raise ImportFault(f"{table}: {twice[-1]} rows have the {said} {shown}, which is to be "
                              f"the primary key; name other columns under tables.{table}.pkey in "
                              "import.yaml, or none")

    def _write(self, table: str) -> Shape:
        name, decided = self._names[table], self.decisions.tables[table]
        staged = self.staged[table].columns
        pkey = _pkey_name(decided, staged)
        chosen: list[tuple[str, str]] = []  # SQL, name
        joins, order = [], [f"{quoted(_MOMENT)} NULLS LAST"]
        if pkey is not None:
            on = " AND ".join(f"k.k{i} = r.{quoted(c)}" for i, c in enumerate(decided.pkey))
            joins.append(f"JOIN {name}_keys k ON {on}")
            chosen.append(("k.number", pkey))
            order = ["k.number"]
        fkeys: dict[str, str] = {}
        gone = {c for c, rule in decided.columns.items() if rule == "drop" or (
            isinstance(rule, dict) and rule.get("known_at") == "drop")}
        gone |= {decided.pkey[0]} if len(decided.pkey) == 1 else set()
        for number, link in enumerate(decided.fkeys):
            column = _fkey_name(link, {*staged, *fkeys} - set(link.columns), pkey)
            fkeys[column] = link.parent
            joins.append(self._join(table, link, f"f{number}"))
            chosen.append((f"f{number}.number", column))
            gone |= set(link.columns)
            self._count(table, name, link)
        kept = [c for c in staged if c not in gone]
        time = None
        if isinstance(decided.time, str):
            time = decided.time
        elif decided.time is not None:
            time = _free(f"{self._time_link(table).parent}_time", {*kept, *fkeys, pkey})
            chosen.append((f"r.{quoted(_MOMENT)}", time))
        chosen += [(f"r.{quoted(c)}", c) for c in kept]
        columns = ", ".join(f"{sql} AS {quoted(c)}" for sql, c in chosen)
        self._copy(f"SELECT {columns} FROM {name}_rows r {' '.join(joins)} "
                   f"ORDER BY {', '.join(order)}", self.folder / "db" / f"{table}.parquet")
        return Shape(pkey, time, fkeys, tuple(c for _, c in chosen), self.staged[table].rows)

    def _count(self, table: str, name: str, link: Link) -> None:
        """Keys that are empty, and keys that name nobody."""
        there = " AND ".join(f"r.{quoted(c)} IS NOT NULL" for c in link.columns)
        empty, dangling = self._connection.execute(
            f"SELECT count(*) FILTER (NOT ({there})), count(*) FILTER (({there}) AND p.number IS "
            f"NULL) FROM {name}_raw r {self._join(table, link, 'p')}").fetchone()
        key = f"{table}.{'+'.join(link.columns)}"
        if empty:
            self.losses.empty[key] = empty
        if dangling:
            self.losses.dangling[key] = dangling

    def _join(self, table: str, link: Link, alias: str) -> str:
        """From rows `r` of a table to the keys of a parent; numbers meet as numbers, what is of
        different kinds as text."""
        mine, theirs = self._types(table), self._types(link.parent)
        on = []
        for i, (column, key) in enumerate(zip(
                link.columns, self.decisions.tables[link.parent].pkey, strict=True)):
            kinds = {mine[column], theirs[key]}
            pair = f"{alias}.k{i}", f"r.{quoted(column)}"
            on.append(" = ".join(pair if len(kinds) == 1 or kinds <= NUMBERS else
                                 [f"CAST({side} AS VARCHAR)" for side in pair]))
        return f"LEFT JOIN {self._names[link.parent]}_keys {alias} ON {' AND '.join(on)}"

    def _types(self, table: str) -> dict[str, str]:
        return {c: t for c, t, *_ in self._connection.execute(
            f"DESCRIBE {self._names[table]}_raw").fetchall()}

    def _copy(self, sql: str, path: Path) -> None:
        part = path.with_suffix(".part")
        self._run(f"COPY ({sql}) TO {literal(str(part))} (FORMAT parquet, COMPRESSION zstd)")
        part.replace(path)

    def _run(self, sql: str) -> None:
        self._connection.execute(sql)

    def _one(self, sql: str) -> int:
        return self._connection.execute(sql).fetchone()[0]


_MOMENT = "moment of the row"


def _pkey_name(decided: TableDecisions, staged: tuple[str, ...]) -> str | None:
    if not decided.pkey:
        return None
    if len(decided.pkey) == 1:
        return decided.pkey[0]
    return _free("_".join(decided.pkey), staged)


def _fkey_name(link: Link, taken: set[str], pkey: str | None) -> str:
    """The key's own column where it is one and not the primary key too."""
    name = link.columns[0] if len(link.columns) == 1 else "_".join(link.columns)
    return name if name not in taken | {pkey} else _free(f"{name}_{link.parent}", taken | {pkey})


def _free(name: str, taken: Iterable[str | None]) -> str:
    taken = set(taken)
    while name in taken:
        name += "_"
    return name
