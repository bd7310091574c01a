"""Random vectors in the place of a language model's: the control of the paper's Table 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from rowgraph.randomness import stable_seed

if TYPE_CHECKING:
    from rowgraph.embeddings import EmbeddingStore, OverlaidEmbeddings


class RandomTwin:
    """Random vectors in the place of a store's: "sampled from the same value range" (Table 4).

    Each number is a hash of (seed, table, row, dimension), uniform between the lowest and the
    highest value that its dimension takes in the store on rows older than `val_timestamp`. The
    twin needs no disk, and a row has the same vector whenever it is asked for. A range per
    dimension or one over all is left open by the paper: docs/decisions/sage.md.
    """

    def __init__(self, store: EmbeddingStore | OverlaidEmbeddings, seed: int):
        self.store, self.seed, self.dim, self.tables = store, seed, store.dim, store.tables
        self._low_D = torch.from_numpy(store.range[0].copy())
        self._width_D = torch.from_numpy(store.range[1] - store.range[0])

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return self.store.num_rows(table)

    def gather(self, table: str, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), dim]: the vectors of the given rows, in the given order."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.min() < -self.num_rows(table) or rows.max() >= self.num_rows(table)):
            raise IndexError(f"{table}: rows {rows.min()} to {rows.max()} asked for, it has "
                             f"{self.num_rows(table)}")
        out_ND = np.empty((len(rows), self.dim), dtype=np.float32)
        for first in range(0, len(rows), 1_024):
            out_ND[first:first + 1_024] = self._uniform(table, rows[first:first + 1_024])
        return self._low_D + torch.from_numpy(out_ND) * self._width_D

    def _uniform(self, table: str, row_N: np.ndarray) -> np.ndarray:
        """float32 [N, dim] in [0, 1)."""
        base = stable_seed("random twin", table, self.seed)
        with np.errstate(over="ignore"):
            z = row_N.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(base)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = z ^ (z >> np.uint64(27))
            low, high = z.astype(np.uint32), (z >> np.uint64(32)).astype(np.uint32)
            dims = np.arange(self.dim, dtype=np.uint32) * np.uint32(0x9E3779B9)
            x = low[:, None] + dims[None, :]
            # Two rounds of a 32-bit multiply-xorshift hash; the row's other 32 bits enter between.
            x ^= x >> np.uint32(16)
            x *= np.uint32(0x7FEB352D)
            x ^= x >> np.uint32(15)
            x ^= high[:, None]
            x *= np.uint32(0x846CA68B)
            x ^= x >> np.uint32(16)
            x *= np.uint32(0x7FEB352D)
            x ^= x >> np.uint32(15)
        return (x >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
