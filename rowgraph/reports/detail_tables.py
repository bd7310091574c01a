"""Tables behind the results: choices, features, calibration, spread, costs, settings, lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rowgraph.reports.notation import NONE, memory, metric_name, number, seconds
from rowgraph.reports.tables import Band, Cell, ReportTable, Row
from rowgraph.tasks.kinds import HIGHER_IS_BETTER

Facts = Sequence[Mapping[str, Any]]
FEATURES = 15  # shown of each model


def choice_table(choices: pl.DataFrame) -> ReportTable:
    """What each model chose on folds, and what came next."""
    lines: list[Row] = []
    if not choices.is_empty():
        keys = ["database", "task", "regime", "metric", "stage", "model"]
        means = choices.group_by(*keys, "candidate", "step", maintain_order=True).agg(
            pl.col("value").mean(), pl.col("value").drop_nulls().len().alias("folds"),
            pl.col("chosen").any())
        for place, task in means.group_by("database", "task", "regime", "metric",
                                          maintain_order=True):
            where = " · ".join([*place[:3], metric_name(place[3])])
            lines.append(Band(f"{where}, mean over folds"))
            for (_, model), tried in task.group_by("stage", "model", maintain_order=True):
                lines.append(_choice(model, tried, HIGHER_IS_BETTER.get(place[3], True)))
    return ReportTable(
        "Choices", "Every choice is made on folds of training and validation labels by one "
        "mechanism; test labels are never looked at (docs/decisions/folds.md). Tried: candidates "
        "times steps. All scores: choices.parquet.",
        ("model", "chosen", "step", "mean", "folds", "tried", "next best candidate", "its mean"),
        lines)


def _choice(model: str, tried: pl.DataFrame, higher_is_better: bool) -> list[str]:
    picked = tried.filter("chosen")
    if picked.is_empty():
        return [model, NONE, "", "", "", str(tried.height), "", ""]
    pick = picked.row(0, named=True)
    others = tried.filter((pl.col("candidate") != pick["candidate"]) & pl.col("value").is_not_null()
                          ).sort("value", descending=higher_is_better, maintain_order=True)
    second = others.row(0, named=True) if others.height else None
    return [model, pick["candidate"], str(pick["step"]), number(pick["value"]), str(pick["folds"]),
            str(tried.height), second["candidate"] if second else "",
            number(second["value"]) if second else ""]


def importance_table(importances: pl.DataFrame) -> ReportTable:
    """The features that a baseline leans on most.

    Args:
        importances: `database`, `task`, `model` or `variant`, `feature`, `importance` or `gain`,
            and `regime` where they differ by it.

    Raises:
        ValueError: it has no such columns.
    """
    lines: list[Row] = []
    if not importances.is_empty():
        keys = [k for k in ("database", "task", "regime", "model", "variant")
                if k in importances.columns]
        value = next((c for c in importances.columns if c in ("importance", "gain")), None)
        if value is None or "feature" not in importances.columns:
            raise ValueError("report: importances.parquet needs the columns feature and importance "
                             f"(or gain), found {', '.join(importances.columns)}; write them in "
                             "baseline_metrics")
        for place, group in importances.group_by(*keys, maintain_order=True):
            lines.append(Band(" · ".join(str(p) for p in place if p is not None)))
            mean = group.group_by("feature", maintain_order=True).agg(pl.col(value).mean())
            total = mean[value].sum() or 1.0
            top = mean.sort(value, descending=True, maintain_order=True).head(FEATURES)
            lines += [[r["feature"], f"{r[value] / total:.1%}"] for r in top.iter_rows(named=True)]
    return ReportTable(
        "Features", f"The {FEATURES} features that trees lean on most, as shares of all.",
        ("feature", "importance"), lines)


def calibration_table(errors: pl.DataFrame) -> ReportTable:
    """Expected calibration errors, raw and calibrated."""
    lines: list[Row] = []
    if not errors.is_empty():
        for place, group in errors.group_by("database", "task", "regime", maintain_order=True):
            lines.append(Band(" · ".join(place)))
            for (variant,), mine in group.group_by("variant", maintain_order=True):
                stages = {r["stage"]: r for r in mine.iter_rows(named=True)}
                raw, scaled = stages.get("raw", {}), stages.get("calibrated", {})
                lines.append([variant, *(number(r.get(k)) for r in (raw, scaled) for k in (
                    "ece", "log_loss")), scaled.get("method", NONE),
                    number((scaled or raw).get("ece_if_perfect"))])
    return ReportTable(
        "Expected calibration error", "On test rows, lower is better. Calibrated: after the "
        "scaling that was fitted and chosen on validation. By chance: what the error would be if "
        "every calibrated probability were right.",
        ("variant", "error, raw ↓", "log loss, raw ↓", "error, calibrated ↓",
         "log loss, calibrated ↓", "scaling", "error by chance"), lines)


def spread_table(predictions: Mapping[tuple[str, str, str], Path]) -> ReportTable:
    """How far the seeds of a model disagree about a test row."""
    lines: list[Row] = []
    for place, path in predictions.items():
        frame = pl.scan_parquet(path)
        schema = frame.collect_schema()
        one_number = schema["prediction"].is_numeric()
        said = pl.col("prediction") if one_number else pl.lit(None, pl.Float64)
        spread = pl.col("spread") if schema["spread"].is_numeric() else pl.col("spread").list.mean()
        found = frame.group_by("variant", maintain_order=True).agg(
            said.mean().alias("mean"), said.std().alias("std"), spread.median().alias("median"),
            spread.quantile(0.9, "linear").alias("ninth"),
            (pl.col("target") if one_number else pl.lit(None, pl.Float64)).mean().alias("target"),
        ).collect()
        if found.is_empty() or found["median"].drop_nulls().is_empty():
            continue
        rate = f" · mean target {number(found['target'][0])}" if one_number else ""
        lines.append(Band(" · ".join(place) + rate))
        lines += [[r["variant"], number(r["mean"]), number(r["std"]), number(r["median"]),
                   number(r["ninth"])] for r in found.iter_rows(named=True)]
    return ReportTable(
        "Spread of predictions", "Over test rows: mean and standard deviation of the predictions, "
        "and the standard deviation over seeds of one row's prediction (of recommended lists the "
        "share that a seed does not name), median and 90 %. Each row: "
        "test_predictions_<regime>.parquet of the evaluation.",
        ("variant", "mean", "over rows", "over seeds, median", "over seeds, 90 %"), lines)


def cost_table(facts: Facts) -> ReportTable:
    """Time and memory of each stage."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for fact in facts:
        stages.setdefault(str(fact["stage"]), []).append(fact)
    lines: list[Row] = [[stage, str(len(found)), seconds(_total(found)), memory(_peak(found))]
                        for stage, found in stages.items()]
    if lines:
        lines.append([Cell("in all", strong=True), str(len(facts)), seconds(_total(facts)),
                      memory(_peak(facts))])
    return ReportTable(
        "Cost of each stage", "Wall time of the runs that made the artifacts, added up, and the "
        "largest peak of memory among them; – where it was not recorded.",
        ("stage", "artifacts", "time", "peak memory"), lines)


