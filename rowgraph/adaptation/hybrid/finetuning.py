"""Fine-tuning: an encoder and a head trained together on a task's labels.

The encoder starts from the weights of the database's own past, or from random ones, and may correct
the weights of each column and relation.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from rowgraph.adaptation.exams import Exam, Exams, Rows
from rowgraph.adaptation.heads import Answer, answer_of
from rowgraph.adaptation.hybrid.network import Network
from rowgraph.adaptation.hybrid.on_vectors import level_of
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.own_labels import FittedHistory, OwnLabels
from rowgraph.adaptation.trials import Candidate
from rowgraph.disk import write_arrays
from rowgraph.forecasting.own_past import OwnPast, Reading
from rowgraph.forecasting.training import CLIP, seeded
from rowgraph.kept import kept
from rowgraph.randomness import generator, stable_seed
from rowgraph.side_by_side import processes_of, side_by_side
from rowgraph.tasks.label_tables import Task

CHECKPOINTS = 4  # of a training, at which it may be stopped
RISE = 0.1  # share of the steps in which the rate rises


@dataclass(frozen=True)
class Job:
    """One training: where it starts, on which rows, and how long."""

    kind: str
    exam: str
    aged: bool
    seed: int
    last: int

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.kind}_{self.exam}_{'aged' if self.aged else 'fresh'}_{self.seed}_{self.last}"


@dataclass(frozen=True, eq=False)
class Ground:
    """Everything that a training stands on, in a form that any process can open.

    Args:
        own_past, forecast: folders of `own_past_weights` and `forecast_weights`; None where no
            part asks for the latter.
    """

    reading: Reading
    task: Task
    own_past: Path
    forecast: Path | None
    settings: RowgraphMetricsSettings
    device: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # tells grounds apart

    def vectors(self) -> RowVectors:
        """The task's rows as encoders read them."""
        graph, cells = self.reading.of(self.task.database)
        return RowVectors(self.task, graph, cells, OwnPast.open(self.own_past), self.forecast,
                          self.device)


