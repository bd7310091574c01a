"""`rowgraph task`: a predictive query becomes a task of a RelBench 3 folder."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def ask(folder: Path, text: str, name: str | None, move_splits: bool, dry_run: bool,
        as_json: bool) -> None:
    """Show what a query asks and how its labels lie, and keep it as a task.

    Raises:
        ValueError: folder, query or labels cannot be used; the message says the next move.
    """
    import typer

    from pipeline.printing import print_table
    from rowgraph.databases.checking import check_database
    from rowgraph.databases.database import Database
    from rowgraph.tasks.queries.proposing import propose

    check_database(folder, values=False).raise_if_broken()
    database = Database.open(folder)
    with tempfile.TemporaryDirectory() as scratch:
        found = propose(database, text, Path(scratch), name=name, move=move_splits)
    written = not (dry_run or found.problems)
    profile = None
    if written:
        found.write(folder)
        profile = name_in_profile(folder, database.name, found.name)
    if as_json:
        typer.echo(json.dumps({
            "task": found.name, "task_type": found.meaning.task_type,
            "manifest": dict(found.manifest), "splits": [vars(f) for f in found.facts],
            "problems": list(found.problems), "written": written,
            "profile": profile and str(profile)}, indent=1))
    else:
        print_table(
            f"{database.name}/{found.name} · {found.meaning.task_type}",
            ("split", "rows", found.meaning.entity, "dates", "from", "to", found.usual),
            [[f.split, f"{f.rows:,}", f"{f.entities:,}", f"{f.dates:,}", f.first, f.last,
              "" if f.base is None else f"{f.base:.4g}"] for f in found.facts],
            ("rows", found.meaning.entity, "dates", found.usual))
        if found.cuts is not None:
            typer.echo("Splits moved: " + ", ".join(f"{k} {v}"
                                                    for k, v in found.cuts.lines.items()))
        for line in _advice(found):
            typer.secho(line, fg="yellow", err=True)
        for problem in found.problems:
            typer.secho(problem, fg="red", err=True)
        if written and profile is None:
            typer.echo(f"Written: {folder / 'tasks' / found.name}. Name it under `tasks:` of the "
                       f"database {database.name} in a profile, and `rowgraph run`.")
        elif written:
            typer.echo(f"Written: {folder / 'tasks' / found.name}, and named in {profile}.\n"
                       f"Next: rowgraph run --profile {profile}\nand then: rowgraph predict "
                       f"{database.name}/{found.name} --profile {profile}")
        elif dry_run:
            typer.echo("Nothing was written (--dry-run).")
    if found.problems:
        raise typer.Exit(1)


def name_in_profile(folder: Path, database: str, task: str) -> Path | None:
    """Name a task in the profile beside the folder of its database; the profile is made if there
    is none.

    Returns:
        Its file; None where the folder is called otherwise than its database, so that no profile
        would find it, or where a file of its name says nothing of the database.
    """
    from rowgraph.yaml_files import UnreadableYaml, read_yaml, write_yaml

    folder = folder.resolve()
    path = folder.with_name(f"{folder.name}.yaml")
    if folder.name != database:
        return None
    try:
        there = read_yaml(path) if path.exists() else None
    except UnreadableYaml:
        return None
    content = there or {
        "extends": "suite", "databases": [{"name": database, "role": "heldout", "tasks": []}],
        "rowgraph_metrics": {"beside": []},  # nothing that is trained on other databases
        "adapted_model": {"fit": True}, "report": {"title": database, "published": []}}
    try:
        mine = next(d for d in content["databases"] if d["name"] == database)
        tasks = mine.setdefault("tasks", [])
    except (KeyError, TypeError, AttributeError, StopIteration):
        return None
    if task not in tasks:
        tasks.append(task)
        write_yaml(path, content)
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path


def _advice(found: Any) -> list[str]:
    """What a reader should know about labels that can be used."""
    lines = []
    schema = found.database.tables[found.meaning.entity]
    query = found.meaning.query
    if (found.meaning.kind == "forecast" and schema.time_col is None and query.where is None
            and found.facts and found.facts[0].entities == found.database.num_rows(
                found.meaning.entity)):
        lines.append(f"{found.meaning.entity} has no time: every row is asked about at every date, "
                     "also before it existed and after it was gone. WHERE COUNT(…, -90, 0, days) > "
                     "0 asks about those that are active.")
    if found.meaning.task_type == "binary_classification" and found.facts:
        rare = min(min(f.base, 1 - f.base) for f in found.facts if f.base is not None)
        if rare < 0.005:
            lines.append(f"One of the two answers has a share of {rare:.2%} in a split: metrics "
                         "will have wide intervals.")
    return lines
