"""Every path from a task to a prediction, gone with small models that are quickly trained.

They have the whole mechanism of the real ones: folds, choices, final fit. A digest of each row's
text stands for its vector, so that one changed letter shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rowgraph.adaptation.exams import Rows
from rowgraph.adaptation.hybrid.finetuning import Ground
from rowgraph.adaptation.hybrid.running import run_rowgraph
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.adaptation.running import run_task
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.artifacts import Draft
from rowgraph.baselines.running import run_baselines
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import write_cell_store
from rowgraph.databases.database import Database
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.store import WindowFeatures, write_window_features
from rowgraph.forecasting.own_past import Reading, ends_of, train_on_own_past
from rowgraph.forecasting.pretraining import pretrain_on_forecasts
from rowgraph.forecasting.settings import ForecastWeightsSettings, OwnPastWeightsSettings
from rowgraph.graph.entity_graph import EntityGraph, build_entity_graph
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.imputation.cells import is_there, split_table, values_of
from rowgraph.imputation.guesses import Attributes, lightgbm_guesses
from rowgraph.randomness import torch_generator
from rowgraph.rows.linearization import linearize_frame
from rowgraph.sage.model import HeteroGraphSAGE
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.predictions import read_predictions
from rowgraph.tasks.regimes import Regime, hidden, seen_before

SEEDS = 60  # test rows that are asked about, at most
FITTED = 800  # newest training rows of the small models, at most
FAN_OUT = (6, 3)
SAGE = SageWeightsSettings(hidden=8, fan_out=FAN_OUT)
MODELS = DownstreamMetricsSettings(
    variants=("bart_gnn_finetuned", "bart_head"), seeds=(0,), epochs=2, batch=128, head_hidden=8,
    fan_out=FAN_OUT, folds=1, train_rows=FITTED, workers=1)
FORECAST = ForecastWeightsSettings(steps=4, width=8, output=8, batch=32, questions=6,
                                   fan_out=FAN_OUT, synthetic=1, synthetic_share=1.0)
OWN_PAST = OwnPastWeightsSettings(seeds=(0,), steps=12, width=8, output=8, batch=32, questions=6,
                                  fan_out=FAN_OUT, folds=1, workers=1)
ROWGRAPH = RowgraphMetricsSettings(seeds=(0,), untrained=1, trees=20, bags=1, linear_features=20,
                                   steps=8, batch=32, fit_rows=FITTED, folds=1, workers=1)
BASELINES = BaselineMetricsSettings(seeds=(0,), trees=20, folds=1)
FEATURES = WindowFeaturesSettings(folds=1)

Answers = dict[str, np.ndarray]  # path -> what it gave, as one array


def answers_of(task: Task, regime: Regime, folder: Path) -> Answers:
    """What every path gives for the test rows of a task."""
    shutil.rmtree(folder, ignore_errors=True)
    found: Answers = {}
    graph = build_entity_graph(task.database)
    found |= _neighbours(task, graph, regime)
    features = _draft(folder / "features")
    write_window_features(task, FEATURES, features, log=_silent)
    opened = WindowFeatures.open(features.folder)
    matrix = opened.matrix(f"test_{regime}")
    history = np.array([n.startswith(("own labels", "all labels")) for n in opened.names])
    found["window features"] = np.nan_to_num(matrix[:, ~history], nan=-1.0)
    if history.any():
        found["label history"] = np.nan_to_num(matrix[:, history], nan=-1.0)
    baselines = _draft(folder / "baselines")
    run_baselines(task, features.folder, BASELINES, baselines, log=_silent)
    found |= _predicted(task, baselines, regime, "baseline")
    models = _draft(folder / "models")
    vectors = HashedTexts(task.database, graph)
    run_task(task, graph, {0: BartVectors(vectors, _shared(vectors.dim), SAGE)}, MODELS, models,
             device="cpu", log=_silent)
    found |= _predicted(task, models, regime, "model")
    found |= _rowgraph(task, graph, regime, features.folder, folder)
    if regime == "frozen_db":
        found |= _filled_cells(task)
    return found


def _rowgraph(task: Task, graph: EntityGraph, regime: Regime, features: Path,
              folder: Path) -> Answers:
    """What the row-and-graph encoder is given, and what every part of RowGraph's model says."""
    cells, past, models = (_draft(folder / name) for name in ("cells", "own past", "rowgraph"))
    graph.save(folder / "graph")
    whole = dataclasses.replace(task.database, hidden=frozenset())
    write_cell_store(whole, CellStoreSettings(), cells)
    reading = Reading(whole, folder / "graph", cells.folder)
    train_on_own_past(reading, ends_of(task.database, [task], OWN_PAST.folds), OWN_PAST, past,
                      device="cpu", log=_silent)
    others = _draft(folder / "forecast")
    pretrain_on_forecasts({}, FORECAST, others, device="cpu", log=_silent)
    ground = Ground(reading, task, past.folder, others.folder, ROWGRAPH, "cpu")
    before = seen_before(task.test.times, regime, task.database.test_timestamp)
    batch = ground.vectors().batch(Rows(View("asked", task.test, before),
                                        np.arange(len(task.test))))
    read = [batch.means, *(x for t in batch.tables for x in (t.static, t.own, t.windows))]
    run_rowgraph(ground, features, models, log=_silent)
    return {"cells, windows and known answers": np.concatenate([x.numpy().ravel() for x in read]),
            **_predicted(task, models, regime, "model")}