@dataclass(frozen=True, eq=False)
class FineTuned:
    """`finetuned`: implements `rowgraph.adaptation.trials.Model`.

    Args:
        exams: of the task.
        state: folder of what is done.
    """

    ground: Ground
    exams: Exams
    state: Path
    kind: str
    name: str = "finetuned"
    _found: dict[Job, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[int, ...]:
        """After how many steps a training may be stopped."""
        return checkpoints(self.ground.settings.steps)

    def candidates(self, aged: bool) -> list[Candidate]:
        """Fresh or aged rows."""
        return [Candidate("aged rows" if aged else "fresh rows", aged)]

    def prepare(self, wanted: Iterable[tuple[Candidate, Exam, int, int]]) -> None:
        """Do trainings side by side, as far as they are not done."""
        jobs = [self._job(*one) for one in wanted]
        missing = [job for job in dict.fromkeys(jobs) if job not in self._found]
        done = side_by_side(
            functools.partial(_one, self.ground, self.state), missing, device=self.ground.device,
            processes=processes_of(self.ground.settings.workers, self.ground.device))
        for job, found in zip(missing, done, strict=True):
            self._found[job] = found

    def fit(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> FittedNetwork:
        """Train, unless it is done."""
        job = self._job(candidate, exam, seed, last)
        self.prepare([(candidate, exam, seed, last)])
        return FittedNetwork(exam, self._found[job])

    def networks(self, candidate: Candidate, exam: Exam, seed: int,
                 steps: Iterable[int]) -> Iterator[tuple[int, Network]]:
        """Train anew, and show the network after so many steps: the same one each time."""
        wanted = set(steps)
        training = _Training(self.ground, self._job(candidate, exam, seed, max(wanted)))
        yield from (shown for shown in training.stops() if shown[0] in wanted)

    def _job(self, candidate: Candidate, exam: Exam, seed: int, last: int) -> Job:
        return Job(self.kind, exam.name, candidate.aged, seed, last)


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """What a training answered of its exam's rows."""

    exam: Exam
    answers: dict[str, np.ndarray]

    def predict(self, rows: Rows, steps: Sequence[int]) -> list[np.ndarray]:
        """After so many steps; of rows that the exam asks."""
        regime = next(r for r, asked in self.exam.asked.items() if asked is rows)
        return [self.answers[f"{regime}_{step}"] for step in steps]


def _one(ground: Ground, state: Path, job: Job) -> dict[str, np.ndarray]:
    """One training in any process: answers by regime and step."""
    path = state / f"{job.name}.npz"
    if not path.exists():
        if ground.device == "cpu":
            torch.set_num_threads(1)
        write_arrays(path, **_Training(ground, job).run())
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def opened(ground: Ground) -> tuple[RowVectors, Exams, OwnLabels]:
    """What a process keeps of a ground from one training or fit to the next."""
    return kept(ground.token, "opened", lambda: (
        ground.vectors(),
        Exams.of(ground.task, ground.settings, ground.settings.fit_rows,
                 ground.settings.choice_rows),
        OwnLabels(ground.task)))


class _Training:
    """One training on its way."""

    def __init__(self, ground: Ground, job: Job):
        task, self.settings, self.job = ground.task, ground.settings, job
        self.vectors, self.exams, self.own = opened(ground)
        self.task, self.device = task, torch.device(ground.device)
        self.exam = self.exams.named(job.exam)
        self.rows = self.exam.fitted(job.aged)
        self.level: FittedHistory | None = None
        target = self.rows.labels.target
        if task.task_type == "regression" and not task.autocomplete:
            self.level = level_of(task, self.own, self.exam)
            target = target - self.level.predict(self.rows, (0,))[0]
        self.target = target
        self.answer: Answer = answer_of(task, target)
        self.spread = max(float(np.std(target)), 1e-9) if task.task_type == "regression" else 1.0
        self.purpose = ("finetuned", task.database.name, task.name, *vars(job).values())[:-1]

    def run(self) -> dict[str, np.ndarray]:
        """Train and answer at every checkpoint up to the last step."""
        found: dict[str, np.ndarray] = {}
        for stop, network in self.stops():
            for regime, rows in self.exam.asked.items():
                found[f"{regime}_{stop}"] = network.answers(rows)
        return found

    def stops(self) -> Iterator[tuple[int, Network]]:
        """Train, and show the network as it is at every checkpoint up to the last step."""
        settings, job = self.settings, self.job
        number = job.seed % self.vectors.count(job.kind, settings.untrained)
        network = Network.started(
            self.vectors, self.own, self.vectors.weights(job.kind, self.exam, number),
            self.answer, self.level, self.spread, settings, stable_seed(*self.purpose, "head"))
        beside = network.beside(self.rows)
        body, head = network.body, [*network.head.parameters()]
        optimizer = torch.optim.AdamW([
            {"params": body, "lr": settings.learning_rate},
            {"params": head, "lr": 2 * settings.learning_rate}], weight_decay=1e-2)
        rates = [group["lr"] for group in optimizer.param_groups]
        order = self._order()
        stops = {stop for stop in checkpoints(settings.steps) if stop <= job.last} | {job.last}
        for step in range(job.last):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * _pace(step, settings.steps)
            at = order[step * settings.batch:(step + 1) * settings.batch]
            for module in (network.encoder, network.head):
                module.train()
            with seeded(stable_seed(*self.purpose, "dropout", step)):
                raw = network.raw(Rows(self.rows.view, self.rows.index[at]), beside[at])
            loss = self.answer.loss(raw, self.target[at])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*body, *head], CLIP)
            optimizer.step()
            if step + 1 in stops:
                yield step + 1, network

    def _order(self) -> np.ndarray:
        """int64 [steps * batch]: the rows, shuffled anew each time all have come."""
        need, size = self.settings.steps * self.settings.batch, len(self.rows)
        rounds = -(-need // size)
        return np.concatenate([generator(*self.purpose, "order", k).permutation(size)
                               for k in range(rounds)])[:need]


def checkpoints(steps: int) -> tuple[int, ...]:
    """After how many of its steps a training may be stopped."""
    return tuple(sorted({max(1, steps * k // CHECKPOINTS) for k in range(1, CHECKPOINTS + 1)}))


def _pace(step: int, steps: int) -> float:
    """A linear rise, then half a cosine down to a tenth."""
    fall = 0.5 * (1 + np.cos(np.pi * step / steps))
    return min(1.0, (step + 1) / max(1, round(RISE * steps))) * (0.1 + 0.9 * fall)
