"""What one language model gives to adaptation: row vectors, and the layers pre-trained on its own.

Small stores are held in memory as float32, where a batch costs one indexing per table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.sage.settings import SageWeightsSettings

if TYPE_CHECKING:
    from rowgraph.adaptation.joint.texts import RowTexts
    from rowgraph.embeddings import Embeddings

HELD_BYTES = 2 << 30  # vectors of a database up to this size are held in memory as float32


@dataclass(frozen=True, eq=False)
class BartVectors:
    """Of one seed of the language model.

    Args:
        store: vectors of every row of the held-out database.
        shared_state: the shared layers that were pre-trained over this model's vectors.
        sage_settings: the shapes of that pre-training.
        texts: of every row, for variants that train the language model; None where none does.
    """

    store: Embeddings
    shared_state: Mapping[str, Tensor]
    sage_settings: SageWeightsSettings
    texts: RowTexts | None = None


class HeldEmbeddings:
    """A copy in memory, for databases small enough."""

    def __init__(self, source: Embeddings, graph: EntityGraph):
        self.dim = source.dim
        self._tables = {t: source.gather(t, np.arange(n)) for t, n in graph.num_nodes.items()}

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return len(self._tables[table])

    def gather(self, table: str, rows: np.ndarray | Tensor) -> Tensor:
        """float32 [n, dim]."""
        return self._tables[table][torch.as_tensor(rows)]


def held_bytes(source: Embeddings, graph: EntityGraph) -> int:
    """What the vectors take in memory as float32."""
    return 4 * source.dim * sum(graph.num_nodes.values())


def held(source: Embeddings, graph: EntityGraph) -> Embeddings:
    """The vectors in memory where they fit, else as they are."""
    return HeldEmbeddings(source, graph) if held_bytes(source, graph) <= HELD_BYTES else source
