"""A task's models fitted side by side: in processes of one thread each, or on a cluster.

A process keeps what it has made of a task's models from one attempt to the next; attempts that
share rows, and so bins and vectors, are one piece of work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.trials import Attempt, Model, Outcome, perform
from rowgraph.kept import forget, kept
from rowgraph.side_by_side import here, processes_of, side_by_side

FEW = 6_000  # label rows fitted on, all folds together: not worth a process
GIGABYTES = 2.0  # of memory that a worker of a cluster asks for

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Models(Protocol):
    """The models of a task, in a form that can be pickled; a token tells them from others."""

    @property
    def token(self) -> str:
        """Of these."""

    @property
    def exams(self) -> Exams:
        """That they are fitted for."""

    def of(self, name: str) -> Model:
        """One by its name."""


class Bench:
    """Where the models of one task are fitted; a context, after which nothing is held here.

    Args:
        models: of the task.
        workers: processes, as in `processes_of`; for few label rows it is this one.
        device: of encoders, as torch names it.
    """

    def __init__(self, models: Models, workers: int | None, device: str):
        self.models, self._device = models, device
        self._processes = processes_of(workers, device)
        self._few = sum(len(exam.fresh) for exam in models.exams.folds) < FEW

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        forget()

    def model(self, name: str) -> Model:
        """The one that is fitted, where it is fitted here."""
        return model_of(self.models, name)

    def perform(self, name: str, attempts: Sequence[Attempt]) -> Iterator[Outcome]:
        """Fit and answer, in the order of the attempts."""
        pieces = _pieces(attempts, self._processes)
        done = self.each(functools.partial(_perform, name),
                         [[attempts[place] for place in places] for places in pieces])
        waiting: dict[int, Outcome] = {}
        following = 0
        for places, outcomes in zip(pieces, done, strict=True):
            waiting |= zip(places, outcomes, strict=True)
            while following in waiting:
                yield waiting.pop(following)
                following += 1

    def each(self, function: Callable[[Models, Piece], Result],
             pieces: Sequence[Piece]) -> Iterator[Result]:
        """Pieces of work with the models.

        Args:
            function: of models and a piece; it asks for single models by `model_of`.
            pieces: which it is called with.

        Returns:
            What it returned, in the order of the pieces.
        """
        alone = functools.partial(_alone, function, self.models, self._device)
        if self._few:
            return (here(alone, piece) for piece in pieces)
        return side_by_side(alone, pieces, processes=self._processes, device=self._device,
                            gigabytes=GIGABYTES)


def _pieces(attempts: Sequence[Attempt], processes: int) -> list[list[int]]:
    """Places of attempts on the same rows; by seed too, where that would leave a process idle."""
    def alike(*parts: str) -> list[list[int]]:
        found: dict[tuple[Any, ...], list[int]] = {}
        for place, one in enumerate(attempts):
            key = {"rows": (one.exam, one.candidate.aged), "seed": one.seed}
            found.setdefault(tuple(key[part] for part in parts), []).append(place)
        return list(found.values())

    coarse = alike("rows")
    return coarse if len(coarse) >= processes else alike("rows", "seed")


def model_of(models: Models, name: str) -> Model:
    """The model of a name, as this process keeps it."""
    return kept(models.token, f"model {name}", lambda: models.of(name))


def _alone(function: Callable[[Models, Piece], Result], models: Models, device: str,
           piece: Piece) -> Result:
    """A piece in any process, on one thread wherever that is."""
    if device == "cpu":
        torch.set_num_threads(1)
    return function(kept(models.token, "models", lambda: models), piece)


def _perform(name: str, models: Models, attempts: Sequence[Attempt]) -> list[Outcome]:
    return list(perform(model_of(models, name), models.exams, attempts))
