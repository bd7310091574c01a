"""Training an encoder on forecast questions, of one database or of many.

Every step draws its rows, its questions, its dropout and its turn of the names from a digest of
what the step is, so that a training continues after an interruption to the same bytes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rowgraph.cells.names import NAME_DIM
from rowgraph.forecasting.encoder import Corrections, EncoderShape, RowGraphEncoder, untrained
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.objective import QuestionHead, loss_of, scores
from rowgraph.forecasting.questions import Asked, Questions
from rowgraph.forecasting.reader import Reader
from rowgraph.forecasting.settings import ForecastSettings
from rowgraph.parallel.group import ALONE, Group
from rowgraph.progress import Log
from rowgraph.randomness import generator, stable_seed

FLOOR = 0.03  # of the learning rate, at the end of its cosine
CLIP = 1.0  # norm of gradients
LOGS = 20  # a training


@dataclass(frozen=True, eq=False)
class Past:
    """A database whose past is asked about.

    Args:
        name: of the database.
        questions: none of them ends later than what may be trained on.
        weight: how often it is drawn, relative to others.
    """

    name: str
    reader: Reader
    names: Names
    questions: Questions
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Weights:
    """An encoder with the head that it was trained with.

    Args:
        corrections: of the one database that it was trained on; None otherwise.
        curve: of the training: step, loss.
    """

    encoder: RowGraphEncoder
    head: QuestionHead
    corrections: Corrections | None = None
    curve: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def fresh(cls, settings: ForecastSettings, seed: int,
              corrected: Names | None = None) -> Weights:
        """Random ones; equal seeds give equal ones."""
        shape = EncoderShape(settings.width, settings.output, settings.dropout)
        with seeded(stable_seed("question head", seed)):
            head = QuestionHead(settings.output, settings.precedents)
        return cls(untrained(shape, stable_seed("encoder", seed)), head,
                   None if corrected is None else Corrections(corrected.keys, settings.width))

    def corrected(self, names: Names) -> Weights:
        """The same with corrections for a database, zero at first."""
        return Weights(self.encoder, self.head, Corrections(names.keys, self.encoder.shape.width))

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What has parameters."""
        found = {"encoder": self.encoder, "head": self.head}
        return found if self.corrections is None else found | {"corrections": self.corrections}

    def state(self) -> dict[str, Tensor]:
        """All parameters by name, for a file."""
        return {f"{part}.{name}": value.detach().cpu().contiguous()
                for part, module in self.parts.items()
                for name, value in module.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> Weights:
        """Take parameters of `state`; those of a head or of corrections may be missing."""
        for part, module in self.parts.items():
            own = {n.removeprefix(f"{part}."): v for n, v in state.items()
                   if n.startswith(f"{part}.")}
            if own or part == "encoder":
                module.load_state_dict(own)
        return self


def train(pasts: Sequence[Past], weights: Weights, settings: ForecastSettings, *,
          purpose: tuple, rotated: bool, device: torch.device, state: Path | None = None,
          log: Log, group: Group = ALONE) -> Weights:
    """Train weights, in place, on questions about databases.

    Args:
        weights: where training starts.
        purpose: for digests: what the training is and with which seed.
        rotated: all names are turned alike, anew in each step, so that none is learned by heart.
        state: a file that an interrupted training continues from.
        log: called some times with the mean loss since the last time.
        group: of workers, each of which answers the questions about its part of the rows; only
            their dropout is not that of one process.

    Returns:
        The same weights, with the curve; alike in all workers.

    Raises:
        ValueError: nothing can be asked about any of the databases, or the training diverged.
    """
    pasts = [past for past in pasts if past.questions]
    if not pasts:
        raise ValueError("no relation of any database can be asked about: a forecast needs child "
                         "rows with times, of which some rows have several; leave own past and "
                         "forecast_weights out of this profile")
    for module in weights.parts.values():
        module.to(device).train()
    parameters = [p for module in weights.parts.values() for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate,
                                  weight_decay=settings.weight_decay)
    curve, first, saved = weights.curve, 0, None
    if group.is_writer and state is not None and state.exists():
        saved = torch.load(state, map_location="cpu", weights_only=True)
    saved = group.first(saved)
    if saved is not None:
        weights.load(saved["weights"])
        optimizer.load_state_dict(saved["optimizer"])
        first, curve[:] = saved["step"], saved["curve"]
    chance = np.array([past.weight for past in pasts])
    losses: list[float] = []
    for step in range(first, settings.steps):
        for held in optimizer.param_groups:
            held["lr"] = settings.learning_rate * _pace(step, settings)
        random = generator(*purpose, "step", step)
        past = pasts[random.choice(len(pasts), p=chance / chance.sum())]
        worker = (group.rank,) if group.rank else ()
        with seeded(stable_seed(*purpose, "dropout", step, *worker)):
            loss, n = _loss(past, weights, settings, random, rotated, device, group)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        group.mean_gradients(parameters, n)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        losses.append(group.means({"loss": loss.item(), "n": n})["loss"])
        if not math.isfinite(losses[-1]):
            raise ValueError(f"the loss at step {step + 1} on {past.name} is {losses[-1]}; lower "
                             "the learning_rate of this stage and run again")
        if (step + 1) % max(1, settings.steps // LOGS) == 0 or step + 1 == settings.steps:
            curve.append({"step": step + 1, "loss": float(np.mean(losses))})
            log(step + 1, {"loss": curve[-1]["loss"]}, settings.steps)
            losses = []
        if state is not None and group.is_writer and (step + 1) % settings.save_steps == 0:
            part = state.with_suffix(".part")
            torch.save({"weights": weights.state(), "optimizer": optimizer.state_dict(),
                        "step": step + 1, "curve": curve}, part)
            part.replace(state)
    for module in weights.parts.values():
        module.eval()
    return weights


@torch.no_grad()
def examine(past: Past, weights: Weights, settings: ForecastSettings, *, purpose: tuple,
            device: torch.device, batches: int = 8) -> dict[str, float | None]:
    """How well weights answer some questions, beside the rule (`objective.scores`)."""
    said, asked = [], []
    for k in range(batches):
        found = past.questions.draw(generator(*purpose, "examined", k), settings.batch,
                                    settings.questions)
        said.append(answers_of(past.reader, weights, past.names, found, device)[1].cpu())
        asked.append(found)
    return scores(torch.cat(said), asked)


def _loss(past: Past, weights: Weights, settings: ForecastSettings, random: np.random.Generator,
          rotated: bool, device: torch.device, group: Group) -> tuple[Tensor, int]:
    """The mean loss of the questions about this worker's rows, and how many those are."""
    asked = past.questions.draw(random, settings.batch, settings.questions)
    names = past.names
    if rotated:
        names = names.rotated(rotation(random).to(device))
    if group.size > 1:
        asked = asked.part(group.part(len(asked.rows)))
        if not len(asked.seed):
            return torch.zeros((), device=device, requires_grad=True), 0
    alone, whole = answers_of(past.reader, weights, names, asked, device)
    return loss_of(whole, asked) + loss_of(alone, asked), len(asked.seed)


def answers_of(reader: Reader, weights: Weights, names: Names, asked: Asked,
               device: torch.device) -> tuple[Tensor, Tensor]:
    """What weights answer, float32 [q] twice, as `QuestionHead` says."""
    batch = reader.batch(asked.table, asked.rows, asked.before, asked.horizon,
                         asked.ahead).to(device)
    vectors = weights.encoder(batch, names, weights.corrections)
    return weights.head(vectors, names, asked, batch.horizon)


def rotation(random: np.random.Generator) -> Tensor:
    """float32 [NAME_DIM, NAME_DIM]: a random permutation with random signs."""
    turn = np.zeros((NAME_DIM, NAME_DIM), np.float32)
    turn[np.arange(NAME_DIM), random.permutation(NAME_DIM)] = random.choice([-1, 1], NAME_DIM)
    return torch.from_numpy(turn)


def _pace(step: int, settings: ForecastSettings) -> float:
    """A linear rise, then half a cosine down to `FLOOR`."""
    rise = max(1, round(settings.warm_up * settings.steps))
    fall = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return min(1.0, (step + 1) / rise) * (FLOOR + (1 - FLOOR) * fall)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's draws inside depend on the seed alone, and those outside are as if there were
    none."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
