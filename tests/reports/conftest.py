"""Artifact folders of a made-up profile: three tasks, two regimes, fourteen variants."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.graph.adjacency import Adjacency
from rowgraph.graph.entity_graph import EntityGraph

DATABASE = "rel-f1"
TASKS = {"driver-dnf": "binary_classification", "driver-position": "regression",
         "driver-circuit-compete": "recommendation"}
METRICS = {"binary_classification": ("roc_auc", "average_precision", "precision", "accuracy", "f1"),
           "regression": ("mae", "nmae", "r2"), "recommendation": ("map", "recall")}
HIGHER = {"mae": False, "nmae": False}
ABLATION = {"bart_gnn_finetuned": 0.71, "bart_gnn_frozen": 0.665, "bart_head": 0.55,
            "random_gnn_finetuned": 0.64, "random_gnn_frozen": 0.58, "random_head": 0.52}
OURS = {"bart_gnn_scratch": 0.70, "bart_gnn_static": 0.61, "blend": 0.735}
BASELINES = {"global_constant": 0.5, "entity_constant": 0.66, "entity_row": 0.63,
             "data_scientist": 0.728, "data_scientist_linear": 0.70}
PEERS = {"rdl": 0.69}
REGIMES = ("frozen_db", "rolling")
BEST_BASELINE = "data_scientist"
PICKED = {"frozen_db": "data_scientist", "rolling": "data_scientist_linear"}  # by validation


def values_of(task_type: str, regime: str) -> dict[str, float]:
    """The primary metric of every measured variant."""
    lift = 0.1 if regime == "rolling" else 0.0
    found = {}
    for name, value in {**OURS, **ABLATION, **BASELINES, **PEERS}.items():
        value += lift * (value - 0.5) / 0.2
        if name == "blend" and regime == "rolling":
            value += 0.04  # a difference that the interval carries
        if name == "data_scientist" and task_type == "regression":
            value += 0.06
        found[name] = value if task_type != "regression" else 12 * (1 - value)
    return found


def metric_rows(database: str, task: str, task_type: str) -> list[dict]:
    """As `evaluation` writes them."""
    rows = []
    for regime in REGIMES:
        for variant, primary in values_of(task_type, regime).items():
            for i, metric in enumerate(METRICS[task_type]):
                width = 0.035 if task_type != "regression" else 0.25
                mean = primary if i == 0 else round(0.8 * primary, 3)
                if metric == "nmae":
                    mean, width = primary / 6, 0.04
                if metric == "precision" and variant == "global_constant":
                    mean = None  # no positive predicted
                drawn = variant not in ("global_constant", "entity_constant")
                rows.append({
                    "database": database, "task": task, "task_type": task_type, "regime": regime,
                    "variant": variant, "metric": metric, "n_test": 702, "dates": 24,
                    "seeds": 3 if drawn else 1, "mean": mean,
                    "std": 0.011 if drawn and mean is not None else None,
                    "ci_low": None if mean is None else mean - width,
                    "ci_high": None if mean is None else mean + width,
                    "interval": "95 % over test dates and seeds",
                    "higher_is_better": HIGHER.get(metric, True), "source": "measured"})
        rows += [{
            **rows[-1], "variant": "kumo", "metric": metric, "seeds": 0, "mean": None, "std": None,
            "higher_is_better": HIGHER.get(metric, True), "ci_low": None, "ci_high": None,
            "interval": None, "source": "weights not available"} for metric in METRICS[task_type]]
    return rows


def comparison_rows(rows: list[dict]) -> list[dict]:
    """As `evaluation` writes them: every model against the baseline that validation picked, and
    the picked model against the one that is best on test where it is another."""
    out = []
    for regime in REGIMES:
        mine = {r["variant"]: r for r in rows if r["regime"] == regime and r["mean"] is not None
                and r["metric"] == METRICS[r["task_type"]][0]}
        picked = PICKED[regime]
        pairs = [(v, picked, "validation") for v in ("blend", *mine) if v in {**OURS, **ABLATION}]
        if picked != BEST_BASELINE:
            pairs.append(("blend", BEST_BASELINE, "test"))
        pairs = list(dict.fromkeys(pairs))
        for variant, against, basis in pairs:
            one, other = mine[variant], mine[against]
            difference = (1 if one["higher_is_better"] else -1) * (one["mean"] - other["mean"])
            half = 0.022 if one["task_type"] != "regression" else 0.15
            verdict = "level" if abs(difference) < half else "ahead" if difference > 0 else "behind"
            out.append({
                "database": one["database"], "task": one["task"], "regime": regime,
                "metric": one["metric"], "variant": variant, "against": against, "basis": basis,
                "headline": variant == "blend" and basis == "validation",
                "difference": difference, "ci_low": difference - half,
                "ci_high": difference + half, "level": 0.995,
                "p_value": 0.4 if verdict == "level" else 0.0002,
                "p_adjusted": 0.8 if verdict == "level" else 0.012, "comparisons": len(pairs),
                "interval": "24 dates and 3 seeds", "verdict": verdict})
    return out


def calibration_frames(database: str, task: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reliability curves of three variants, and their errors."""
    bins, errors = [], []
    for regime in REGIMES:
        for variant in ("blend", "bart_gnn_finetuned", BEST_BASELINE):
            for stage, off in (("raw", 0.12), ("calibrated", 0.03)):
                where = {"database": database, "task": task, "regime": regime, "variant": variant,
                         "stage": stage}
                for i, p in enumerate(np.linspace(0.1, 0.9, 8)):
                    bins.append({**where, "bin": i, "predicted": p,
                                 "observed": float(np.clip(p + off * np.sin(6 * p), 0, 1)),
                                 "count": 80 + i})
                errors.append({**where, "method": "none" if stage == "raw" else "temperature",
                               "ece": off / 2, "ece_if_perfect": 0.02, "log_loss": 0.5 + off,
                               "n_test": 702})
    return pl.DataFrame(bins), pl.DataFrame(errors)


