"""What the names of a query mean in a database, and whether it can be asked there.

A window of an aggregate holds the rows of its table, of the entity by foreign keys, whose time lies
in (t + first, t + last]. The target's windows begin at the seed's time t or later, those of WHERE
end there: whom is asked about must be known when it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases.database import Database
from rowgraph.databases.report import near
from rowgraph.tasks.queries.query import (
    Aggregate,
    Column,
    Compared,
    Condition,
    Joined,
    Negation,
    Query,
    Rows,
    aggregates_of,
)

Kind = Literal["number", "text", "flag", "time", "other"]
Step = tuple[str, str, str]  # table, fkey, the table that it references
NUMERIC = ("SUM", "AVG", "MIN", "MAX")
DAYS = {"minutes": 1 / 1440, "hours": 1 / 24, "days": 1, "weeks": 7, "months": 31}  # at most
ORDERED = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Cells:
    """A column of a table, found."""

    table: str
    column: str
    kind: Kind


@dataclass(frozen=True)
class Window:
    """An aggregate, found.

    Args:
        said: as it was written.
        table: whose rows.
        time_col: of that table.
        cells: the column that it is made of; None for the rows themselves.
        path: the foreign keys from there to the entity.
    """

    said: Aggregate
    table: str
    time_col: str
    cells: Cells | None
    path: tuple[Step, ...]


@dataclass(frozen=True)
class Meaning:
    """A query that can be asked of a database.

    Args:
        query: as written.
        kind: `forecast`, or `autocomplete` where a column of the entity itself is asked for.
        task_type: as RelBench spells it.
        entity: the table that is asked about.
        destination: of a recommendation, the table of what is recommended.
        columns: what each column of the text is.
        windows: what each aggregate of the text is.
        days: after how many days, at most, an answer is known.
    """

    query: Query
    kind: str
    task_type: str
    entity: str
    destination: str | None
    columns: Mapping[Column, Cells]
    windows: Mapping[Aggregate, Window]
    days: float


def meaning_of(query: Query, database: Database) -> Meaning:
    """Find what a query says in a database.

    Raises:
        QueryError: a name is not there, or means two things, or what is asked cannot be a task;
            the message points at the word.
    """
    return _Finding(query, database).found()


class _Finding:
    def __init__(self, query: Query, database: Database):
        self.query, self.database = query, database
        self.columns: dict[Column, Cells] = {}
        self.windows: dict[Aggregate, Window] = {}
        self.schemas: dict[str, pa.Schema] = {}

    def found(self) -> Meaning:
        query = self.query
        self.entity = self._entity(query.entity)
        if isinstance(query.target, Column):
            return self._autocomplete(query.target)
        self._check(query.target, future=True)
        if query.where is not None:
            self._check(query.where, future=False)
        windows = list(aggregates_of(query.target))
        if not windows:
            raise query.fault(query.target, "nothing that happens later is asked for; a column of "
                              "the entity can be asked for by its name alone")
        days = max(one.until * DAYS[one.unit] for one in windows)
        task_type, destination = self._type(query.target)
        return Meaning(query, "forecast", task_type, self.entity, destination, self.columns,
                       self.windows, days)

    def _entity(self, said: Column) -> str:
        table = self._table(said.table, said)
        pkey = self.database.tables[table].pkey_col
        if pkey is None:
            raise self.query.fault(said, f"{table} has no primary key, so that its rows cannot be "
                                   "asked about; give it one")
        if self._name(said.column, [*self._schema(table).names], said, table) != pkey:
            raise self.query.fault(said, f"FOR EACH wants a primary key; that of {table} is {pkey}")
        return table

    def _autocomplete(self, said: Column) -> Meaning:
        query, cells = self.query, self._column(said)
        schema = self.database.tables[cells.table]
        if cells.table != self.entity:
            raise query.fault(said, f"a column can be asked for of the entity itself, {self.entity}"
                              "; of other rows write an aggregate over a window")
        if query.where is not None:
            raise query.fault(query.where, "a column is asked for of every row; leave WHERE out")
        if schema.time_col is None:
            raise query.fault(said, f"{cells.table} has no time, by which its rows could be "
                              "parted into known and unknown ones; name its time column")
        if cells.column in (schema.pkey_col, schema.time_col):
            raise query.fault(said, "a primary key or the row's own time cannot be asked for")
        parent = schema.fkeys.get(cells.column)
        if (parent is None) != (query.ranked is None):
            raise query.fault(said, f"{said.column} names rows of {parent}; write RANK TOP 10 "
                              "behind it" if parent else f"{said.column} is no foreign key; leave "
                              "RANK TOP out")
        task_type = "recommendation" if parent else self._of_cells(cells, said)
        return Meaning(query, "autocomplete", task_type, self.entity, parent, self.columns, {}, 0)

    def _type(self, target: Condition) -> tuple[str, str | None]:
        """The type of a forecast task, and the table of what it recommends."""
        query = self.query
        if not isinstance(target, Aggregate):
            if query.ranked or query.classified:
                raise query.fault(target, "a question that is answered by yes or no is neither "
                                  "ranked nor classified; leave RANK TOP or CLASSIFY out")
            return "binary_classification", None
        if target.function == "LIST_DISTINCT":
            cells = self.columns[target.of_column]
            parent = self.database.tables[cells.table].fkeys.get(cells.column)
            if parent is None:
                raise query.fault(target.of, "LIST_DISTINCT recommends rows, so it wants a foreign "
                                  f"key; those of {cells.table} are "
                                  f"{', '.join(self.database.tables[cells.table].fkeys) or 'none'}")
            if query.ranked is None:
                raise query.fault(target, "write RANK TOP 10 behind it: how many are recommended"
                                  + (" (CLASSIFY, an answer for each, is not supported)"
                                     if query.classified else ""))
            return "recommendation", parent
        if query.ranked:
            raise query.fault(target, "RANK TOP wants LIST_DISTINCT over a foreign key")
        if target.function in ("FIRST", "LAST"):
            return self._of_cells(self.columns[target.of_column], target.of_column), None
        if query.classified:
            raise query.fault(target, "CLASSIFY wants FIRST or LAST of a column")
        return "regression", None

    def _of_cells(self, cells: Cells, said: Column) -> str:
        if cells.kind == "flag":
            return "binary_classification"
        if cells.kind == "number" and not self.query.classified:
            return "regression"
        if cells.kind in ("text", "number"):
            return "multiclass_classification"
        raise self.query.fault(said, f"{said.column} holds {_named(cells.kind)}, which cannot be "
                               "asked for")

    def _check(self, condition: Condition, future: bool) -> None:
        if isinstance(condition, Joined):
            for part in condition.parts:
                self._check_truth(part, future)
        elif isinstance(condition, Negation):
            self._check_truth(condition.of, future)
        elif isinstance(condition, Aggregate):
            self._window(condition, future)
            if not future:
                raise self.query.fault(condition, "WHERE wants a condition; compare it with "
                                       "something")
        elif isinstance(condition, Column):
            raise self.query.fault(condition, "a condition wants a comparison")
        else:
            self._compared(condition, future)

    def _check_truth(self, part: Condition, future: bool) -> None:
        if isinstance(part, Aggregate | Column):
            raise self.query.fault(part, "AND, OR and NOT join conditions; compare it with "
                                   "something")
        self._check(part, future)

    def _compared(self, said: Compared, future: bool) -> None:
        operand = said.operand
        if isinstance(operand, Aggregate):
            self._window(operand, future)
            if operand.function == "LIST_DISTINCT":
                raise self.query.fault(operand, "a list cannot be compared; write COUNT_DISTINCT")
            counted = operand.function in ("COUNT", "COUNT_DISTINCT", *NUMERIC)
            self._fits(said, "number" if counted else self.columns[operand.of_column].kind)
            return
        cells = self._column(operand)
        if cells.table != self.entity:
            raise self.query.fault(operand, f"outside an aggregate only columns of {self.entity} "
                                   "can be compared; put it into the aggregate's own WHERE")
        if future:
            raise self.query.fault(operand, "what is asked for must lie after the question; of the "
                                   "entity's own columns write a condition behind WHERE")
        self._fits(said, cells.kind)

    def _window(self, said: Aggregate, future: bool) -> None:
        query, of = self.query, said.of
        table = self._table(of.table, of)
        cells = None if isinstance(of, Rows) else self._column(of)
        schema = self.database.tables[table]
        if schema.time_col is None:
            raise query.fault(of, f"{table} has no time, so that none of its rows lies in a window"
                              "; name its time column in manifest.yaml, or copy its parent's")
        if isinstance(of, Rows):
            if said.function != "COUNT":
                raise query.fault(of, f"{said.function} wants a column, such as {table}.<column>")
        elif said.function in NUMERIC and self.columns[of].kind not in ("number", "flag"):
            raise query.fault(of, f"{said.function} wants numbers; {of.column} holds "
                              f"{_named(self.columns[of].kind)}")
        if said.last is None and future:
            raise query.fault(said, "the window has no end, so that no answer would ever be known")
        if said.last is not None and said.first is not None and said.last <= said.first:
            raise query.fault(said, f"the window ({said.first:g}, {said.last:g}] holds nothing")
        if future and (said.first is None or said.first < 0):
            raise query.fault(said, "the window of what is asked for begins before the question; "
                              "begin at 0 or later")
        if not future and (said.last is None or said.last > 0):
            raise query.fault(said, "the window of WHERE reaches past the question, where nothing "
                              "is known yet; end at 0")
        if said.where is not None:
            if nested := next(aggregates_of(said.where), None):
                raise query.fault(nested, "an aggregate inside another is not supported")
            self._filter(said.where, table)
        self.windows[said] = Window(said, table, schema.time_col, cells,
                                    self._path(table, cells, of))

    def _filter(self, condition: Condition, table: str) -> None:
        """The condition inside an aggregate: of the row's own columns."""
        for said in _compared_of(condition):
            if not isinstance(said, Compared):
                raise self.query.fault(said, "a condition wants a comparison")
            assert isinstance(said.operand, Column)  # nested aggregates are refused before
            cells = self._column(said.operand)
            if cells.table != table:
                raise self.query.fault(said.operand, f"inside this aggregate only columns of "
                                       f"{table} can be compared")
            self._fits(said, cells.kind)

    def _path(self, table: str, cells: Cells | None, said: Column | Rows) -> tuple[Step, ...]:
        """The foreign keys from a table to the entity: the shortest way, if there is one alone.

        A foreign key that is itself what is counted says which way is meant.
        """
        if cells is not None and self.database.tables[table].fkeys.get(
                cells.column) == self.entity:
            return ((table, cells.column, self.entity),)
        ways: list[tuple[Step, ...]] = [()]
        seen = {table}
        while ways:
            longer = [(*way, (at, fkey, parent)) for way in ways
                      for at in (way[-1][2] if way else table,)
                      for fkey, parent in self.database.tables[at].fkeys.items()]
            there = [way for way in longer if way[-1][2] == self.entity]
            if len(there) > 1:
                names = " or ".join(".".join((way[0][0], way[0][1])) for way in there)
                raise self.query.fault(said, f"there are {len(there)} ways from {table} to "
                                       f"{self.entity}: {names}; count one of these columns in the "
                                       f"place of {table}.*" if all(len(w) == 1 for w in there) else
                                       f"there are {len(there)} ways from {table} to "
                                       f"{self.entity}: {names}; ask about a table in between")
            if there:
                return there[0]
            ways = [way for way in longer if way[-1][2] not in seen]
            seen |= {way[-1][2] for way in ways}
        named = ", ".join(dict.fromkeys(self.database.tables[table].fkeys.values())) or "nowhere"
        raise self.query.fault(said, f"no foreign keys lead from {table} to {self.entity}; those "
                               f"of {table} lead to {named}")

    def _fits(self, said: Compared, kind: Kind) -> None:
        """Whether an operand of a kind can be compared with what it is compared with."""
        if said.operator in ("like", "contains", "starts with", "ends with") and kind != "text":
            raise self.query.fault(said, f"{said.operator.upper()} wants a text, and this is "
                                   f"{_named(kind)}")
        if said.operator in ORDERED and kind in ("flag", "other"):
            raise self.query.fault(said, f"{_named(kind)} have no order; write = or !=")
        wanted: tuple[type, ...] = {"number": (int, float), "text": (str,), "time": (str,),
                                    "flag": (bool, int), "other": ()}[kind]
        for value in said.values:
            wrong = not isinstance(value, wanted) or (kind == "number" and value is True)
            if wrong or (kind == "number" and isinstance(value, bool)):
                raise self.query.fault(said, f"{value!r} is compared with {_named(kind)}")
            if kind == "time":
                _moment(str(value), self.query, said)

    def _column(self, said: Column) -> Cells:
        table = self._table(said.table, said)
        column = self._name(said.column, self.database.columns(table), said, table)
        found = Cells(table, column, _kind(self._schema(table).field(column).type))
        self.columns[said] = found
        return found

    def _table(self, name: str, said: Column | Rows) -> str:
        return self._name(name, self.database.tables, said, None)

    def _name(self, name: str, known: Iterable[str], said: Column | Rows, table: str | None) -> str:
        """As it is spelt, else as it alone is spelt but for capitals."""
        known = list(known)
        if name in known:
            return name
        alike = [k for k in known if k.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0]
        what = f"{table} has no column {name}" if table else f"there is no table {name}"
        raise self.query.fault(said, f"{what}; {near(name, known)}")

    def _schema(self, table: str) -> pa.Schema:
        if table not in self.schemas:
            self.schemas[table] = pq.read_schema(self.database.path(table))
        return self.schemas[table]


def _compared_of(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, Joined):
        for part in condition.parts:
            yield from _compared_of(part)
    elif isinstance(condition, Negation):
        yield from _compared_of(condition.of)
    else:
        yield condition


def _kind(type_: pa.DataType) -> Kind:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_boolean(type_):
        return "flag"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    return "time" if pa.types.is_timestamp(type_) or pa.types.is_date(type_) else "other"


def _named(kind: Kind) -> str:
    return {"number": "numbers", "text": "texts", "flag": "true or false", "time": "times",
            "other": "values of another kind"}[kind]


def _moment(value: str, query: Query, said: Any) -> None:
    import numpy as np

    try:
        np.datetime64(value.strip().replace(" ", "T"), "us")
    except ValueError:
        raise query.fault(said, f"{value!r} is no time; write it as '2024-01-31' or "
                          "'2024-01-31 13:00'") from None
