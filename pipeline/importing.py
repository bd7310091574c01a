"""`rowgraph import`: shows what is made of a database, asks, and makes it."""

import time
from pathlib import Path
from typing import Any

SHOWN = 40  # notes


def import_database(url: str, folder: Path, schema: str | None, leave_out: list[str], yes: bool,
                    dry_run: bool) -> None:
    """Import a database into a folder, with progress.

    Raises:
        ValueError: it cannot be done; the message says the next move.
    """
    import typer
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rowgraph.importing.diagram import mermaid
    from rowgraph.importing.running import look, run_import
    from rowgraph.importing.sources import open_source

    started = time.perf_counter()
    source = open_source(url, schema)
    sizes = {t.name: t.rows for t in source.tables}
    try:
        if dry_run:
            found = look(source, folder, unwanted=leave_out)
            show(found, sizes)
            typer.echo(f"```mermaid\n{mermaid(found.decisions)}\n```")
            typer.echo("Nothing was written (--dry-run).")
            return
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                      TimeElapsedColumn()) as progress:
            bars: dict[str, Any] = {}

            def tick(table: str, rows: int) -> None:
                if table not in bars:
                    bars[table] = progress.add_task(table, total=sizes.get(table) or None)
                progress.update(bars[table], completed=rows)

            def confirm(found: Any) -> bool:
                progress.stop()
                show(found, {})
                return yes or typer.confirm(f"Import it so? ({folder / 'import.yaml'} can be "
                                            "changed)")

            done = run_import(source, folder, tick=tick, confirm=confirm,
                              unwanted=leave_out)
    finally:
        source.close()
    if done is None:
        typer.echo(f"Nothing was imported. Change {folder / 'import.yaml'} and import again.")
        raise typer.Exit(1)
    if not done.first:
        show(done, {})
    _tell(done, folder, time.perf_counter() - started)


def show(found: Any, sizes: dict[str, int | None]) -> None:
    """Tables, keys and times as decided, and what is to be said about them.

    Args:
        sizes: rows of each table, as the source has them, where no more than a sample was fetched.
    """
    import typer

    from pipeline.printing import print_table

    rows = []
    for table, decided in found.decisions.tables.items():
        time = decided.time
        known = sizes.get(found.decisions.found(table))
        rows.append([table, f"{known or found.staged[table].rows:,}", ", ".join(decided.pkey),
                     "" if time is None else time if isinstance(time, str) else f"of {time.of}",
                     "\n".join(f"{', '.join(link.columns)} → {link.parent}"
                               for link in decided.fkeys),
                     "\n".join(decided.columns)])
    print_table(f"{found.decisions.name}, from {found.decisions.source}",
                ("table", "rows", "primary key", "time", "foreign keys", "left out or known later"),
                rows, ("rows",))
    for note in found.notes[:SHOWN]:
        where = note.table if note.column is None else f"{note.table}.{note.column}"
        typer.echo(f"{where}: {note.text}")
    if len(found.notes) > SHOWN:
        typer.echo(f"… and {len(found.notes) - SHOWN} more; import.yaml has all")
    for table, why in found.decisions.leave_out.items():
        typer.echo(f"{table}: not imported: {why}")


def _tell(done: Any, folder: Path, seconds: float) -> None:
    import typer

    for kind, what in (("dangling", "keys name nobody and are empty now"),
                       ("timeless", "rows have no time: nobody ever sees them")):
        for where, count in getattr(done.losses, kind).items():
            typer.secho(f"{where}: {count:,} {what}", fg="yellow", err=True)
    for line in done.changes:
        typer.echo(line)
    for table, one in done.staged.items():
        for column, count in one.emptied.items():
            typer.secho(f"{table}.{column}: {count:,} values are empty now: NaN, infinite, beyond "
                        "64 bits, or before the year 1", fg="yellow", err=True)
    for warning in done.report.warnings:
        typer.secho(str(warning), fg="yellow", err=True)
    rows = sum(one.rows for one in done.staged.values())
    fetched = sum(one.fetched for one in done.staged.values())
    new = "" if fetched == rows else f", {fetched:,} of them fetched now"
    typer.echo(f"{folder}: {rows:,} rows of {len(done.shapes)} tables{new}, in {seconds:.1f} s. "
               f"Next: rowgraph task {folder} \"PREDICT …\"")
