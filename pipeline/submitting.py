"""`rowgraph submission`: leaderboard files of a profile's finished evaluations."""

from pathlib import Path

import typer

from pipeline.environment import Environment
from pipeline.plan import plan


def submit(environment: Environment, folder: Path, regime: str, variant: str | None) -> None:
    """Write a file a task and print what RelBench's validator says of each.

    Raises:
        ValueError: nothing is evaluated yet, or a task has no predictions of that kind.
        typer.Exit: with status 1 where RelBench refuses a file.
    """
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from rowgraph.databases.database import Database
    from rowgraph.evaluation.submission import write_submission
    from rowgraph.tasks.loading import load_task

    planned = {p.node.key: p for p in plan(environment)}
    evaluated = []
    for p in planned.values():
        if p.node.stage == "evaluation" and p.artifact is not None:
            source = planned[p.node.inputs["source"]].artifact
            evaluated.append((load_task(Database.open(source.folder), p.node.task),
                              p.artifact.folder))
    if not evaluated:
        raise ValueError(f"the profile '{environment.profile.name}' has no finished evaluation; "
                         f"make one with `rowgraph run -p {environment.profile.name}`")
    written = write_submission(evaluated, folder, regime=regime, variant=variant)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, highlight=False)
    for name in ("task", "file", "variant", "metric", "RelBench", "ours", "RelBench says"):
        table.add_column(name, overflow="fold")
    for done in written:
        table.add_row(done.task, done.path.name if done.path else "", done.variant or "",
                      done.metric or "", *("" if v is None else f"{v:.4f}"
                                           for v in (done.score, done.own)), escape(done.said))
    Console().print(table)
    if any(done.path and not done.valid for done in written):
        raise typer.Exit(1)
