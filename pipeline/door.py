"""What forbids a profile's databases and tasks, said before anything is computed."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assets.catalog import part
from pipeline.environment import Environment
from pipeline.plan import Planned
from rowgraph.artifacts import Artifact
from rowgraph.databases.settings import DatabaseSettings


def problems_of(environment: Environment, planned: Iterable[Planned],
                todo: Iterable[Planned] | None = None, *, values: bool = True) -> list[str]:
    """What forbids the use of the databases and tasks that some assets need, a line each.

    A finished source was checked when it was made, so only its tasks are looked at; a folder that
    is yet to become one is checked as `source/<db>` will. Of what is neither here nor built,
    nothing can be said but the names of an embedded database's tasks.

    Args:
        planned: every asset of the profile.
        todo: those that are to be made; None = all.
        values: whether the values of a folder are read (seconds a GB), or manifests and footers
            alone. Labels are read in any case.
    """
    from rowgraph.databases.checking import check_database

    by_key = {p.node.key: p for p in planned}
    needed = list(by_key.values() if todo is None else todo)
    problems = checkpoint_problems(environment, needed)
    for database in environment.profile.databases:
        mine = [p.node for p in needed if p.node.database and p.node.database.name == database.name]
        if not mine:
            continue
        tasks = [task for task in database.tasks if any(node.task == task for node in mine)]
        extra, _ = environment.extra_tasks(database.name)
        source = by_key["source", part(database.name)]
        if source.artifact is None and source.folder is None:
            problems += [f"{database.name}: {p}" for p in no_folder(environment, database.name)]
        if source.artifact is None and source.folder is not None:
            report = check_database(source.folder, extra, values=values,
                                    knowledge=database.knowledge)
            if report.problems:
                problems += [f"{database.name}: {p}" for p in report.problems]
                continue
        folder = source.artifact.folder if source.artifact else source.folder
        found = task_problems(database, tasks, folder, extra)
        if source.artifact and not found:
            found = without_labels(database.name, tasks, source.artifact)
        kept = {node.task for node in mine if node.stage == "adapted_model"}
        problems += found or unkept(database, sorted(kept), folder, extra)
    return problems


def checkpoint_problems(environment: Environment, needed: Iterable[Planned]) -> list[str]:
    """A language model that is to be read from a folder has to be there."""
    name = environment.profile.bart_checkpoint.checkpoint
    if name is None or not any(p.node.stage == "bart_checkpoint" for p in needed):
        return []
    folder = Path(name).expanduser()
    if not name.startswith(("/", ".", "~")) or (folder / "config.json").is_file():
        return []
    return [f"bart_checkpoint.checkpoint names {name}, which is no folder with a config.json; "
            "write its path, a name on the Hugging Face hub, or null to train from scratch"]


def no_folder(environment: Environment, database: str) -> list[str]:
    """That a database's own folder is there, but not as one: nobody means the hub's then."""
    from rowgraph.databases.resolving import MANIFEST

    folder = environment.databases and environment.databases / database
    if folder is None or not os.path.lexists(folder):
        return []
    return [f"{folder} holds no readable {MANIFEST}; mend it, or remove the folder so that the "
            "database is looked for elsewhere"]


def without_labels(database: str, tasks: Iterable[str], source: Artifact) -> list[str]:
    """The tasks whose labels could not be made when a database was copied."""
    from rowgraph.databases.labels import SPLITS

    missing = [task for task in tasks if not all(
        (source.folder / f"tasks/{task}/{split}.parquet").is_file() for split in SPLITS)]
    said = source.summary["warnings"] if missing else ()
    return [f"{database}/{task}: " + next((text for text in said if text.startswith(
        f"tasks/{task}:")), "its labels are missing from the copy; make it again with --force")
        for task in missing]


def unkept(database: DatabaseSettings, tasks: Iterable[str], folder: Path | None,
           extra_tasks: Path | None) -> list[str]:
    """Which tasks of one database cannot have a model that is kept.

    Args:
        tasks: sound ones that `adapted_model` wants to keep a model of.
    """
    from rowgraph.databases.database import Database
    from rowgraph.databases.label_schema import LabelSchema
    from rowgraph.databases.labels import MANIFEST, all_tasks

    if folder is None:
        return []
    tables, problems = Database.open(folder).tables, []
    for task in tasks:
        schema = LabelSchema.read(all_tasks(folder, extra_tasks)[task] / MANIFEST, tables)
        if schema.autocomplete:
            who = f"{database.name}/{task}"
            problems.append(f"{who} is an autocomplete task, whose model cannot be kept; write "
                            f"`task_settings: {{{who}: {{adapted_model: {{fit: false}}}}}}` into "
                            "the profile")
    return problems


def described(environment: Environment) -> list[dict[str, Any]]:
    """Every database of the profile and every other one that is here, as `describe` has it.

    Returns:
        Also `database`, `role` (None where it is not the profile's), and in `problems` what
        forbids the tasks that the profile wants.
    """
    from rowgraph.databases.resolving import known_names
    from rowgraph.databases.sourcing import describe

    wanted = {d.name: d for d in environment.profile.databases}
    rows = []
    for name in dict.fromkeys([*wanted, *known_names(environment.databases)]):
        settings = wanted.get(name)
        extra = environment.extra_tasks(name)[0] if settings else None
        facts = describe(name, folders=environment.databases, extra_tasks=extra,
                         entities=settings.entities if settings else None,
                         knowledge=settings.knowledge if settings else None)
        for kind in ("problems", "warnings"):
            facts[kind] = [f"{name}: {text}" for text in facts[kind]]
        if settings and not facts["here"]:
            facts["problems"] += [f"{name}: {text}" for text in no_folder(environment, name)]
        if settings and not facts["problems"]:
            folder = Path(facts["folder"]) if "folder" in facts else None
            facts["problems"] = task_problems(settings, settings.tasks, folder, extra)
            if folder and not facts["problems"]:
                try:
                    facts["suspects"] += _telling(settings.tasks, folder, extra, facts["knowledge"])
                except ValueError as error:  # labels that only the making shows to be none
                    facts["problems"] = str(error).splitlines()
        rows.append({"database": name, "role": settings and settings.role, **facts})
    return rows


def _telling(tasks: Iterable[str], folder: Path, extra_tasks: Path | None,
             knowledge: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns that answer one of the profile's tasks alone, among what its seeds may see."""
    from rowgraph.databases.database import Database
    from rowgraph.databases.knowledge import Knowledge
    from rowgraph.databases.suspects import suspect_facts
    from rowgraph.tasks.loading import load_task
    from rowgraph.tasks.telling import telling_columns

    database = Database.open(folder).knowing(Knowledge.parse(knowledge))
    return [fact for task in tasks if not (extra_tasks and (extra_tasks / task).is_dir())
            for fact in suspect_facts(telling_columns(load_task(database, task)))]


def task_problems(database: DatabaseSettings, tasks: Iterable[str], folder: Path | None,
                  extra_tasks: Path | None) -> list[str]:
    """What forbids the use of some tasks of one database.

    Args:
        database: as in the profile.
        tasks: their names.
        folder: its RelBench 3 folder, sound; None where there is none yet.
        extra_tasks: those beside the profile.
    """
    from rowgraph.databases.database import Database
    from rowgraph.databases.embedded import EMBEDDED
    from rowgraph.databases.labels import all_tasks
    from rowgraph.tasks.loading import check_tasks, unknown_task

    if folder is not None:
        return check_tasks(Database.open(folder), tasks, extra_tasks)
    if database.name not in EMBEDDED:
        return []
    known = [*EMBEDDED[database.name].tasks, *all_tasks(None, extra_tasks)]
    return [unknown_task(f"{database.name}/{task}", database.name, known)
            for task in tasks if task not in known]


def compared(old: Path, new: Path) -> list[list[str]]:
    """The columns that changed between two exports of a database, a line each.

    Raises:
        ValueError: one of them is no sound RelBench 3 folder, or they have no table in common.
    """
    from rowgraph.databases.checking import check_database
    from rowgraph.databases.comparing import changes
    from rowgraph.databases.database import Database

    for folder in (old, new):
        check_database(folder).raise_if_broken()
    return [[f"{c.table}.{c.column}", f"{c.changed:,} ({c.changed / c.rows:.1%})", f"{c.rows:,}",
             f"{c.filled:,}", f"{c.emptied:,}", c.example]
            for c in changes(Database.open(old), Database.open(new))]
