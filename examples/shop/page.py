"""A page: predictions beside the best possible ones, and both beside what came true."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from examples.shop.best import log_loss
from rowgraph.reports import page
from rowgraph.reports.svg import BASELINE, FAINT, MODEL, drawing, figure, to_svg
from rowgraph.reports.tables import ReportTable

TENTHS = 10  # groups of equally many customers


def write_page(path: Path, moment: datetime, days: int, target: np.ndarray,
               prediction: np.ndarray, best: np.ndarray) -> ReportTable:
    """Write the page.

    Args:
        target: float64 [customers], 1 where nothing was ordered within `days`.
        prediction, best: float64 [customers].

    Returns:
        Its table.
    """
    same = np.full(len(target), target.mean())
    rows = [[name, f"{roc_auc_score(target, found):.4f}", f"{log_loss(target, found):.4f}",
             f"{np.abs(found - best).mean():.3f}"]
            for name, found in (("RowGraph", prediction), ("the best possible", best),
                                ("their share, for all", same))]
    table = ReportTable(
        "How close to the best possible", "The best possible is what follows by Bayes' rule from "
        "the rules and parameters that the shop was made with and from what its database showed on "
        "the day; nobody can know more.", ["", "ROC-AUC", "log loss", "mean distance from the best "
                                           "possible"], rows)
    lead = (f"{len(target):,} customers as of {moment:%Y-%m-%d}; {target.mean():.1%} of them did "
            f"not order again within {days} days.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.page("A shop, and what can be known of it", lead, [
        ("close", "How close", page.table(table, title=None) + page.figure(
            [_scatter(prediction, best), _came_true(target, prediction, best)],
            "Left: every customer; on the line a prediction is the best possible. Right: tenths of "
            "the customers by what was said, and the share of them that did not order.",
            (("RowGraph", "var(--model)"), ("the best possible", "var(--baseline)"))))]))
    return table


def _scatter(prediction: np.ndarray, best: np.ndarray) -> str:
    with drawing():
        drawn, axes = _axes("chance of no order: RowGraph upwards", "the best possible")
        axes.scatter(best, prediction, s=3, color=MODEL, alpha=0.4, linewidths=0)
        return to_svg(drawn, "scatter", "Predictions against the best possible ones")


def _came_true(target: np.ndarray, prediction: np.ndarray, best: np.ndarray) -> str:
    with drawing():
        drawn, axes = _axes("share without an order upwards", "said")
        for said, colour, mark in ((best, BASELINE, "s"), (prediction, MODEL, "o")):
            tenth = np.array_split(np.argsort(said, kind="stable"), TENTHS)
            axes.plot([said[t].mean() for t in tenth], [target[t].mean() for t in tenth],
                      marker=mark, markersize=3.5, color=colour)
        return to_svg(drawn, "true", "Shares that came true, by tenths of what was said")


def _axes(title: str, below: str):
    drawn = figure(2.6)
    axes = drawn.add_axes((0.12, 0.15, 0.85, 0.74))
    axes.set_title(title, loc="left")
    axes.set_xlabel(below)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.7)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return drawn, axes
