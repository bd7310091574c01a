"""The suite's answer: is RowGraph worth choosing over hand-made features, with how many labels?

    python -m benchmarks.suite            # after `make suite`

Reads the finished evaluations of the suite's profiles and prints a line for each task, regime and
share of the labels: RowGraph, the baseline that validation picked, the corrected difference, the
entity's own history, and zero-shot. Gains are relative reductions of the error (1 − ROC-AUC, or
MAE) against the Data Scientist that validation picked; their mean has a t interval over databases
(Student, Biometrika 1908), since tasks of one database resemble each other. Writes a table and
`few_labels.png` below `ROWGRAPH_HOME/benchmarks/suite`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.stats

from pipeline.environment import Environment
from pipeline.plan import plan
from rowgraph.reports.notation import number

PROFILES = ("suite", "suite_second", "suite_tenth", "suite_second_tenth", "suite_hundredth",
            "suite_second_hundredth")
SCIENTIST = ("data_scientist", "data_scientist_linear", "data_scientist_blend")
MODEL, HISTORY, UNTRAINED, OWN_PAST, ZERO_SHOT = (
    "rowgraph", "entity_history", "rowgraph_untrained", "rowgraph_own_past", "rowgraph_zero_shot")
KEY = ("share", "database", "task", "regime")
Figures = dict[tuple, dict[str, Any]]


def finished(profiles: Iterable[str]) -> Iterable[tuple[float, Path]]:
    """The share of labels and the folder of every finished evaluation."""
    for name in profiles:
        for planned in plan(Environment.read(name)):
            if planned.node.stage == "evaluation" and planned.artifact is not None:
                yield planned.node.section.label_share, planned.artifact.folder


def figures(evaluations: Iterable[tuple[float, Path]]) -> Figures:
    """By share, database, task and regime: the primary metric of what matters, and verdicts."""
    found: Figures = {}
    for share, folder in evaluations:
        metrics, against = (pl.read_parquet(folder / f"{name}.parquet")
                            for name in ("metrics", "comparisons"))
        validation = pl.read_parquet(folder / "validation.parquet")
        primary = validation["metric"][0] if len(validation) else metrics["metric"][0]
        for (regime,), part in metrics.filter(metric=primary).partition_by(
                "regime", as_dict=True).items():
            means = dict(part.select("variant", "mean").iter_rows())
            picked = _picked(validation.filter(regime=regime), means)
            head = against.filter((pl.col("regime") == regime) & pl.col("headline")).to_dicts()
            first = part.row(0, named=True)
            found[share, first["database"], first["task"], regime] = {
                "metric": primary, "higher": first["higher_is_better"], "n_test": first["n_test"],
                "means": means, "scientist": picked, "headline": head[0] if head else None}
    return dict(sorted(found.items()))


def _picked(validation: pl.DataFrame, means: Mapping[str, float | None]) -> str | None:
    """The Data Scientist that is best on validation, else the first that there is."""
    there = [v for v in SCIENTIST if means.get(v) is not None]
    known = {row["variant"]: row for row in validation.iter_rows(named=True)
             if row["variant"] in there}
    if not known:
        return there[-1] if there else None
    sign = 1 if next(iter(known.values()))["higher_is_better"] else -1
    return max(known, key=lambda v: sign * known[v]["mean"])


def gain(one: Mapping[str, Any], model: str, other: str | None) -> float | None:
    """The relative reduction of the error; None where one of the two is missing."""
    mine, theirs = one["means"].get(model), one["means"].get(other)
    if mine is None or theirs is None:
        return None
    if one["higher"]:
        mine, theirs = 1 - mine, 1 - theirs
    return (theirs - mine) / theirs if theirs > 0 else None


def over_databases(gains: Mapping[str, Sequence[float]]) -> tuple[float, float, float]:
    """The mean over databases of their tasks' means, and its 95 % interval."""
    each = np.array([np.mean(found) for found in gains.values()])
    if len(each) < 2:
        return float(each.mean()), float("nan"), float("nan")
    half = scipy.stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
    return float(each.mean()), float(each.mean() - half), float(each.mean() + half)