def write_evaluation(folder: Path, database: str, task: str, task_type: str) -> None:
    """The folder of `evaluation/<db>/<task>`."""
    folder.mkdir(parents=True)
    rows = metric_rows(database, task, task_type)
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "metrics.parquet")
    pl.DataFrame(comparison_rows(rows)).write_parquet(folder / "comparisons.parquet")
    pl.DataFrame([{
        **{k: r[k] for k in ("database", "task", "regime", "variant", "metric",
                             "higher_is_better")},
        "mean": r["mean"] + 0.02, "baseline": r["variant"] in BASELINES} for r in rows
        if r["metric"] == METRICS[task_type][0] and r["mean"] is not None
    ]).write_parquet(folder / "validation.parquet")
    random = np.random.default_rng(3)
    if task_type == "binary_classification":
        bins, errors = calibration_frames(database, task)
        bins.write_parquet(folder / "calibration.parquet")
        errors.write_parquet(folder / "calibration_error.parquet")
    if task_type == "recommendation":
        return
    target = random.integers(0, 2, 300).astype(float)
    if task_type == "regression":
        target = random.uniform(1, 20, 300)
    for regime in REGIMES:
        frames = []
        for i, variant in enumerate({**OURS, **ABLATION, **BASELINES, **PEERS}):
            noise = random.standard_normal(300)
            prediction = (1 / (1 + np.exp(-(noise + 1.6 * (target - 0.5))))
                          if task_type != "regression" else target + 3 * noise)
            frames.append(pl.DataFrame({
                "variant": [variant] * 300, "driverId": np.arange(300),
                "time": [datetime(2010, 1, 1) + timedelta(days=30 * (k % 24)) for k in range(300)],
                "target": target, "prediction": prediction,
                "spread": 0.02 + 0.002 * i + 0.01 * random.random(300)}))
        pl.concat(frames).write_parquet(folder / f"test_predictions_{regime}.parquet")


