"""What every training of a task stands on, and how one of them is done.

A `Training` is a few words and numbers; with the ground it says everything about one training, so
that it can be done in any process, in any order, and found again after an interruption.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from rowgraph.adaptation.heads import Answer, answer_of
from rowgraph.adaptation.inputs import Inputs
from rowgraph.adaptation.joint.vectors import JointVectors
from rowgraph.adaptation.settings import Candidate, DownstreamMetricsSettings
from rowgraph.adaptation.training import train
from rowgraph.adaptation.variants import variant
from rowgraph.adaptation.vectors import BartVectors, held
from rowgraph.artifacts import write_json
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.progress import Log
from rowgraph.random_twin import RandomTwin
from rowgraph.tasks.folds import Fold, View, aged, folds_of
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.regimes import Regime, visible_before

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings

FINAL = -1  # in the place of a fold: the final fit


@dataclass(frozen=True)
class Training:
    """One training.

    Args:
        variant, seed: of the training.
        bart: seed of the language model whose vectors it sees; None for random vectors.
        candidate: position in `Ground.candidates`.
        fold: position in `Ground.folds`, or `FINAL`.
        epochs: to train for.
        at: by regime, after how many epochs the rows to score are asked; 0 stands for every one.
    """

    variant: str
    seed: int
    bart: int | None
    candidate: int
    fold: int
    epochs: int
    at: tuple[tuple[Regime, int], ...]

    @property
    def name(self) -> str:
        """For files: no two trainings of a task share it."""
        bart = "" if self.bart is None else f"-bart{self.bart}"
        fold = "final" if self.fold == FINAL else f"fold{self.fold}"
        at = "".join(f"-{regime}{epoch or ''}" for regime, epoch in self.at)
        return (f"{self.variant}{bart}-seed{self.seed}-candidate{self.candidate}-{fold}"
                f"-{self.epochs}{at}")


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gave.

    Args:
        raw: by regime, float32: raw outputs of the head for the scored rows; on folds with the
            epochs as a first dimension.
        curve: of the newest fold: a dict per epoch, split, regime (None for training rows) and
            metric.
    """

    raw: Mapping[str, np.ndarray]
    curve: list[dict[str, object]]

    def save(self, path: Path) -> None:
        """Write `<path>.npz` and, last, `<path>.json`."""
        part = path.with_name(path.name + ".part")
        with open(part, "wb") as handle:
            np.savez(handle, **self.raw)
        part.replace(path.with_name(path.name + ".npz"))
        write_json(path.with_name(path.name + ".json"), {"curve": self.curve})

    @classmethod
    def load(cls, path: Path) -> Trained | None:
        """What `save` wrote, or None if it never finished."""
        facts = path.with_name(path.name + ".json")
        if not facts.exists():
            return None
        with np.load(path.with_name(path.name + ".npz"), allow_pickle=False) as arrays:
            return cls({name: arrays[name] for name in arrays.files},
                       json.loads(facts.read_text())["curve"])


