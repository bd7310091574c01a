"""The report: one table of results, the tables beside it, and the curves of both trainings.

Written as `results.parquet`, `graphs.parquet` (Table 1), `pretraining.parquet` (Table 2),
`graph_use.parquet`, `transfer.parquet`, `imputation.parquet` (each filled-in column) and
`imputation_skipped.parquet` for programs, `report.md` for terminals and `report.html`, one
self-contained page with figures.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rowgraph.adaptation.settings import VARIANTS
from rowgraph.artifacts import Draft
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.statistics import graph_sizes
from rowgraph.reports.filled_cells import FilledCells
from rowgraph.reports.settings import ReportSettings
from rowgraph.reports.tables import (
    ReportTable,
    filled_table,
    graph_table,
    graph_use_rows,
    graph_use_table,
    pretraining_frame,
    pretraining_table,
    transfer_frame,
    transfer_table,
)
from rowgraph.tasks.kinds import PRIMARY

ORDER = ["database", "task", "_metric", "metric", "_published", "_variant", "variant", "regime"]


def write_report(folders: Mapping[str, Path], settings: ReportSettings,
                 draft: Draft) -> dict[str, Any]:
    """Write the report of a profile.

    Args:
        folders: artifact folders by input name (`downstream_metrics__<db>__<task>`, ...).

    Returns:
        The number of result rows, and the best measured variant of each task and regime by its
        primary metric.
    """
    results = collect_results(folders, settings)
    filled = FilledCells.read(folders)
    frames = {"results": results, "imputation": filled.columns,
              "imputation_skipped": filled.skipped, "graphs": collect_graphs(folders),
              "pretraining": pretraining_frame(folders), "graph_use": graph_use_rows(folders),
              "transfer": transfer_frame(folders)}
    for name, frame in frames.items():
        frame.write_parquet(draft.path(f"{name}.parquet"))
    tables = [t for t in (
        transfer_table(frames["transfer"]), pretraining_table(frames["pretraining"]),
        graph_use_table(frames["graph_use"]), filled_table(filled),
        graph_table(frames["graphs"])) if t.rows]
    figures = _figures(results, frames["transfer"], folders, draft)
    draft.path("report.md").write_text(_markdown(settings.title, results, tables))
    draft.path("notes/report.html").write_text(_page(settings.title, results, tables, figures))
    return {"rows": results.height, "best": _best(results)}


def collect_results(folders: Mapping[str, Path], settings: ReportSettings) -> pl.DataFrame:
    """Every measured row and every published figure of the same tasks, in reading order."""
    frames = [pl.read_parquet(folder / "metrics.parquet") for name, folder in folders.items()
              if name.startswith(("downstream_metrics__", "baseline_metrics__"))]
    measured = pl.concat(frames, how="vertical_relaxed")
    tasks = set(measured.select("database", "task").iter_rows())
    published = [{"database": f.database, "task": f.task, "regime": f.regime,
                  "variant": f.variant, "metric": f.metric, "mean": f.value, "source": f.source}
                 for f in settings.published if (f.database, f.task) in tasks]
    if published:
        schema = {c: measured.schema[c] for c in published[0]}
        measured = pl.concat([measured, pl.DataFrame(published, schema=schema)], how="diagonal")
    return measured.with_columns(
        _metric=pl.col("metric").is_in(PRIMARY).not_(),
        _published=pl.col("source") != "measured",
        _variant=pl.col("variant").replace_strict(
            {v: i for i, v in enumerate(VARIANTS)}, default=len(VARIANTS), return_dtype=pl.Int64),
    ).sort(ORDER).drop("_metric", "_published", "_variant")


def collect_graphs(folders: Mapping[str, Path]) -> pl.DataFrame:
    """Nodes and edges of every database, as the paper's Table 1 counts them."""
    prefix = "entity_graph__"
    return graph_sizes({name.removeprefix(prefix): EntityGraph.load(folder)
                        for name, folder in folders.items() if name.startswith(prefix)})


