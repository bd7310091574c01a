"""Adaptation of one variant to one task with one seed (Section 4.4).

A training serves both regimes, because training rows see the same under both. Validation is
scored under each, and each keeps the weights of its own best epoch. Test labels are never read
here. Draws do not depend on the variant: with equal seeds all variants get the same fresh
weights, order of rows and neighbours, so that their differences are differences of variants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rowgraph.adaptation.models import DateScale, DownstreamModel, build_model
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.variants import Variant
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import SampledBatch, TemporalNeighborSampler
from rowgraph.randomness import generator, stable_seed
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.tasks.kinds import HIGHER_IS_BETTER
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.regimes import hidden, visible_before

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings

Log = Callable[[int, dict[str, float]], None]
CURVE = {True: ("roc_auc", "accuracy"), False: ("mae",)}  # beside the loss, by `Task.binary`


@dataclass(frozen=True)
class Adaptation:
    """What one training gave.

    Args:
        variant, seed: of the training.
        predictions: regime -> split ("val", "test") -> float64 in label order; probabilities
            where the target is binary.
        validation: regime -> the primary metric at the kept epoch.
        epoch: regime -> the kept epoch, from 0.
        curve: one dict per epoch, split, regime (None for training rows) and metric.
    """

    variant: str
    seed: int
    predictions: dict[str, dict[str, np.ndarray]]
    validation: dict[str, float]
    epoch: dict[str, int]
    curve: list[dict[str, object]]


def adapt(task: Task, graph: EntityGraph, embeddings: Embeddings,
          shared_state: Mapping[str, Tensor], variant: Variant,
          settings: DownstreamMetricsSettings, sage_settings: SageWeightsSettings, seed: int, *,
          device: str | torch.device, log: Log) -> Adaptation:
    """Train a variant, keep each regime's best epoch on validation, predict.

    Args:
        task: its training labels are fitted, its validation labels choose the epoch.
        graph: of the task's database.
        embeddings: BART's or the random twin's, as the variant asks.
        shared_state: the pre-trained shared layers.
        settings, sage_settings: of adaptation, and the shapes of pre-training.
        seed: of fresh weights, dropout, order and neighbours.
        log: called after each epoch.

    Raises:
        ValueError: the metric is undefined on validation, or the training diverged.
    """
    train = task.train.newest(settings.train_rows)
    raw = _RawTarget.fit(train, task.binary)
    run = _Run(task, graph, embeddings, variant, settings, DateScale.fit(train.times), seed,
               torch.device(device))
    fitted = visible_before(train.times, settings.regimes[0], "train", task.database,
                            static=variant.static)
    before = {r: visible_before(task.val.times, r, "val", task.database, static=variant.static)
              for r in settings.regimes}
    best: dict[str, _Best] = {}
    curve: list[dict[str, object]] = []
    forked = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked):
        torch.manual_seed(stable_seed(*run.purpose, "weights"))
        model = build_model(variant, graph.node_types, embeddings.dim, shared_state, settings,
                            sage_settings).to(run.device)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad],
                                     lr=settings.learning_rate)
        for epoch in range(settings.epochs):
            values = _train_epoch(run, model, optimizer, train, fitted, raw, epoch)
            curve += _scored(task, train, raw, values, epoch, "train", None)
            for regime, values in _predict_each(run, model, task.val, before).items():
                scored = _scored(task, task.val, raw, values, epoch, "val", regime)
                curve += scored
                primary = next(row["value"] for row in scored if row["metric"] == task.metrics[0])
                if regime not in best or best[regime].worse_than(primary, task.metrics[0]):
                    best[regime] = _Best(epoch, primary, raw.prediction(values),
                                         {k: v.clone() for k, v in model.state_dict().items()})
            log(epoch, {f"{variant.name}/seed{seed}/{_column(row)}": row["value"]
                        for row in curve if row["epoch"] == epoch})
        predictions = {}
        for regime, kept in best.items():
            model.load_state_dict(kept.weights)
            seen = visible_before(task.test.times, regime, "test", task.database,
                                  static=variant.static)
            predictions[regime] = {
                "val": kept.prediction,
                "test": raw.prediction(_predict(run, model, task.test, seen))}
    return Adaptation(variant.name, seed, predictions,
                      {r: b.validation for r, b in best.items()},
                      {r: b.epoch for r, b in best.items()}, curve)


@dataclass(frozen=True)
class _RawTarget:
    """Between a target and what the head gives: logits, or values in training deviations."""

    binary: bool
    mean: float
    std: float

    @classmethod
    def fit(cls, train: LabelTable, binary: bool) -> _RawTarget:
        if binary:
            return cls(True, 0.0, 1.0)
        return cls(False, float(train.target.mean()), float(train.target.std()) or 1.0)

    def loss(self, raw_N: Tensor, target: np.ndarray) -> Tensor:
        """Binary cross-entropy with logits, or L1 on the standardised target."""
        target_N = torch.from_numpy((target - self.mean) / self.std).to(raw_N)
        if self.binary:
            return F.binary_cross_entropy_with_logits(raw_N, target_N)
        return F.l1_loss(raw_N, target_N)

    def prediction(self, raw: np.ndarray) -> np.ndarray:
        """Probabilities, or values in the target's unit."""
        if self.binary:
            return torch.from_numpy(raw).sigmoid().numpy()
        return raw * self.std + self.mean