class Ground:
    """One task with everything that its trainings share.

    Args:
        task: of a held-out database. Its test labels are put out of reach here.
        graph: of that database; edges of hidden foreign keys are left out.
        vectors: of each language model, by its seed, the one that choices are made with first.
        settings: of the stage.
        device: as torch names it.

    Raises:
        ValueError: there are no vectors, the kind of task has no head, or a variant trains the
            language model and has no texts to read.
    """

    def __init__(self, task: Task, graph: EntityGraph, vectors: Mapping[int, BartVectors],
                 settings: DownstreamMetricsSettings, device: str | torch.device):
        if not vectors:
            raise ValueError(f"{task.database.name}/{task.name}: no row vectors were given; train "
                             "at least one bart_checkpoint and embed the database with it")
        joint = [name for name in settings.variants if variant(name).joint]
        if joint and any(found.texts is None for found in vectors.values()):
            raise ValueError(f"{task.database.name}/{task.name}: {joint[0]} trains the language "
                             "model, and the rows' texts were not given; give every language "
                             "model its `RowTexts`")
        unknown = np.full(len(task.test), np.nan)
        self.task = dataclasses.replace(task, test=LabelTable(task.test.rows, task.test.times,
                                                              unknown))
        answer_of(self.task, self.task.train.target)
        self.graph = graph.without(task.database.hidden)
        self.vectors, self.settings, self.device = dict(vectors), settings, torch.device(device)
        self.inputs = Inputs(self.task, self.graph, settings)
        self._sources: dict[tuple[str, int], Embeddings] = {}

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Oldest first; the last is the validation split."""
        return folds_of(self.task, self.settings.folds)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """What is tried; the stage's own values alone where nothing else is listed. Aged rows
        are tried where there is a regime that ages."""
        listed = self.settings.candidates or (Candidate(),)
        return tuple(c for c in listed if not c.aged or "frozen_db" in self.settings.regimes)

    def label_of(self, candidate: int) -> str:
        """A candidate in words."""
        chosen, settings = self.candidates[candidate], self.settings_of(candidate)
        return (f"learning rate {settings.learning_rate:g}, dropout {settings.dropout:g}"
                + (", aged rows" if chosen.aged else ""))

    def settings_of(self, candidate: int) -> DownstreamMetricsSettings:
        """The stage's settings with a candidate's values."""
        changes = self.candidates[candidate].model_dump(exclude={"aged"}, exclude_none=True)
        return self.settings.model_copy(update=changes)

    def regimes_of(self, candidate: int) -> tuple[Regime, ...]:
        """The regimes that a candidate is tried for."""
        return tuple(r for r in self.settings.regimes
                     if r == "frozen_db" or not self.candidates[candidate].aged)

    def barts_of(self, name: str) -> tuple[int | None, ...]:
        """The language models that a variant is trained with; None where it uses none."""
        return (None,) if variant(name).random else tuple(self.vectors)

    def answer(self, training: Training) -> Answer:
        """What the raw outputs of a training mean."""
        return answer_of(self.task, self.task.known.target[self._fitted(training.fold)])

    def fitted_rows(self, fold: int) -> int:
        """How many label rows a training is fitted on."""
        return len(self._fitted(fold))

    def fit(self, training: Training) -> View:
        """The label rows that a training is fitted on."""
        known, index = self.task.known, self._fitted(training.fold)
        labels = known.take(index)
        static, old = variant(training.variant).static, self.candidates[training.candidate].aged
        before = self._aged[index] if old else labels.times
        if static:
            before = visible_before(labels.times, "rolling", "train", self.task.database,
                                    static=True)
        name = f"fit {training.fold} {'static' if static else 'aged' if old else ''}"
        return View(name, labels, before)

    def asked(self, training: Training) -> dict[str, View]:
        """The label rows that a training scores, by regime: of a fold, of validation whole (the
        newest fold), or of test (the final fit)."""
        task, static = self.task, variant(training.variant).static
        views = {}
        for regime, _ in training.at:
            name = f"asked {training.fold} {regime} {'static' if static else ''}"
            if training.fold == FINAL:
                split, labels = "test", task.test
            else:
                split, labels = "val", self.scored(training.fold)
            before = visible_before(labels.times, regime, split, task.database, static=static)
            if split == "val" and not static and not self.newest(training.fold):
                before = self.folds[training.fold].before(task, regime)
            views[regime] = View(name, labels, before)
        return views

    def newest(self, fold: int) -> bool:
        """Whether a fold is the validation split."""
        return fold == len(self.folds) - 1

    def scored(self, fold: int) -> LabelTable:
        """The label rows that trainings on a fold answer; of the newest, all of validation."""
        if self.newest(fold):
            return self.task.val
        return self._scored_of_older[fold]

    def judged(self, fold: int) -> np.ndarray:
        """int64: those of the answered rows that choices are made on."""
        if self.newest(fold):
            return self.folds[fold].score - len(self.task.train)
        return np.arange(len(self.folds[fold].score))

    def perform(self, training: Training, log: Log) -> Trained:
        """Do one training, on a CPU with one thread, so that the number of processes changes
        nothing.

        Raises:
            ValueError: a metric is undefined on the rows of the newest fold, or the training
                diverged.
        """
        chosen = variant(training.variant)
        settings = self.settings_of(training.candidate).model_copy(
            update={"epochs": training.epochs})
        first = next(iter(self.vectors))
        pretrained = self.vectors[first if training.bart is None else training.bart]
        fit, asked, answer = self.fit(training), self.asked(training), self.answer(training)
        at = {r: (e,) for r, e in training.at} if training.fold == FINAL else None
        raw: dict[str, list[np.ndarray]] = {regime: [] for regime in asked}
        curve: list[dict[str, object]] = []
        with _one_thread(self.device):
            vectors = self.source(training)
            if chosen.joint:
                vectors = JointVectors(pretrained.texts, vectors, settings.joint,
                                       self.inputs.purpose(training.seed), self.device)
            for epoch in train(self.inputs, self.graph, vectors, pretrained, chosen, settings,
                               fit=fit, asked=asked, seed=training.seed, device=self.device,
                               at=at):
                for regime, values in epoch.answers.items():
                    raw[regime].append(values)
                if training.fold != FINAL and self.newest(training.fold):
                    rows = self._curve(answer, epoch.trained, "train", None, fit.labels,
                                       epoch.fitted)
                    for regime, values in epoch.answers.items():
                        rows += self._curve(answer, epoch.trained, "val", regime, self.task.val,
                                            values)
                    curve += rows
                    log(epoch.trained, {f"{self._who(training)}/{_column(r)}": r["value"]
                                        for r in rows if r["value"] is not None})
        stack = (lambda found: found[0]) if training.fold == FINAL else np.stack
        return Trained({regime: stack(found) for regime, found in raw.items()}, curve)

    def source(self, training: Training) -> Embeddings:
        """The row vectors that a training sees, in memory where they fit. The random twin is
        drawn anew for each seed, so that its spread over seeds holds the luck of the draw."""
        twin = training.bart is None
        key = ("twin", training.seed) if twin else ("bart", training.bart)
        if key not in self._sources:
            store = self.vectors[next(iter(self.vectors)) if twin else training.bart].store
            if twin:  # one at a time: trainings come seed by seed
                self._sources = {k: v for k, v in self._sources.items() if k[0] == "bart"}
                store = RandomTwin(store, training.seed)
            self._sources[key] = held(store, self.graph)
        return self._sources[key]

    @cached_property
    def _aged(self) -> np.ndarray:
        return aged(self.task)

    @cached_property
    def _scored_of_older(self) -> list[LabelTable]:
        return [self.task.known.take(fold.score) for fold in self.folds[:-1]]

    def _fitted(self, fold: int) -> np.ndarray:
        """int64: positions in `Task.known`, the newest `train_rows` of them."""
        if fold != FINAL:
            index = self.folds[fold].fit
        elif self.settings.final_fit == "train":
            index = np.arange(len(self.task.train))
        else:
            index = np.arange(len(self.task.known))
        count = self.settings.train_rows
        if count is None or count >= len(index):
            return index
        order = np.argsort(self.task.known.times[index], kind="stable")
        return index[np.sort(order[-count:])]

    def _curve(self, answer: Answer, epoch: int, split: str, regime: str | None,
               labels: LabelTable, raw: np.ndarray) -> list[dict[str, object]]:
        """Rows of a curve: the loss, and what the paper's Figures 4 and 5 show beside it. A
        candidate that diverged has no values, unless it is the only one: then it is an error."""
        prediction = answer.prediction(raw)
        found: dict[str, float | None] = dict.fromkeys((*answer.curve, "loss"))
        if np.isfinite(prediction).all() or len(self.candidates) == 1:
            found |= {m: measure(m, labels.target, prediction, self.task.train.target)
                      for m in answer.curve}
            found["loss"] = float(answer.loss(torch.from_numpy(raw), labels.target))
        return [{"epoch": epoch, "split": split, "regime": regime, "metric": m, "value": v}
                for m, v in found.items()]

    def _who(self, training: Training) -> str:
        parts = [training.variant]
        if len(self.candidates) > 1:
            parts.append(f"candidate{training.candidate}")
        if training.bart is not None and len(self.vectors) > 1:
            parts.append(f"bart{training.bart}")
        return "/".join([*parts, f"seed{training.seed}"])


@contextlib.contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _column(row: Mapping[str, object]) -> str:
    return "_".join(str(row[k]) for k in ("split", "metric", "regime") if row[k] is not None)
