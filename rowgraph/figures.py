"""Plots where people would rather look than read. Drawn without a display and byte-stable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl


def read_curves(folder: Path) -> list[dict[str, float | None]]:
    """The points of a training's `curves.parquet` or `curves.json`: a dict per step or epoch."""
    table = folder / "curves.parquet"
    if table.exists():
        return pl.read_parquet(table).to_dicts()
    return json.loads((folder / "curves.json").read_text())


def curve_chart(points: Sequence[Mapping[str, float | None]], title: str, path: Path) -> None:
    """Losses over steps (or epochs) as a PNG.

    Args:
        points: dicts with `step` or `epoch` and any keys that contain `loss`.
    """
    figure, axes = _axes(title)
    axis = "step" if any("step" in p for p in points) else "epoch"
    names = sorted({k for p in points for k in p if "loss" in k})
    for name in names:
        drawn = [(p[axis], p[name]) for p in points
                 if p.get(name) is not None and p.get(axis) is not None]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), label=name.replace("_", " "),
                      marker="o" if len(drawn) < 30 else None)
    axes.set_xlabel(axis)
    axes.set_ylabel("loss")
    axes.legend()
    _save(figure, path)


def bar_chart(rows: pl.DataFrame, title: str, path: Path) -> None:
    """Mean of a task's primary metric by variant and regime, with 95 % intervals, as a PNG."""
    variants = rows["variant"].unique(maintain_order=True).to_list()[::-1]
    regimes = sorted(rows["regime"].unique().to_list())
    figure, axes = _axes(title, height=1.2 + 0.38 * len(variants))
    for i, regime in enumerate(regimes):
        drawn = rows.filter((pl.col("regime") == regime) & pl.col("mean").is_not_null())
        for row in drawn.iter_rows(named=True):
            y = variants.index(row["variant"]) + (i - (len(regimes) - 1) / 2) * 0.35
            axes.barh(y, row["mean"], height=0.32, color=f"C{i}",
                      alpha=0.9 if row["source"] == "measured" else 0.35)
            if row["ci_low"] is not None:
                axes.plot([row["ci_low"], row["ci_high"]], [y, y], color="black", linewidth=1)
    axes.set_yticks(range(len(variants)), variants)
    lows = rows["ci_low"].drop_nulls().to_list() + rows["mean"].drop_nulls().to_list()
    axes.set_xlim(left=max(0.0, min(lows) * 0.9))
    axes.set_xlabel(rows["metric"][0])
    axes.legend(handles=[_patch(f"C{i}", r) for i, r in enumerate(regimes)])
    _save(figure, path)


def _patch(color: str, label: str):
    from matplotlib.patches import Patch

    return Patch(color=color, label=label)


def _axes(title: str, height: float = 3.6):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
