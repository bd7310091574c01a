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
    from pipeline.printing import print_table
    from rowgraph.databases.database import Database
    from rowgraph.evaluation.submission import write_submission
    from rowgraph.tasks.loading import load_task

    planned = {p.node.key: p for p in plan(environment)}
    evaluated = []
    for p in planned.values():
        if p.node.stage == "evaluation" and p.artifact is not None:
            source = planned[p.node.inputs["source"]].artifact
            evaluated.append((load_task(Database.open(source.folder), p.node.task,
                                        p.node.section), p.artifact.folder))
    if not evaluated:
        raise ValueError(f"the profile '{environment.profile.name}' has no finished evaluation; "
                         f"make one with `rowgraph run -p {environment.profile.name}`")
    written = write_submission(evaluated, folder, regime=regime, variant=variant)
    rows = [(done.path.name, done.variant or "", done.metric or "",
             *("" if v is None else f"{v:.4f}" for v in (done.score, done.own)))
            for done in written if done.path]
    print_table(f"Written to {folder}", ("file", "variant", "metric", "RelBench", "ours"), rows)
    for done in written:  # sentences do not fit into a column
        typer.echo(f"{done.task}: {done.said}")
    if any(done.path and not done.valid for done in written):
        raise typer.Exit(1)
