"""SQL that came with a task is data: it may read the tables that it is handed, and nothing else.

One SELECT, in a DuckDB without files, network or settings that it could change, on one thread, so
that equal tables give equal rows, and with an end to its memory and its time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

MEMORY = "8GiB"  # beyond the tables, which DuckDB reads where they lie
MINUTES = 20.0


def only_a_select(sql: str) -> str | None:
    """What is wrong with the SQL of a task, before it is run; None where nothing is.

    Raises:
        duckdb.Error: it is no SQL.
    """
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        return f"it has {len(statements)} statements, expected one SELECT"
    kind = statements[0].type.name
    return None if kind == "SELECT" else (
        f"it is a statement of the kind {kind}, expected one SELECT: a task reads tables and does "
        "nothing else")


def _one_to_sql(names: Iterable[str]) -> str | None:
    """SQL does not tell `Games` from `games`: of two such tables it would read the second alone."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            return f"the tables {other} and {name} are one to SQL; rename one of them"
    return None


def run(sql: str, tables: Mapping[str, Any], *, memory: str = MEMORY,
        minutes: float = MINUTES) -> Any:
    """The rows of one SELECT.

    Args:
        tables: pandas, polars or Arrow, by the name that the SQL uses.
        memory: as DuckDB writes it.
        minutes: after which it is stopped.

    Returns:
        A pandas data frame.

    Raises:
        ValueError: it is something else than one SELECT, or takes too long or too much.
        duckdb.Error: it cannot be run.
    """
    if wrong := only_a_select(sql) or _one_to_sql(tables):
        raise ValueError(wrong)
    with duckdb.connect(":memory:", config={
            "threads": 1, "enable_external_access": "false",
            "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
            "python_enable_replacements": "false", "memory_limit": memory}) as con:
        for name, table in tables.items():
            con.register(name, table)
        con.execute("SET lock_configuration = true")
        clock = threading.Timer(minutes * 60, con.interrupt)
        clock.daemon = True
        clock.start()
        try:
            return con.sql(sql).df()
        except duckdb.InterruptException:
            raise ValueError(f"it was stopped after {minutes:g} minutes; ask about fewer rows or "
                             "dates, or join by equal keys") from None
        except duckdb.OutOfMemoryException:
            raise ValueError(f"it needs more than {memory} of memory; ask about fewer rows or "
                             "dates, or join by equal keys") from None
        finally:
            clock.cancel()