def _best(results: pl.DataFrame) -> dict[str, str]:
    best = {}
    measured = results.filter((pl.col("source") == "measured") & pl.col("metric").is_in(PRIMARY))
    for (task, regime), group in measured.group_by("task", "regime", maintain_order=True):
        higher = bool(group["higher_is_better"][0])
        row = group.sort("mean", descending=higher).row(0, named=True)
        best[f"{task} {regime}"] = f"{row['variant']} {row['metric']} {row['mean']:.4f}"
    return best


def _figures(results: pl.DataFrame, transfer: pl.DataFrame, folders: Mapping[str, Path],
             draft: Draft) -> list[Path]:
    """The curves of both trainings and the charts of each task, as PNG under `notes/`."""
    from rowgraph.figures import (
        curve_chart,
        interval_chart,
        pretraining_chart,
        read_curves,
        transfer_chart,
    )

    figures = []
    for stage, title, chart in (
            ("bart_checkpoint", "BART fine-tuning", curve_chart),
            ("sage_weights", "SAGE pre-training (Figure 2)", pretraining_chart)):
        path = draft.notes / f"{stage}.png"
        chart(read_curves(folders[stage]), title, path)
        figures.append(path)
    if transfer.height:
        for (database, task), group in transfer.group_by("database", "task", maintain_order=True):
            path = draft.notes / f"transfer_{database}_{task}.png"
            transfer_chart(group, f"transfer to {database} · {task}", path)
            figures.append(path)
    primary = results.filter(pl.col("metric").is_in(PRIMARY))
    for (database, task), group in primary.group_by("database", "task", maintain_order=True):
        path = draft.notes / f"{database}_{task}.png"
        interval_chart(group, f"{database} · {task}", path)
        figures.append(path)
    return figures


def _markdown(title: str, results: pl.DataFrame, tables: Sequence[ReportTable]) -> str:
    lines = [f"# {title}", "", "Every row names its regime; rows of different regimes are not "
             "comparable. Intervals are 95 % bootstrap over test rows.", ""]
    for (database, task, metric), group in results.group_by("database", "task", "metric",
                                                            maintain_order=True):
        lines += [f"## {database} · {task} · {metric}", "",
                  "| variant | regime | mean | std | 95 % interval | seeds | n_test | source |",
                  "|---|---|---|---|---|---|---|---|"]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in group.iter_rows(named=True)]
        lines.append("")
    for table in tables:
        lines += [f"## {table.title}", "", *([table.legend, ""] if table.legend else []),
                  "| " + " | ".join(table.head) + " |", "|---" * len(table.head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in table.rows]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    def number(value: float | None, none: str = "") -> str:
        return none if value is None else f"{value:.4f}"

    interval = "" if row["ci_low"] is None else f"{row['ci_low']:.4f} to {row['ci_high']:.4f}"
    return [row["variant"], row["regime"], number(row["mean"], "undefined"), number(row["std"]),
            interval,
            str(row["seeds"] or ""), str(row["n_test"] or ""), row["source"]]


def _page(title: str, results: pl.DataFrame, tables: Sequence[ReportTable],
          figures: list[Path]) -> str:
    style = ("body{font:15px/1.5 system-ui;max-width:70rem;margin:2rem auto;padding:0 1rem}"
             "table{border-collapse:collapse;margin:.5rem 0 2rem}"
             "td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
             "img{max-width:100%}")
    head = ("variant", "regime", "mean", "std", "95 % interval", "seeds", "n_test", "source")
    parts = [f"<h1>{html.escape(title)}</h1>",
             "<p>Every row names its regime; rows of different regimes are not comparable. "
             "Intervals are 95 % bootstrap over test rows.</p>"]
    for path in figures:
        data = base64.b64encode(path.read_bytes()).decode()
        parts.append(f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">')
    for (database, task, metric), group in results.group_by("database", "task", "metric",
                                                            maintain_order=True):
        parts.append(f"<h2>{html.escape(f'{database} · {task} · {metric}')}</h2>")
        parts.append(_table(head, [_cells(row) for row in group.iter_rows(named=True)]))
    for table in tables:
        parts.append(f"<h2>{html.escape(table.title)}</h2><p>{html.escape(table.legend)}</p>")
        parts.append(_table(table.head, table.rows))
    return (f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
            f"<style>{style}</style>" + "\n".join(parts))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{html.escape(c)}</th>" for c in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>"
                   for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"