def write_stage(folder: Path, task_type: str, variants: list[str], curves: bool) -> None:
    """The folder of a training stage: who predicted, what was chosen, how training went."""
    folder.mkdir(parents=True)
    pl.DataFrame([{"regime": r, "variant": v, "bart": None, "seed": s, "split": "test",
                   "row": 0, "time": datetime(2010, 1, 1), "target": 1.0, "prediction": 0.5}
                  for r in REGIMES for v in variants for s in range(3)],
                 infer_schema_length=None).write_parquet(folder / "predictions.parquet")
    primary = METRICS[task_type][0]
    rows = [{"model": v, "candidate": c, "step": step, "fold": f, "regime": r, "metric": primary,
             "value": 0.6 + 0.01 * step - 0.002 * step**2 + (0.01 if c == "rate 1e-3" else 0),
             "chosen": c == "rate 1e-3" and step == 3}
            for v in variants for c in ("rate 1e-3", "rate 1e-2") for step in range(6)
            for f in ("fold_4500", "fold_4900", "val") for r in REGIMES]
    pl.DataFrame(rows).write_parquet(folder / "choices.parquet")
    if curves:
        random = np.random.default_rng(5)
        metrics = ("loss", "accuracy", "roc_auc") if primary == "roc_auc" else ("loss", primary)
        points = []
        for v in variants:
            for seed in range(3):
                for epoch in range(10):
                    for split, regime in (("train", None), ("val", "frozen_db"),
                                          ("val", "rolling")):
                        for m in metrics:
                            rising = 0.8 - 0.25 * 0.8**epoch
                            value = 1 - rising if m in ("loss", "mae") else rising
                            value += 0.02 * random.standard_normal() - 0.05 * (split == "val")
                            points.append({"variant": v, "seed": seed, "epoch": epoch,
                                           "split": split, "regime": regime, "metric": m,
                                           "value": value})
        pl.DataFrame(points, infer_schema_length=None).write_parquet(folder / "curves.parquet")
    else:
        pl.DataFrame([{"model": v, "regime": r, "feature": f"results.points {how} over 2 years",
                       "importance": 100.0 / (i + 1)} for v in variants[-1:] for r in REGIMES
                      for i, how in enumerate(("mean", "last", "count", "max"))]
                     ).write_parquet(folder / "importances.parquet")


def write_pretraining(folder: Path, mask: float) -> None:
    """The folder of a SAGE pre-training."""
    folder.mkdir(parents=True)
    points = [{"epoch": e, **{f"{split}_{what}": least + 0.3 * 0.5**e
                              for split in ("train", "validation")
                              for what, least in (("loss", 0.03), ("mse", 0.01))}}
              for e in range(10)]
    (folder / "curves.json").write_text(json.dumps(points))
    (folder / "config.json").write_text(json.dumps({
        "objective": "dimensions", "target": "embedding", "projections": "own",
        "mask_probability": mask, "hidden": 8}))
    (folder / "test.json").write_text(json.dumps({
        f"test_{k}": 0.25 * mask for k in ("mse", "mse_sum", "cosine", "loss")}))
    pl.DataFrame([{"database": "rel-a", "nodes": 1000, "mse": 0.3, "shuffled_mse": 0.4,
                   "column_mean_mse": 0.5, "ridge_mse": 0.1, "explained": 0.4,
                   "ridge_explained": 0.8, "from_neighbours": 0.25}]
                 ).write_parquet(folder / "graph_use.parquet")


