"""The leakage audit: does anything that lies in a seed's future reach its prediction?

The canary: every cell dated at or after a moment, and every label that was not known by then, is
overwritten with nonsense (`rowgraph.evaluation.nonsense`), and everything on the way to a
prediction is made again. Not one bit may differ for the seeds of that moment. Two controls
overwrite what lies before the moment instead, cells and labels apart: a path that neither changes
looks at nothing, and its silence would prove nothing; one that labels alone change reads no dated
cell. Apart, because a model that ignored every cell would still move with its labels. Where cells
are known later than their row (`Database.known_at`), those whose time had not come are overwritten
with the future, and a third control overwrites those alone whose time had.

The models are small and quickly trained, with the whole mechanism of the real ones: folds, choices,
final fit. A digest of each row's text stands for its vector, so that one changed letter shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from rowgraph.evaluation.nonsense import nonsense_labels, write_nonsense
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
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.predictions import read_predictions
from rowgraph.tasks.regimes import INCLUSIVE, Regime, hidden, seen_before

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

Log = Callable[[int, Mapping[str, float]], None]
Answers = dict[str, np.ndarray]  # path -> what it gave, as one array


@dataclass(frozen=True)
class Finding:
    """One path under one regime.

    Args:
        database, task, regime, path: what was tried.
        seeds: label rows asked about.
        values: numbers compared.
        differences: of them, how many the future changed. 0, or something leaks.
        by_cells, by_labels: the control: how many past cells changed, and how many past labels.
            Both 0, and the path looks at nothing. A path that labels alone change reads no dated
            cell (an entity's own history, the row of a table without time): of cells it proves
            nothing.
        by_late: how many the cells changed that were written after their row, and known by then;
            None where the database has no such cells.
    """

    database: str
    task: str
    regime: Regime
    path: str
    seeds: int
    values: int
    differences: int
    by_cells: int
    by_labels: int
    by_late: int | None = None

    @property
    def blind(self) -> bool:
        """Neither control changed it."""
        return not (self.by_cells or self.by_labels)

    @property
    def passed(self) -> bool:
        """Nothing leaks, and a control shows that a leak would have been seen."""
        return self.differences == 0 and not self.blind


def audit_task(database: Database, name: str, scratch: Path, *,
               regimes: Sequence[Regime] = ("frozen_db", "rolling"),
               note: Callable[[str], None] = lambda text: None) -> Iterator[Finding]:
    """Try the canary and its control on every path of one task, under each regime.

    Args:
        database: resolved; nothing is written to it.
        scratch: a folder for copies; emptied at the end.
        note: hears what is being tried.
    """
    task = load_task(database, name)
    for regime in regimes:
        asked, moment = _asked(task, regime)
        found = {}
        late = any(database.known_at(t, c) is not None for t in database.tables
                   for c in database.columns(t))
        for world, make in (WORLDS | (LATE if late else {})).items():
            note(f"{database.name}/{name} {regime}: {world}")
            found[world] = _answers(make(asked, scratch / "copy", moment), regime,
                                    scratch / "made")
        shutil.rmtree(scratch, ignore_errors=True)
        for path, truth in found["as it is"].items():
            yield Finding(database.name, name, regime, path, len(asked.test), truth.size,
                          *(_different(truth, found[world][path]) if world in found else None
                            for world in ("future", "past cells", "past labels", "late cells")))


def verdict(findings: list[Finding]) -> str:
    """The one line with which an audit ends."""
    def named(some: list[Finding]) -> str:
        return ", ".join(f"{f.database}/{f.task} {f.regime} {f.path}" for f in some)

    line = (f"audit: {sum(f.differences for f in findings)} differences in "
            f"{sum(f.values for f in findings):,} values over {len(findings)} paths; past cells "
            f"changed {sum(f.by_cells > 0 for f in findings)} of them, past labels alone "
            f"{sum(f.by_labels > 0 and not f.by_cells for f in findings)}")
    if late := [f for f in findings if f.by_late is not None]:
        line += (", cells written after their row but known by then "
                 f"{sum(f.by_late > 0 for f in late)} of {len(late)}")
    if leaks := [f for f in findings if f.differences]:
        line += f"; LEAKS: {named(leaks)}"
    if blind := [f for f in findings if f.blind]:
        line += f"; proves nothing: {named(blind)}"
    return line


def _asked(task: Task, regime: Regime) -> tuple[Task, int]:
    """The task with few label rows, and the first moment that its test rows must not see.

    Under `rolling` the seeds are those up to a date in the middle of the test span, and the moment
    is that date; under `frozen_db` they are the newest, and the moment follows `test_timestamp`.
    """
    times = task.test.times
    if regime == "rolling":
        dates = np.unique(times)
        moment = int(dates[len(dates) // 2])
        index = np.flatnonzero(times <= moment)[-SEEDS:]
    else:
        moment = task.database.test_timestamp + INCLUSIVE
        index = np.argsort(times, kind="stable")[-SEEDS:]
    return dataclasses.replace(task, train=task.train.newest(FITTED), val=task.val.newest(FITTED),
                               test=task.test.take(np.sort(index))), moment


def _as_it_is(task: Task, folder: Path, moment: int) -> Task:
    return task


def _future(task: Task, folder: Path, moment: int) -> Task:
    """Cells at or after the moment, and labels that were not known by then, are nonsense."""
    keep = {task.entity_table: task.test.rows} if task.autocomplete else None
    database = write_nonsense(task.database, folder, start=moment, keep=keep)
    unknown = task.test.times + task.timedelta >= moment
    return dataclasses.replace(task, database=database,
                               test=nonsense_labels(task, task.test, unknown))


def _past_cells(task: Task, folder: Path, moment: int) -> Task:
    """Cells before the moment are nonsense, and every label stays."""
    return dataclasses.replace(task, database=write_nonsense(task.database, folder, end=moment))


def _late_cells(task: Task, folder: Path, moment: int) -> Task:
    """Cells that were written after their row, and before the moment, are nonsense."""
    return dataclasses.replace(task, database=write_nonsense(task.database, folder, end=moment,
                                                             only_late=True))


def _past_labels(task: Task, folder: Path, moment: int) -> Task:
    """Every second training and validation label is nonsense, and every cell stays."""
    train, val = (nonsense_labels(task, labels, np.arange(len(labels)) % 2 == 0)
                  for labels in (task.train, task.val))
    return dataclasses.replace(task, train=train, val=val)


WORLDS = {"as it is": _as_it_is, "future": _future, "past cells": _past_cells,
          "past labels": _past_labels}
LATE = {"late cells": _late_cells}


def _answers(task: Task, regime: Regime, folder: Path) -> Answers:
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


def _different(one: np.ndarray, other: np.ndarray) -> int:
    """Values that differ; where there are more or fewer, those too."""
    if one.shape != other.shape:
        one, other = one.ravel(), other.ravel()
        common = min(len(one), len(other))
        return int((one[:common] != other[:common]).sum()) + abs(len(one) - len(other))
    return int((one != other).sum())


def _silent(step: int, metrics: Mapping[str, float]) -> None:
    return