def _total(facts: Facts) -> float | None:
    known = [f["seconds"] for f in facts if f.get("seconds") is not None]
    return sum(known) if known else None


def _peak(facts: Facts) -> float | None:
    return max((f["peak_mib"] for f in facts if f.get("peak_mib") is not None), default=None)


def lineage_table(facts: Facts) -> ReportTable:
    """What each artifact was made from."""
    known = [k for k in ("recipe", "data_version", "code_version") if any(f.get(k) for f in facts)]
    lines = [[str(f["asset"]), ", ".join(sorted(f.get("inputs") or {})).replace("__", "/") or NONE,
              *(str(f.get(k) or NONE)[:16] for k in known), seconds(f.get("seconds")),
              memory(f.get("peak_mib"))] for f in facts]
    return ReportTable(
        "Lineage", "An artifact lies under its recipe, the digest of settings and inputs; its data "
        "version is the digest of its bytes.",
        ("artifact", "made from", *(k.replace("_", " ") for k in known), "time", "peak memory"),
        lines)


def settings_table(facts: Facts) -> ReportTable:
    """The settings that decided the results, once for all artifacts of a stage that share them."""
    by_stage: dict[str, dict[str, list[str]]] = {}
    for fact in facts:
        text = json.dumps(dict(fact.get("settings") or {}), sort_keys=True)
        by_stage.setdefault(str(fact["stage"]), {}).setdefault(text, []).append(str(fact["asset"]))
    lines: list[Row] = []
    for stage, found in by_stage.items():
        for text, assets in found.items():
            values = _flat(json.loads(text))
            if values:
                lines.append(Band(stage if len(found) == 1 else ", ".join(assets)))
                lines += [[name, value] for name, value in values]
    return ReportTable("Settings", "Those that can change a result.", ("setting", "value"), lines)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found.append((prefix + name, f"{len(value)} entries"))
        else:
            found.append((prefix + name, value if isinstance(value, str) else json.dumps(value)))
    return found
