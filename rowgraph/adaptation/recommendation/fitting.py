"""One training of both scorers, and what they recommend after some of its epochs.

Draws do not depend on the variant: with equal seeds all variants get the same order of chunks,
destinations and neighbours.

Legend: Q seeds, D destinations, P pairs, W width of a tower, k recommended rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rowgraph.adaptation.models import DateScale
from rowgraph.adaptation.recommendation.chunks import Chunk, chunks_of
from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.pairs import PairFeatures
from rowgraph.adaptation.recommendation.ranking import Ranker, best_first, standardised
from rowgraph.adaptation.recommendation.sides import BLOCK, Sides
from rowgraph.adaptation.recommendation.topk import best_of_all
from rowgraph.adaptation.recommendation.towers import (
    Recommender,
    build_recommender,
    listwise_loss,
)
from rowgraph.adaptation.settings import AdaptationSettings
from rowgraph.adaptation.variants import Variant
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.embeddings import Embeddings
from rowgraph.randomness import generator, stable_seed
from rowgraph.tasks.folds import View

TOWERS, IDENTITY = "two-tower", "identity-aware"
HYBRIDS = {"identity-aware and trees": 1.0, "identity-aware and mostly trees": 3.0}  # their weight
TREES = 40  # of the ranker that hybrids are averaged with
SNAPSHOTS = 8  # moments at most as of which destinations are represented for a view
PAIRS = 65_536  # scored at once
MOMENTS = 16  # fitted moments by which popularity is scaled


def scorers(with_graph: bool) -> tuple[str, ...]:
    """What a training can be asked for; without a graph nobody knows a pair's past."""
    return (TOWERS, IDENTITY, *HYBRIDS) if with_graph else (TOWERS,)


@dataclass(frozen=True, eq=False)
class Epoch:
    """After an epoch.

    Args:
        trained: epochs so far, from 1.
        loss: the mean over chunks.
        answers: by name of the asked view and scorer, int64 [Q, k]; only after epochs that were
            asked about.
    """

    trained: int
    loss: float
    answers: Mapping[tuple[str, str], np.ndarray]


