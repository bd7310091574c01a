"""Trainings of a recommendation task as pieces of a cluster's work (`rowgraph.side_by_side`).

A training computes with as many threads as the process that asks for it, here and there, so that
it leaves the same bytes.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rowgraph.adaptation.ground import Trained
from rowgraph.adaptation.layout import read_surroundings, write_surroundings
from rowgraph.adaptation.recommendation import evidence, sides
from rowgraph.adaptation.recommendation.trainings import Ground, Training
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.vectors import HELD_BYTES, held_bytes
from rowgraph.kept import kept
from rowgraph.progress import Log
from rowgraph.side_by_side import elsewhere, side_by_side
from rowgraph.tasks.label_tables import Task

WORKER = 1e9  # bytes of a worker before it keeps anything


class Spread:
    """Does trainings on a cluster.

    Args:
        ground: of the task.
        state: folder of what is done; every machine sees it.
        log: hears what a training logged, when it is done.
    """

    def __init__(self, ground: Ground, state: Path, log: Log):
        self.ground, self.state, self.log = ground, state.resolve(), log
        self._largest = max(held_bytes(v.store, ground.graph) for v in ground.vectors.values())
        self._laid: _LaidOut | None = None

    def do(self, trainings: Sequence[Training]) -> Iterator[tuple[Training, Trained]]:
        """Those of the trainings that were missing, each with its result, which then lies in the
        state folder too.

        Nothing is done where there is no cluster, where less than two are missing, or where the
        vectors are too large to be laid out for it.
        """
        missing = [t for t in dict.fromkeys(trainings)
                   if not (self.state / f"{t.name}.json").exists()]
        if not elsewhere() or len(missing) < 2 or self._largest > HELD_BYTES:
            return
        if self._laid is None:
            self._laid = _lay_out(self.ground, self.state / "ground")
        kinds = len({t.bart is None for t in missing})  # of vectors; a worker holds one of each
        gigabytes = (WORKER + evidence.ROOM + sides.ROOM + kinds * self._largest) / 1e9
        done = side_by_side(functools.partial(_one, self._laid, self.state), missing, processes=1,
                            device=self.ground.device, gigabytes=gigabytes,
                            threads=torch.get_num_threads())
        for training, (trained, said) in zip(missing, done, strict=True):
            for words in said:
                self.log(*words)
            yield training, trained


@dataclass(frozen=True, eq=False)
class _LaidOut:
    """The ground in a form that any process can open: graph and vectors are in the folder."""

    task: Task
    folder: Path
    barts: tuple[int, ...]
    settings: DownstreamMetricsSettings
    device: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # tells grounds apart

    def open(self) -> Ground:
        graph, vectors = read_surroundings(self.folder, self.barts)
        return Ground(self.task, graph, vectors, self.settings, self.device)


def _lay_out(ground: Ground, folder: Path) -> _LaidOut:
    write_surroundings(ground.graph, ground.vectors, folder)
    return _LaidOut(ground.task, folder, tuple(ground.vectors), ground.settings,
                    str(ground.device))


def _one(laid: _LaidOut, state: Path,
         training: Training) -> tuple[Trained, list[tuple[Any, ...]]]:
    """One training in a worker, and what it logged."""
    ground = kept(laid.token, "ground", laid.open)
    said: list[tuple[Any, ...]] = []
    return ground.perform(training, state, lambda *words: said.append(words)), said
