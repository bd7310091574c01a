"""What a task's manifest says about its label tables, checked when it is read."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rowgraph.databases.database import TableSchema
from rowgraph.databases.report import reason
from rowgraph.yaml_files import read_yaml

if TYPE_CHECKING:
    from relbench.manifest import TaskManifest

ROW_NUMBER = "primary_key"  # RelBench's name for the entities of a table without a primary key


@dataclass(frozen=True)
class LabelSchema:
    """What a task's manifest says about its label tables.

    RelBench refuses a foreign key as the target of an autocomplete task. Here it is a
    recommendation about one row, spelled as any autocomplete task is, and with `eval_k`::

        kind: autocomplete
        task_type: recommendation
        entity_table: results
        target_col: constructorId
        eval_k: 3

    Args:
        name, kind, task_type: as RelBench spells them.
        entity_table, entity_col: of a recommendation, the source.
        destination_table, destination_col: of a recommendation.
        target_col, time_col: the label and the seed time, where the task has them.
        timedelta: microseconds, the length of a label's window.
        eval_k: recommended rows that are judged.
        hidden: (table, column) pairs that the task must not see.
        extra_files: files besides manifest and splits that an external task ships.
        manifest: as read; RelBench makes the labels of a forecast task from it.
        unread: keys of the manifest that nobody knows.
    """

    name: str
    kind: str
    task_type: str
    entity_table: str
    entity_col: str
    destination_table: str | None
    destination_col: str | None
    target_col: str | None
    time_col: str | None
    timedelta: int
    eval_k: int | None
    hidden: tuple[tuple[str, str], ...]
    extra_files: tuple[str, ...]
    manifest: TaskManifest
    unread: tuple[str, ...] = ()

    @property
    def entities(self) -> dict[str, str]:
        """Column of the label tables that holds row numbers -> table that it points into."""
        found = {self.entity_col: self.entity_table} if self.entity_col else {}
        if self.destination_col:
            found[self.destination_col] = self.destination_table
        return found

    @property
    def autocomplete(self) -> bool:
        """The label is a cell of the entity row itself."""
        return self.kind == "autocomplete"

    @classmethod
    def read(cls, path: Path, schemas: dict[str, TableSchema]) -> LabelSchema:
        """Read a task's manifest.

        Raises:
            ValueError: it is no task manifest; the message says why.
        """
        from relbench.manifest import TaskManifest

        content = read_yaml(path)
        if not isinstance(content, dict):
            raise ValueError(f"expected keys and values, found {type(content).__name__}")
        known = [field.name for field in dataclasses.fields(TaskManifest)]
        unread = tuple(str(key) for key in content if key not in known)
        for key in unread:
            if close := difflib.get_close_matches(key, known, n=1, cutoff=0.7):
                raise ValueError(f"`{key}` is not known; did you mean `{close[0]}`?")
        try:
            task = TaskManifest.from_dict({str(k): v for k, v in content.items()})
        except TypeError as error:
            raise ValueError(reason(error)) from None
        _check_types(task)
        linked = task.kind == "autocomplete" and task.task_type == "recommendation"
        if linked:
            missing = [k for k in ("entity_table", "target_col", "eval_k") if not getattr(task, k)]
            if missing:
                raise ValueError("an autocomplete task about a foreign key (task_type: "
                                 f"recommendation) is missing {', '.join(missing)}")
        else:
            task.validate()
        schema = schemas.get(task.entity_table)
        target_col, time_col, link = task.target_col, task.time_col, (None, None)
        entity = task.entity_table, task.entity_col
        timedelta = _microseconds(task)
        hidden = tuple((table, column) for table, column in task.remove_columns or ())
        if task.kind == "autocomplete":
            entity = task.entity_table, (schema and schema.pkey_col) or ROW_NUMBER
            time_col = schema and schema.time_col
            hidden += ((task.entity_table, task.target_col),)
            target = schema and schema.fkeys.get(task.target_col)
            if linked and schema and target is None:
                raise ValueError(f"task_type: recommendation, but {task.entity_table}."
                                 f"{task.target_col} is no foreign key")
            if target is not None and not linked:
                raise ValueError(f"{task.entity_table}.{task.target_col} is a foreign key: write "
                                 "task_type: recommendation and eval_k")
            if schema and task.target_col in (schema.pkey_col, schema.time_col):
                raise ValueError(f"{task.entity_table}.{task.target_col} is a primary key or time "
                                 "column, which no task can ask for")
            if linked:
                link, target_col = (target, task.target_col), None
        elif task.task_type == "recommendation":
            entity = task.src_entity_table, task.src_entity_col
            link, target_col = (task.dst_entity_table, task.dst_entity_col), None
            if entity[1] == link[1]:
                raise ValueError(f"src_entity_col and dst_entity_col are both {link[1]}")
        return cls(task.name, task.kind, task.task_type, *entity, *link, target_col, time_col,
                   timedelta, task.eval_k, hidden, tuple(task.extra_files or ()), task, unread)


def _check_types(task: TaskManifest) -> None:
    """Each field that is used has the type that it should have."""
    texts = ("name", "kind", "task_type", "entity_table", "entity_col", "target_col", "time_col",
             "src_entity_table", "src_entity_col", "dst_entity_table", "dst_entity_col",
             "timedelta", "sql", "evaluator")
    for field in texts:
        if not isinstance(value := getattr(task, field), str | None):
            raise ValueError(f"{field} is {value!r}, expected text; put it into quotes")
    for field in ("eval_k", "num_eval_timestamps"):
        value = getattr(task, field)
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{field} is {value!r}, expected a whole number from 1 on")
    if task.num_eval_timestamps is None:
        raise ValueError("num_eval_timestamps is empty; write a number or leave it out")
    if task.task_type == "recommendation" and task.num_eval_timestamps != 1:
        raise ValueError("a recommendation task has one evaluation window; remove "
                         "num_eval_timestamps")
    pairs = task.remove_columns if task.remove_columns is not None else []
    if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and [type(part) for part in pair] == [str, str]
            for pair in pairs):
        raise ValueError(f"remove_columns is {pairs!r}, expected a list of [table, column]")
    files = task.extra_files if task.extra_files is not None else []
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise ValueError(f"extra_files is {files!r}, expected a list of file names")


def _microseconds(task: TaskManifest) -> int:
    """The length of a label's window, as RelBench has it."""
    import pandas as pd

    if task.kind == "autocomplete":
        return 1_000_000
    if task.timedelta is None:
        return 86_400_000_000  # RelBench's for external labels; forecast tasks must name theirs
    try:
        found = pd.Timedelta(task.timedelta) // pd.Timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"timedelta is {task.timedelta!r}, expected a length such as '30 days' "
                         f"({reason(error)})") from None
    if not found > 0:
        raise ValueError(f"timedelta is {task.timedelta!r}, expected a length such as '30 days'")
    return int(found)