class Fitting:
    """A training.

    Args:
        evidence: of the task.
        sides: what the towers read.
        embeddings: BART's or the random twin's, as the variant asks.
        pretrained: the shared layers and their shapes; its vectors are not used.
        fit: the label rows to train on, with `pairs`, their features.
        ranker: of the hybrid, fitted on the same rows.
        seed: of fresh weights, dropout, order, destinations and neighbours.
    """

    def __init__(self, evidence: Evidence, sides: Sides, embeddings: Embeddings,
                 pretrained: BartVectors, variant: Variant, settings: AdaptationSettings, *,
                 fit: View, pairs: PairFeatures, ranker: Ranker, seed: int,
                 device: str | torch.device):
        self.evidence, self.sides, self.embeddings = evidence, sides, embeddings
        self.pretrained, self.variant, self.settings = pretrained, variant, settings
        self.fit, self.pairs, self.ranker, self.seed = fit, pairs, ranker, seed
        self.device = torch.device(device)
        task = evidence.task
        self.purpose = ("downstream_metrics", task.database.name, task.name, seed)
        self.dates = DateScale.fit(fit.labels.times)
        self.chunks = chunks_of(evidence, fit, pairs, settings.batch,
                                (*self.purpose, "destinations", fit.name))
        self.features = torch.from_numpy(pairs.smooth()) if variant.has_gnn else None

    def run(self, asked: Mapping[int, Sequence[View]], epochs: int) -> Iterator[Epoch]:
        """Train for some epochs.

        Args:
            asked: by epoch, from 1: what is recommended to after it.
        """
        with torch.random.fork_rng(
                devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(stable_seed(*self.purpose, "weights"))
            model = build_recommender(self.variant, self.sides.graph.node_types,
                                      self.embeddings.dim, self._popular_sample(), self.features,
                                      self.pretrained, self.settings).to(self.device)
            optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad],
                                         lr=self.settings.learning_rate, fused=True)
            found = []
            for epoch in range(1, epochs + 1):
                loss = self._epoch(model, optimizer, epoch)
                answers = {}
                for view in asked.get(epoch, ()):
                    answers |= {(view.name, scorer): rows
                                for scorer, rows in self.recommend(model, view).items()}
                found.append(Epoch(epoch, loss, answers))
        yield from found

    def _epoch(self, model: Recommender, optimizer: torch.optim.Optimizer, epoch: int) -> float:
        model.train()
        losses = []
        for number in generator(*self.purpose, "order", epoch).permutation(len(self.chunks)):
            loss = self._loss(model, self.chunks[number], int(number))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def _loss(self, model: Recommender, chunk: Chunk, number: int) -> Tensor:
        """Of the towers, and of the identity-aware scorer among the seeds' candidates."""
        rows, draw = self.fit.labels.rows[chunk.rows], self._draw("train")
        key = self.fit.name, self.seed, number
        source = self._represent(model, self.sides.source(
            rows, self.fit.before[chunk.rows], self.variant.has_gnn, draw, key))
        other = self._represent(model, self.sides.destination(
            chunk.destinations, chunk.moment, self.variant.has_gnn, draw, key))
        popular = self._popular(chunk.time, chunk.moment)[chunk.destinations]
        seeds = model.seeds(source, self._dates(self.fit.labels.times[chunk.rows]))
        destinations, bias = model.destinations(other, torch.from_numpy(popular).to(self.device))
        score = torch.addmm(bias, seeds, destinations.T)
        asked, true = chunk.asked.to(self.device), chunk.true.to(self.device)
        loss = listwise_loss(score, asked, true)
        if model.pairs is not None and len(chunk.pair):
            at = chunk.pair_seed.to(self.device), chunk.pair_destination.to(self.device)
            known = model.pairs(self.features[chunk.pair].to(self.device))
            met = torch.zeros_like(asked)
            met[at] = True
            loss = loss + listwise_loss(score.index_put(at, known, accumulate=True), asked & met,
                                        true)
        return loss

    @torch.inference_mode()
    def recommend(self, model: Recommender, view: View) -> dict[str, np.ndarray]:
        """int64 [Q, k] by scorer."""
        model.eval()
        count = self.evidence.task.eval_k
        seeds_QW = self._seeds(model, view)
        group_Q, moments = snapshots(view)
        towers = [self._destinations(model, view.name, *moment) for moment in moments]
        exists = torch.from_numpy(self.evidence.exists).to(self.device)
        before = torch.from_numpy(view.before).to(self.device)
        found = {TOWERS: np.full((len(view.labels), count), -1)}
        for group, (destination_DW, bias_D) in enumerate(towers):
            at = np.flatnonzero(group_Q == group)
            found[TOWERS][at] = best_of_all(seeds_QW[at], destination_DW, bias_D, exists,
                                            before[at], count).numpy()
        if model.pairs is None:
            return found
        found |= {name: np.full((len(view.labels), count), -1) for name in (IDENTITY, *HYBRIDS)}
        for at, pairs in self.evidence.blocks(view):
            score = self._score(model, pairs, at, seeds_QW, group_Q, towers)
            found[IDENTITY][at] = best_first(pairs.candidates, score, count)
            trees = self.ranker.scores(pairs, [TREES])[0]
            mine, theirs = (standardised(pairs.candidates, s) for s in (score, trees))
            for name, weight in HYBRIDS.items():
                found[name][at] = best_first(pairs.candidates, mine + weight * theirs, count)
        return found

    def _score(self, model: Recommender, pairs: PairFeatures, at: np.ndarray, seeds_QW: Tensor,
               group_Q: np.ndarray, towers: Sequence[tuple[Tensor, Tensor]]) -> np.ndarray:
        """float64 [P]: the identity-aware score of pairs of the seeds `at`."""
        seed, row = pairs.candidates.pairs()
        features, score = torch.from_numpy(pairs.smooth()), np.empty(len(seed))
        for start in range(0, len(seed), PAIRS):
            part = slice(start, start + PAIRS)
            score[part] = model.pairs(features[part].to(self.device)).cpu().numpy()
        for group, (destination_DW, bias_D) in enumerate(towers):
            mine = np.flatnonzero(group_Q[at[seed]] == group)
            for start in range(0, len(mine), PAIRS):
                part = mine[start:start + PAIRS]
                theirs = torch.from_numpy(row[part]).to(self.device)
                product = (seeds_QW[at[seed[part]]] * destination_DW[theirs]).sum(1)
                score[part] += (product + bias_D[theirs]).cpu().numpy()
        return score

    def _seeds(self, model: Recommender, view: View) -> Tensor:
        """float [Q, W]."""
        parts = [torch.empty(0, model.source[-1].out_features, device=self.device)]
        for start in range(0, len(view.labels), BLOCK):
            part = slice(start, start + BLOCK)
            entities = self.sides.source(view.labels.rows[part], view.before[part],
                                         self.variant.has_gnn, self._draw("evaluation"),
                                         (view.name, start))
            parts.append(model.seeds(self._represent(model, entities),
                                     self._dates(view.labels.times[part])))
        return torch.cat(parts)

    def _destinations(self, model: Recommender, name: str, time: int,
                      moment: int) -> tuple[Tensor, Tensor]:
        """float [D, W] and [D]: every destination as of a moment."""
        popular = torch.from_numpy(self._popular(time, moment))
        towers, biases = [], []
        for start in range(0, len(popular), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(popular)))
            entities = self.sides.destination(rows, moment, self.variant.has_gnn,
                                              self._draw("evaluation"), (name, moment, start))
            tower, bias = model.destinations(self._represent(model, entities),
                                             popular[rows].to(self.device))
            towers.append(tower)
            biases.append(bias)
        return torch.cat(towers), torch.cat(biases)

    def _represent(self, model: Recommender, entities: object) -> Tensor:
        return model.represent(*entities.arguments(self.embeddings, self.device))

    def _dates(self, times: np.ndarray) -> Tensor:
        return self.dates(times).to(self.device)

    def _popular(self, time: int, moment: int) -> np.ndarray:
        return self.evidence.popular(time, moment, not self.variant.has_gnn)

    def _popular_sample(self) -> Tensor:
        """float32 [n, G]: by which popularity is scaled."""
        at = np.unique(np.linspace(0, len(self.chunks) - 1, MOMENTS).astype(int))
        return torch.from_numpy(np.concatenate(
            [self._popular(self.chunks[i].time, self.chunks[i].moment)[self.chunks[i].destinations]
             for i in at]))

    def _draw(self, what: str) -> int:
        return stable_seed(*self.purpose, "neighbours", what)


def snapshots(view: View, most: int = SNAPSHOTS) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The moments as of which destinations are seen by the seeds of a view.

    Where seeds have few effective times each sees destinations as of its own, else as of the
    oldest of the seeds that share its snapshot, never later than its own.

    Args:
        most: snapshots at most.

    Returns:
        int64 [Q], the snapshot of each seed; own time and effective time of each snapshot's
        oldest seed.
    """
    distinct, place = np.unique(view.before, return_inverse=True)
    groups = place.reshape(-1)
    if len(distinct) > most:
        order = np.argsort(view.before, kind="stable")
        share = np.empty(len(order), dtype=np.int64)
        share[order] = np.arange(len(order)) * most // len(order)
        first = np.full(len(distinct), most)
        np.minimum.at(first, groups, share)  # equal times share a snapshot
        groups = np.unique(first[groups], return_inverse=True)[1].reshape(-1)
    moments = []
    for group in range(groups.max(initial=-1) + 1):
        mine = np.flatnonzero(groups == group)
        oldest = mine[np.argmin(view.before[mine])]
        moments.append((int(view.labels.times[oldest]), int(view.before[oldest])))
    return groups, moments
