"""Checks a RelBench 3 folder at the door, so that everything behind it may trust the data.

Every problem is collected with its file, table, column and next move: a person who mends a folder
wants the whole list, not its first line. Columns are streamed; the database is never held whole.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases.columns import (
    ForeignKey,
    PrimaryKey,
    Times,
    Values,
    Watcher,
    check_column,
    foreign_kind,
    is_key_type,
    open_parquet,
)
from rowgraph.databases.database import PANDAS_INDEX, TableSchema, microseconds
from rowgraph.databases.knowledge import FILE as KNOWLEDGE
from rowgraph.databases.knowledge import Knowledge, KnowledgeError, faults
from rowgraph.databases.labels import MANIFEST, all_tasks, check_task
from rowgraph.databases.report import (
    DatabaseError,
    Findings,
    Problem,
    Report,
    TableFacts,
    TaskFacts,
    near,
)
from rowgraph.yaml_files import UnreadableYaml, read_yaml

__all__ = ["DatabaseError", "Problem", "Report", "TableFacts", "TaskFacts", "check_database"]

MANIFEST_VERSION = 1
REQUIRED = ("name", "val_timestamp", "test_timestamp", "tables")
KNOWN = (*REQUIRED, "manifest_version", "description")


def check_database(folder: Path, extra_tasks: Path | None = None, *, values: bool = True,
                   knowledge: Mapping[str, Any] | None = None) -> Report:
    """Verify a RelBench 3 folder: manifest, tables, keys, times, what is said of them, and tasks.

    Args:
        folder: holds `manifest.yaml`, `db/<table>.parquet` and perhaps `tasks/<task>/`.
        extra_tasks: holds further tasks of this database, a folder each.
        values: whether values are read; without, only what manifests and footers say is checked.
        knowledge: what the profile says of columns, beside the folder's own `knowledge.yaml`.

    Returns:
        All problems and warnings, and the size and time span of what could be read.
    """
    folder = Path(folder)
    found = Findings()
    tables: dict[str, TableFacts] = {}
    tasks: dict[str, TaskFacts] = {}
    manifest = _read_manifest(folder, found)
    if manifest is not None:
        schemas = _schemas(manifest["tables"], found)
        files = {t: open_parquet(folder, f"db/{t}.parquet", t, found) for t in schemas}
        cuts = _cuts(manifest, found)
        for name, schema in schemas.items():
            if files[name] is not None:
                tables[name] = _check_table(schema, files, cuts, values, found)
        _check_knowledge(folder, knowledge or {}, schemas, files, found)
        for path in sorted((folder / "db").glob("*.parquet")):
            if path.stem not in manifest["tables"]:
                found.warn(f"db/{path.name}", "no table of the manifest",
                           f"name it in {MANIFEST} or remove the file")
        for name, path in all_tasks(folder, extra_tasks, found).items():
            if facts := check_task(path, folder, schemas, tables, cuts, found, values=values):
                tasks[name] = facts
    name = manifest and manifest.get("name")
    return Report(folder, name and str(name), tuple(found.problems),
                  tuple(found.warnings), tables, tasks)


def _read_manifest(folder: Path, found: Findings) -> dict[str, Any] | None:
    """The manifest, or None where nothing further can be checked."""
    try:
        manifest = read_yaml(folder / MANIFEST)
    except UnreadableYaml as error:
        found.problem(MANIFEST, f"not readable as YAML ({error})",
                      "a RelBench 3 folder holds manifest.yaml, db/ and tasks/; mend or fetch it")
        return None
    if not isinstance(manifest, dict):
        found.problem(MANIFEST, f"expected keys and values, found {type(manifest).__name__}",
                      "write name, val_timestamp, test_timestamp and tables")
        return None
    version = manifest.get("manifest_version", MANIFEST_VERSION)
    if version != MANIFEST_VERSION or isinstance(version, bool):
        found.problem(MANIFEST, f"manifest_version {version!r}, expected {MANIFEST_VERSION}",
                      "convert the folder with a release of RelBench that reads both")
        return None
    if not isinstance(manifest.get("name") or "", str):
        found.problem(MANIFEST, f"`name` is {manifest['name']!r}, expected text",
                      "put it into quotes")
    strangers = [str(k) for k in manifest if k not in KNOWN]
    for key in (k for k in REQUIRED if not manifest.get(k)):
        close = difflib.get_close_matches(key, strangers, n=1)
        found.problem(MANIFEST, f"`{key}` is missing or empty",
                      f"rename `{close[0]}`" if close else f"add `{key}`")
    for key in strangers:
        found.warn(MANIFEST, f"`{key[:50]}` is not read", "remove it, or leave it")
    tables = manifest.get("tables") or {}
    if not isinstance(tables, dict):
        found.problem(MANIFEST, f"`tables` is a {type(tables).__name__}",
                      "write a mapping from table names to pkey, time_col and fkeys")
    return manifest if isinstance(tables, dict) and tables else None


def _cuts(manifest: dict[str, Any], found: Findings) -> tuple[int, int] | None:
    """`val_timestamp` and `test_timestamp` in microseconds, where both are sound."""
    cuts = []
    for key in (k for k in ("val_timestamp", "test_timestamp") if manifest.get(k)):
        value = manifest[key]
        try:
            moment = datetime.fromisoformat(str(value))
            same = np.datetime64(moment.replace(tzinfo=None), "us").astype(np.int64)
            if moment.tzinfo or not isinstance(value, str | date) or same != microseconds(value):
                raise ValueError
            cuts.append(microseconds(value))
        except (ValueError, OverflowError):
            found.problem(MANIFEST, f"`{key}` is {value!r}, expected a date without a time zone",
                          "write it as 'YYYY-MM-DD'")
    if len(cuts) == 2 and cuts[0] >= cuts[1]:
        found.problem(MANIFEST, f"val_timestamp {manifest['val_timestamp']} is not before "
                      f"test_timestamp {manifest['test_timestamp']}", "exchange or correct them")
    return (cuts[0], cuts[1]) if len(cuts) == 2 else None


def _schemas(tables: dict[Any, Any], found: Findings) -> dict[str, TableSchema]:
    """The tables whose entries have the right shape; their foreign keys to such tables."""
    schemas = {}
    for name, spec in tables.items():
        if (not isinstance(name, str) or Path(name).name != name or name.startswith(".")
                or "\0" in name or len(name.encode()) > 200):
            found.problem(MANIFEST, f"{name!r} cannot be the name of a table and of its file",
                          "use letters, digits and underscores", table=str(name)[:50])
            continue
        fkeys = (spec.get("fkeys") or {}) if isinstance(spec, dict) else None
        if not isinstance(fkeys, dict):
            found.problem(MANIFEST, f"expected pkey, time_col and fkeys (column: table); found "
                          f"{spec!r}", "correct the entry", name)
            continue
        strangers = [key for key in spec if key not in ("pkey", "time_col", "fkeys")]
        named = [spec.get("pkey"), spec.get("time_col")]
        if strangers or not (all(isinstance(n, str | None) for n in named)
                             and all(isinstance(n, str) for pair in fkeys.items() for n in pair)):
            found.problem(MANIFEST, "expected only pkey, time_col and fkeys, each naming columns; "
                          f"found {strangers or spec}", "correct the entry: unread, it would "
                          "silently lose a key or a time", name)
            continue
        schemas[name] = TableSchema(name, spec.get("pkey"), spec.get("time_col"), dict(fkeys))
    for name, schema in schemas.items():
        for column, target in list(schema.fkeys.items()):
            if target not in tables:
                found.problem(MANIFEST, f"references table {target}, which does not exist",
                              near(target, tables), name, column)
            elif target in schemas and schemas[target].pkey_col is None:
                found.problem(MANIFEST, f"references table {target}, which has no primary key",
                              f"name the pkey of {target}, or remove the foreign key", name, column)
    return schemas


def _check_table(schema: TableSchema, files: dict[str, pq.ParquetFile | None],
                 cuts: tuple[int, int] | None, values: bool, found: Findings) -> TableFacts:
    """Every column of one table."""
    table, parquet = schema.name, files[schema.name]
    file, fields = f"db/{table}.parquet", parquet.schema_arrow
    rows = parquet.metadata.num_rows
    if not rows:
        found.warn(file, "the table has no rows", "remove it from the manifest, or leave it", table)
    named = [c for c in (*schema.key_cols, schema.time_col) if c]
    for column in named:
        if column not in fields.names:
            found.problem(file, f"the manifest names a column that the file lacks ({MANIFEST})",
                          near(column, fields.names), table, column)
    twice = {c for c, n in Counter(fields.names).items() if n > 1}
    for column in sorted(twice):
        found.problem(file, "the file has several columns of this name", "rename or drop all but "
                      "one", table, column)
    first = last = None
    for field in fields:
        if field.name in twice:
            continue
        if not field.name:
            found.problem(file, "a column has no name", "name or drop it", table)
            continue
        if PANDAS_INDEX.fullmatch(field.name) and field.name in named:
            found.problem(file, "the manifest names an index that pandas wrote", "rename the "
                          "column in file and manifest", table, field.name)
        elif PANDAS_INDEX.fullmatch(field.name):
            found.warn(file, "an index that pandas wrote; it is left out, as RelBench does",
                       "write the table with `index=False`, or name the index to keep it", table,
                       field.name)
        watchers: list[Watcher] = [Values(rows, field.name in schema.fkeys)]
        if complaint := _role(schema, field, files, cuts, watchers):
            found.problem(file, *complaint, table, field.name)
        if kind := foreign_kind(field.type):
            found.problem(file, f"{kind} cannot be read by every stage", "write the column in "
                          "another type", table, field.name)
        elif values and check_column(parquet, file, table, field.name, watchers,
                                              found):
            for times in (w for w in watchers if isinstance(w, Times) and w.first is not None):
                first, last = _iso(times.first), _iso(times.last)
    return TableFacts(rows, tuple(fields.names), first, last)


def _check_knowledge(folder: Path, said: Mapping[str, Any], schemas: dict[str, TableSchema],
                     files: dict[str, pq.ParquetFile | None], found: Findings) -> None:
    """What is said of columns, beside the manifest and in the profile."""
    columns = {table: {field.name: _said_of(field, schemas[table], schemas)
                       for field in parquet.schema_arrow}
               for table, parquet in files.items() if parquet is not None}
    for file, read in ((KNOWLEDGE, lambda: Knowledge.read(folder)),
                       ("the profile's knowledge", lambda: Knowledge.parse(said))):
        try:
            for table, column, message, move in faults(read(), columns):
                found.problem(file, message, move, table, column)
        except KnowledgeError as error:
            for line in str(error).splitlines():
                found.problem(file, line, "docs/decisions/knowledge.md has the form")


def _said_of(field: pa.Field, schema: TableSchema, schemas: dict[str, TableSchema]) -> str:
    """What a column is to `rowgraph.databases.knowledge.faults`."""
    if field.name == schema.pkey_col:
        return "pkey"
    if field.name == schema.time_col:
        return "time_col"
    if field.name in schema.fkeys:
        parent = schemas.get(schema.fkeys[field.name])
        return "fkey" if parent is not None and parent.time_col else "other"
    timely = pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)
    return "time" if timely else "other"


def _role(schema: TableSchema, field: pa.Field, files: dict[str, pq.ParquetFile | None],
          cuts: tuple[int, int] | None, watchers: list[Watcher]) -> tuple[str, str] | None:
    """Add the watchers for a column's role; return what is wrong with its type."""
    name, kind = field.name, field.type
    if name == schema.pkey_col:
        if not pa.types.is_integer(kind):
            return f"a primary key of type {kind}, expected int64", "write the row numbers as int64"
        watchers.append(PrimaryKey())
    if name in schema.fkeys:
        if not is_key_type(kind):
            return (f"a foreign key of type {kind}, expected int64 (or float64 with NaN for none)",
                    f"write row numbers of {schema.fkeys[name]}, null where there is none")
        if files.get(schema.fkeys[name]) is not None:
            target = schema.fkeys[name]
            watchers.append(ForeignKey(target, files[target].metadata.num_rows))
    if name == schema.time_col:
        if not pa.types.is_timestamp(kind) or kind.tz is not None:
            return (f"a time column of type {kind}, expected timestamps without a time zone",
                    "convert it to timestamp[us]")
        cut = cuts[1] if cuts else np.iinfo(np.int64).max
        watchers.append(Times(name, schema.pkey_col is not None, cut))
    return None


def _iso(time: int) -> str:
    return str(np.datetime64(int(time), "us").astype("datetime64[s]"))
