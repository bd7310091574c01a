"""The downstream model (Section 5.1, Figure 3): enriched entity, encoded date, head.

Shapes: N label rows, H hidden channels of the GNN (256 in the paper), D embedding dimension, T = 32
date dimensions, F = 3 numbers that stand for a date, W width of the head (`heads.Answer.width`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rowgraph.adaptation.enriching import EnrichingSAGE
from rowgraph.adaptation.neighbourhoods import Neighbourhoods
from rowgraph.adaptation.settings import AdaptationSettings
from rowgraph.adaptation.variants import Variant
from rowgraph.sage.settings import SageWeightsSettings

YEAR = 365.2425 * 86_400e6  # microseconds


@dataclass(frozen=True)
class DateScale:
    """The numbers that stand for a date: its distance from the training dates' mean in their
    standard deviations, and sine and cosine of the time of year.

    The paper gives the encoder's width and layers, not its input
    (docs/decisions/downstream.md). Fitted on training dates alone, so that a test date lies
    outside the range that training saw: the first number tells later from earlier, nothing else.
    """

    mean: float  # microseconds since 1970
    std: float  # microseconds

    @classmethod
    def fit(cls, times: np.ndarray) -> DateScale:
        """From the timestamps (int64, microseconds) of the training label rows."""
        return cls(float(times.mean(dtype=np.float64)),
                   float(times.std(dtype=np.float64)) or YEAR)

    def __call__(self, times: np.ndarray) -> Tensor:
        """float32 [N, F] of int64 [N] microseconds."""
        season = 2 * np.pi * times / YEAR
        columns = ((times - self.mean) / self.std, np.sin(season), np.cos(season))
        return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


class DateEncoder(nn.Sequential):
    """Two linear layers with ReLU, 32 dimensions (Section 5.1): [N, F] to [N, T]."""

    def __init__(self, dim: int):
        super().__init__(nn.Linear(3, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU())


class Head(nn.Sequential):
    """Three linear layers with ReLU and dropout (Section 5.1): [N, in_dim] to [N, W]."""

    def __init__(self, in_dim: int, hidden: int, dropout: float, width: int = 1):
        super().__init__(
            nn.Linear(in_dim, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, width))


class DownstreamModel(nn.Module):
    """Entity representation beside date representation, then the head.

    With a GNN the entity is its H-dimensional output, used directly: the decoders that
    pre-training needs are left out (Section 5.1). Without one it is the entity row's own
    embedding.
    """

    def __init__(self, gnn: EnrichingSAGE | None, entity_dim: int, width: int,
                 settings: AdaptationSettings):
        super().__init__()
        self.gnn = gnn
        self.date = DateEncoder(settings.date_dim)
        self.head = Head(entity_dim + settings.date_dim, settings.head_hidden, settings.dropout,
                         width)

    def forward(self, entity: Tensor | Mapping[str, Tensor], near: Neighbourhoods | None,
                place: Tensor | None, dates_NF: Tensor) -> Tensor:
        """Raw outputs of the head: [N] where its width is 1, else [N, W].

        Args:
            entity: as in `represent`.
            near: the seeds' neighbourhoods; None without a GNN.
            place: int64 [N], the seed that each label row asks about; None where they are the
                seeds, in order.
            dates_NF: from `DateScale`.
        """
        return self.answer(self.represent(entity, near), place, dates_NF)

    def represent(self, entity: Tensor | Mapping[str, Tensor],
                  near: Neighbourhoods | None) -> Tensor:
        """What the head reads of seeds, [seeds, H or D].

        Args:
            entity: the vectors of `near.rows` by node type, or, without a GNN, those of the
                entity rows [seeds, D].
            near: as in `forward`.
        """
        return entity if self.gnn is None else self.gnn(entity, near)

    def answer(self, represented: Tensor, place: Tensor | None, dates_NF: Tensor) -> Tensor:
        """The head over what `represent` gave."""
        if place is not None:
            represented = represented.index_select(0, place)
        return self.head(torch.cat([represented, self.date(dates_NF)], dim=1)).squeeze(1)


def build_model(variant: Variant, node_types: Sequence[str], in_dim: int, width: int,
                shared: Mapping[str, Tensor], settings: AdaptationSettings,
                sage: SageWeightsSettings) -> DownstreamModel:
    """A fresh model of a variant; only the shared layers may come from pre-training.

    Node-type-specific projections, date encoder and head are always new (Section 4.4). The
    caller seeds torch: equal seeds give variants the same fresh weights.

    Args:
        node_types: of the held-out database.
        in_dim: D.
        width: W.
        shared: weights of the shared layers; ignored unless the variant transfers them.
        sage: the shapes of pre-training.
    """
    if not variant.has_gnn:
        return DownstreamModel(None, in_dim, width, settings)
    gnn = EnrichingSAGE(in_dim, node_types, sage.hidden, sage.layers, sage.edge_type_reduce)
    model = DownstreamModel(gnn, sage.hidden, width, settings)
    if variant.transfers:
        gnn.load_shared(shared)
    if variant.freezes:
        gnn.convs.requires_grad_(False)
    return model
