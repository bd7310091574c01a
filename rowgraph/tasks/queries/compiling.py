"""From a query to the SQL and the manifest of a RelBench task.

Every aggregate is a query of its own over `timestamps` and the rows of its windows, joined to the
entities that are there at that time. What has no answer is no label: a mean, an extreme, a first or
last value of nothing. COUNT, COUNT_DISTINCT and SUM of nothing are 0.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

from rowgraph.databases.database import Database
from rowgraph.databases.sql_text import literal, quoted
from rowgraph.tasks.queries.meaning import Meaning, Window
from rowgraph.tasks.queries.query import (
    Aggregate,
    Column,
    Compared,
    Condition,
    Joined,
    Negation,
    aggregates_of,
)

NOTHING_IS_ZERO = ("COUNT", "COUNT_DISTINCT", "SUM")


def manifest_of(meaning: Meaning, database: Database, name: str,
                eval_timestamps: int = 1) -> dict[str, Any]:
    """The manifest of a query's task, as RelBench writes it.

    Args:
        name: of the task.
        eval_timestamps: dates of validation and of test; a recommendation has one.
    """
    query, pkey = meaning.query, _pkey(database, meaning.entity)
    said = " ".join(query.text.split())
    common = {"name": name, "kind": meaning.kind, "task_type": meaning.task_type,
              "description": said}
    if isinstance(query.target, Column):  # autocomplete
        ranked = {"eval_k": query.ranked} if query.ranked else {}
        return common | {"entity_table": meaning.entity, "target_col": meaning.columns[
            query.target].column} | ranked | {"manifest_version": 1}
    time, target = _free("timestamp", pkey), _free("target", pkey)
    if meaning.task_type == "recommendation":
        link = meaning.columns[next(aggregates_of(query.target)).of_column].column
        target = link if link != pkey else f"{link}_recommended"
        who = {"src_entity_table": meaning.entity, "src_entity_col": pkey,
               "dst_entity_table": meaning.destination, "dst_entity_col": target,
               "eval_k": query.ranked}
    else:
        who = {"entity_table": meaning.entity, "entity_col": pkey,
               "num_eval_timestamps": eval_timestamps}
    return common | who | {
        "target_col": target, "time_col": time, "timedelta": _length(meaning.days),
        "sql": sql_of(meaning, database, time, target), "manifest_version": 1}


def sql_of(meaning: Meaning, database: Database, time: str, target: str) -> str:
    """The SQL of a forecast: columns `time`, the entity's primary key and `target`."""
    compiler = _Compiler(meaning, database)
    wanted = compiler.truth(meaning.query.target)
    if meaning.task_type == "binary_classification":
        wanted = f"CAST({wanted} AS INTEGER)"
    key = quoted(_pkey(database, meaning.entity))
    return (f"{compiler.asked(time, f', {wanted} AS {quoted(target)}')}\n"
            f"SELECT * FROM asked WHERE {quoted(target)} IS NOT NULL\n"
            f"ORDER BY {quoted(time)}, {key}")


def who_sql(meaning: Meaning, database: Database) -> str:
    """The SQL of who is asked about, whatever will be answered: columns `moment` and `who`."""
    key = quoted(_pkey(database, meaning.entity))
    return (f"{_Compiler(meaning, database).asked('moment', '')}\n"
            f"SELECT moment, {key} AS who FROM asked ORDER BY moment, who")


