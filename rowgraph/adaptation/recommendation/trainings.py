"""What every training of a recommendation task stands on, and how one of them is done.

A training is a few words and numbers, and its result is found again after an interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rowgraph.adaptation.ground import Trained
from rowgraph.adaptation.recommendation.chunks import dealt_out, seeds_of
from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.exams import TEST, Exam, Exams, without_test_labels
from rowgraph.adaptation.recommendation.fitting import TREES, Fitting
from rowgraph.adaptation.recommendation.ranking import Ranker, fit_ranker
from rowgraph.adaptation.recommendation.sides import Sides
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.variants import variant
from rowgraph.adaptation.vectors import BartVectors, held
from rowgraph.embeddings import Embeddings, RandomTwin
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.progress import Log
from rowgraph.randomness import stable_seed
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Destinations, Task
from rowgraph.tasks.regimes import Regime

SHAPE = "more leaves"  # of the hybrid's trees
ASKED = 5  # epochs at most that are scored on folds
SEEDS = 1_000  # newest label rows of those drawn that a network is fitted on
STEPS = 160  # of a training, about: so many epochs as they are, if settings allow as many


@dataclass(frozen=True)
class Training:
    """One training.

    Args:
        variant, seed: of the training.
        bart: seed of the language model whose vectors it sees; None for random vectors.
        exam: position in `Exams.folds`, or -1 for the test split.
        regimes: which it serves; they are fitted on the same.
        at: after how many epochs each regime's rows are asked about; on folds several.
    """

    variant: str
    seed: int
    bart: int | None
    exam: int
    regimes: tuple[Regime, ...]
    at: tuple[tuple[int, ...], ...]

    @property
    def epochs(self) -> int:
        """To train for."""
        return max(epoch for epochs in self.at for epoch in epochs)

    @property
    def name(self) -> str:
        """For files: no two trainings of a task share it."""
        bart = "" if self.bart is None else f"-bart{self.bart}"
        exam = TEST if self.exam < 0 else f"fold{self.exam}"
        at = "".join(f"-{regime}{'.'.join(map(str, epochs))}"
                     for regime, epochs in zip(self.regimes, self.at, strict=True))
        return f"{self.variant}{bart}-seed{self.seed}-{exam}{at}"


class Ground:
    """One task with everything that its trainings share.

    Args:
        task: of type recommendation.
        graph: of its database.
        vectors: of each language model, by its seed.
        settings: of the stage.
        device: as torch names it.
    """

    def __init__(self, task: Task, graph: EntityGraph, vectors: Mapping[int, BartVectors],
                 settings: DownstreamMetricsSettings, device: str | torch.device):
        if not vectors:
            raise ValueError(f"{task.database.name}/{task.name}: no row vectors were given; train "
                             "at least one bart_checkpoint and embed the database with it")
        self.task, self.settings, self.device = task, settings, torch.device(device)
        self.vectors, self.evidence = dict(vectors), Evidence(task)
        # The trails know past labels; nothing that is fitted or asked shall know those of test.
        self._blind = without_test_labels(task)
        self.evidence.trails  # noqa: B018  made now, from the task as it is
        self.graph = graph.without(task.database.hidden)
        self._sides = Sides(self._blind, self.graph, settings)
        self._exams: dict[bool, Exams] = {}
        self._sources: dict[tuple[str, int], Embeddings] = {}
        self._rankers: dict[tuple[str, int], Ranker] = {}
        self._last = ""

    def exams(self, name: str) -> Exams:
        """The exams of a variant."""
        static = variant(name).static
        if static not in self._exams:
            self._exams[static] = Exams(self._blind, self.settings, self.settings.train_rows,
                                        static)
        return self._exams[static]

    def exam(self, training: Training) -> Exam:
        """What a training is fitted on and asked."""
        exams = self.exams(training.variant)
        return exams.test if training.exam < 0 else exams.folds[training.exam]

    def barts_of(self, name: str) -> tuple[int | None, ...]:
        """The language models that a variant is trained with; None where it uses none."""
        return (None,) if variant(name).random else tuple(self.vectors)

    def steps(self) -> tuple[int, ...]:
        """The epochs that are scored on folds: at most `ASKED`, the last among them.

        No more than `settings.epochs`, and no more than `STEPS` need.
        """
        settings, exams = self.settings, self.exams(self.settings.variants[0])
        fit = exams.fitted(exams.test, settings.regimes[0])
        chunks = dealt_out(fit.before[self._newest(fit)], self.evidence.windows.horizon,
                           seeds_of(self.evidence, settings.batch))
        epochs = min(settings.epochs, -(-STEPS // len(chunks)))
        return tuple(sorted({-(-epochs * i // ASKED) for i in range(1, ASKED + 1)}))

    def perform(self, training: Training, state: Path, log: Log) -> Trained:
        """Do a training, or find that it was done.

        Returns:
            By `<regime>|<scorer>`, int64 [epochs asked, rows, eval_k], and as its curve the loss
            of each epoch.
        """
        path = state / training.name
        if (found := Trained.load(path)) is not None:
            return found
        exams, exam, chosen = self.exams(training.variant), self.exam(training), variant(
            training.variant)
        fit = exams.fitted(exam, training.regimes[0])
        if fit.name != self._last:
            self._sides.forget()
            self._last = fit.name
        pairs = exams.fitted_pairs(self.evidence, exam, training.regimes[0])
        ranker = (self._ranker(fit.name, pairs, fit.labels.target, training.seed)
                  if chosen.has_gnn else Ranker(None))
        newest = self._newest(fit)
        fit, pairs = View(fit.name, fit.labels.take(newest), fit.before[newest]), pairs.take(newest)
        fitting = Fitting(
            self.evidence, self._sides, self._embeddings(training), self._pretrained(training),
            chosen, self.settings, fit=fit, pairs=pairs, ranker=ranker, seed=training.seed,
            device=self.device)
        asked: dict[int, dict[str, object]] = {}
        for regime, epochs in zip(training.regimes, training.at, strict=True):
            view = exam.asked[regime]
            for epoch in epochs:
                asked.setdefault(epoch, {})[view.name] = view
        answers, curve = {}, []
        for epoch in fitting.run({e: tuple(v.values()) for e, v in asked.items()},
                                 training.epochs):
            answers |= {(epoch.trained, *key): rows for key, rows in epoch.answers.items()}
            curve.append({"epoch": epoch.trained, "loss": epoch.loss})
            if training.exam == len(exams.folds) - 1:
                log(epoch.trained, {f"{training.variant}/seed{training.seed}/train_loss":
                                    epoch.loss})
        raw = {}
        for regime, epochs in zip(training.regimes, training.at, strict=True):
            name = exam.asked[regime].name
            for scorer in dict.fromkeys(s for _, v, s in answers if v == name):
                raw[f"{regime}|{scorer}"] = np.stack([answers[e, name, scorer] for e in epochs])
        done = Trained(raw, curve)
        done.save(path)
        return done

    def _newest(self, fit: View) -> np.ndarray:
        """Positions of the label rows that a network is fitted on, ascending."""
        return np.sort(np.argsort(fit.labels.times, kind="stable")[-SEEDS:])

    def _ranker(self, name: str, pairs: object, target: Destinations, seed: int) -> Ranker:
        if (name, seed) not in self._rankers:
            number = stable_seed("downstream_metrics", self.task.database.name, self.task.name,
                                 "trees", seed) % 2**31
            self._rankers[name, seed] = fit_ranker(pairs, target, SHAPE, TREES, number)
        return self._rankers[name, seed]

    def _pretrained(self, training: Training) -> BartVectors:
        bart = next(iter(self.vectors)) if training.bart is None else training.bart
        return self.vectors[bart]

    def _embeddings(self, training: Training) -> Embeddings:
        """BART's vectors, or a random twin of the first BART's, drawn anew for each seed."""
        pretrained = self._pretrained(training)
        random = training.bart is None
        key = ("random", training.seed) if random else ("bart", training.bart)
        if key not in self._sources:
            self._sources = {k: v for k, v in self._sources.items() if k[0] != key[0]}
            store = pretrained.store
            self._sources[key] = held(RandomTwin(store, training.seed) if random else store,
                                      self.graph)
        return self._sources[key]
