"""A recommendation's parts fitted and asked: in this process, or as pieces of a cluster's work.

A piece that encodes computes with as many threads as the process that asks for it, here and there,
so that it leaves the same bytes; the others compute with one, wherever they are done.

Shapes: G pairs of a seed and a candidate.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from rowgraph.adaptation.hybrid.both_ends import BothEnds
from rowgraph.adaptation.hybrid.finetuning import Ground
from rowgraph.adaptation.hybrid.pair_models import (
    Basis,
    FittedPairs,
    LinearOnPairs,
    PairModel,
    PastLists,
    Trees,
)
from rowgraph.adaptation.hybrid.vectors import OWN_PAST, PRETRAINED, UNTRAINED
from rowgraph.adaptation.recommendation.evidence import ROOM, Evidence
from rowgraph.adaptation.recommendation.exams import Exam, Exams, without_test_labels
from rowgraph.adaptation.recommendation.ranking import standardised
from rowgraph.disk import write_arrays
from rowgraph.forecasting.own_past import OwnPast
from rowgraph.kept import kept
from rowgraph.randomness import digest, uniform_of_rows
from rowgraph.side_by_side import side_by_side
from rowgraph.tasks.folds import View
from rowgraph.tasks.regimes import Regime

SCORED = 2_000  # label rows of a fold by which choices are made
POPULARITY = "popularity"
GIGABYTES = 2 + ROOM / 1e9  # of memory that a worker of a cluster asks for

Result = TypeVar("Result")


@dataclass(frozen=True)
class PairAttempt:
    """A part that is fitted, and what it is then asked.

    Args:
        part, candidate: what is fitted; see `PairModels.of`.
        exam: its name.
        regime: that label rows are seen under; of those that see the same, the first.
        seed: that it is fitted with.
        steps: ascending, at which it answers.
        whole: all label rows that the exam asks; else those by which choices are made.
        filler: the list of what is popular that ends a list of past links.
    """

    part: str
    candidate: str
    exam: str
    regime: Regime
    seed: int
    steps: tuple[int, ...]
    whole: bool
    filler: str | None = None

    @property
    def file(self) -> str:
        """Where its answers are kept."""
        return f"{self.part}_{self.exam}_{digest(asdict(self))[:16]}.npz"


@dataclass(eq=False)
class _Opened:
    """What a process keeps of a recommendation from one piece to the next."""

    basis: Basis
    models: dict[str, PairModel]
    fitted: dict[tuple[object, ...], FittedPairs] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PairModels:
    """The parts of a recommendation, in a form that any process can open."""

    ground: Ground

    @property
    def evidence(self) -> Evidence:
        """Of the task."""
        return self._opened.basis.evidence

    @property
    def exams(self) -> Exams:
        """Of the task, without test labels."""
        return self._opened.basis.exams

    def asked_for(self) -> list[PairModel]:
        """Every part that is asked for and can be had: no fine-tuning, no zero-shot answers, and no
        history of rows that are asked about once.

        Raises:
            ValueError: no part of the blend answers this recommendation.
        """
        settings, models = self.ground.settings, self._opened.models
        if not any(name in models for name in settings.parts):
            who = f"{self.ground.task.database.name}/{self.ground.task.name}"
            raise ValueError(f"{who}: none of the parts {', '.join(settings.parts)} answers this "
                             "recommendation; name trees or windows among them")
        return [models[name] for name in (*settings.parts, *settings.beside) if name in models]

    def of(self, name: str, filler: str | None = None) -> PairModel:
        """A part by its name, or what is popular; lists of past links end with a list of that.

        Args:
            filler: a candidate of what is popular.
        """
        model = self._opened.models[name]
        if filler is None or not isinstance(model, PastLists):
            return model
        return replace(model, popular=self._opened.models[POPULARITY].lists[filler])

    def encodes(self, name: str) -> bool:
        """Whether a part reads vectors, which the profile's device makes."""
        model = self._opened.models[name]
        return isinstance(model, LinearOnPairs) and model.ends is not None

    def exam(self, name: str) -> Exam:
        """One by its name."""
        return next(e for e in (*self.exams.folds, self.exams.test) if e.name == name)

    def view(self, exam: Exam, regime: Regime, whole: bool) -> View:
        """What an exam asks; of very many label rows by which choices are made, some are drawn."""
        view, index, task = exam.asked[regime], exam.scored, self.ground.task
        if whole or len(index) == len(view.labels) <= SCORED:
            return view
        if len(index) > SCORED:
            luck = uniform_of_rows(index, "scored", task.database.name, task.name)
            index = np.sort(index[np.argsort(luck, kind="stable")[:SCORED]])
        return View(f"{view.name} scored", view.labels.take(index), view.before[index])

    def fit(self, name: str, candidate: str, exam: Exam, regime: Regime, seed: int,
            filler: str | None = None) -> FittedPairs:
        """Fit a part, unless this process has."""
        key = (name, candidate, self.exams.fitted(exam, regime).name, seed, filler)
        fitted = self._opened.fitted
        if key not in fitted:
            fitted[key] = self.of(name, filler).fit(candidate, exam, regime, seed)
        return fitted[key]

    def answers(self, one: PairAttempt) -> list[np.ndarray]:
        """float32 [G] at each step: standardised scores of the candidates of what is asked."""
        exam = self.exam(one.exam)
        view = self.view(exam, one.regime, one.whole)
        fitted = self.fit(one.part, one.candidate, exam, one.regime, one.seed, one.filler)
        parts: list[list[np.ndarray]] = [[np.empty(0, np.float32)] for _ in one.steps]
        for at, pairs in self.evidence.blocks(view):
            for part, score in zip(parts, fitted.scores(view, at, pairs, one.steps), strict=True):
                part.append(standardised(pairs.candidates, score).astype(np.float32))
        return [np.concatenate(part) for part in parts]

    @property
    def _opened(self) -> _Opened:
        return kept(self.ground.token, "pairs", self._open)

    def _open(self) -> _Opened:
        task, settings = self.ground.task, self.ground.settings
        evidence = Evidence(task)
        evidence.trails  # noqa: B018  made now: past test labels are facts under `rolling`
        exams = Exams(without_test_labels(task), settings, settings.fit_rows)
        basis, found = Basis(evidence, exams), dict[str, PairModel]()
        ends, own_past = BothEnds(task, self.ground.vectors), OwnPast.open(self.ground.own_past)
        encoders = {UNTRAINED: settings.untrained, PRETRAINED: 1}
        if own_past.serves(exam.cut for exam in (*exams.folds, exams.test)):
            encoders[OWN_PAST] = len(own_past.seeds)
        for name in (*settings.parts, *settings.beside):
            if name in encoders:
                found[name] = LinearOnPairs(basis, name, ends, name, encoders[name])
            elif name == "windows":
                found[name] = LinearOnPairs(basis, name)
            elif name == "trees":
                found[name] = Trees(basis, settings.trees)
            elif name == "history" and any(t.kind == "own" for t in evidence.trails):
                found[name] = PastLists.history(evidence)
                found[POPULARITY] = PastLists.popularity(evidence)
        return _Opened(basis, found)


