"""Label tables of a task: which columns hold row numbers, and whether they are sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

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
from rowgraph.databases.report import Findings, TableFacts, TaskFacts, near, reason

MANIFEST = "manifest.yaml"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelSchema:
    """What a task's manifest says about its label tables.

    Args:
        name, kind, task_type: as RelBench spells them.
        entities: column that holds row numbers -> table that it points into.
        target_col, time_col: the label and the seed time, where the task has them.
        hidden: (table, column) pairs that the task must not see.
        extra_files: files besides manifest and splits that an external task ships.
    """

    name: str
    kind: str
    task_type: str
    entities: dict[str, str]
    target_col: str | None
    time_col: str | None
    hidden: tuple[tuple[str, str], ...]
    extra_files: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, schemas: dict[str, TableSchema]) -> LabelSchema:
        """Read a task's manifest.

        Raises:
            ValueError: it is no task manifest; the message says why.
        """
        from relbench.manifest import TaskManifest

        try:
            task = TaskManifest.load(path)
            task.validate()
            hidden = tuple((str(table), str(column)) for table, column in task.remove_columns or ())
        except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise ValueError(reason(error)) from error
        time_col, target_col = task.time_col, task.target_col
        if task.task_type == "recommendation":
            entities = {task.src_entity_col: task.src_entity_table,
                        task.dst_entity_col: task.dst_entity_table}
            target_col = None
        elif task.kind == "autocomplete":
            schema = schemas.get(task.entity_table)
            entities = {(schema and schema.pkey_col) or "primary_key": task.entity_table}
            time_col = schema and schema.time_col
            hidden += ((task.entity_table, task.target_col),)
        else:
            entities = {task.entity_col: task.entity_table} if task.entity_col else {}
        return cls(task.name, task.kind, task.task_type, entities, target_col, time_col, hidden,
                   tuple(task.extra_files or ()))


def task_folders(folder: Path) -> list[Path]:
    """The folders below `tasks/`, by name."""
    return sorted(p for p in (folder / "tasks").glob("*") if p.is_dir())


def check_task(folder: Path, name: str, schemas: dict[str, TableSchema],
               tables: dict[str, TableFacts], cuts: tuple[int, int] | None,
               found: Findings) -> TaskFacts | None:
    """Check the manifest and the shipped label tables of one task.

    Args:
        folder: of the database.
        name: of the task's folder.
        schemas: every table of the manifest.
        tables: those that could be read.
        cuts: val_timestamp and test_timestamp in microseconds.
        found: where problems and warnings go.
    """
    file = f"tasks/{name}/{MANIFEST}"
    if not (folder / file).is_file():
        found.warn(file, "missing, so this folder is no task", "add it or remove the folder")
        return None
    try:
        task = LabelSchema.read(folder / file, schemas)
    except ValueError as error:
        found.problem(file, f"not a task manifest ({error})",
                      "write name, kind, task_type and what RelBench asks of them")
        return None
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
        path = f"tasks/{name}/{split}.parquet"
        if (folder / path).exists():
            rows = _check_split(folder, path, split, task, tables, cuts, found)
            splits |= {} if rows is None else {split: rows}
        elif task.kind == "external":
            found.problem(path, "missing, and external labels cannot be regenerated",
                          "fetch it, or remove the task")
        else:
            found.warn(path, "missing; RelBench regenerates it on every load", "ship it, or leave "
                       "it")
    return TaskFacts(task.task_type, splits)


def _check_split(folder: Path, file: str, split: str, task: LabelSchema,
                 tables: dict[str, TableFacts], cuts: tuple[int, int] | None,
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
            watchers = [Times(column, False, np.iinfo(np.int64).max)]
        if not check_column(parquet, file, None, column, watchers, found):
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
