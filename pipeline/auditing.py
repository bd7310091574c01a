"""`rowgraph audit`: the canary on every held-out database of a profile, as people read it."""

import itertools
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import typer

from assets.audits import audit_passed, evaluated_source, keep_verdict
from assets.catalog import part
from pipeline.environment import Environment
from pipeline.plan import plan
from rowgraph.artifacts import Artifact, Draft
from rowgraph.settings import Section


def audit_profile(environment: Environment, selected: list[str] | None, as_json: bool) -> None:
    """Audit tasks of a profile, print what was tried, and end with one line.

    What was found of a finished source is kept in the home and shown as the check `audit_passed`
    of the task's evaluation.

    Raises:
        typer.Exit: with status 1 where something leaks, or neither control changed a path.
        ValueError: a selected task is not one of the profile.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from rowgraph.databases.database import Database
    from rowgraph.evaluation.audit import audit_task, verdict

    heldout = environment.profile.by_role("heldout")
    tasks = [f"{d.name}/{t}" for d in heldout for t in d.tasks]
    if unknown := [s for s in selected or () if s not in tasks]:
        raise ValueError(f"--select {unknown[0]}: no such task in the profile "
                         f"'{environment.profile.name}'; there are {', '.join(tasks)}")
    console, findings = Console(stderr=True), []
    with tempfile.TemporaryDirectory() as scratch, Progress(
            SpinnerColumn(), TextColumn("{task.description}"), console=console,
            transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("audit")
        for settings in heldout:
            chosen = [t for t in settings.tasks if not selected
                      or f"{settings.name}/{t}" in selected]
            if not chosen:
                continue
            folder, source = _resolved(environment, settings, Path(scratch) / settings.name)
            for task in chosen:
                found = list(audit_task(
                    Database.open(folder), task, Path(scratch) / "audit",
                    note=lambda text: progress.update(bar, description=text)))
                findings += found
                if source is not None:
                    _show_verdict(environment, settings.name, task, source.data_version, found)
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=1))
    else:
        _print(findings)
    line = verdict(findings)
    passed = all(f.passed for f in findings)
    typer.secho(line, fg=None if passed else "red", err=as_json)
    if not passed:
        raise typer.Exit(1)


def _show_verdict(environment: Environment, database: str, task: str, source: str,
                  findings: list) -> None:
    """Keep what was found, and report it to Dagster if these data are those evaluated last."""
    from rowgraph.evaluation.audit import verdict

    key = ("evaluation", part(database), part(task))
    keep_verdict(environment.home, key, source, findings, verdict(findings))
    if source != evaluated_source(environment.home, environment.profile.name, key):
        return
    result = audit_passed(environment.home, key, source, f"{database}/{task}")
    with environment.instance() as instance:
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(list(key)), check_name=result.check_name, passed=result.passed,
            severity=result.severity, description=result.description, metadata=result.metadata))


def _resolved(environment: Environment, settings: Section,
              scratch: Path) -> tuple[Path, Artifact | None]:
    """The folder of a database: of the finished source, or of one made for the occasion."""
    from resources.databases import DatabasesResource
    from rowgraph.databases.sourcing import write_source

    for planned in plan(environment):
        node = planned.node
        if node.stage == "source" and node.database == settings and planned.artifact is not None:
            return planned.artifact.folder, planned.artifact
    resource = DatabasesResource(
        folder=str(environment.databases) if environment.databases else None, hub=environment.hub)
    scratch.mkdir()
    write_source(resource.resolve(settings), settings, Draft(scratch),
                 environment.extra_tasks(settings.name)[0])
    return scratch, None


def _print(findings: list) -> None:
    """A table for each task and regime, in 80 columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in itertools.groupby(
            findings, key=lambda f: f"{f.database}/{f.task}, {f.regime}"):
        rows = list(rows)
        late = any(f.by_late is not None for f in rows)
        console.print(f"\n{title}: how many numbers moved when the future, past cells or past "
                      "labels were overwritten", highlight=False)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, highlight=False)
        table.add_column("path", overflow="fold")
        for name in ("seeds", "compared", "future", "cells", "labels",
                     *(("late",) if late else ())):
            table.add_column(name, justify="right")
        for f in rows:
            table.add_row(f.path, str(f.seeds), f"{f.values:,}", f"{f.differences:,}",
                          f"{f.by_cells:,}", f"{f.by_labels:,}",
                          *(["" if f.by_late is None else f"{f.by_late:,}"] if late else ()),
                          style=None if f.passed else "red")
        console.print(table)