def write_row_map(folder: Path, tables: int = 5) -> None:
    """The folder of a map of rows."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    table = np.arange(400) % tables
    angle = table * 2 * np.pi / tables
    frame = {"table": [f"table_{t}" for t in table], "row": np.arange(400)}
    for space, near in (("before", 12.0), ("after", 4.0)):
        for axis, wave in (("x", np.cos), ("y", np.sin)):
            frame[f"{space}_{axis}"] = (30 * wave(angle) + near * random.standard_normal(400)
                                        ).astype(np.float32)
    pl.DataFrame(frame).write_parquet(folder / "row_map.parquet")
    names = [*sorted(set(frame["table"])), "all tables"]
    pl.DataFrame([{"table": n, "rows": 400 if n == "all tables" else 80, "chance": 0.2,
                   "before": 0.92, "projected": 1.0, "untrained": 1.0, "one_projection": 0.85,
                   "after": 0.99}
                  for n in names]).write_parquet(folder / "purity.parquet")


def write_imputation(folder: Path, database: str) -> None:
    """The folder of filled-in cells."""
    folder.mkdir(parents=True)
    where = {"database": database, "regime": "frozen_db", "kind": "number"}
    rows = [{**where, "metric": "relative_mae", "method": method, "columns": 7, "better": better,
             "n_test": 70, "unparsable": share, "mean": 0.5, "ci_low": 0.4, "ci_high": 0.6}
            for method, better, share in (("bart", 3, 0.25), ("median", None, None))]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "kinds.parquet")
    pl.DataFrame([{**where, "column": "points"}]).write_parquet(folder / "metrics.parquet")
    pl.DataFrame([{**where, "reason": "empty"}]).write_parquet(folder / "skipped.parquet")


def write_transfer(folder: Path, database: str, task: str) -> None:
    """The folder of a transfer experiment."""
    folder.mkdir(parents=True)
    rows = []
    for share in (0.1, 0.3, 1.0):
        row = {"database": database, "task": task, "pretraining": "none", "variant": "scratch",
               "share": share, "labels": int(7000 * share), "regime": "rolling",
               "metric": "roc_auc", "n_test": 702, "seeds": 3, "mean": 0.6, "std": 0.01,
               "gain": None, "gain_std": None, "wins": None, "validation_gain": None}
        rows += [row, {**row, "pretraining": "mask_50", "variant": "finetuned", "gain": 0.05,
                       "gain_std": 0.02, "wins": 3, "validation_gain": 0.04}]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "transfer.parquet")


def write_graph(folder: Path, nodes: int) -> None:
    """The folder of an entity graph of two tables."""
    parent = np.arange(nodes) % 5
    indptr = np.concatenate([[0], np.cumsum(np.bincount(parent))]).astype(np.int64)
    adjacency = {
        ("many", "f2p_fewId", "few"): Adjacency(indptr, np.argsort(parent, kind="stable")),
        ("few", "rev_f2p_fewId", "many"): Adjacency(np.arange(nodes + 1), parent)}
    EntityGraph(("few", "many"), {"few": 5, "many": nodes},
                {"few": np.zeros(5, np.int64), "many": np.zeros(nodes, np.int64)}, adjacency
                ).save(folder)


def build_folders(root: Path, database: str = DATABASE, tasks: dict[str, str] | None = None,
                  everything: bool = True) -> dict[str, Path]:
    """Artifact folders by input name, as the pipeline hands them to the report."""
    tasks = TASKS if tasks is None else tasks
    folders: dict[str, Path] = {}

    def at(name: str) -> Path:
        folders[name] = root / name
        return folders[name]

    for number, (task, task_type) in enumerate(tasks.items()):
        where = f"db__task_{number}" if database != DATABASE else (
            f"rel_f1__{task.replace('-', '_')}")
        write_evaluation(at(f"evaluation__{where}"), database, task, task_type)
        write_stage(at(f"downstream_metrics__{where}"), task_type, [*OURS, *ABLATION], True)
        write_stage(at(f"baseline_metrics__{where}"), task_type, [*BASELINES], False)
        write_stage(at(f"peer_metrics__{where}"), task_type, [*PEERS], False)
        pl.DataFrame([{"variant": "kumo", "regime": r, "reason": "weights not available"}
                      for r in REGIMES]).write_parquet(
            folders[f"peer_metrics__{where}"] / "unavailable.parquet")
        if everything and task_type == "binary_classification":
            write_transfer(at(f"transfer_metrics__{where}"), database, task)
    bart = at("bart_checkpoint")
    bart.mkdir()
    (bart / "curves.json").write_text(json.dumps(
        [{"step": 10 * s, "train_loss": 3 * 0.8**s + 0.5, "learning_rate": 1e-3 * (1 - s / 20)}
         for s in range(20)]))
    write_pretraining(at("sage_weights"), 0.15)
    if everything:
        for mask in (25, 50, 100):
            write_pretraining(at(f"sage_sweep__mask_{mask}"), mask / 100)
        for name, nodes in (("rel_a", 900), ("rel_f1", 400)):
            write_graph(at(f"entity_graph__{name}"), nodes)
        write_row_map(at("row_map__rel_f1"))
        write_imputation(at("imputation_metrics__rel_f1"), database)
    return folders


def build_facts(folders: dict[str, Path]) -> list[dict]:
    """What the pipeline knows about each artifact."""
    facts = []
    for i, name in enumerate(folders):
        stage = name.partition("__")[0]
        facts.append({
            "stage": stage, "asset": name.replace("__", "/"), "seconds": 12.5 * (i + 1),
            "peak_mib": 800.0 + 10 * i, "recipe": f"{i:016x}", "data_version": f"{i:032x}",
            "code_version": f"{i:08x}", "inputs": {"source": "a" * 32},
            "settings": {"seeds": [0, 1, 2], "epochs": 10, "nested": {"rate": 0.001}}})
    return facts


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    return build_folders(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def facts(folders) -> list[dict]:
    return build_facts(folders)


@pytest.fixture(scope="session")
def build():
    return build_folders


@pytest.fixture
def draft(tmp_path) -> Draft:
    (tmp_path / "draft").mkdir()
    return Draft(tmp_path / "draft")