def each(models: PairModels, function: Callable[[PairModels, Sequence[PairAttempt]], Result],
         pieces: Sequence[Sequence[PairAttempt]]) -> Iterator[Result]:
    """What a function of the models and a piece returns, in the order of the pieces.

    Args:
        pieces: attempts of one part each.
    """
    return side_by_side(functools.partial(function, models), pieces, processes=1,
                        device=models.ground.device, gigabytes=GIGABYTES,
                        threads=torch.get_num_threads(),
                        plain=lambda piece: not models.encodes(piece[0].part))


def answered(models: PairModels, attempts: Iterable[PairAttempt],
             state: Path) -> Iterator[tuple[PairAttempt, list[np.ndarray]]]:
    """Each attempt once, with what `PairModels.answers` says of it.

    Attempts that follow each other on the same label rows are one piece of work.

    Args:
        state: folder of what fitted parts answered; every machine sees it.
    """
    pieces = [list(some) for _, some in itertools.groupby(
        dict.fromkeys(attempts), key=lambda a: (a.part, a.exam, a.regime, a.seed))]
    done = each(models, functools.partial(_answers, state.resolve()), pieces)
    for piece, found in zip(pieces, done, strict=True):
        yield from zip(piece, found, strict=True)


def _answers(state: Path, models: PairModels,
             piece: Sequence[PairAttempt]) -> list[list[np.ndarray]]:
    return [models.answers(one) if isinstance(models.of(one.part), PastLists)
            else _kept_answers(state / one.file, models, one) for one in piece]


def _kept_answers(path: Path, models: PairModels, one: PairAttempt) -> list[np.ndarray]:
    """What is said of an attempt, found in its file where it was said before."""
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[f"arr_{k}"] for k in range(len(one.steps))]
    found = models.answers(one)
    write_arrays(path, *found)
    return found
