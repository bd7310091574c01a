"""The tasks of a database, and whether their label tables are sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rowgraph.databases.columns import (
    ForeignKey,
    Times,
    Values,
    Watcher,
    check_column,
    is_key_type,
    is_list,
    open_parquet,
)
from rowgraph.databases.database import TableSchema
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.report import Findings, TableFacts, TaskFacts, near

MANIFEST = "manifest.yaml"
SPLITS = ("train", "val", "test")


def task_folders(folder: Path) -> list[Path]:
    """The folders below `tasks/`, by name."""
    return sorted(p for p in (folder / "tasks").glob("*") if p.is_dir())


def all_tasks(folder: Path | None, extra_tasks: Path | None,
              found: Findings | None = None) -> dict[str, Path]:
    """The folder of each task by name: of the database, then those beside the profile.

    Args:
        folder: of the database; None where it is not here.
        extra_tasks: holds further tasks, a folder each.
        found: where a name that both have is noted.
    """
    tasks = {path.name: path for path in (task_folders(folder) if folder else ())}
    for path in sorted(extra_tasks.glob("*")) if extra_tasks else ():
        if not path.is_dir() or path.name.startswith("."):
            continue
        if tasks.setdefault(path.name, path) != path and found is not None:
            found.problem(str(path), f"{folder.name} has a task of this name already",
                          "rename the folder beside the profile")
    return tasks


def check_task(path: Path, folder: Path, schemas: dict[str, TableSchema],
               tables: dict[str, TableFacts], cuts: tuple[int, int] | None,
               found: Findings, *, values: bool = True) -> TaskFacts | None:
    """Check the manifest and the shipped label tables of one task.

    Args:
        path: the task's folder.
        folder: of the database.
        schemas: every table of the manifest.
        tables: those that could be read.
        cuts: val_timestamp and test_timestamp in microseconds.
        found: where problems and warnings go.
        values: whether values are read, or footers alone.
    """
    place = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    file = f"{place}/{MANIFEST}"
    if not (path / MANIFEST).exists():
        found.warn(file, "missing, so this folder is no task", "add it or remove the folder")
        return None
    try:
        task = LabelSchema.read(path / MANIFEST, schemas)
    except ValueError as error:
        found.problem(file, f"not a task manifest ({error})",
                      "write name, kind, task_type and what RelBench asks of them")
        return None
    for key in task.unread:
        found.warn(file, f"`{key[:50]}` is not read", "remove it, or leave it")
    for column, table in task.entities.items():
        if table not in schemas:
            found.problem(file, f"the entity table {table} does not exist", near(table, schemas),
                          table, column)
    for table, column in task.hidden:
        options = tables[table].columns if table in tables else tuple(tables)
        if table not in schemas or (table in tables and column not in options):
            found.warn(file, "named as hidden from the task, but it does not exist; if another "
                       "column was meant, the label leaks", near(column, options), table, column)
    splits: dict[str, int] = {}
    for split in SPLITS:
        parquet = f"{place}/{split}.parquet"
        if (path / f"{split}.parquet").exists():
            rows = _check_split(folder, parquet, split, task, tables, cuts, values, found)
            splits |= {} if rows is None else {split: rows}
        elif task.kind == "external":
            found.problem(parquet, "missing, and external labels cannot be regenerated",
                          "fetch it, or remove the task")
        elif not task.autocomplete:
            found.warn(parquet, "missing; it is made from the database when that is copied",
                       "ship it, or leave it")
    return TaskFacts(task.task_type, splits)


def _check_split(folder: Path, file: str, split: str, task: LabelSchema,
                 tables: dict[str, TableFacts], cuts: tuple[int, int] | None, values: bool,
                 found: Findings) -> int | None:
    """Columns, entities and times of one label table; its rows, None where it is unreadable."""
    parquet = open_parquet(folder, file, None, found)
    if parquet is None:
        return None
    fields, rows = parquet.schema_arrow, parquet.metadata.num_rows
    if not rows:
        found.warn(file, "the split has no rows", "it cannot be used; rebuild it, or leave it")
    for column in filter(None, (*task.entities, task.target_col, task.time_col)):
        if fields.names.count(column) != 1:
            found.problem(file, f"expected one such column, found {fields.names.count(column)}",
                          near(column, fields.names), column=column)
            continue
        kind, watchers = fields.field(column).type, []
        if column in task.entities:
            _watch_entities(task, file, column, kind, tables, watchers, found)
        elif column == task.target_col:
            watchers = [Values(rows)]
        elif not pa.types.is_timestamp(kind) or kind.tz is not None:
            found.problem(file, f"seed times of type {kind}, expected timestamps without a time "
                          "zone", "convert them to timestamp[us]", column=column)
        else:
            watchers = [Values(rows), Times(column, False, np.iinfo(np.int64).max)]
        if not values or not check_column(parquet, file, None, column, watchers, found):
            continue
        for watcher in watchers:
            if isinstance(watcher, Times) and watcher.first is not None and cuts:
                _check_side(file, split, column, watcher, cuts, found)
            if isinstance(watcher, ForeignKey) and watcher.missing:
                found.warn(file, f"{watcher.missing} labels have no entity",
                           "they cannot be predicted: remove the rows", column=column)
    return rows


def _watch_entities(task: LabelSchema, file: str, column: str, kind: pa.DataType,
                    tables: dict[str, TableFacts], watchers: list[Watcher],
                    found: Findings) -> None:
    table = task.entities[column]
    if not is_key_type(kind.value_type if is_list(kind) else kind):
        found.problem(file, f"entities of type {kind}, expected int64 or a list of int64",
                      f"write row numbers of {table}", column=column)
    elif table in tables:
        watchers.append(ForeignKey(table, tables[table].rows))


def _check_side(file: str, split: str, column: str, times: Any, cuts: tuple[int, int],
                found: Findings) -> None:
    """Training labels end with val_timestamp and test labels begin with test_timestamp."""
    val, test = cuts
    if split == "train" and times.last > val:
        found.warn(file, "training labels are dated after val_timestamp",
                   "rebuild the split, or know that train and validation overlap in time",
                   column=column)
    if split == "test" and times.first < test:
        found.warn(file, "test labels are dated before test_timestamp",
                   "rebuild the split, or know that validation and test overlap in time",
                   column=column)
