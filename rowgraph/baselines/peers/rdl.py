"""RDL: RelBench's supervised model, trained per database and task under our sampler and regimes.

One training serves all regimes, because fitted rows are looked at at their own times. On each fold
every epoch is scored under each regime; the number of epochs of a regime is chosen over folds, and
a final fit of each seed predicts the test rows after that many. Validation predictions come from
the newest fold's models, which were fitted on training rows alone; older folds, which only choose,
are trained with the first seed. Trainings are independent and run side by side, one thread each.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rowgraph.baselines.peers.answers import Answers, load_arrays, save_arrays
from rowgraph.baselines.peers.rdl_frames import RowFrames, RowReader
from rowgraph.baselines.peers.rdl_model import RDLInputs, RDLModel
from rowgraph.baselines.peers.settings import PeerMetricsSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.progress import Log
from rowgraph.randomness import generator, stable_seed
from rowgraph.side_by_side import elsewhere, processes_of, side_by_side
from rowgraph.tasks.choosing import Score, choose
from rowgraph.tasks.folds import Fold, View, folds_of
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run
from rowgraph.tasks.regimes import hidden, seen_before, visible_before

VARIANT = "rdl"
MOST, GIGABYTES = 4, 2.0  # processes, and what each takes or more
FEW = 20_000  # label rows passed through a graph, all trainings together: not worth processes
CLAMPED = (2, 98)  # percentiles of fitted targets between which RelBench keeps regressions


def run_rdl(task: Task, graph: EntityGraph, settings: PeerMetricsSettings, state: Path, *,
            device: str | torch.device, log: Log) -> Answers:
    """Train RDL on folds, choose epochs, fit finally, predict.

    Args:
        task: of any kind but recommendation.
        graph: of its database.
        state: a folder; a finished training lies there and is not done again.
        log: called after each epoch.

    Raises:
        ValueError: no fold has a score, or a training diverged.
    """
    folds = folds_of(task, settings.folds)
    trainer = _Trainer(task, graph, settings, state, torch.device(device))
    answers = Answers()
    views = {fold: _scored_view(task, fold, fold is folds[-1]) for fold in folds}
    seeds = {fold: settings.seeds if fold is folds[-1] else settings.seeds[:1] for fold in folds}
    found = trainer.do([
        Training(f"rdl-fold-{fold.name}-{seed}", seed, fold.cut, task.known.take(fold.fit),
                 {r: (views[fold](r), range(settings.epochs)) for r in settings.regimes})
        for fold in folds for seed in seeds[fold]], log)
    validation: dict[int, dict[str, np.ndarray]] = {}
    for fold in folds:
        validation = {seed: found[f"rdl-fold-{fold.name}-{seed}"] for seed in seeds[fold]}
        answers.scores += _scores(task, fold, validation, settings, fold is folds[-1])
    answers.chosen = choose(answers.scores, higher_is_better=task.higher_is_better)
    labels = task.train if settings.final_fit == "train" else task.known
    tests = {r: (View(f"test_{r}", task.test, visible_before(task.test.times, r, "test",
                                                             task.database)),
                 (answers.chosen[r].step - 1,)) for r in settings.regimes}
    found = trainer.do([Training(f"rdl-final-{seed}", seed, task.database.val_timestamp, labels,
                                 tests) for seed in settings.seeds], log)
    for seed in settings.seeds:
        for regime in settings.regimes:
            kept = answers.chosen[regime].step - 1
            answers.predictions[Run(regime, VARIANT, seed)] = {
                "val": validation[seed][regime][kept],
                "test": found[f"rdl-final-{seed}"][regime][0]}
    answers.facts = {"epochs": {r: c.step for r, c in answers.chosen.items()},
                     "folds": [f.name for f in folds]}
    return answers


def _scored_view(task: Task, fold: Fold, newest: bool) -> Callable[[str], View]:
    """By regime: the rows of a fold to predict; the newest fold's are all of validation."""
    labels = task.val if newest else task.known.take(fold.score)

    def view(regime: str) -> View:
        return View(f"{fold.name}_{regime}", labels, seen_before(labels.times, regime, fold.cut))

    return view


