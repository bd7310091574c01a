"""The networks of a recommendation: two towers, and what is known about a pair.

Two towers: the source row as of its seed and each destination row as of the same moment, through
one graph network (Section 4.4's projections and shared layers), then a small network of its own
for each side; a pair's score is their product, and a destination's popularity is added. Identity-
aware: the same score, and what a small network makes of the pair's own past (`pairs.py`), for the
destinations that lie in the source's past or are popular. One training fits both.

Legend: B seeds, U destinations, P pairs, D width of a vector, H of the graph network, W of a tower,
T of a date, F features of a pair, G features of a destination's popularity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from rowgraph.adaptation.enriching import EnrichingSAGE
from rowgraph.adaptation.models import DateEncoder
from rowgraph.adaptation.neighbourhoods import Neighbourhoods
from rowgraph.adaptation.settings import AdaptationSettings
from rowgraph.adaptation.variants import Variant
from rowgraph.adaptation.vectors import BartVectors

WIDTH, HIDDEN = 64, 64  # of a tower's output, and of the networks over features
FAR = 5.0  # standard deviations, at which features are cut


class Scaled(nn.Module):
    """Features in standard deviations of those that were fitted on, then a small network.

    Args:
        fitted: float32 [n, features].
    """

    def __init__(self, fitted: Tensor, dropout: float):
        super().__init__()
        features = fitted.shape[1]
        mean = fitted.mean(0) if len(fitted) else torch.zeros(features)
        std = fitted.std(0, correction=0) if len(fitted) else torch.ones(features)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(std > 1e-6, 1 / std.clamp_min(1e-6), 0.0))
        self.net = _small(features, HIDDEN, 1, dropout)

    def forward(self, features: Tensor) -> Tensor:
        """float [n] of float [n, features]."""
        return self.net(((features - self.mean) * self.scale).clamp(-FAR, FAR)).squeeze(1)


class Recommender(nn.Module):
    """Both scorers.

    Args:
        gnn: None for a model without a graph, which reads rows' own vectors.
        dim: width of what the towers read: H, or D without a graph.
        popular: float32 [n, G], popularity of destinations as of the fitted seeds.
        pairs: float32 [n, F], features of fitted pairs; None for a model without a graph.
    """

    def __init__(self, gnn: EnrichingSAGE | None, dim: int, popular: Tensor, pairs: Tensor | None,
                 settings: AdaptationSettings):
        super().__init__()
        self.gnn = gnn
        self.date = DateEncoder(settings.date_dim)
        hidden, dropout = settings.head_hidden, settings.dropout
        self.source = _small(dim + settings.date_dim, hidden, WIDTH, dropout)
        self.destination = _small(dim, hidden, WIDTH, dropout)
        self.popular = Scaled(popular, dropout)
        self.pairs = None if pairs is None else Scaled(pairs, dropout)

    def represent(self, vectors: Tensor | Mapping[str, Tensor],
                  near: Neighbourhoods | None) -> Tensor:
        """float [n, H or D] of rows of either side, as `rowgraph.adaptation.inputs` gives them."""
        return vectors if self.gnn is None else self.gnn(vectors, near)

    def seeds(self, represented: Tensor, dates_BF: Tensor) -> Tensor:
        """float [B, W]."""
        return self.source(torch.cat([represented, self.date(dates_BF)], dim=1)) * WIDTH ** -0.5

    def destinations(self, represented: Tensor, popular_UG: Tensor) -> tuple[Tensor, Tensor]:
        """float [U, W], and what popularity adds to every score, float [U]."""
        return self.destination(represented), self.popular(popular_UG)


def build_recommender(variant: Variant, node_types: Sequence[str], dim: int, popular: Tensor,
                      pairs: Tensor | None, pretrained: BartVectors,
                      settings: AdaptationSettings) -> Recommender:
    """A fresh model of a variant; only the shared layers may come from pre-training, as in
    `rowgraph.adaptation.models.build_model`. The caller seeds torch.

    Args:
        dim: D.
    """
    if not variant.has_gnn:
        return Recommender(None, dim, popular, None, settings)
    sage = pretrained.sage_settings
    gnn = EnrichingSAGE(dim, node_types, sage.hidden, sage.layers, sage.edge_type_reduce)
    model = Recommender(gnn, sage.hidden, popular, pairs, settings)
    if variant.transfers:
        gnn.load_shared(pretrained.shared_state)
    if variant.freezes:
        gnn.convs.requires_grad_(False)
    return model


def listwise_loss(score_BU: Tensor, asked_BU: Tensor, true_BU: Tensor) -> Tensor:
    """Cross-entropy of each seed's softmax with what came true, each of it an equal share; the
    mean over seeds for which something did.

    Args:
        asked_BU: bool, what may be scored: candidates that existed at the seed.
        true_BU: bool, among them what came true.
    """
    true_BU = true_BU & asked_BU
    counts = true_BU.sum(1)
    some = counts > 0
    if not some.any():
        return score_BU.sum() * 0.0
    log = score_BU.masked_fill(~asked_BU, -torch.inf)[some].log_softmax(1)
    picked = torch.where(true_BU[some], log, 0.0).sum(1)
    return -(picked / counts[some]).mean()


def _small(features: int, hidden: int, out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout),
                         nn.Linear(hidden, out))
