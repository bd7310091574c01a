"""The console script `rowgraph`: a thin door to the same definitions that the Dagster UI shows."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rowgraph.artifacts import ArtifactError
from rowgraph.profiles import SettingsError, profile_names
from rowgraph.remote import RemoteError

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Relational foundation models from language models and graph neural networks.\n\n"
    "Rows become text, text becomes vectors, keys become edges; a graph network pre-trained over "
    "many databases answers questions about one that it has never seen. Start with `rowgraph run`.",
    epilog="ROWGRAPH_PROFILE, ROWGRAPH_HOME (default .rowgraph; also s3://bucket/prefix or "
    "file:///folder, then with ROWGRAPH_CACHE for what is here), ROWGRAPH_DATABASES (a folder of "
    "RelBench 3 folders) and MLFLOW_TRACKING_URI are obeyed by every command.")


@app.callback(invoke_without_command=True)
def _options(context: typer.Context, version: Annotated[bool, typer.Option(
        "--version", help="Print the version and end.")] = False) -> None:
    if version:
        import importlib.metadata

        typer.echo(f"rowgraph {importlib.metadata.version('rowgraph')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    else:
        return
    raise typer.Exit


ProfileOption = Annotated[str | None, typer.Option(
    "--profile", "-p", envvar="ROWGRAPH_PROFILE", show_default="demo",
    help=f"Name of a profile ({', '.join(profile_names())}) or path of a YAML file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def run(
    profile: ProfileOption = None,
    select: Annotated[list[str] | None, typer.Option(
        "--select", "-s", help="A stage, stage/database or glob; repeatable. What these need and "
        "is out of date runs too.")] = None,
    force: Annotated[bool, typer.Option(
        "--force", help="Make the selected assets again although they are finished.")] = False,
    track: Annotated[bool, typer.Option(help="Log runs to MLflow.")] = True,
) -> None:
    """Materialize what is missing or out of date, in order; ends with the results table."""
    from rich.console import Console

    from pipeline.door import problems_of
    from pipeline.plan import due
    from pipeline.results import print_results, result_rows
    from pipeline.running import run as run_assets
    from resources.progress import TerminalProgress

    environment, console = _environment(profile), Console()
    planned, chosen, todo = due(environment, select, force)
    forced = {p.node.key for p in chosen} if force else set()
    if not todo:
        console.print(f"Nothing to do: all {len(chosen)} assets of the profile "
                      f"'{environment.profile.name}' are up to date.", highlight=False)
    else:
        _refuse(environment, problems_of(environment, planned, todo, values=False))
        started = time.perf_counter()
        with TerminalProgress(len(todo), console) as progress:
            failures = run_assets(environment, todo, forced, progress, track)
        _print_costs(console, progress.rows, time.perf_counter() - started)
        if failures:
            for failure in failures:
                typer.secho(f"{failure.asset} failed. {failure.error}", fg="red", err=True)
            typer.echo("What was finished is kept; run again after fixing the cause.", err=True)
            raise typer.Exit(1)
    if not select or any(p.node.stage == "report" for p in chosen):
        print_results(console, result_rows(environment))


@app.command("plan")
def plan_command(
    profile: ProfileOption = None, as_json: JsonOption = False,
    measure: Annotated[bool, typer.Option(
        "--measure", help="First measure how fast this machine is at the profile's shapes, and "
        "keep that in the home: hours come from it.")] = False,
) -> None:
    """What would run, and why; what it takes in disk, memory and, once measured, hours."""
    from pipeline.costing import costs_of, measure_machine
    from pipeline.door import problems_of
    from pipeline.placing import placing_notes
    from pipeline.plan import plan
    from pipeline.printing import plan_content, plan_notes, print_plan

    environment = _environment(profile)
    planned = plan(environment)
    due = [p for p in planned if p.action == "run"]
    _refuse(environment, problems_of(environment, planned, due), as_json)
    if measure:
        measure_machine(environment, planned, lambda what: typer.secho(
            f"measuring: {what} …", dim=True, err=True))
    costs = costs_of(environment, planned)
    places, where = placing_notes(environment, costs)
    if as_json:
        typer.echo(json.dumps(plan_content(environment, planned, costs, places), indent=1))
        return
    if due:
        print_plan(f"To run ({environment.profile.name})", due, costs, places)
        for note in [*plan_notes(environment, costs), *where]:
            typer.echo(note)
    typer.echo(f"{len(due)} of {len(planned)} assets to run; "
               f"{len(planned) - len(due)} up to date.")


@app.command()
def results(
    profile: ProfileOption = None, as_json: JsonOption = False,
    every_metric: Annotated[bool, typer.Option(
        "--all", help="Every metric, not only each task's primary one.")] = False,
) -> None:
    """The results of the latest report: every measured row, with regime, seeds and interval."""
    from rich.console import Console

    from pipeline.results import print_results, result_rows

    rows = result_rows(_environment(profile))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        print_results(Console(), rows, every_metric)


@app.command()
def databases(
    profile: ProfileOption = None, as_json: JsonOption = False,
    compare: Annotated[tuple[Path, Path] | None, typer.Option(
        help="Two exports of a database, the older first: which cells were written on.")] = None,
) -> None:
    """Which databases resolve, from where, with rows, tables, time span, tasks, problems, and
    columns that may have been written after their row."""
    from pipeline.door import compared, described
    from pipeline.printing import print_suspects, print_table

    if compare:
        print_table(f"Cells that changed under the same key, {compare[0]} to {compare[1]}",
                    ("column", "changed", "of cells", "filled", "emptied", "example"),
                    compared(*compare))
        return

    rows = described(_environment(profile))
    broken = any(row["role"] and row["problems"] for row in rows)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        raise typer.Exit(int(broken))
    print_table("Databases", ("database", "role", "from", "rows", "tables", "time span", "tasks"),
                [_described(row) for row in rows])
    print_suspects(rows)
    for row in rows:
        for kind in ("problems", "warnings"):
            for text in row[kind]:
                typer.secho(text, err=True, fg="red" if kind == "problems" else "yellow")
    raise typer.Exit(int(broken))


@app.command("import")
def import_command(
    url: Annotated[str, typer.Argument(
        help="postgresql://user@host/name or another SQLAlchemy URL; a SQLite or DuckDB file; a "
        "folder of CSV or Parquet files. A password comes from the URL or the environment.")],
    folder: Annotated[Path, typer.Argument(help="Becomes a RelBench 3 folder.")],
    schema: Annotated[str | None, typer.Option(help="Of the database.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option(
        help="A table that is not wanted, at a first import; repeatable.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="Show what would be decided, from a sample; write nothing.")] = False,
) -> None:
    """A database of your own as a RelBench 3 folder: keys, times, and what is known when.

    What is decided lies in import.yaml beside the data; change it and import again.
    """
    from pipeline.importing import import_database

    import_database(url, folder, schema, leave_out or [], yes, dry_run)


@app.command("task")
def task_command(
    folder: Annotated[Path, typer.Argument(help="A RelBench 3 folder; gets tasks/<name>.")],
    query: Annotated[str, typer.Argument(
        help="Such as \"PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.id\".")],
    name: Annotated[str | None, typer.Option(
        help="Of the task; by default made from the query.")] = None,
    move_splits: Annotated[bool, typer.Option(
        "--move-splits", help="Let val_timestamp and test_timestamp move where the horizon does "
        "not fit, if no other task hangs on them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """A question about the future, in one line, as a task: its labels, splits and base rates.

    PREDICT an aggregate over a window after the date, or a comparison of one; FOR EACH primary
    key; WHERE what was so before the date. Aggregates: COUNT, COUNT_DISTINCT, SUM, AVG, MIN, MAX,
    FIRST, LAST, and LIST_DISTINCT … RANK TOP 10 to recommend. docs/decisions/queries.md has more.
    """
    from pipeline.asking import ask

    ask(folder, query, name, move_splits, dry_run, as_json)


@app.command("predict")
def predict_command(
    task: Annotated[str, typer.Argument(help="As database/task, of the profile.")],
    profile: ProfileOption = None,
    at: Annotated[str | None, typer.Option(
        help="A date or time (UTC) that is asked about.", show_default="right after the newest "
        "row")] = None,
    out: Annotated[Path | None, typer.Option(help="A .csv or .parquet file for all of them.")
                   ] = None,
    explain: Annotated[bool, typer.Option(
        "--explain", help="Also say what speaks for each of the first rows.")] = False,
    check: Annotated[bool, typer.Option(
        "--check", help="Instead, score what was predicted before against what came true.")
                     ] = False,
    track: Annotated[bool, typer.Option(help="Log the run to MLflow.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Who will: everybody whom the task asks about, as of a date, by the model that was kept.

    Nothing is trained. Import the newest rows first; the list is for the horizon after them.
    """
    from pipeline.predicting import check as check_earlier
    from pipeline.predicting import predict

    environment = _environment(profile)
    if check:
        if at or out or explain:
            raise ValueError("--check scores the lists that were made before; leave out --at, "
                             "--out and --explain")
        check_earlier(environment, task, as_json)
    else:
        predict(environment, task, at, out, explain, track, as_json)


