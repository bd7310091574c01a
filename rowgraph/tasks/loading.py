"""Reads a task of a RelBench 3 folder: who is asked about, when, and what came true.

Manifest and label tables are read here, without RelBench, which reads the whole database for some
kinds of task and knows neither a foreign key as a target nor row numbers as entities. Where labels
are not shipped they are made (`rowgraph.databases.labelling`); `source/<db>` ships them all.
Whatever is wrong with a task is said at once, with file, column and next move, and `check_tasks`
says the same before anything is computed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import cast, get_args

from rowgraph.databases.database import Database
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labelling import Span, late, make_labels, why_no_query, why_not
from rowgraph.databases.labels import MANIFEST, all_tasks
from rowgraph.databases.report import near
from rowgraph.tasks.kinds import TASK_TYPES, TaskType
from rowgraph.tasks.label_columns import Unusable, columns_of, label_tables, read_columns
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.regimes import Split
from rowgraph.tasks.settings import LabelSettings
from rowgraph.tasks.thinning import thinned

SPLITS: tuple[Split, ...] = get_args(Split)


def task_names(database: Database, extra_tasks: Path | None = None) -> list[str]:
    """The tasks that come with a database, and those beside the profile."""
    return [name for name, path in all_tasks(database.folder, extra_tasks).items()
            if (path / MANIFEST).exists()]


def load_task(database: Database, name: str, labels: LabelSettings | None = None) -> Task:
    """Read a task of a database.

    Args:
        labels: how many of its labels are known (`rowgraph.tasks.thinning`); None is all.

    Returns:
        The task. Its database hides the columns that the task must not see.

    Raises:
        ValueError: there is no such task, its type is not supported, what it may see is undefined,
            or its labels cannot be used; one line for each problem.
    """
    task, problems = _read(database, name, None, None)
    if task is None:
        raise ValueError("\n".join(problems))
    return task if labels is None else thinned(task, labels)


def check_tasks(database: Database, names: Iterable[str],
                extra_tasks: Path | None = None) -> list[str]:
    """What forbids the use of some tasks of a sound database, one line a problem, at once.

    Labels that are shipped are read; those that are not are not made, but it is said where
    manifest, times or SQL show that they could not be.

    Args:
        database: has passed `check_database`.
        names: of the tasks that are wanted.
        extra_tasks: holds further tasks, a folder each, that are not yet part of the database.
    """
    span = Span(database)
    return [problem for name in names for problem in _read(database, name, extra_tasks, span)[1]]


def unknown_task(who: str, database: str, known: Iterable[str]) -> str:
    """That there is no such task; the nearest names."""
    known = sorted(known)
    close = difflib.get_close_matches(who.rpartition("/")[2], known, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"{who}: no such task; tasks of {database}: {', '.join(known) or 'none'}{hint}"


def _read(database: Database, name: str, extra_tasks: Path | None,
          span: Span | None) -> tuple[Task | None, list[str]]:
    """The task, or what is wrong with it.

    With a span it is checked alone: its times decide about labels, none is made by a query, and
    neither a task nor a problem is the answer where those that are missing could be made.
    """
    who, known = f"{database.name}/{name}", task_names(database, extra_tasks)
    if name not in known:
        return None, [unknown_task(who, database.name, known)]
    folder = all_tasks(database.folder, extra_tasks)[name]
    try:
        schema = LabelSchema.read(folder / MANIFEST, database.tables)
    except ValueError as error:
        return None, [f"{who}: {MANIFEST} is no task manifest ({error}); correct it"]
    if problems := _of_manifest(database, schema):
        return None, [f"{who}: {problem}" for problem in problems]
    num_rows = {table: database.num_rows(table) for table in set(schema.entities.values())}
    problems, found = [], {}
    missing = [split for split in SPLITS if not (folder / f"{split}.parquet").exists()]
    for split in (s for s in SPLITS if s not in missing):
        try:
            found[split] = read_columns(folder / f"{split}.parquet", split, schema, num_rows)
        except Unusable as error:
            problems += error.problems
    if missing and (span is None or schema.autocomplete):
        try:
            made = make_labels(database, schema, missing)
            for split in missing:
                found[split] = columns_of(made[split], split, schema, num_rows)
        except Unusable as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"{_files(missing)}: missing, and {error}")
    elif missing and span is not None:
        refusals = [why_not(span, schema, split) for split in missing]
        refusals += [None if any(refusals) else why_no_query(database, schema)]
        problems += [f"{_files(missing)}: missing, and {r}" for r in dict.fromkeys(refusals) if r]
    if span is not None and schema.kind == "forecast" and not _truncated(database):
        said = {split: late(span, schema, split) for split in ("val", "test")
                if split not in missing}
        problems += [f"{split}.parquet: {words}" for split, words in said.items() if words]
    task = None
    if not problems and len(found) == len(SPLITS):
        try:
            tables, classes = label_tables(schema, found)
            task = _task(database, name, schema, tables, classes)
        except Unusable as error:
            problems += error.problems
    return task, [f"{who}: {problem}" for problem in problems]


def _task(database: Database, name: str, schema: LabelSchema, tables: dict[Split, LabelTable],
          classes: tuple[str, ...]) -> Task:
    return Task(name, database.without(schema.hidden), cast(TaskType, schema.task_type),
                schema.entity_table, schema.timedelta, tables["train"], tables["val"],
                tables["test"], classes, schema.destination_table, schema.eval_k,
                autocomplete=schema.autocomplete)


def _of_manifest(database: Database, task: LabelSchema) -> list[str]:
    """What manifest and schema say against a task."""
    if task.task_type not in TASK_TYPES:
        return [f"task type {task.task_type} is not supported; choose a task whose type is one of "
                f"{', '.join(TASK_TYPES)}"]
    problems = []
    for table in dict.fromkeys(task.entities.values()):
        if table not in database.tables:
            problems.append(f"entity table '{table}' is not in the database; "
                            f"{near(table, database.tables)} Correct the task's manifest")
    if problems or not task.entities:
        return problems or ["the manifest names no entity_col; add it"]
    if not task.time_col:
        whose = f"table {task.entity_table}" if task.autocomplete else "the label table"
        problems.append(f"{whose} has no time column, so that what a label row may see is "
                        "undefined; choose a temporal task")
    if not (task.target_col or task.destination_col):
        problems.append("the manifest names no target_col; add it")
    if task.destination_table and not task.eval_k:
        problems.append("the manifest names no eval_k, so that nobody knows how many rows to "
                        "recommend; add it")
    span = database.test_timestamp - database.val_timestamp
    if not task.autocomplete and task.timedelta > span:
        problems.append("timedelta is longer than from val_timestamp to test_timestamp, so that "
                        "validation labels were not yet known when the test begins; shorten it, "
                        "or move the timestamps")
    target = (task.entity_table, task.destination_col or task.target_col)
    for table, column in task.hidden:
        if table not in database.tables:
            problems.append(f"hidden column {table}.{column}: no such table; "
                            f"{near(table, database.tables)}")
            continue
        schema, there = database.tables[table], database.columns(table)
        own = task.autocomplete and (table, column) == target
        if column not in there:
            problems.append(f"hidden column {table}.{column} does not exist, and if another was "
                            f"meant the label leaks; {near(column, there)}")
        elif not own and column in (*schema.key_cols, schema.time_col):
            role = ("time column" if column == schema.time_col else
                    "primary key" if column == schema.pkey_col else "foreign key")
            problems.append(f"remove_columns names {table}.{column}, a {role}, without which the "
                            "database is another; make a copy of the database without it, or "
                            "remove the pair")
    return problems


def _truncated(database: Database) -> bool:
    """Whether rows were left out after the labels were made, the newest perhaps among them."""
    return (database.folder / "rows").is_dir()


def _files(splits: list[Split]) -> str:
    return " and ".join(f"{split}.parquet" for split in splits)