@dataclass(frozen=True)
class _Best:
    epoch: int
    validation: float
    prediction: np.ndarray
    weights: dict[str, Tensor]

    def worse_than(self, value: float, metric: str) -> bool:
        """An equal later epoch does not replace an earlier one."""
        return value > self.validation if HIGHER_IS_BETTER[metric] else value < self.validation


class _Run:
    """Turns label rows into model inputs."""

    def __init__(self, task: Task, graph: EntityGraph, embeddings: Embeddings, variant: Variant,
                 settings: DownstreamMetricsSettings, dates: DateScale, seed: int,
                 device: torch.device):
        self.entity_table = task.entity_table
        self.entity_times = graph.times[task.entity_table]
        self.embeddings, self.dates, self.device = embeddings, dates, device
        self.batch_rows = settings.batch
        self.purpose = ("downstream_metrics", task.database.name, task.name, seed)
        self.sampler = (TemporalNeighborSampler(graph, settings.fan_out, settings.sampling)
                        if variant.has_gnn else None)

    def batches(self, labels: LabelTable, before: np.ndarray, order: np.ndarray,
                *draw: object) -> Iterator[tuple[np.ndarray, tuple[object, object, Tensor]]]:
        """Positions and the model's arguments, `batch_rows` label rows at a time."""
        number = stable_seed(*self.purpose, "neighbours", *draw)
        for start in range(0, len(order), self.batch_rows):
            at = order[start:start + self.batch_rows]
            entity, batch = self._inputs(labels.rows[at], before[at], number)
            yield at, (entity, batch, self.dates(labels.times[at]).to(self.device))

    def _inputs(self, rows: np.ndarray, before: np.ndarray,
                number: int) -> tuple[Tensor | dict[str, Tensor], SampledBatch | None]:
        # An entity row dated at or after its seed exists as a node, but says nothing.
        unseen = torch.from_numpy(hidden(np.asarray(self.entity_times[rows]), before))
        if self.sampler is None:
            own = self.embeddings.gather(self.entity_table, rows)
            return own.masked_fill(unseen[:, None], 0.0).to(self.device), None
        batch = self.sampler.sample(self.entity_table, rows, before, number)
        x = {t: self.embeddings.gather(t, n_id) for t, n_id in batch.n_id.items()}
        if unseen.any():
            own = x[self.entity_table].clone()
            own[:len(rows)][unseen] = 0.0
            x[self.entity_table] = own
        return {t: v.to(self.device) for t, v in x.items()}, batch.to(self.device)


def _train_epoch(run: _Run, model: DownstreamModel, optimizer: torch.optim.Optimizer,
                 train: LabelTable, before: np.ndarray, raw: _RawTarget,
                 epoch: int) -> np.ndarray:
    """One pass in a fresh order; raw outputs as they were before each step, in label order."""
    model.train()
    order = generator(*run.purpose, "order", epoch).permutation(len(train))
    values = np.empty(len(train))
    for at, arguments in run.batches(train, before, order, "train", epoch):
        outputs_N = model(*arguments)
        loss = raw.loss(outputs_N, train.target[at])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        values[at] = outputs_N.detach().cpu().numpy()
    return values


@torch.inference_mode()
def _predict(run: _Run, model: DownstreamModel, labels: LabelTable,
             before: np.ndarray) -> np.ndarray:
    """Raw outputs, float64 in label order; the same neighbours in every epoch."""
    model.eval()
    values = np.empty(len(labels))
    for at, arguments in run.batches(labels, before, np.arange(len(labels)), "evaluation"):
        values[at] = model(*arguments).cpu().numpy()
    return values


def _predict_each(run: _Run, model: DownstreamModel, labels: LabelTable,
                  before: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Raw outputs by regime; regimes in which the rows see the same share them."""
    found: dict[str, np.ndarray] = {}
    for regime, seen in before.items():
        same = next((r for r in found if np.array_equal(before[r], seen)), None)
        found[regime] = found[same] if same else _predict(run, model, labels, seen)
    return found


def _scored(task: Task, labels: LabelTable, raw: _RawTarget, values: np.ndarray, epoch: int,
            split: str, regime: str | None) -> list[dict[str, object]]:
    """Rows of the curve: the loss and what `CURVE` names (the paper's Figures 4 and 5)."""
    found = {m: measure(m, labels.target, raw.prediction(values), task.train.target)
             for m in CURVE[task.binary]}
    found["loss"] = float(raw.loss(torch.from_numpy(values), labels.target))
    return [{"epoch": epoch, "split": split, "regime": regime, "metric": m, "value": v}
            for m, v in found.items()]


def _column(row: Mapping[str, object]) -> str:
    return "_".join(str(row[k]) for k in ("split", "metric", "regime") if row[k] is not None)
