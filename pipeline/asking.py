"""`rowgraph task`: a predictive query becomes a task of a RelBench 3 folder."""

import json
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
    if written:
        found.write(folder)
    if as_json:
        typer.echo(json.dumps({
            "task": found.name, "task_type": found.meaning.task_type,
            "manifest": dict(found.manifest), "splits": [vars(f) for f in found.facts],
            "problems": list(found.problems), "written": written}, indent=1))
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
        if written:
            typer.echo(f"Written: {folder / 'tasks' / found.name}. Name it under `tasks:` of the "
                       f"database {database.name} in a profile, and `rowgraph run`.")
        elif dry_run:
            typer.echo("Nothing was written (--dry-run).")
    if found.problems:
        raise typer.Exit(1)


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
