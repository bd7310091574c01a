"""Plots where people would rather look than read. Drawn without a display and byte-stable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


def read_curves(folder: Path) -> list[dict[str, float | None]]:
    """The points of a training's `curves.parquet` or `curves.json`: a dict per step or epoch."""
    table = folder / "curves.parquet"
    if table.exists():
        return pl.read_parquet(table).to_dicts()
    return json.loads((folder / "curves.json").read_text())


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Values as a line of text, `█▅▃▂▁`: means of at most `width` stretches, from the lowest to the
    highest; what is not finite is left out."""
    known = np.asarray([v for v in values if v is not None and np.isfinite(v)], np.float64)
    if not len(known):
        return ""
    means = np.array([part.mean() for part in np.array_split(known, min(width, len(known)))])
    low, span = means.min(), np.ptp(means)
    heights = np.round((means - low) / span * 7).astype(int) if span else np.zeros(len(means), int)
    return "".join("▁▂▃▄▅▆▇█"[h] for h in heights)


def curve_chart(points: Sequence[Mapping[str, float | None]], title: str, path: Path) -> None:
    """Losses over steps (or epochs) as a PNG, with the learning rate in grey where it is known.

    Args:
        points: dicts with `step` or `epoch`, any keys that contain `loss`, and `learning_rate`.
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
    rates = [(p[axis], p["learning_rate"]) for p in points if p.get("learning_rate") is not None]
    if rates:
        right = axes.twinx()
        right.plot(*zip(*rates, strict=True), color="0.7", linewidth=1)
        right.set_ylabel("learning rate", color="0.5")
        right.spines["top"].set_visible(False)
    _save(figure, path)


def own_past_chart(folder: Path, title: str, path: Path) -> None:
    """The losses of own past as a PNG: a line for each seed and end."""
    curves = pl.read_parquet(folder / "curves.parquet")
    figure, axes = _axes(title)
    for (end, seed), part in curves.partition_by("end", "seed", as_dict=True,
                                                 maintain_order=True).items():
        axes.plot(part["step"], part["loss"], label=f"until {end}, seed {seed}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss of forecast questions")
    axes.legend()
    _save(figure, path)


def checked_chart(checked: Sequence[Any], title: str, path: Path) -> None:
    """What earlier predictions were worth as a PNG, by date, beside one answer for all; nothing
    where none could be scored yet.

    Args:
        checked: as `rowgraph.serving.checking.check` gives them.
    """
    scored = [one for one in checked if one.value is not None]
    if not scored:
        return
    figure, axes = _axes(title)
    dates = np.array([one.at for one in scored], "datetime64[s]")
    axes.plot(dates, [one.value for one in scored], "o-", label="predictions")
    axes.plot(dates, [one.constant for one in scored], "o--", label="one answer for all")
    axes.set_ylabel(scored[0].metric)
    axes.tick_params(axis="x", rotation=30)
    axes.legend()
    _save(figure, path)


def pretraining_chart(points: Sequence[Mapping[str, float | None]], title: str,
                      path: Path) -> None:
    """The paper's Figure 2 as a PNG: the combined loss of both splits beside the squared error of
    training, by epoch."""
    figure, (left, right) = _axes(title, panels=2)
    epochs = [p["epoch"] for p in points]
    for name in ("train_loss", "validation_loss"):
        if all(p.get(name) is not None for p in points):
            left.plot(epochs, [p[name] for p in points], "o-", label=name.replace("_", " "))
    for name in ("train_mse", "validation_mse"):
        if all(p.get(name) is not None for p in points):
            right.plot(epochs, [p[name] for p in points], "o-", label=name.replace("_", " "))
    for axes, label in ((left, "scaled cosine and squared error"), (right, "squared error")):
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        if axes.lines:
            axes.legend()
    _save(figure, path)


def transfer_chart(rows: pl.DataFrame, title: str, path: Path) -> None:
    """Gain over no pre-training by share of the labels as a PNG, a panel a regime.

    Args:
        rows: as `rowgraph.evaluation.transfer` writes them.
    """
    regimes = sorted(rows["regime"].unique().to_list())
    figure, panels = _axes(title, panels=len(regimes), height=4.2)
    panels = panels if len(regimes) > 1 else [panels]
    for axes, regime in zip(panels, regimes, strict=True):
        axes.axhline(0.0, color="0.6", linewidth=1)
        drawn = rows.filter((pl.col("regime") == regime) & pl.col("gain").is_not_null())
        names = drawn.select("pretraining", "variant").unique(maintain_order=True)
        for i, (pretraining, variant) in enumerate(names.iter_rows()):
            mine = drawn.filter(pretraining=pretraining, variant=variant).sort("share")
            axes.errorbar(mine["share"], mine["gain"], yerr=mine["gain_std"].fill_null(0.0),
                          marker="o", capsize=2, linewidth=1, label=f"{pretraining} {variant}",
                          color=f"C{i % 10}", linestyle="--" if "frozen" in variant else "-")
        axes.set_xscale("log")
        axes.set_xlabel(f"share of the labels ({regime})")
        axes.set_ylabel(f"gain in {rows['metric'][0]}, mean and std over seeds")
    panels[0].legend(fontsize=6)
    _save(figure, path)


def _axes(title: str, height: float = 3.6, panels: int = 1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=110, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    axes[0].set_title(title, loc="left")
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes if panels > 1 else axes[0]


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