class _Compiler:
    """Conditions and windows as SQL; equal aggregates are made once."""

    def __init__(self, meaning: Meaning, database: Database):
        self.meaning, self.database = meaning, database
        self.names: dict[Aggregate, str] = {}

    def asked(self, time: str, target: str) -> str:
        """`WITH …, asked AS (…)`: date, primary key and what stands in `target` of those who are
        there and of whom WHERE holds."""
        where = self.meaning.query.where
        condition = [] if where is None else [f"WHERE {self.truth(where)}"]
        schema = self.database.tables[self.meaning.entity]
        there = "TRUE" if schema.time_col is None else (
            f"e.{quoted(schema.time_col)} <= t.timestamp")
        key = quoted(_pkey(self.database, self.meaning.entity))
        inner = "\n".join([
            f"SELECT t.timestamp AS {quoted(time)}, e.{key} AS {key}{target}",
            f"FROM timestamps t JOIN {quoted(self.meaning.entity)} e ON {there}",
            *(f"LEFT JOIN {name} ON {name}.moment = t.timestamp AND {name}.whose = e.{key}"
              for name in self.names.values()), *condition])
        parts = [f"{name} AS (\n{textwrap.indent(self.window(window), '  ')}\n)"
                 for window, name in self.names.items()]
        return "WITH " + ",\n".join([*parts, f"asked AS (\n{textwrap.indent(inner, '  ')}\n)"])

    def truth(self, condition: Condition) -> str:
        """A condition, an aggregate or a column, of an entity at a time."""
        if isinstance(condition, Joined):
            return f" {condition.word.upper()} ".join(f"({self.truth(p)})" for p in condition.parts)
        if isinstance(condition, Negation):
            return f"NOT ({self.truth(condition.of)})"
        if isinstance(condition, Compared):
            return _compared(condition, self.truth(condition.operand), self._kind(condition))
        if isinstance(condition, Column):
            return f"e.{quoted(self.meaning.columns[condition].column)}"
        name = self.names.setdefault(condition, f"a{len(self.names)}")
        value = f"{name}.made"
        return f"COALESCE({value}, 0)" if condition.function in NOTHING_IS_ZERO else value

    def window(self, said: Aggregate) -> str:
        """The query of an aggregate: columns moment, whose, made."""
        window = self.meaning.windows[said]
        time = f"r.{quoted(window.time_col)}"
        bounds = [f"{time} > t.timestamp + {_interval(said.first, said.unit)}"
                  if said.first is not None else "",
                  f"{time} <= t.timestamp + {_interval(said.last, said.unit)}"
                  if said.last is not None else ""]
        lines = [f"FROM timestamps t JOIN {quoted(window.table)} r ON "
                 + " AND ".join(filter(None, bounds))]
        at, key = "r", ""
        for number, (_, fkey, parent) in enumerate(window.path):
            key = f"{at}.{quoted(fkey)}"
            if number + 1 < len(window.path):
                pkey = quoted(_pkey(self.database, parent))
                lines.append(f"JOIN {quoted(parent)} p{number} ON p{number}.{pkey} = {key}")
                at = f"p{number}"
        kept = [f"{key} IS NOT NULL"]
        if said.where is not None:
            kept.append(f"({self._filter(said.where)})")
        own = self.database.tables[window.table].pkey_col
        return "\n".join([f"SELECT t.timestamp AS moment, {key} AS whose, "
                          f"{_made(window, time, own)} AS made", *lines,
                          f"WHERE {' AND '.join(kept)}", "GROUP BY ALL"])

    def _filter(self, condition: Condition) -> str:
        if isinstance(condition, Joined):
            return f" {condition.word.upper()} ".join(
                f"({self._filter(p)})" for p in condition.parts)
        if isinstance(condition, Negation):
            return f"NOT ({self._filter(condition.of)})"
        assert isinstance(condition, Compared)  # `meaning` refuses aggregates and bare columns
        assert isinstance(condition.operand, Column)
        cells = self.meaning.columns[condition.operand]
        return _compared(condition, f"r.{quoted(cells.column)}", cells.kind)

    def _kind(self, said: Compared) -> str:
        if isinstance(said.operand, Column):
            return self.meaning.columns[said.operand].kind
        if said.operand.function in ("FIRST", "LAST"):
            return self.meaning.columns[said.operand.of_column].kind
        return "number"


def _made(window: Window, time: str, pkey: str | None) -> str:
    """What is made of the rows of a window; of equally old ones the primary key decides."""
    if window.cells is None:
        return "COUNT(*)"
    cell = f"r.{quoted(window.cells.column)}"
    order = f"{time}, r.{quoted(pkey)}" if pkey else f"{time}, {cell}"
    function = window.said.function
    return {"COUNT": f"COUNT({cell})", "COUNT_DISTINCT": f"COUNT(DISTINCT {cell})",
            "FIRST": f"FIRST({cell} ORDER BY {order}) FILTER (WHERE {cell} IS NOT NULL)",
            "LAST": f"LAST({cell} ORDER BY {order}) FILTER (WHERE {cell} IS NOT NULL)",
            "LIST_DISTINCT": f"LIST(DISTINCT CAST({cell} AS BIGINT) ORDER BY CAST({cell} AS "
                             f"BIGINT)) FILTER (WHERE {cell} IS NOT NULL)",
            }.get(function, f"{function}({cell})")


def _compared(said: Compared, operand: str, kind: str) -> str:
    values = [_literal(value, kind) for value in said.values]
    match said.operator:
        case "in":
            found = f"{operand} IN ({', '.join(values)})"
        case "is null":
            found = f"{operand} IS NULL"
        case "like":
            found = f"{operand} LIKE {values[0]}"
        case "contains":
            found = f"contains({operand}, {values[0]})"
        case "starts with":
            found = f"starts_with({operand}, {values[0]})"
        case "ends with":
            found = f"ends_with({operand}, {values[0]})"
        case operator:
            found = f"{operand} {operator} {values[0]}"
    return f"NOT ({found})" if said.negated else found


def _literal(value: Any, kind: str) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return f"CAST({literal(value)} AS TIMESTAMP)" if kind == "time" else literal(value)
    return repr(value)


def _interval(count: float, unit: str) -> str:
    """Whole units as they are, parts of them in seconds."""
    if float(count).is_integer():
        return f"INTERVAL '{int(count)} {unit}'"
    seconds = {"minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800,
               "months": 2_678_400}[unit]
    return f"INTERVAL '{round(count * seconds)} seconds'"


def _length(days: float) -> str:
    """As pandas reads it."""
    if float(days).is_integer():
        return f"{int(days)} days"
    return f"{math.ceil(days * 1440)} minutes"


def _pkey(database: Database, table: str) -> str:
    """The primary key of a table that is asked about or referenced, which has one."""
    pkey = database.tables[table].pkey_col
    assert pkey is not None
    return pkey


def _free(name: str, taken: str) -> str:
    return name if name != taken else f"{name}_"
