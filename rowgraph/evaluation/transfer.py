"""What pre-training is worth: each pre-training against none, with few and with all labels.

Everything but the first weights of the shared layers is equal: head, date encoder, projections
(unless a shared one was pre-trained), order of rows, neighbours, number of steps. With a share of
the labels the same training rows come round more often, so that every share has the same budget;
shares are nested, and every training lasts for all of its epochs: none is chosen. `gain` is the
difference to no pre-training with the same seed and share, in the task's primary metric, positive
where pre-training is better; which pre-training is best is read off validation
(`validation_gain`), never off test. See docs/decisions/transfer.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from rowgraph.adaptation.heads import answer_of
from rowgraph.adaptation.inputs import Inputs
from rowgraph.adaptation.training import train
from rowgraph.adaptation.variants import variant
from rowgraph.adaptation.vectors import BartVectors, held
from rowgraph.artifacts import Draft, write_json
from rowgraph.embeddings import Embeddings
from rowgraph.evaluation.settings import TransferMetricsSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.progress import Log
from rowgraph.randomness import generator
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.tasks.folds import View
from rowgraph.tasks.kinds import HIGHER_IS_BETTER
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.regimes import visible_before

NONE = "none"  # the pre-training that did not happen
SCRATCH = "bart_gnn_scratch"

Key = tuple[str, str, float]  # pre-training, variant, share


@dataclass(frozen=True)
class Pretrained:
    """Shared layers and the settings that they were pre-trained with."""

    shared: Mapping[str, Tensor]
    settings: SageWeightsSettings


@dataclass(frozen=True)
class Reached:
    """What one training reached.

    Args:
        test, validation: the primary metric by regime.
    """

    test: Mapping[str, float]
    validation: Mapping[str, float]


def run_transfer(task: Task, graph: EntityGraph, store: Embeddings,
                 trained: Mapping[str, Pretrained], settings: TransferMetricsSettings,
                 draft: Draft, *, device: str | torch.device, log: Log) -> dict[str, Any]:
    """Adapt from every pre-training and from none, with every share and seed.

    A finished training lies in `draft.state` and is not done again.

    Args:
        task: of a held-out database; binary, multiclass or regression.
        graph, store: of that database.
        trained: by name.
        draft: gets `transfer.parquet` (`transfer_rows`).
        log: called after each training.

    Returns:
        The summary: the best pre-training on validation by regime and share, with its gain on
        test.

    Raises:
        ValueError: the kind of task has no head, a metric is undefined, or a training diverged.
    """
    if task.database.hidden:
        columns = ", ".join(f"{t}.{c}" for t, c in sorted(task.database.hidden))
        raise ValueError(f"{task.database.name}/{task.name}: transfer_metrics reads vectors that "
                         f"were made from every column, and this task must not see {columns}; "
                         "leave the task out of the profile, or its transfer_metrics.shares empty "
                         "in task_settings")
    embeddings = held(store, graph)
    labels = task.train.newest(settings.train_rows)
    first = next(iter(trained.values()))
    runs = [(NONE, SCRATCH, Pretrained({}, first.settings))]
    runs += [(name, v, found) for name, found in trained.items() for v in settings.variants]
    found: dict[Key, list[Reached]] = {}
    for share in settings.shares:
        for seed in settings.seeds:
            fit = View(f"share {share:g}", few := few_labels(labels, share, task, seed), few.times)
            inputs = Inputs(task, graph, settings)
            for name, chosen, pretrained in runs:
                path = draft.state / f"{name}-{chosen}-{share:g}-{seed}.json"
                if not path.exists():
                    vectors = BartVectors(embeddings, pretrained.shared, pretrained.settings)
                    reached = _reached(task, inputs, graph, vectors, chosen, settings, fit, seed,
                                       device)
                    write_json(path, vars(reached))
                    log(settings.epochs, {f"{name}/{share:g}/{chosen}/seed{seed}/{regime}": value
                                          for regime, value in reached.validation.items()})
                done = Reached(**json.loads(path.read_text()))
                found.setdefault((name, chosen, share), []).append(done)
    rows = transfer_rows(task, found, len(labels))
    rows.write_parquet(draft.path("transfer.parquet"))
    return {"metric": task.metrics[0], "n_train": len(labels), "n_test": len(task.test),
            "best_on_validation": best_on_validation(rows)}


def _reached(task: Task, inputs: Inputs, graph: EntityGraph, vectors: BartVectors, chosen: str,
             settings: TransferMetricsSettings, fit: View, seed: int,
             device: str | torch.device) -> Reached:
    """Train for all epochs and measure once."""
    asked = {}
    for split in ("val", "test"):
        labels = task.labels(split)
        for regime in settings.regimes:
            before = visible_before(labels.times, regime, split, task.database)
            asked[split, regime] = View(f"{split} {regime}", labels, before)
    *_, last = train(inputs, graph, vectors.store, vectors, variant(chosen), settings, fit=fit,
                     asked=asked, seed=seed, device=device,
                     at=dict.fromkeys(asked, (settings.epochs,)))
    answer = answer_of(task, fit.labels.target)
    values: dict[str, dict[str, float]] = {"val": {}, "test": {}}
    for (split, regime), raw in last.answers.items():
        values[split][regime] = measure(task.metrics[0], task.labels(split).target,
                                        answer.prediction(raw), task.train.target)
    return Reached(values["test"], values["val"])


def few_labels(labels: LabelTable, share: float, task: Task, seed: int) -> LabelTable:
    """A share of the label rows, coming round until they are as many as all of them.

    A smaller share is a part of a larger one with the same seed; at least one row stays.
    """
    count = max(1, round(share * len(labels)))
    order = generator("transfer", "labels", task.database.name, task.name, seed).permutation(
        len(labels))
    return labels.take(np.resize(np.sort(order[:count]), len(labels)))


def transfer_rows(task: Task, found: Mapping[Key, Sequence[Reached]],
                  n_labels: int) -> pl.DataFrame:
    """One row per pre-training, variant, share and regime.

    `mean` and `std` over seeds of the primary metric on test; `gain`, `gain_std` and `wins` (seeds
    with a positive gain) against no pre-training; `validation_gain` the mean gain on validation.
    Standard deviations have ddof=1 and are null for one seed; gains of no pre-training are null.
    """
    metric = task.metrics[0]
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    regimes = list(next(iter(found.values()))[0].test)
    rows = []
    for (name, chosen, share), runs in found.items():
        scratch = found[NONE, SCRATCH, share]
        for regime in regimes:
            values = _on_test(runs, regime)
            row = {"database": task.database.name, "task": task.name, "pretraining": name,
                   "variant": chosen.removeprefix("bart_gnn_"), "share": share,
                   "labels": max(1, round(share * n_labels)), "regime": regime, "metric": metric,
                   "n_test": len(task.test), "seeds": len(runs), "mean": float(values.mean()),
                   "std": _std(values)}
            if name != NONE:
                gain = sign * (values - _on_test(scratch, regime))
                of_validation = [sign * (a.validation[regime] - b.validation[regime])
                                 for a, b in zip(runs, scratch, strict=True)]
                row |= {"gain": float(gain.mean()), "gain_std": _std(gain),
                        "wins": int((gain > 0).sum()),
                        "validation_gain": float(np.mean(of_validation))}
            rows.append(row)
    schema = {"database": pl.String, "task": pl.String, "pretraining": pl.String,
              "variant": pl.String, "share": pl.Float64, "labels": pl.Int64, "regime": pl.String,
              "metric": pl.String, "n_test": pl.Int64, "seeds": pl.Int64, "mean": pl.Float64,
              "std": pl.Float64, "gain": pl.Float64, "gain_std": pl.Float64, "wins": pl.Int64,
              "validation_gain": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def best_on_validation(rows: pl.DataFrame) -> dict[str, str]:
    """By regime and share, the pre-training with the largest gain on validation, in words."""
    best = {}
    pretrained = rows.filter(pl.col("gain").is_not_null())
    for (regime, share), group in pretrained.group_by("regime", "share", maintain_order=True):
        row = group.sort("validation_gain", descending=True, maintain_order=True).row(0, named=True)
        best[f"{regime} {share:g}"] = (f"{row['pretraining']} {row['variant']}: test gain "
                                       f"{row['gain']:+.4f}, {row['wins']} of {row['seeds']} seeds")
    return best


def _on_test(runs: Sequence[Reached], regime: str) -> np.ndarray:
    return np.array([run.test[regime] for run in runs])


def _std(values: np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
