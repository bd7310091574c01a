"""What the model sees in a step of pre-training: neighbourhoods, embeddings and masks.

Only the seeds of a batch are hidden and only they count; as a batch holds every row once, no copy
of a seed shows what is hidden. Embeddings enter as they are: they come from one encoder and have
one scale (docs/decisions/sage.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.parts import part_of
from rowgraph.graph.sampling import SampledBatch, TemporalNeighborSampler
from rowgraph.parallel.group import ALONE, Group
from rowgraph.prefetching import ahead
from rowgraph.randomness import stable_seed
from rowgraph.sage.features import attach
from rowgraph.sage.hiding import hiding_of
from rowgraph.sage.seeds import PretrainingError, Seeds
from rowgraph.sage.settings import SageWeightsSettings

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings
    from rowgraph.sage.masked_texts import MaskedTexts

AHEAD = 2  # batches drawn while the model works on another


@dataclass(frozen=True)
class PretrainDatabase:
    """A database to pre-train on: structure, row embeddings and, for `cells`, masked texts."""

    name: str
    graph: EntityGraph
    embeddings: Embeddings
    masked_texts: MaskedTexts | None = None


@dataclass(frozen=True)
class Inputs:
    """A batch ready for the model; `truth` and `mask` [seeds, dim] are those of its seeds.

    What the model sees of a seed are the first rows of `x` of its table.
    """

    seeds: Seeds
    x: dict[str, Tensor]
    batch: SampledBatch
    truth: Tensor
    mask: Tensor


class InputMaker:
    """Makes the inputs of batches on a device.

    Args:
        databases: graphs and embeddings.
        settings: fan-out, mask probability and seed.
        device: as torch names it.

    Raises:
        PretrainingError: no database, a name twice, or embeddings of different widths.
    """

    def __init__(self, databases: Sequence[PretrainDatabase], settings: SageWeightsSettings,
                 device: str):
        self.dim = _common_dim(databases)
        self.features = attach({d.name: d.embeddings for d in databases},
                               {d.name: d.graph.num_nodes for d in databases}, device)
        self.samplers = {d.name: TemporalNeighborSampler(d.graph, settings.fan_out)
                         for d in databases}
        self.hiding = hiding_of(settings, {d.name: d.masked_texts for d in databases})
        self.settings, self.device = settings, device
        # One thread for life: each new one claims memory that is never given back.
        self._pool = ThreadPoolExecutor(max_workers=1)

    def ahead(self, plan: Sequence[Seeds], what: Sequence[tuple],
              group: Group = ALONE) -> Iterator[Inputs]:
        """The inputs of each batch in order, made a few ahead in another thread.

        Each is a function of its arguments alone: the thread changes when it is made, not what.
        """
        questions = ((seeds, drawn_for, group)
                     for seeds, drawn_for in zip(plan, what, strict=True))
        return ahead(self.make, questions, self._pool, AHEAD)

    def make(self, seeds: Seeds, what: tuple[object, ...], group: Group = ALONE) -> Inputs:
        """Neighbourhood, embeddings and mask of a batch, drawn for `what`.

        Of several workers each gets its part of the seeds, which see what they see in the whole
        batch: the seeds of others are hidden where they are neighbours.
        """
        what = ("sage_weights", self.settings.seed, *what)
        batch = self.samplers[seeds.database].sample(seeds.table, seeds.rows, None,
                                                     stable_seed(*what, "neighbours"))
        hidden, among, beside = seeds.rows, None, None
        if group.size > 1:
            batch, kept = part_of(batch, group.part(len(seeds.rows)))
            places = kept[seeds.table]
            beside = places[batch.num_seeds:] < len(seeds.rows)
            among = places[places < len(seeds.rows)], len(seeds.rows)
            hidden = seeds.rows[among[0]]
            seeds = Seeds(seeds.database, seeds.table, hidden[:batch.num_seeds])
        gather = self.features[seeds.database].gather
        x = {t: gather(t, n_id) for t, n_id in batch.n_id.items()}
        count = len(seeds.rows)
        truth, around = x[seeds.table][:count], x[seeds.table][count:]
        vectors = truth
        if beside is not None:
            beside = torch.from_numpy(np.flatnonzero(beside)).to(self.device)
            vectors = torch.cat([truth, around[beside]])
        shown, mask = self.hiding(seeds.database, seeds.table, hidden, vectors, *what, among=among)
        shown = shown.to(self.device)
        if beside is not None:
            around = around.index_copy(0, beside, shown[count:])
        x[seeds.table] = torch.cat([shown[:count], around])
        return Inputs(seeds, {f"{seeds.database}/{t}": v for t, v in x.items()},
                      batch.qualified(seeds.database).to(self.device), truth,
                      mask[:count].to(self.device))

    def hidden(self, seeds: Seeds, what: tuple[object, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """What is visible of some rows, their vectors, and what is asked, without neighbours."""
        what = ("sage_weights", self.settings.seed, *what)
        truth = self.vectors(seeds)
        shown, mask = self.hiding(seeds.database, seeds.table, seeds.rows, truth, *what)
        return shown.to(self.device), truth, mask.to(self.device)

    def vectors(self, seeds: Seeds) -> Tensor:
        """float32 [rows, dim] on the device."""
        return self.features[seeds.database].gather(seeds.table, torch.from_numpy(seeds.rows))


def _common_dim(databases: Sequence[PretrainDatabase]) -> int:
    dims = {d.name: d.embeddings.dim for d in databases}
    if not databases or len(dims) != len(databases) or len(set(dims.values())) != 1:
        raise PretrainingError("pre-training needs databases of different names with embeddings of "
                               f"one width, found {[(d.name, d.embeddings.dim) for d in databases]}"
                               "; encode them with the same checkpoint")
    return next(iter(dims.values()))
