"""Rows as they come from a source, table by table in Parquet files, in constant memory.

They are kept, so that a later import fetches only what is above of tables that are append-only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rowgraph.artifacts import write_json
from rowgraph.importing.found import FoundTable
from rowgraph.importing.sources import TYPES, Source

MEMORY = "3GiB"  # that DuckDB may take for rows that were fetched; the rest lies on disk

Tick = Callable[[str, int], None]


@dataclass(frozen=True)
class Staged:
    """The rows of one table.

    Args:
        files: Parquet, the older first.
        rows: in all.
        fetched: of them, those that this import brought.
        columns: that were fetched.
        emptied: by column, values that no type can hold (NaN, infinite or too large numbers,
            infinite times and those before the year 1), which became empty.
    """

    files: tuple[Path, ...]
    rows: int
    fetched: int
    columns: tuple[str, ...]
    emptied: Mapping[str, int] = field(default_factory=dict)


def stage(source: Source, table: FoundTable, folder: Path, *, append_only: str | None = None,
          limit: int | None = None, tick: Tick = lambda table, rows: None) -> Staged:
    """Fetch the rows of a table.

    Args:
        folder: keeps them between imports.
        append_only: a column that ascends with new rows; where it was so before too, only rows with
            more are fetched.
        limit: rows at most.
        tick: hears the table and rows fetched so far.

    Raises:
        ImportFault: the source cannot be read.
    """
    columns = tuple(c.name for c in table.columns if c.kind != "binary")
    facts = folder / "staged.json"
    said = {"columns": list(columns), "append_only": append_only, "limit": limit}
    before: dict[str, Any] = json.loads(facts.read_text()) if facts.exists() else {}
    goes_on = (append_only is not None and before.get("said") == said
               and before.get("highest") is not None)
    if not goes_on:
        before = {"files": [], "rows": 0, "highest": None}
    folder.mkdir(parents=True, exist_ok=True)
    number = len(before["files"])
    path = folder / f"{number:04}.parquet"
    above = (append_only, before["highest"]) if goes_on else None
    schema = pa.schema([(c, TYPES[table.kinds[c]]) for c in columns])
    rows, highest = 0, before["highest"]
    emptied: dict[str, int] = dict(before.get("emptied", {}))
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for batch in source.rows(table.name, columns, above=above, limit=limit):
            whole = _finite(pa.Table.from_batches([batch]).cast(schema), emptied)
            writer.write_table(whole)
            rows += batch.num_rows
            if append_only is not None:
                found = pc.max(whole[append_only])
                text = found.cast(pa.string()).as_py() if pa.types.is_timestamp(
                    found.type) else found.as_py()
                highest = text if highest is None else highest if text is None else max(
                    highest, text)
            tick(table.name, rows)
    for column, count in source.emptied(table.name, columns, above=above).items() if (
            limit is None) else ():
        emptied[column] = emptied.get(column, 0) + count
    part.replace(path)
    files = [*before["files"], path.name] if rows or not number else before["files"]
    write_json(facts, {"said": said, "files": files, "rows": before["rows"] + rows,
                       "highest": highest, "emptied": emptied})
    for old in folder.glob("*.parquet"):
        if old.name not in files:
            old.unlink()
    return Staged(tuple(folder / f for f in files), before["rows"] + rows, rows, columns, emptied)


def _finite(rows: pa.Table, emptied: dict[str, int]) -> pa.Table:
    """Numbers that are none become empty, and are counted."""
    for place, one in enumerate(rows.schema):
        if pa.types.is_floating(one.type):
            column = rows.column(place)
            bad = pc.invert(pc.is_finite(column))
            if count := pc.sum(bad).as_py():
                emptied[one.name] = emptied.get(one.name, 0) + count
                rows = rows.set_column(place, one, pc.if_else(bad, None, column))
    return rows
