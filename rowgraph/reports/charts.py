"""The report's charts, each a list of SVG panels of one width that a page sets side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from rowgraph.reports.answers import Answer
from rowgraph.reports.notation import digits_of, metric_name, number
from rowgraph.reports.settings import UNBOUNDED
from rowgraph.reports.svg import (
    BASELINE,
    FAINT,
    INK,
    LINE,
    MODEL,
    PAPER,
    PUBLISHED,
    TONES,
    WIDTH,
    drawing,
    figure,
    shown,
    to_svg,
)

MARKERS = {"model": "o", "baseline": "s", "published": "D"}
SPLITS = {"train": FAINT, "frozen_db": MODEL, "rolling": BASELINE}
FIRST = ("loss", "accuracy")  # of Figures 4 and 5
LINE_HEIGHT = 0.18  # inches
REST = "#898989"
COLOURS = ("#3b82c4", "#e07b39", "#3a9d5d", "#c94f6d", "#8a6fc9", "#a67c3d", "#d86fb2", "#6f8f1f",
           "#2aa6a6", "#b5a021", "#7a8ca3", "#d1495b", "#5f9ea0", "#9c6644", "#6d597a", "#4d908e")


def answer_panels(answers: Sequence[Answer]) -> list[str]:
    """Best model, best baseline and best published figure of every question, with intervals.

    A panel holds the questions of one metric and regime, and of one task where the metric has the
    unit of its target, so that nothing shares a scale that cannot be compared.
    """
    panels: dict[tuple[str, ...], list[Answer]] = {}
    for answer in answers:
        own = (answer.database, answer.task) if answer.metric in UNBOUNDED else ()
        panels.setdefault((answer.metric, answer.regime, *own), []).append(answer)
    return [_answer_panel(f"answer{i}", members) for i, members in enumerate(panels.values())]


def _answer_panel(key: str, members: Sequence[Answer]) -> str:
    lines: list[tuple[str, Mapping[str, Any] | str]] = []
    for answer in members:
        lines.append(("", shown(f"{answer.task} · {answer.database}", 44)))
        lines += [(tone, row) for tone, row in (
            ("model", answer.model), ("baseline", answer.baseline), ("baseline", answer.hardest),
            ("published", answer.published)) if row is not None]
        if len(members) > 1 and answer is not members[-1]:
            lines.append(("", ""))
    height = LINE_HEIGHT * len(lines) + 0.5
    with drawing():
        drawn = figure(height)
        axes = drawn.add_axes((0.385, 0.24 / height, 0.485, 1 - 0.5 / height))
        first = members[0]
        name = metric_name(first.metric, first.higher_is_better)
        drawn.text(0.01, 1 - 0.14 / height, f"{name} · {first.regime}", fontweight="bold")
        said = []
        for y, (tone, row) in enumerate(lines):
            if isinstance(row, str):
                axes.text(-0.78, y, row, transform=axes.get_yaxis_transform(), va="center",
                          fontsize=8.5, color=INK)
                continue
            _dot(axes, row, y, tone)
            axes.text(-0.04, y, shown(row["variant"], 21), va="center", ha="right", fontsize=8,
                      transform=axes.get_yaxis_transform(), color=TONES[tone])
            text = number(row["mean"], digits_of(row["metric"], row["mean"]))
            axes.text(1.03, y, text, va="center", fontsize=8, color=INK,
                      transform=axes.get_yaxis_transform())
            said.append(f"{row['variant']} {text}")
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.margins(x=0.06)
        axes.locator_params(axis="x", nbins=4)
        return to_svg(drawn, key, f"{name}, {first.regime}: {'; '.join(said)}")


def _dot(axes, row: Mapping[str, Any], y: float, tone: str) -> None:
    colour = TONES[tone]
    if row.get("ci_low") is not None:
        axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.6,
                  solid_capstyle="butt")
    axes.plot([row["mean"]], [y], MARKERS[tone], color=colour, markersize=4.5,
              markerfacecolor=colour if tone == "model" else PAPER)


def curve_panels(curves: pl.DataFrame, key: str, *, regimes: Sequence[str]) -> list[str]:
    """Loss and metrics by epoch of one variant: the mean over seeds, and all seeds as a band.

    Args:
        curves: of one task and variant.
    """
    panels = []
    metrics = curves["metric"].unique(maintain_order=True).to_list()
    metrics.sort(key=lambda m: FIRST.index(m) if m in FIRST else len(FIRST))
    for i, metric in enumerate(metrics):
        with drawing():
            drawn, axes = _plain(metric_name(metric), "epoch")
            mine = curves.filter(metric=metric)
            train = mine.filter(pl.col("split") == "train")
            _band(axes, train, SPLITS["train"])
            for regime in regimes:
                _band(axes, mine.filter((pl.col("split") == "val")
                                        & ((pl.col("regime") == regime)
                                           | pl.col("regime").is_null())),
                      SPLITS.get(regime, PUBLISHED))
            _whole_steps(axes)
            panels.append(to_svg(drawn, f"{key}m{i}", f"{metric_name(metric)} by epoch, training "
                                 f"and validation under {' and '.join(regimes)}"))
    return panels


def _band(axes, points: pl.DataFrame, colour: str) -> None:
    by_epoch = points.drop_nulls("value").group_by("epoch").agg(
        pl.col("value").mean().alias("mean"), pl.col("value").min().alias("low"),
        pl.col("value").max().alias("high")).sort("epoch")
    if by_epoch.height:
        axes.fill_between(by_epoch["epoch"], by_epoch["low"], by_epoch["high"], color=colour,
                          alpha=0.15, linewidth=0)
        axes.plot(by_epoch["epoch"], by_epoch["mean"], color=colour,
                  marker="o" if by_epoch.height < 3 else None, markersize=3)


def loss_panels(points: Sequence[Mapping[str, float | None]], key: str) -> list[str]:
    """Figure 2: the combined loss of both splits, and the squared error; whatever losses there are
    where the training has no such names."""
    step = "epoch" if any("epoch" in p for p in points) else "step"
    names = dict.fromkeys(k for p in points for k in p)
    kinds = [[n for n in names if "loss" in n], [n for n in names if n.endswith("mse")]]
    panels = []
    for i, (label, members) in enumerate(zip(("loss", "squared error"), kinds, strict=True)):
        if not members:
            continue
        with drawing():
            drawn, axes = _plain(label, step)
            for name in members:
                found = [(p[step], p[name]) for p in points
                         if p.get(name) is not None and p.get(step) is not None]
                axes.plot([x for x, _ in found], [y for _, y in found],
                          color=FAINT if "train" in name else MODEL)
            _whole_steps(axes)
            panels.append(to_svg(drawn, f"{key}l{i}", f"{label} by {step}: "
                                 f"{', '.join(n.replace('_', ' ') for n in members)}"))
    return panels


def reliability_panels(calibration: pl.DataFrame, answer: Answer, key: str) -> list[str]:
    """Reliability curves of the best model and the best baseline: observed against predicted."""
    panels = []
    for stage in ("raw", "calibrated"):
        with drawing():
            where = f"{answer.task} · {answer.regime}"
            drawn, axes = _plain(f"{shown(where, 44)}, {stage}", "predicted (observed upwards)")
            top = 0.0
            for tone, row in (("model", answer.model), ("baseline", answer.baseline)):
                mine = calibration.filter(stage=stage, variant=row["variant"]).drop_nulls(
                    ["predicted", "observed"]).filter(pl.col("count") > 0) if row else None
                if mine is not None and mine.height:
                    mine = mine.sort("predicted")
                    top = max(top, mine["predicted"].max(), mine["observed"].max())
                    axes.plot(mine["predicted"], mine["observed"], MARKERS[tone] + "-",
                              color=TONES[tone], markersize=3.5,
                              markerfacecolor=TONES[tone] if tone == "model" else PAPER)
            top = min(1.0, 1.1 * top) or 1.0  # rare ones keep to the corner
            axes.plot([0, top], [0, top], color=LINE, linewidth=1, zorder=0)
            axes.set_xlim(-0.02 * top, 1.02 * top)
            axes.set_ylim(-0.02 * top, 1.02 * top)
            if len(axes.lines) > 1:
                panels.append(to_svg(drawn, f"{key}{stage}", "observed against predicted share, "
                                     f"{stage}, {answer.task} under {answer.regime}"))
    return panels


def prediction_panels(predictions: pl.DataFrame, answer: Answer, key: str) -> list[str]:
    """Predictions of the test rows by their target: shares for two classes, else target against
    prediction."""
    panels = []
    for tone, row in (("model", answer.model), ("baseline", answer.baseline)):
        mine = predictions.filter(variant=row["variant"]) if row else predictions.clear()
        mine = mine.drop_nulls(["prediction", "target"])
        if mine.is_empty():
            continue
        with drawing():
            drawn, axes = _plain(f"{shown(row['variant'])}: test rows", "predicted")
            target, found = mine["target"].to_numpy(), mine["prediction"].to_numpy()
            if set(np.unique(target)) <= {0.0, 1.0}:
                bins = np.linspace(0, 1, 26)
                axes.hist(found[target == 0], bins, color=FAINT, alpha=0.45, linewidth=0)
                axes.hist(found[target == 1], bins, color=TONES[tone], alpha=0.55, linewidth=0)
                alt = "histogram of predicted shares, test rows of 0 in grey and of 1 in colour"
            else:
                axes.set_title(f"{shown(row['variant'])}: target by prediction", loc="left",
                               color=INK)
                picked = np.linspace(0, len(found) - 1, min(len(found), 400)).astype(int)
                _scatter(axes, found[picked], target[picked], TONES[tone], 2.2)
                ends = [min(found.min(), target.min()), max(found.max(), target.max())]
                axes.plot(ends, ends, color=LINE, linewidth=1, zorder=0)
                alt = "target against prediction of test rows"
            panels.append(to_svg(drawn, f"{key}{tone}", f"{alt}: {row['variant']}, {answer.task} "
                                 f"under {answer.regime}"))
    return panels


def map_panels(rows: pl.DataFrame, key: str, names: Sequence[str]) -> list[str]:
    """Figures 6 and 7: rows before and after the GNN, coloured by table."""
    panels = []
    for space, title in (("before", "before the GNN (Figure 6)"),
                         ("after", "after the GNN (Figure 7)")):
        with drawing():
            drawn = figure(WIDTH)
            axes = drawn.add_axes((0.02, 0.02, 0.96, 0.9))
            axes.set_title(title, loc="left", color=INK)
            for name in names:
                mine = rows.filter(table=name)
                _scatter(axes, mine[f"{space}_x"].to_numpy(), mine[f"{space}_y"].to_numpy(),
                         colour_of(name, names), 2.0)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.autoscale_view()
            for spine in axes.spines.values():
                spine.set_visible(False)
            panels.append(to_svg(drawn, f"{key}{space}", f"t-SNE of row vectors {title}, "
                                 f"{rows.height} rows of {len(names)} tables", scale=2.1))
    return panels


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of a table among tables; the smallest share one where there are many."""
    place = list(names).index(name)
    return COLOURS[place] if place < len(COLOURS) else REST


