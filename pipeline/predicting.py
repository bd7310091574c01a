"""`rowgraph predict`: a saved model is asked about a date, and about what came true since."""

import json
from pathlib import Path
from typing import Any

from assets.catalog import AssetNode, catalog, part
from pipeline.environment import Environment
from pipeline.schedules import SCORED
from resources.store import read_handle
from rowgraph.artifacts import Key
from rowgraph.shared_store import open_store


def predict(environment: Environment, name: str, at: str | None, out: Path | None, explain: bool,
            track: bool, as_json: bool = False) -> None:
    """Bring the database's rows up to date, ask the model, show the first rows.

    Nothing is trained: the model is the newest that this profile has made, or the champion where
    the newest was found to be worse.

    Args:
        explain: also show what speaks for each of the first rows.

    Raises:
        ValueError: there is no such task or no model yet, or the date cannot be asked about.
    """
    import polars as pl
    import typer
    from rich.console import Console

    from pipeline.plan import plan
    from pipeline.printing import print_table
    from pipeline.running import run as run_assets
    from resources.progress import TerminalProgress
    from rowgraph.serving.predicting import FILE, WHY, export
    from rowgraph.serving.settings import PredictionsSettings

    node = node_of(environment, name)
    model = node.inputs["adapted_model"]
    if read_handle(environment.home, environment.profile.name, model) is None:
        raise ValueError(f"{name} has no model yet; make it with `rowgraph run --profile "
                         f"{_profile(environment)}`")
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{out}: predictions are written as .parquet or .csv; end its name so")
    config = {node.key: {"at": PredictionsSettings(at=at).at}} if at else {}
    wanted = {up for up in node.inputs.values() if up[0] in SCORED} | {node.key}
    todo = [p for p in plan(environment) if p.node.key in wanted]
    with TerminalProgress(len(todo), Console(stderr=True)) as progress:
        failures = run_assets(environment, todo, set(), progress, track, config)
    for failure in failures:
        typer.secho(f"{failure.asset} failed. {failure.error}", fg="red", err=True)
    if failures:
        raise typer.Exit(1)
    artifact = latest(environment, node.key)
    frame, summary = pl.read_parquet(artifact.folder / FILE), artifact.summary
    if out is not None:
        export(frame, out)
    if as_json:
        typer.echo(frame.write_json())
        return
    print_table(
        f"{name} as of {summary['at']} (UTC), until {summary['until']}: {summary['asked']:,} "
        f"{summary['who']}", frame.columns,
        [[_cell(value) for value in row] for row in frame.head(10).iter_rows()])
    for one in json.loads((artifact.folder / WHY).read_text()) if explain else ():
        typer.echo(f"\n{one['rank']}. {', '.join(map(str, frame.row(one['rank'] - 1)))}")
        for reason in one["because"]:
            typer.echo(f"   {reason['adds']:+.2f}  {reason['said']}")
        for row in one["rows"]:
            typer.secho(f"          {row}", dim=True)
    if summary["known_otherwise"]:
        typer.secho(f"When cells are known is judged otherwise than when the model was fitted: "
                    f"{', '.join(summary['known_otherwise'])}. Write it down in the profile's "
                    "`knowledge`, or train anew.", fg="yellow", err=True)
    if summary["features_lost"]:
        typer.secho(f"{summary['features_lost']} features that the model was fitted on are not "
                    "offered by the database any more and count as missing.", fg="yellow", err=True)
    if artifact.manifest["inputs"]["adapted_model"] != latest(environment, model).data_version:
        typer.secho(f"The champion answers: the newest model of {name} was found to be worse (see "
                    "\"Re-training\" in the report). `predictions: {model: newest}` in the profile "
                    "asks the newest.", fg="yellow", err=True)
    typer.echo(f"All {len(frame):,}: {out or artifact.folder / FILE}")


def check(environment: Environment, name: str, as_json: bool) -> None:
    """Score every prediction of a task that was made before and whose horizon has passed."""
    import typer

    from assets.serving import kept
    from pipeline.plan import plan
    from pipeline.printing import print_table
    from pipeline.running import run as run_assets
    from resources.progress import ProgressResource
    from rowgraph.databases.database import Database
    from rowgraph.serving.checking import check as check_rows

    node = node_of(environment, name)
    source = [p for p in plan(environment) if p.node.key == node.inputs["source"]]
    if failures := run_assets(environment, source, set(), ProgressResource(), False):
        raise ValueError(f"{failures[0].asset} failed. {failures[0].error}")
    folder = latest(environment, node.inputs["source"]).folder
    found = check_rows(Database.open(folder), node.task,
                       kept(open_store(environment.home), node))
    if not found:
        raise ValueError(f"{name} was never asked; make predictions with `rowgraph predict {name} "
                         f"--profile {_profile(environment)}`")
    if as_json:
        typer.echo(json.dumps([vars(one) for one in found], indent=1))
        return
    print_table(f"{name}: predictions against what came true · {found[0].metric}", (
        "as of (UTC)", "scored", "predictions", "one answer", "said", "came"), [
        [one.at[:16], f"{one.scored:,}", _cell(one.value), _cell(one.constant),
         _cell(one.predicted), _cell(one.observed)] for one in found],
        ("scored", "predictions", "one answer", "said", "came"))
    typer.echo("one answer: the same for everybody, known then; said, came: means of predictions "
               "and outcomes.")
    for one in found:
        if one.why:
            typer.echo(f"As of {one.at}: {one.why}.")


def node_of(environment: Environment, name: str) -> AssetNode:
    """The predictions of a task, by `database/task`.

    Raises:
        ValueError: the profile has none of this name.
    """
    nodes = catalog(environment.profile)
    key: Key = ("predictions", *map(part, name.split("/")))
    if key in nodes:
        return nodes[key]
    known = [f"{n.database.name}/{n.task}" for n in nodes.values() if n.stage == "predictions"]
    tasks = [f"{d.name}/{t}" for d in environment.profile.by_role("heldout") for t in d.tasks]
    if name in tasks:
        raise ValueError(f"{name}: the profile {environment.profile.name} keeps no model of it; "
                         "write `adapted_model: {fit: true}` into it, and run it")
    there = f"it has {', '.join(known)}" if known else "it keeps no model of any task"
    raise ValueError(f"{name}: no such task in the profile {environment.profile.name}; {there}")


def latest(environment: Environment, key: Key) -> Any:
    """The artifact that was recorded last."""
    handle = read_handle(environment.home, environment.profile.name, key)
    return open_store(environment.home).find(key, handle["recipe"])


def _profile(environment: Environment) -> str:
    return environment.given or environment.profile.name


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
