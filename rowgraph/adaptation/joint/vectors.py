"""Row vectors of a language model that is trained with what reads them.

A step's neighbourhoods hold thousands of texts, more than can be encoded on the way to one small
step of a graph network. So a few of them, drawn anew for each step, are encoded with gradients, and
all others have the vector that they had when they were drawn last: Fey et al., "GNNAutoScale:
Scalable and Expressive Graph Neural Networks via Historical Embeddings" (ICML 2021), with a
language model in the place of a layer. Whatever is answered is encoded by the model as it is then.

Rows are drawn and batched as rows, never by their texts: which rows have equal texts depends on
rows that a seed must not see.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from rowgraph.adaptation.joint.texts import RowTexts
from rowgraph.adaptation.neighbourhoods import SILENT
from rowgraph.adaptation.settings import JointSettings
from rowgraph.embeddings import Embeddings
from rowgraph.encoding.adapting import AdaptedEncoder
from rowgraph.encoding.encoder import batches_by_length, padded
from rowgraph.randomness import generator, torch_generator
from rowgraph.rows.sampling import water_fill

BATCH_TOKENS = 4_096  # of one call, padding included: its numbers stay in a processor's cache


class JointVectors:
    """Implements `rowgraph.embeddings.Embeddings`, for one training.

    Args:
        texts: of every row.
        start: the vectors of the checkpoint.
        settings: what is trained, and how many texts a step.
        purpose: what the draws are for; equal ones give equal draws.
        device: where vectors are computed and kept.

    Raises:
        ValueError: the encoder has fewer layers than are to be trained.
    """

    def __init__(self, texts: RowTexts, start: Embeddings, settings: JointSettings,
                 purpose: tuple[object, ...], device: torch.device):
        self.texts, self.settings, self.device = texts, settings, device
        self.dim, self._purpose = start.dim, (*purpose, "joint")
        self.encoder = AdaptedEncoder(texts.encoder(str(device)), settings.layers, settings.rank,
                                      torch_generator(*self._purpose, "adapters"))
        self._held = {t: start.gather(t, np.arange(len(tokens.starts) - 1)).to(device, copy=True)
                      for t, tokens in texts.tables.items()}
        self._drawn: dict[str, tuple[np.ndarray, Tensor]] = {}
        self._answers: dict[str, tuple[np.ndarray, Tensor]] | None = None

    def parameters(self) -> list[nn.Parameter]:
        """What an optimizer is given."""
        return self.encoder.trained()

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return len(self._held[table])

    def draw(self, rows: Mapping[str, np.ndarray], *what: object) -> None:
        """Begin a step: draw rows and encode them with gradients; all others are held ones.

        Tables share the texts of a step as evenly as they can: a row of a small one stands in
        more neighbourhoods.

        Args:
            rows: int64 by table, ascending, none twice; `SILENT` is none.
            what: the step, beside the purpose.
        """
        self._answers, self._drawn = None, {}
        there = {table: found[found != SILENT] for table, found in rows.items()}
        share = water_fill({t: len(found) for t, found in there.items()}, self.settings.texts)
        random = generator(*self._purpose, "texts", *what)
        chosen = {t: np.sort(random.choice(found, share[t], replace=False, shuffle=False))
                  for t, found in there.items() if share[t]}
        self._drawn = {t: (mine, vectors) for (t, mine), vectors in zip(
            chosen.items(), self._encoded(chosen), strict=True)}
        for table, (mine, vectors) in self._drawn.items():
            self._held[table][self._places(mine)] = vectors.detach()

    def refresh(self) -> None:
        """End training steps for now: every vector is that of the model as it is."""
        self._drawn, self._answers = {}, {}

    def gather(self, table: str, rows: np.ndarray | Tensor) -> Tensor:
        """float32 [len(rows), dim] on the device; with gradients where a row was drawn."""
        rows = np.asarray(rows, dtype=np.int64)
        if self._answers is not None:
            return self._answered(table, rows)
        found = self._held[table][self._places(rows)]
        if table in self._drawn:
            drawn, vectors = self._drawn[table]
            place = np.minimum(np.searchsorted(drawn, rows), len(drawn) - 1)
            hit = np.flatnonzero(drawn[place] == rows)
            found = found.index_copy(0, self._places(hit), vectors[self._places(place[hit])])
        return found

    def _answered(self, table: str, rows: np.ndarray) -> Tensor:
        if table not in self._answers:
            held = self._held[table]
            self._answers[table] = np.zeros(len(held), bool), torch.empty_like(held)
        known, vectors = self._answers[table]
        missing = np.unique(rows[~known[rows]])
        if len(missing):
            with torch.no_grad():
                vectors[self._places(missing)], = self._encoded({table: missing})
            known[missing] = True
        return vectors[self._places(rows)]

    def _encoded(self, rows: Mapping[str, np.ndarray]) -> list[Tensor]:
        """float32 [rows of a table, dim] for each table, encoded together."""
        tokens = [(self.texts.tables[t], row) for t, found in rows.items() for row in found]
        lengths = np.concatenate([np.empty(0, np.int64), *(
            self.texts.tables[t].lengths(found) for t, found in rows.items())])
        parts, order = [torch.empty(0, self.dim, device=self.device)], []
        for places in batches_by_length(lengths, BATCH_TOKENS):
            ids_BS, real_BS = padded([tokens[p][0].of(tokens[p][1]) for p in places],
                                     self.texts.pad)
            parts.append(self.encoder(ids_BS.to(self.device), real_BS.to(self.device)))
            order.append(places)
        back = np.argsort(np.concatenate([np.empty(0, np.int64), *order]), kind="stable")
        vectors = torch.cat(parts).index_select(0, self._places(back))
        return list(vectors.split([len(found) for found in rows.values()]))

    def _places(self, places: np.ndarray) -> Tensor:
        return torch.from_numpy(places).to(self.device)