def _scatter(axes, x: np.ndarray, y: np.ndarray, colour: str, size: float) -> None:
    """Points as one path of strokes without length and round ends: a tenth of a marker's bytes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    vertices = np.repeat(np.stack([x, y], axis=1), 2, axis=0)
    if len(vertices):
        codes = np.tile([Path.MOVETO, Path.LINETO], len(x))
        path = Path(vertices, codes)
        path.should_simplify = False  # which would take points without length for nothing
        axes.add_patch(PathPatch(path, fill=False, edgecolor=colour,
                                 linewidth=size, capstyle="round", alpha=0.8))
        axes.update_datalim(vertices)
        axes.autoscale_view()


def transfer_panels(rows: pl.DataFrame, key: str) -> list[str]:
    """Gain over no pre-training by share of the labels, a panel a regime."""
    panels = []
    for i, regime in enumerate(sorted(rows["regime"].unique().to_list())):
        mine = rows.filter((pl.col("regime") == regime) & pl.col("gain").is_not_null())
        if mine.is_empty():
            continue
        with drawing():
            drawn, axes = _plain(f"gain in {metric_name(mine['metric'][0])} · {regime}",
                                 "share of the labels")
            axes.axhline(0.0, color=LINE, linewidth=1)
            pairs = mine.select("pretraining", "variant").unique(maintain_order=True)
            for j, (pretraining, variant) in enumerate(pairs.iter_rows()):
                line = mine.filter(pretraining=pretraining, variant=variant).sort("share")
                axes.errorbar(line["share"], line["gain"], yerr=line["gain_std"].fill_null(0.0),
                              marker="o", markersize=3, capsize=2, linewidth=1,
                              color=COLOURS[j % len(COLOURS)],
                              linestyle="--" if "frozen" in variant else "-")
            axes.set_xscale("log")
            shares = sorted(mine["share"].unique().to_list())
            axes.set_xticks(shares, [f"{s:.0%}" for s in shares])
            axes.minorticks_off()
            panels.append(to_svg(drawn, f"{key}r{i}", "gain of pre-training over none by share of "
                                 f"the labels, {regime}"))
    return panels


def _plain(title: str, below: str, *, height: float = 2.3):
    drawn = figure(height)
    axes = drawn.add_axes((0.12, 0.38 / height, 0.85, 1 - 0.62 / height))
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlabel(below)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return drawn, axes


def _whole_steps(axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