@app.command()
def audit(profile: ProfileOption = None,
          select: Annotated[list[str] | None, typer.Option(
              "--select", "-s", help="A task as database/task; repeatable.")] = None,
          as_json: JsonOption = False) -> None:
    """Overwrite the future of every held-out database with nonsense: does any prediction move?"""
    from pipeline.auditing import audit_profile

    audit_profile(_environment(profile), select, as_json)


@app.command("lineage")
def lineage_command(
    asset: Annotated[str, typer.Argument(help="As stage, stage/database or stage/database/task.")],
    profile: ProfileOption = None, as_json: JsonOption = False,
) -> None:
    """From which data, settings, code and runs an asset was made, and what was made from it."""
    from pipeline.lineage import lineage, print_lineage

    content = lineage(_environment(profile), asset)
    if as_json:
        typer.echo(json.dumps(content, indent=1))
    else:
        print_lineage(content)


@app.command()
def submission(
    folder: Annotated[Path, typer.Argument(help="Gets a file <database>__<task>.csv a task.")],
    profile: ProfileOption = None,
    regime: Annotated[str, typer.Option(help="frozen_db or rolling.")] = "frozen_db",
    variant: Annotated[str | None, typer.Option(
        help="Whose predictions; by default the best one on validation.")] = None,
) -> None:
    """RelBench leaderboard files of the test predictions, checked by RelBench's own validator."""
    from pipeline.submitting import submit

    submit(_environment(profile), folder, regime, variant)


