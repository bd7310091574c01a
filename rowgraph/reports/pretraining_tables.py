"""Tables of graphs (Table 1), pre-training (Table 2), use of the graph, transfer and cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from rowgraph.reports import paper
from rowgraph.reports.filled_cells import HEAD, LEGEND, TITLE, FilledCells
from rowgraph.reports.notation import NONE, digits_of, figure, number
from rowgraph.reports.tables import Band, Cell, ReportTable, Row

TRAINED = ("sage_weights", "sage_sweep__")


def graph_table(graphs: pl.DataFrame) -> ReportTable:
    """Table 1 of this profile, from `graph_sizes`, above the paper's."""
    rows: list[Row] = [] if graphs.is_empty() else [Band("This profile")]
    rows += [[row["database"], *(f"{value:,}" for name, value in row.items() if name != "database")]
             for row in graphs.iter_rows(named=True)]
    head = [c.replace("_", " ") for c in graphs.columns] or ["database", "nodes", "edges"]
    if rows:
        rows.append(Band("The paper, pre-training databases after truncation (Section 4.2)"))
        rows += [[name, f"{nodes:,}", f"{edges:,}", *[""] * (len(head) - 3)]
                 for name, (nodes, edges) in paper.GRAPHS.items()]
    return ReportTable(
        "Table 1: graphs", "Edges count a foreign key once; an unresolved one is empty in the "
        "resolved database and gives no edge.", head, rows)


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
    rows = [[r["pretraining"], f"{r['mask_probability']:.2f}", _printed(r),
             f"{r['test_mse']:.3e}", f"{r['test_mse_sum']:.3e}",
             f"{r['test_cosine']:.4f}", f"{r['test_loss']:.4f}", r["objective"], r["target"],
             r["projections"]]
            for r in frame.iter_rows(named=True)]
    return ReportTable(
        "Table 2: masking probability and reconstruction",
        "Errors on test nodes. The mean squared error is per hidden "
        "dimension; the sum is Equation 2 as written (docs/decisions/sage.md). Errors of different "
        "objectives or targets are answers to different questions; the paper's are of its own "
        "databases and language model.",
        ("pre-training", "mask probability", "test MSE, the paper", "test MSE", "test MSE, summed",
         "scaled cosine error", "loss", "objective", "target", "projections"), rows)


def _printed(row: Mapping[str, object]) -> str:
    """The paper's error of the same masking, for its objective alone."""
    same = (row["objective"], row["target"], row["projections"]) == ("dimensions", "embedding",
                                                                     "own")
    value = paper.MASKING.get(row["mask_probability"]) if same else None
    return NONE if value is None else f"{value:.3e}"


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
             r["pretraining"], r["variant"], figure(r, whole=False),
             "" if r["gain"] is None else _gain(r["gain"], r["mean"], r["metric"], r["gain_std"]),
             "" if r["gain"] is None else f"{r['wins']} of {r['seeds']}",
             "" if r["gain"] is None else _gain(r["validation_gain"], r["mean"], r["metric"])]
            for r in ordered.iter_rows(named=True)]
    return ReportTable(
        "Transfer: pre-trained against not", "Test figures of the primary metric, mean and "
        "standard deviation over seeds. Gain: against no pre-training with the same seed and "
        "labels, positive is better. Choose by the gain on validation.",
        ("database", "task", "regime", "labels", "pre-training", "shared layers", "test",
         "gain", "seeds better", "gain on validation"), rows)


def _gain(value: float | None, mean: float, metric: str, std: float | None = None) -> str:
    digits = digits_of(metric, mean)
    return number(value, digits, sign=True) + ("" if std is None else f" ± {number(std, digits)}")


def _trained(folders: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name, folder in folders.items():
        if name.startswith(TRAINED):
            yield name.removeprefix("sage_sweep__"), folder


def purity_table(database: str, purity: pl.DataFrame) -> ReportTable:
    """How well tables keep apart in the vectors of Figures 6 and 7; first over all tables."""
    total_first = [purity.height - 1, *range(purity.height - 1)]  # the total is written last
    rows = [[Cell(r["table"], strong=i == 0), f"{r['rows']:,}", *(
        f"{r[c]:.1%}" for c in ("chance", "before", "projected", "untrained",
                              "one_projection", "after"))]
        for i, r in enumerate(purity[total_first].iter_rows(named=True))]
    return ReportTable(
        f"Neighbours of the same table ({database})",
        "Of each drawn row's ten nearest neighbours, in the space of the vectors, the share that "
        "are rows of its own table. Three controls: the fresh projections of each table alone; the "
        "same projections under convolutions that were never trained; the pre-trained convolutions "
        "over one fresh projection for all tables. Where projections alone are as pure as what "
        "pre-training gives, tables keep apart because each has a projection of its own, and the "
        "picture says nothing about relational context (docs/decisions/report.md).",
        ("table", "rows", "by chance", "before the GNN", "projections only", "untrained GNN",
         "GNN over one projection", "after the GNN"), rows)