def summary(found: Figures) -> dict[str, Any]:
    """What the goals ask for, by share and regime."""
    out: dict[str, Any] = {}
    for share in sorted({key[0] for key in found}):
        for regime in sorted({key[3] for key in found}):
            some = {k: v for k, v in found.items() if k[0] == share and k[3] == regime}
            if not some:
                continue
            verdicts = [v["headline"]["verdict"] for v in some.values() if v["headline"]]
            gains: dict[str, list[float]] = {}
            for key, one in some.items():
                if (g := gain(one, MODEL, one["scientist"])) is not None:
                    gains.setdefault(key[1], []).append(g)
            mean, low, high = over_databases(gains) if gains else (None,) * 3
            out[f"{share:g} {regime}"] = {
                "tasks": len(some), **{v: verdicts.count(v) for v in ("ahead", "level", "behind")},
                "gain": mean, "ci_low": low, "ci_high": high,
                "better_than_scientist": _share(some, MODEL, "scientist"),
                "own_past_better_than_untrained": _share(some, OWN_PAST, UNTRAINED),
                "zero_shot_better_than_history": _share(some, ZERO_SHOT, HISTORY)}
    return out


def _share(some: Figures, model: str, other: str) -> float | None:
    """Of the tasks that have both, the share in which the first is better."""
    gains = [gain(one, model, one.get(other, other)) for one in some.values()]
    gains = [g for g in gains if g is not None]
    return float(np.mean([g > 0 for g in gains])) if gains else None


def lines(found: Figures) -> list[str]:
    """A Markdown table, a line for each share, task and regime."""
    out = ["| labels | task | regime | RowGraph | Data Scientist | own history | zero-shot "
           "| difference to the baseline that validation picked | verdict |",
           "|---|---|---|---|---|---|---|---|---|"]
    for (share, database, task, regime), one in found.items():
        head, m = one["headline"], one["means"]
        digits = 3 if max(abs(v) for v in m.values() if v is not None) < 10 else 2
        cells = [number(m.get(v), digits) for v in (MODEL, one["scientist"], HISTORY, ZERO_SHOT)]
        said = "–" if head is None or head["ci_low"] is None else (
            f"{number(head['difference'], digits, sign=True)} [{number(head['ci_low'], digits)}, "
            f"{number(head['ci_high'], digits)}]")
        out.append(f"| {share:.0%} | {database}/{task} ({one['metric']}) | `{regime}` | "
                   + " | ".join(cells)
                   + f" | {said} | {head['verdict'] if head else '–'} |")
    return out


def draw(found: Figures, path: Path) -> None:
    """The metric by share of the labels, a panel for each task and regime."""
    from matplotlib.figure import Figure

    panels = sorted({key[1:] for key in found})
    columns = min(6, max(1, len(panels)))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.4 * columns, 1.9 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, panel in zip(axes, panels, strict=False):
        some = {key[0]: one for key, one in found.items() if key[1:] == panel}
        shares = sorted(some)
        for label, of in (("RowGraph", lambda one: MODEL),
                          ("Data Scientist", lambda one: one["scientist"]),
                          ("own history", lambda one: HISTORY),
                          ("zero-shot", lambda one: ZERO_SHOT)):
            drawn = [(s, v) for s in shares if (v := some[s]["means"].get(of(some[s]))) is not None]
            if drawn:
                place.plot(*zip(*drawn, strict=True), marker="o", markersize=3, label=label)
        metric = some[shares[0]]["metric"]
        place.set_title(f"{panel[0]}\n{panel[1]}, {panel[2]}", fontsize=7, loc="left")
        place.set_xscale("log")
        place.set_xticks(shares, [f"{s:.0%}" for s in shares], fontsize=6)
        place.minorticks_off()
        place.tick_params(axis="y", labelsize=6)
        place.set_ylabel(metric, fontsize=6)
        place.spines[["top", "right"]].set_visible(False)
    for place in axes[len(panels):]:
        place.set_visible(False)
    if panels:
        axes[0].legend(fontsize=6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})


def main() -> None:
    environment = Environment.read(PROFILES[0])
    found = figures(finished(PROFILES))
    if not found:
        raise SystemExit("no evaluation of the suite is finished; run `make suite` first")
    folder = environment.home / "benchmarks" / "suite"
    folder.mkdir(parents=True, exist_ok=True)
    table = lines(found)
    (folder / "suite.md").write_text("\n".join(table) + "\n")
    draw(found, folder / "few_labels.png")
    print("\n".join(table))
    print(f"written to {folder}")
    print(json.dumps({"benchmark": "suite", "results": summary(found)}))


if __name__ == "__main__":
    main()