@app.command()
def gc(
    profile: ProfileOption = None,
    keep: Annotated[int, typer.Option(min=1, help="So many of each asset, the newest, are kept in "
                                      "any case.")] = 3,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; otherwise it is only shown.")] = False,
) -> None:
    """Which artifacts of the home nobody needs any more; deletes them with --yes.

    The latest of every profile and what it was made from stay, and so do models that MLflow gives
    an alias or serves. Nothing is deleted while a run is in progress.
    """
    from pipeline.cleaning import clean

    clean(_environment(profile), keep, yes)


@app.command()
def doctor(
    profile: ProfileOption = None, as_json: JsonOption = False,
    port: Annotated[int, typer.Option(help="That the Dagster UI shall have.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="That the MLflow UI shall have.")] = 5000,
) -> None:
    """Whether this machine can do what a profile asks for. Exit status 1 where it cannot.

    Looks at versions, device, memory, disk, ports, tracking, extras and databases.
    """
    from pipeline.doctor import examine

    marks = {"fine": ("fine", "green"), "note": ("note", "yellow"), "wrong": ("wrong", "red")}
    ports = {"the Dagster UI": port, "MLflow": mlflow_port}
    found = []
    for finding in examine(_environment(profile), ports):
        found.append(finding)
        if not as_json:
            word, colour = marks[finding.state]
            typer.echo(f"{typer.style(f'{word:6}', fg=colour)}{finding.what:12} {finding.found}"
                       + (f"\n{'':18} → {finding.move}" if finding.move else ""))
    if as_json:
        typer.echo(json.dumps([f.as_dict() for f in found], indent=1))
    raise typer.Exit(int(any(f.state == "wrong" for f in found)))


@app.command()
def ui(profile: ProfileOption = None,
       port: Annotated[int, typer.Option(help="Of the Dagster UI.")] = 3000,
       mlflow_port: Annotated[int, typer.Option(help="Of the MLflow UI.")] = 5000) -> None:
    """Dagster UI and MLflow, both on 127.0.0.1 only; Ctrl-C stops both."""
    from pipeline.ui import serve

    serve(_environment(profile), profile, port, mlflow_port)


def _refuse(environment: Any, problems: list[str], as_json: bool = False) -> None:
    """Exit with status 1 where databases or tasks have problems, after saying each."""
    if not problems:
        return
    if as_json:
        typer.echo(json.dumps({"profile": environment.profile.name, "problems": problems},
                              indent=1))
    for problem in problems:
        typer.secho(problem, fg="red", err=True)
    raise typer.Exit(1)


def _environment(profile: str | None) -> Any:
    from pipeline.environment import Environment
    from rowgraph.shared_store import pull

    environment = Environment.read(profile)
    pull(environment.home, environment.profile.name)
    return environment


def _print_costs(console: Any, rows: list[dict[str, Any]], seconds: float) -> None:
    made = [r for r in rows if not r["reused"]]
    peak = max((r["peak_mib"] for r in rows), default=0)
    console.print(f"{len(made)} assets made, {len(rows) - len(made)} reused, in {seconds:.0f} s; "
                  f"peak memory {peak} MiB.", highlight=False)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _described(row: dict[str, Any]) -> list[str]:
    span, tables = row.get("time_span"), row.get("rows_per_table")
    return [row["database"], row["role"] or "", row["kind"] or "not found", _cell(row.get("rows")),
            _cell(tables and len(tables)), "\n".join(str(s)[:10] for s in span or ()),
            "\n".join(row.get("tasks") or ())]


def main() -> None:
    """Entry point: expected errors are one line on standard error and exit status 1."""
    try:
        app()
    except (SettingsError, ArtifactError, RemoteError, ValueError) as error:
        typer.secho(f"rowgraph: {error}", fg="red", err=True)
        sys.exit(1)
    except OSError as error:
        typer.secho(f"rowgraph: {error.filename or 'the system'}: {error.strerror or error}; mend "
                    "its permissions or make room, then run again", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