def _neighbours(task: Task, graph: EntityGraph, regime: Regime) -> Answers:
    """Every sampled node and edge, by strategy."""
    before = seen_before(task.test.times, regime, task.database.test_timestamp)
    unseen = hidden(np.asarray(graph.times[task.entity_table])[task.test.rows], before)
    found = {}
    for strategy in ("latest", "uniform"):
        batch = TemporalNeighborSampler(graph, FAN_OUT, strategy).sample(
            task.entity_table, task.test.rows, before, 0,
            None if task.autocomplete else unseen)
        found[f"sampler, {strategy}"] = np.concatenate([
            *(v.numpy() for v in batch.n_id.values()),
            *(v.numpy().ravel() for v in batch.edge_index.values())])
    return found


def _predicted(task: Task, draft: Draft, regime: Regime, what: str) -> Answers:
    """Test predictions by variant, seed by seed end to end."""
    found: dict[str, list[np.ndarray]] = {}
    predictions = read_predictions(task, draft.folder / "predictions.parquet")
    for run, splits in predictions.items():
        if run.regime == regime:
            found.setdefault(f"{what}, {run.variant}", []).append(np.ravel(splits["test"]))
    return {name: np.concatenate(arrays) for name, arrays in found.items()}


def _filled_cells(task: Task) -> Answers:
    """What LightGBM says of cells from rows that are older than `test_timestamp`: one column."""
    database = task.database
    for table in (t for t, schema in database.tables.items() if schema.time_col):
        split = split_table(database, table, None, False, FITTED, 0)
        for column in (c for c in split.targets if c != database.tables[table].time_col):
            values = values_of(split.fitted[column])
            there = np.flatnonzero(is_there(values))
            if len(there) > SEEDS and len(np.unique(values[there])) > 1:
                guesses = lightgbm_guesses(Attributes.fit(split), column, there, values[there],
                                           there[:SEEDS], trees=5, classes=5, seed=0)
                return {"filled cells": np.asarray(guesses)}
    return {}


class HashedTexts:
    """Stands for the language model: a digest of each row's text as its vector.

    Implements `rowgraph.embeddings.Embeddings`.
    """

    dim = 16

    def __init__(self, database: Database, graph: EntityGraph):
        self._rows = dict(graph.num_nodes)
        self._tables = {t: self._of_table(database, t) for t in graph.node_types}

    def _of_table(self, database: Database, table: str) -> Tensor:
        attributes = database.attributes(table)
        pieces = [np.empty((0, self.dim), dtype=np.float32)]
        for _, frame in database.read_chunks(table, attributes or None):
            texts = linearize_frame(table, frame, attributes)
            digests = b"".join(hashlib.blake2b(text.encode(), digest_size=2 * self.dim).digest()
                               for text in texts)
            numbers = np.frombuffer(digests, dtype=np.uint16).reshape(-1, self.dim)
            pieces.append((numbers / 32_768 - 1).astype(np.float32))
        return torch.from_numpy(np.concatenate(pieces))

    def num_rows(self, table: str) -> int:
        """Rows of a table."""
        return self._rows[table]

    def gather(self, table: str, rows: np.ndarray | Tensor) -> Tensor:
        """float32 [n, dim]."""
        return self._tables[table][torch.as_tensor(rows)]


def _shared(dim: int) -> dict[str, Tensor]:
    model = HeteroGraphSAGE(dim, ["elsewhere"], SAGE.hidden, SAGE.layers, SAGE.edge_type_reduce,
                            torch_generator("audit", "shared"))
    return {k: v.clone() for k, v in model.shared_state_dict().items()}


def _draft(folder: Path) -> Draft:
    folder.mkdir(parents=True)
    return Draft(folder)


def _silent(step: int, metrics: Mapping[str, float], of: int | None = None) -> None:
    return
