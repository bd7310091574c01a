"""The results of a profile: read off its latest report, and printed a table a task."""

from typing import Any

import typer

from rowgraph.artifacts import ArtifactError

COLUMNS = ("database", "task", "regime", "variant", "metric", "n_test", "seeds", "mean", "std",
           "ci_low", "ci_high", "source")


def result_rows(environment: Any) -> list[dict[str, Any]]:
    """The measured rows of a profile's latest report; none before the first."""
    import polars as pl

    from pipeline.plan import plan
    from resources.store import read_handle
    from rowgraph.shared_store import open_store

    report = next(p for p in plan(environment) if p.node.stage == "report")
    artifact = report.artifact
    if artifact is None:
        handle = read_handle(environment.home, environment.profile.name, report.node.key)
        if handle is None:
            raise ArtifactError(f"the profile '{environment.profile.name}' has no report yet; "
                                f"make it with `rowgraph run -p {environment.profile.name}`")
        artifact = open_store(environment.home).find(report.node.key, handle["recipe"])
        typer.secho("These results are out of date (`rowgraph plan` says why).", fg="yellow",
                    err=True)
    artifact.verify()
    frame = pl.read_parquet(artifact.path("results.parquet"))
    return frame.select(COLUMNS).to_dicts()


def print_results(console: Any, rows: list[dict[str, Any]], every_metric: bool = False) -> None:
    """A table a task: a line a variant, a column a regime."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from rowgraph.tasks.kinds import PRIMARY

    tables: dict[tuple, dict[tuple, dict[str, dict[str, Any]]]] = {}
    for row in rows:
        if every_metric or row["metric"] in PRIMARY:
            lines = tables.setdefault((row["database"], row["task"], row["metric"]), {})
            lines.setdefault((row["variant"], row["source"]), {})[row["regime"]] = row
    for (database, task, metric), lines in tables.items():
        regimes = sorted({regime for line in lines.values() for regime in line})
        measured = [r for line in lines.values() for r in line.values() if r["n_test"]]
        table = Table(title=f"{escape(database)} · {escape(task)} · {metric} · "
                      f"{measured[0]['n_test']} test rows, "
                      f"{max(r['seeds'] for r in measured)} seeds: mean ± std [95 % interval]",
                      title_justify="left", highlight=False, box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("variant", min_width=20)
        for regime in regimes:
            table.add_column(regime, no_wrap=True)
        for (variant, source), line in lines.items():
            name = escape(variant)
            name += "" if source == "measured" else f" [dim]({escape(source)})[/dim]"
            table.add_row(name, *(_figure(line.get(regime)) for regime in regimes))
        console.print(table)


def _figure(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["mean"] is None:
        return "undefined"
    spread = "" if row["std"] is None else f" ±{_short(row['std'])}"
    low, high = row["ci_low"], row["ci_high"]
    interval = "" if low is None else f" \\[{_short(low)}, {_short(high)}]"
    return f"{_short(row['mean'])}{spread}{interval}"


def _short(value: float) -> str:
    """Three digits and no leading zero, so that two regimes fit eighty columns."""
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}".replace("0.", ".", 1)
