"""An encoder and a head that answer label rows together.

Beside a row's vector the head sees how stale the row is and what was known of the entity's own
labels; a regression is answered as a deviation from the entity's own level, so that the network
need not learn whole levels by heart.

Shapes: n label rows, K numbers beside the vector, W width of the head.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rowgraph.adaptation.exams import Rows
from rowgraph.adaptation.heads import Answer
from rowgraph.adaptation.hybrid.on_vectors import KINDS
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.own_labels import FittedHistory, OwnLabels
from rowgraph.forecasting.training import Weights, seeded

AT_ONCE = 512  # rows that are answered at a time


class Head(nn.Module):
    """Raw outputs [n, W] from vectors and what stands beside them."""

    def __init__(self, output: int, beside: int, width: int, settings: RowgraphMetricsSettings):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(output + beside), nn.Linear(output + beside, settings.head_hidden),
            nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(settings.head_hidden, width))

    def forward(self, vectors: Tensor, beside: Tensor) -> Tensor:
        """float32 [n], or [n, W] where the width is above 1."""
        return self.layers(torch.cat([vectors, beside], dim=1)).squeeze(1)


@dataclass(frozen=True, eq=False)
class Network:
    """What is trained, and what it reads.

    Args:
        vectors, own: of the task's rows.
        encoder, corrections, head: with parameters.
        answer: of the task's kind, fitted on the rows trained on.
        level: of a regression, what answers are deviations from.
        spread: of the deviations.
    """

    vectors: RowVectors
    own: OwnLabels
    encoder: nn.Module
    corrections: nn.Module
    head: Head
    answer: Answer
    level: FittedHistory | None
    spread: float

    @classmethod
    def started(cls, vectors: RowVectors, own: OwnLabels, start: Weights, answer: Answer,
                level: FittedHistory | None, spread: float, settings: RowgraphMetricsSettings,
                seed: int) -> Network:
        """From the weights of an encoder and a fresh head.

        Args:
            seed: of the head.
        """
        encoder, corrections = copy.deepcopy(start.encoder), copy.deepcopy(start.corrections)
        if corrections is None:
            corrections = Weights(encoder, start.head).corrected(vectors.names).corrections
        beside = 1 + (0 if vectors.task.autocomplete else len(KINDS) * (
            1 + max(len(vectors.task.classes), 1)))
        with seeded(seed):
            head = Head(vectors.settings.output, beside, answer.width, settings)
        for module in (corrections, head):
            module.to(vectors.device)
        return cls(vectors, own, encoder, corrections, head, answer, level, spread)

    @property
    def body(self) -> list[nn.Parameter]:
        """All parameters but those of the head."""
        return [*self.encoder.parameters(), *self.corrections.parameters()]

    def raw(self, rows: Rows, beside: Tensor) -> Tensor:
        """What the head says of some label rows.

        Args:
            beside: of `beside`, for these rows.
        """
        batch = self.vectors.batch(rows).to(self.vectors.device)
        vectors = self.encoder(batch, self.vectors.names, self.corrections)
        return self.head(vectors, beside.to(self.vectors.device))

    @torch.no_grad()
    def answers(self, rows: Rows) -> np.ndarray:
        """Predictions as `rowgraph.tasks.kinds` says."""
        for module in (self.encoder, self.head):
            module.eval()
        beside = self.beside(rows)
        raw = [self.raw(Rows(rows.view, rows.index[first:first + AT_ONCE]),
                        beside[first:first + AT_ONCE]).cpu().numpy()
               for first in range(0, len(rows), AT_ONCE)]
        answer = self.answer.prediction(np.concatenate(raw))
        return answer if self.level is None else answer + self.level.predict(rows, (0,))[0]

    def beside(self, rows: Rows) -> Tensor:
        """float32 [n, K]: staleness, and the entity's own labels with how many there are."""
        task = self.vectors.task
        stale = (rows.labels.times - rows.before) / max(task.timedelta, 1)
        parts = [np.log1p(stale)[:, None]]
        for kind in KINDS if not task.autocomplete else ():
            own, count = self.own.of(rows, kind)
            if self.level is not None:
                own = (own - self.level.predict(rows, (0,))[0][:, None]) / self.spread
            parts += [np.where(count[:, None] > 0, np.clip(own, -10, 10), 0),
                      np.log1p(count)[:, None]]
        return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))

    def state(self) -> dict[str, Tensor]:
        """A copy of all parameters, by name."""
        modules = {"encoder": self.encoder, "corrections": self.corrections, "head": self.head}
        return {f"{part}.{name}": value.detach().cpu().clone().contiguous()
                for part, module in modules.items()
                for name, value in module.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> Network:
        """Take the parameters of `state`."""
        for part in ("encoder", "corrections", "head"):
            getattr(self, part).load_state_dict({
                name.removeprefix(f"{part}."): value for name, value in state.items()
                if name.startswith(f"{part}.")})
        return self
