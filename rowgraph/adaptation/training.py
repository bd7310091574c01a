"""One training: some label rows, some epochs, and what the model says after each (Section 4.4).

The labels of the rows that are asked about are never read here: what is chosen is chosen
elsewhere (`rowgraph.adaptation.choosing`). Draws do not depend on the variant: with equal seeds all
variants get the same fresh weights, order of rows and neighbours, so that their differences are
differences of variants.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rowgraph.adaptation.heads import Answer, answer_of
from rowgraph.adaptation.inputs import Inputs
from rowgraph.adaptation.joint.vectors import JointVectors
from rowgraph.adaptation.models import DateScale, DownstreamModel, build_model
from rowgraph.adaptation.settings import AdaptationSettings
from rowgraph.adaptation.variants import Variant
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.randomness import stable_seed
from rowgraph.tasks.folds import View

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings

ROWS = 65_536  # label rows that the head answers at once



@dataclass(frozen=True, eq=False)
class Epoch:
    """What a model says after an epoch.

    Args:
        trained: epochs so far, from 1.
        fitted: raw outputs for the fitted rows, each as it was before its own step.
        answers: raw outputs for the rows that were asked about, by view.
    """

    trained: int
    fitted: np.ndarray
    answers: dict[str, np.ndarray]


def train(inputs: Inputs, graph: EntityGraph, embeddings: Embeddings, pretrained: BartVectors,
          variant: Variant, settings: AdaptationSettings, *, fit: View,
          asked: Mapping[str, View], seed: int, device: str | torch.device,
          at: Mapping[str, Collection[int]] | None = None) -> Iterator[Epoch]:
    """Train a variant.

    Args:
        inputs: of the task.
        graph: of the task's database; its tables are the model's node types.
        embeddings: BART's or the random twin's, as the variant asks; `JointVectors` are trained.
        pretrained: the shared layers and their shapes; its vectors are not used.
        settings: `epochs`, `learning_rate`, `dropout` and the sizes of the model.
        fit: the label rows to train on; statistics (dates, a target's scale) are theirs alone.
        asked: the label rows to answer; their labels are not read.
        seed: of fresh weights, dropout, order and neighbours.
        at: after how many epochs each view is asked; None asks after every one.

    Yields:
        After each epoch; raw outputs are float32 [N], or [N, W] for a wider head.
    """
    device = torch.device(device)
    answer = answer_of(inputs.task, fit.labels.target)
    random = _OwnRandom(stable_seed(*inputs.purpose(seed), "weights"), device)
    with random():
        model = build_model(variant, graph.node_types, embeddings.dim, answer.width,
                            pretrained.shared_state, settings,
                            pretrained.sage_settings).to(device)
    groups = [{"params": [p for p in model.parameters() if p.requires_grad]}]
    if isinstance(embeddings, JointVectors):
        groups.append({"params": embeddings.parameters(),
                       "lr": embeddings.settings.learning_rate})
    optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, fused=True)
    run = _Run(inputs, embeddings, variant.has_gnn, seed, DateScale.fit(fit.labels.times), device)
    for epoch in range(settings.epochs):
        with random():
            fitted = run.train_epoch(model, optimizer, answer, fit, epoch)
        now = {name: view for name, view in asked.items()
               if at is None or epoch + 1 in at.get(name, ())}
        yield Epoch(epoch + 1, fitted, run.answer_each(model, now))


class _OwnRandom:
    """Torch's generators, kept from what happens outside a block and the caller's from what
    happens inside."""

    def __init__(self, seed: int, device: torch.device):
        self._seed, self._devices = seed, [device] if device.type == "cuda" else []
        self._states: tuple[Tensor, list[Tensor]] | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with torch.random.fork_rng(devices=self._devices):
            if self._states is None:
                torch.manual_seed(self._seed)
            else:
                torch.set_rng_state(self._states[0])
                for device, state in zip(self._devices, self._states[1], strict=True):
                    torch.cuda.set_rng_state(state, device)
            yield
            self._states = (torch.get_rng_state(),
                            [torch.cuda.get_rng_state(d) for d in self._devices])


class _Run:
    """The two passes over label rows."""

    def __init__(self, inputs: Inputs, embeddings: Embeddings, with_graph: bool, seed: int,
                 dates: DateScale, device: torch.device):
        self.inputs, self.embeddings, self.with_graph = inputs, embeddings, with_graph
        self.seed, self.dates, self.device = seed, dates, device
        self.joint = embeddings if isinstance(embeddings, JointVectors) else None

    def train_epoch(self, model: DownstreamModel, optimizer: torch.optim.Optimizer,
                    answer: Answer, fit: View, epoch: int) -> np.ndarray:
        """One pass in a fresh order; raw outputs as they were before each step."""
        model.train()
        outputs = _empty(len(fit.labels), answer.width)
        steps = self.inputs.epoch(fit, self.seed, epoch, self.with_graph)
        for step, (at, entities) in enumerate(steps):
            if self.joint is not None:
                self.joint.draw(entities.near.rows, epoch, step)
            entity, near = entities.arguments(self.embeddings, self.device)
            raw = model(entity, near, None, self.dates(fit.labels.times[at]).to(self.device))
            loss = answer.loss(raw, fit.labels.target[at])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            outputs[at] = raw.detach().cpu().numpy()
        return outputs

    @torch.inference_mode()
    def answer(self, model: DownstreamModel, view: View) -> np.ndarray:
        """Raw outputs in label order. Each entity is represented once for each time that it is
        asked about, however many label rows ask."""
        model.eval()
        batches, place = self.inputs.distinct(view, self.seed, self.with_graph)
        represented = torch.cat([model.represent(*e.arguments(self.embeddings, self.device))
                                 for e in batches])
        outputs = [model.answer(represented, torch.from_numpy(place[i:i + ROWS]).to(self.device),
                                self.dates(view.labels.times[i:i + ROWS]).to(self.device)).cpu()
                   for i in range(0, len(place), ROWS)]
        return torch.cat(outputs).numpy()

    def answer_each(self, model: DownstreamModel,
                    views: Mapping[str, View]) -> dict[str, np.ndarray]:
        """Raw outputs by view; views of the same rows that see the same share them."""
        if self.joint is not None:
            self.joint.refresh()
        found: dict[str, np.ndarray] = {}
        for name, view in views.items():
            same = next((n for n in found if views[n].labels is view.labels
                         and np.array_equal(views[n].before, view.before)), None)
            found[name] = found[same] if same else self.answer(model, view)
        return found


def _empty(rows: int, width: int) -> np.ndarray:
    return np.empty(rows if width == 1 else (rows, width), dtype=np.float32)