def _scores(task: Task, fold: Fold, found: Mapping[int, Mapping[str, np.ndarray]],
            settings: PeerMetricsSettings, newest: bool) -> list[Score]:
    """The mean over seeds of what each epoch reached on a fold, by regime."""
    target = task.known.target[fold.score]
    at = fold.score - len(task.train) if newest else np.arange(len(fold.score))
    defined = task.task_type == "regression" or len(np.unique(target)) > 1

    def mean(regime: str, epoch: int) -> float:
        return float(np.mean([measure(task.primary, target, by_regime[regime][epoch][at],
                                      task.train.target) for by_regime in found.values()]))

    return [Score(VARIANT, f"learning rate {settings.learning_rate:g}", epoch + 1, fold.name,
                  regime, task.primary, mean(regime, epoch) if defined else None)
            for regime in settings.regimes for epoch in range(settings.epochs)]


@dataclass(frozen=True)
class _Head:
    """Between a target and what the head gives: logits, or values in deviations of fitted ones."""

    kind: str
    classes: int
    mean: float = 0.0
    std: float = 1.0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def fit(cls, task: Task, fitted: LabelTable) -> _Head:
        if task.task_type != "regression":
            return cls(task.task_type, 1 if task.binary else len(task.classes))
        low, high = np.percentile(fitted.target, CLAMPED)
        return cls(task.task_type, 1, float(fitted.target.mean()),
                   float(fitted.target.std()) or 1.0, float(low), float(high))

    def loss(self, raw: Tensor, target: np.ndarray) -> Tensor:
        """Of raw [N, classes]: cross-entropy with logits, or L1 as RelBench."""
        if self.kind == "multiclass_classification":
            return F.cross_entropy(raw, torch.from_numpy(target).to(raw.device, torch.int64))
        wanted = torch.from_numpy((target - self.mean) / self.std).to(raw)
        if self.kind == "regression":
            return F.l1_loss(raw[:, 0], wanted)
        return F.binary_cross_entropy_with_logits(raw[:, 0], wanted)

    def prediction(self, raw: Tensor) -> np.ndarray:
        """As `rowgraph.tasks.kinds` says, float64."""
        raw = raw.double().cpu()
        if self.kind == "multiclass_classification":
            return raw.softmax(1).numpy()
        if self.kind == "regression":
            return np.clip(raw[:, 0].numpy() * self.std + self.mean, self.low, self.high)
        return raw[:, 0].sigmoid().numpy()


@dataclass(frozen=True, eq=False)
class Training:
    """One training and what it is asked on the way.

    Args:
        name: under which its answers lie in the state folder.
        seed: draws depend on the task and the seed, not on the fold.
        cut: microseconds, of the column statistics.
        fitted: label rows, looked at at their own times.
        questions: by name, label rows and after which epochs (from 0) to predict them.
    """

    name: str
    seed: int
    cut: int
    fitted: LabelTable
    questions: Mapping[str, tuple[View, range | tuple[int, ...]]]


@dataclass(frozen=True, eq=False)
class _Trainer:
    """Does trainings of one task; what is done lies in the state folder."""

    task: Task
    graph: EntityGraph
    settings: PeerMetricsSettings
    state: Path
    device: torch.device

    def do(self, trainings: list[Training], log: Log) -> dict[str, dict[str, np.ndarray]]:
        """The answers of some trainings by name: by question, float64 [epochs asked, n(,
        classes)]. On a CPU they run side by side, each with one thread wherever it runs."""
        missing = [t for t in trainings if load_arrays(self.state / t.name) is None]
        workers = min(processes_of(self.settings.workers, self.device), len(missing), MOST)
        rows = sum(len(t.fitted.newest(self.settings.train_rows)) for t in missing)
        if (workers > 1 or elsewhere()) and rows * self.settings.epochs >= FEW:
            running = side_by_side(functools.partial(_alone, self), missing, processes=workers,
                                   device=self.device, gigabytes=GIGABYTES)
        else:
            reader = RowReader(self.task.database, self.settings.text_dim)
            running = (_Fit(self, training, reader).once() for training in missing)
        with warnings.catch_warnings():
            # Where a process has grown, joblib begins another for the next training, and warns.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
            for done, (name, losses) in enumerate(running):
                log(done, {"trainings": float(done + 1)})
                for epoch, loss in enumerate(losses):
                    log(epoch, {f"{VARIANT}/{name}/train_loss": loss})
        return {t.name: load_arrays(self.state / t.name) for t in trainings}


def _alone(trainer: _Trainer, training: Training) -> tuple[str, list[float]]:
    """One training in a process of its own."""
    return _Fit(trainer, training, RowReader(trainer.task.database,
                                             trainer.settings.text_dim)).once()


