"""The report's tables of graphs, pre-training and transfer, each with its cells as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rowgraph.reports.filled_cells import HEAD, LEGEND, TITLE, FilledCells

TRAINED = ("sage_weights", "sage_sweep__")


@dataclass(frozen=True)
class ReportTable:
    """A table as people read it.

    Args:
        title, legend: what it is, and how to read it (may be empty).
        head: names of the columns.
        rows: a list of texts per row.
    """

    title: str
    legend: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def graph_table(graphs: pl.DataFrame) -> ReportTable:
    """Table 1, from `graph_sizes`: every further column of it is shown too."""
    rows = [[row["database"], *(f"{value:,}" for name, value in row.items() if name != "database")]
            for row in graphs.iter_rows(named=True)]
    return ReportTable(
        "Graphs (Table 1)", "Edges count a foreign key once; an unresolved one is empty in the "
        "resolved database and gives no edge.", [c.replace("_", " ") for c in graphs.columns], rows)


def filled_table(filled: FilledCells) -> ReportTable:
    """Filling in cells."""
    return ReportTable(TITLE, f"{LEGEND} {filled.left_out()}", HEAD, filled.rows())


def pretraining_frame(folders: Mapping[str, Path]) -> pl.DataFrame:
    """Each pre-training of a profile with its settings and test errors, the sweep of Table 2 among
    them; columns pretraining, objective, target, projections, mask_probability, test figures."""
    rows = []
    for name, folder in _trained(folders):
        if (folder / "test.json").exists():
            config = json.loads((folder / "config.json").read_text())
            tested = json.loads((folder / "test.json").read_text())
            rows.append({"pretraining": name, **{k: config[k] for k in (
                "objective", "target", "projections", "mask_probability")}, **tested})
    return pl.DataFrame(rows)


def pretraining_table(frame: pl.DataFrame) -> ReportTable:
    """Table 2 and what stands beside it."""
    rows = [[r["pretraining"], r["objective"], r["target"], r["projections"],
             f"{r['mask_probability']:.2f}", f"{r['test_mse']:.3e}", f"{r['test_mse_sum']:.3e}",
             f"{r['test_cosine']:.4f}", f"{r['test_loss']:.4f}"]
            for r in frame.iter_rows(named=True)]
    return ReportTable(
        "Pre-training (Table 2)", "Errors on test nodes. The mean squared error is per hidden "
        "dimension; the sum is Equation 2 as written (docs/decisions/sage.md). Errors of different "
        "objectives or targets are answers to different questions.",
        ("pre-training", "objective", "target", "projections", "mask probability", "test MSE",
         "test MSE, summed", "scaled cosine error", "loss"), rows)


def graph_use_rows(folders: Mapping[str, Path]) -> pl.DataFrame:
    """`graph_use.parquet` of every pre-training, with its name in `pretraining`."""
    frames = [pl.read_parquet(folder / "graph_use.parquet").select(
        pl.lit(name).alias("pretraining"), pl.all())
        for name, folder in _trained(folders) if (folder / "graph_use.parquet").exists()]
    return pl.concat(frames) if frames else pl.DataFrame()


def graph_use_table(frame: pl.DataFrame) -> ReportTable:
    """Does pre-training use the graph?"""
    rows = [[r["pretraining"], r["database"], f"{r['nodes']:,}",
             *(f"{r[c]:.4f}" for c in ("mse", "shuffled_mse", "column_mean_mse", "ridge_mse")),
             *(f"{r[c]:.1%}" for c in ("explained", "ridge_explained", "from_neighbours"))]
            for r in frame.iter_rows(named=True)]
    return ReportTable(
        "Does pre-training use the graph?", "Squared error per hidden dimension on test nodes: of "
        "the model; of the model with neighbours dealt anew among rows of their table; of the "
        "column mean; of ridge regression from what is visible of the row itself. Explained: of "
        "the column mean's error. From neighbours: of the error with other neighbours.",
        ("pre-training", "database", "nodes", "model", "other neighbours", "column mean", "ridge",
         "explained", "ridge explained", "from neighbours"), rows)


def transfer_frame(folders: Mapping[str, Path]) -> pl.DataFrame:
    """What every `transfer_metrics` of a profile wrote, end to end."""
    frames = [pl.read_parquet(folder / "transfer.parquet") for name, folder in folders.items()
              if name.startswith("transfer_metrics__")]
    return pl.concat(frames) if frames else pl.DataFrame()


def transfer_table(frame: pl.DataFrame) -> ReportTable:
    """Pre-trained against not."""
    order = ("database", "task", "regime", "share")
    ordered = frame.sort(*order, maintain_order=True) if frame.height else frame
    rows = [[r["database"], r["task"], r["regime"], f"{r['share']:.0%} ({r['labels']:,})",
             r["pretraining"], r["variant"], f"{r['mean']:.4f} ± {r['std'] or 0:.4f}",
             "" if r["gain"] is None else f"{r['gain']:+.4f} ± {r['gain_std'] or 0:.4f}",
             "" if r["gain"] is None else f"{r['wins']} of {r['seeds']}",
             "" if r["gain"] is None else f"{r['validation_gain']:+.4f}"]
            for r in ordered.iter_rows(named=True)]
    return ReportTable(
        "Transfer: pre-trained against not", "Test figures of the primary metric, mean and "
        "standard deviation over seeds. Gain: against no pre-training with the same seed and "
        "labels, positive is better. Choose by the gain on validation.",
        ("database", "task", "regime", "labels", "pre-training", "shared layers", "test",
         "gain", "seeds better", "gain on validation"), rows)


def _trained(folders: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name, folder in folders.items():
        if name.startswith(TRAINED):
            yield name.removeprefix("sage_sweep__"), folder
