"""Every variant, regime and seed of one task, resumable training by training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.training import Adaptation, Log, adapt
from rowgraph.adaptation.variants import variant
from rowgraph.artifacts import Draft, write_json
from rowgraph.embeddings import Embeddings, EmbeddingStore, RandomTwin
from rowgraph.evaluation.scoring import (
    Predictions,
    prediction_rows,
    primary_results,
    score_rows,
)
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.tasks.label_tables import Task

HELD_BYTES = 2 << 30  # embeddings of a database up to this size are held in memory as float32


class HeldEmbeddings:
    """A copy in memory, for databases small enough: a batch costs one indexing per table."""

    def __init__(self, source: Embeddings, graph: EntityGraph):
        self.dim = source.dim
        self._tables = {t: source.gather(t, np.arange(n)) for t, n in graph.num_nodes.items()}

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return len(self._tables[table])

    def gather(self, table: str, rows: np.ndarray | Tensor) -> Tensor:
        """float32 [n, dim]."""
        return self._tables[table][torch.as_tensor(rows)]


def held(source: Embeddings, graph: EntityGraph) -> Embeddings:
    """The embeddings in memory where they fit, else as they are."""
    size = 4 * source.dim * sum(graph.num_nodes.values())
    return HeldEmbeddings(source, graph) if size <= HELD_BYTES else source


def run_task(task: Task, graph: EntityGraph, store: EmbeddingStore,
             shared_state: Mapping[str, Tensor], settings: DownstreamMetricsSettings,
             sage_settings: SageWeightsSettings, draft: Draft, *, device: str | torch.device,
             log: Log) -> dict[str, object]:
    """Adapt every variant with every seed and score it under every regime.

    A finished training lies in `draft.state` and is not done again. The random twin is drawn anew
    for each seed, so that its spread over seeds holds the luck of the draw.

    Args:
        task: of a held-out database.
        graph: of that database.
        store: its BART embeddings.
        shared_state: the pre-trained shared layers.
        settings, sage_settings: of adaptation, and the shapes of pre-training.
        draft: gets `metrics.parquet` (`score_rows`), `predictions.parquet` (`prediction_rows`)
            and `curves.parquet` (variant, seed, epoch, split, regime, metric, value).
        log: called after each epoch of each training.

    Returns:
        The summary: the primary metric by regime and variant, and what it rests on.
    """
    finished: list[Adaptation] = []
    for seed in settings.seeds:
        sources: dict[bool, Embeddings] = {}  # by Variant.random
        for chosen in map(variant, settings.variants):
            path = draft.state / f"{chosen.name}-{seed}"
            if (found := load_adaptation(path)) is None:
                if chosen.random not in sources:
                    source = RandomTwin(store, seed) if chosen.random else store
                    sources[chosen.random] = held(source, graph)
                found = adapt(task, graph, sources[chosen.random], shared_state, chosen, settings,
                              sage_settings, seed, device=device, log=log)
                save_adaptation(path, found)
            finished.append(found)
    predictions: Predictions = {(regime, a.variant, a.seed): splits
                                for a in finished for regime, splits in a.predictions.items()}
    rows = score_rows(task, predictions, settings.bootstrap)
    rows.write_parquet(draft.path("metrics.parquet"))
    prediction_rows(task, predictions).write_parquet(draft.path("predictions.parquet"))
    curve_rows(finished).write_parquet(draft.path("curves.parquet"))
    return {
        "metric": task.metrics[0],
        "n_train": len(task.train.newest(settings.train_rows)),
        "n_val": len(task.val), "n_test": len(task.test),
        "results": primary_results(task, rows),
        "validation": {regime: _means(finished, regime) for regime in settings.regimes},
    }


def save_adaptation(path: Path, done: Adaptation) -> None:
    """Write `<path>.npz` (predictions) and, last, `<path>.json` (everything else)."""
    arrays = {f"{regime}/{split}": values for regime, splits in done.predictions.items()
              for split, values in splits.items()}
    with open(path.with_name(path.name + ".npz"), "wb") as handle:
        np.savez(handle, **arrays)
    write_json(path.with_name(path.name + ".json"), {
        "variant": done.variant, "seed": done.seed, "validation": done.validation,
        "epoch": done.epoch, "curve": done.curve})


def load_adaptation(path: Path) -> Adaptation | None:
    """What `save_adaptation` wrote, or None if it never finished."""
    facts_path = path.with_name(path.name + ".json")
    if not facts_path.exists():
        return None
    facts = json.loads(facts_path.read_text())
    predictions: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path.with_name(path.name + ".npz"), allow_pickle=False) as arrays:
        for name in arrays.files:
            regime, split = name.split("/")
            predictions.setdefault(regime, {})[split] = arrays[name]
    return Adaptation(facts["variant"], facts["seed"], predictions, facts["validation"],
                      facts["epoch"], facts["curve"])


def curve_rows(finished: list[Adaptation]) -> pl.DataFrame:
    """The curves of all trainings; `regime` is null for training rows."""
    return pl.DataFrame(
        [{"variant": a.variant, "seed": a.seed, **row} for a in finished for row in a.curve],
        schema={"variant": pl.String, "seed": pl.Int64, "epoch": pl.Int64, "split": pl.String,
                "regime": pl.String, "metric": pl.String, "value": pl.Float64})


def _means(finished: list[Adaptation], regime: str) -> dict[str, float]:
    by_variant: dict[str, list[float]] = {}
    for done in finished:
        by_variant.setdefault(done.variant, []).append(done.validation[regime])
    return {name: float(np.mean(values)) for name, values in by_variant.items()}