class _Fit:
    """One training."""

    def __init__(self, trainer: _Trainer, training: Training, reader: RowReader):
        self.task, self.graph, self.settings = trainer.task, trainer.graph, trainer.settings
        self.device, self.path = trainer.device, trainer.state / training.name
        self.training, self.reader = training, reader
        self.purpose = ("peer_metrics", VARIANT, self.task.database.name, self.task.name,
                        training.seed)
        self.sampler = TemporalNeighborSampler(self.graph, self.settings.fan_out, "uniform")
        self.entity_times = np.asarray(self.graph.times[self.task.entity_table])

    def once(self) -> tuple[str, list[float]]:
        """Train, answer and save; the training's name and its loss by epoch."""
        rows, forked, threads = self.reader.frames(self.training.cut), [], torch.get_num_threads()
        if self.device.type == "cuda":
            forked = [self.device]
        with torch.random.fork_rng(devices=forked):
            torch.manual_seed(stable_seed(*self.purpose, "weights"))
            torch.set_num_threads(1)
            try:
                found, losses = self._train(
                    rows, self.training.fitted.newest(self.settings.train_rows))
            finally:
                torch.set_num_threads(threads)
        save_arrays(self.path, found)
        return self.training.name, losses

    def _train(self, rows: RowFrames,
               fitted: LabelTable) -> tuple[dict[str, np.ndarray], list[float]]:
        head, questions = _Head.fit(self.task, fitted), self.training.questions
        model = RDLModel(rows, self.graph, self.settings.channels, len(self.settings.fan_out),
                         head.classes).to(self.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=self.settings.learning_rate)
        found: dict[str, list[np.ndarray]] = {name: [] for name in questions}
        losses = []
        for epoch in range(1 + max(max(epochs) for _, epochs in questions.values())):
            losses.append(self._epoch(model, optimizer, rows, fitted, head, epoch))
            for name, values in self._answers(model, rows, head, questions, epoch).items():
                found[name].append(values)
        return {name: np.stack(values) for name, values in found.items()}, losses

    def _epoch(self, model: RDLModel, optimizer: torch.optim.Optimizer, rows: RowFrames,
               fitted: LabelTable, head: _Head, epoch: int) -> float:
        """One pass in a fresh order; the mean loss."""
        model.train()
        order = generator(*self.purpose, "order", epoch).permutation(len(fitted))
        if self.settings.steps is not None:
            order = order[:self.settings.steps * self.settings.batch]
        total = 0.0
        for at, inputs in self._batches(rows, fitted, fitted.times, order, "train", epoch):
            loss = head.loss(model(inputs), fitted.target[at])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(at)
        if not np.isfinite(total):
            raise ValueError(f"{self.task.database.name}/{self.task.name}: the training of RDL "
                             f"has diverged in epoch {epoch + 1}; lower "
                             "peer_metrics.learning_rate")
        return total / len(order)

    def _answers(self, model: RDLModel, rows: RowFrames, head: _Head,
                 questions: Mapping[str, tuple], epoch: int) -> dict[str, np.ndarray]:
        """Predictions of the questions of this epoch; where two see the same they share them."""
        found: dict[str, np.ndarray] = {}
        for name, (view, epochs) in questions.items():
            if epoch not in epochs:
                continue
            same = next((n for n in found if questions[n][0].labels is view.labels
                         and np.array_equal(questions[n][0].before, view.before)), None)
            found[name] = found[same] if same else self._predict(model, rows, head, view)
        return found

    @torch.inference_mode()
    def _predict(self, model: RDLModel, rows: RowFrames, head: _Head, view: View) -> np.ndarray:
        model.eval()
        values = [head.prediction(model(inputs)) for _, inputs in self._batches(
            rows, view.labels, view.before, np.arange(len(view.labels)), "evaluation")]
        return np.concatenate(values)

    def _batches(self, rows: RowFrames, labels: LabelTable, before: np.ndarray,
                 order: np.ndarray, *draw: object) -> Iterator[tuple[np.ndarray, RDLInputs]]:
        number = stable_seed(*self.purpose, "neighbours", *draw)
        for start in range(0, len(order), self.settings.batch):
            at = order[start:start + self.settings.batch]
            # An entity row dated at or after its seed exists as a node, but says nothing; the row
            # of an autocomplete task is the seed itself.
            unseen = (np.zeros(len(at), dtype=bool) if self.task.autocomplete
                      else hidden(self.entity_times[labels.rows[at]], before[at]))
            batch = self.sampler.sample(self.task.entity_table, labels.rows[at], before[at],
                                        number, unseen)
            yield at, RDLInputs.of(batch, rows, self.graph, labels.times[at],
                                   unseen).to(self.device)
