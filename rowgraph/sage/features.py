"""The vectors of sampled rows on the device that trains.

On a GPU a database's vectors live in its memory where they fit, so that a batch costs one indexing
there; where they do not, each batch's rows are gathered from the memory map into pinned memory and
copied while the model works on another batch. On a CPU they are gathered as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings

SHARE = 0.5  # of a device's free memory that the resident vectors of all databases may take
CHUNK = 65_536  # rows copied at a time


class Features:
    """The vectors of a database's rows.

    Args:
        embeddings: where they come from; in fp16 on the device where its `dtype` says so.
        num_rows: rows of each table.
        device: where they are needed, as torch names it.
        room: bytes of the device that they may take, 0 to read the map for every batch.
    """

    def __init__(self, embeddings: Embeddings, num_rows: Mapping[str, int], device: str,
                 room: int = 0):
        self.embeddings, self.device = embeddings, torch.device(device)
        half = getattr(embeddings, "dtype", "float32") == "float16"
        needed = sum(num_rows.values()) * embeddings.dim * (2 if half else 4)
        self._resident = None
        if needed <= room:
            self._resident = {t: self._copied(t, n, torch.float16 if half else torch.float32)
                              for t, n in num_rows.items()}

    @property
    def resident_bytes(self) -> int:
        """What they take of the device; 0 where it does not hold them."""
        return sum(held.nbytes for held in (self._resident or {}).values())

    def gather(self, table: str, rows: Tensor) -> Tensor:
        """float32 [len(rows), dim] on the device."""
        if self._resident is not None:
            return self._resident[table].index_select(0, rows.to(self.device)).float()
        found = self.embeddings.gather(table, rows.numpy())
        if self.device.type != "cuda":
            return found.to(self.device)
        return found.pin_memory().to(self.device, non_blocking=True)

    def _copied(self, table: str, num_rows: int, dtype: torch.dtype) -> Tensor:
        held = torch.empty((num_rows, self.embeddings.dim), dtype=dtype, device=self.device)
        for first in range(0, num_rows, CHUNK):
            rows = np.arange(first, min(first + CHUNK, num_rows))
            held[first:first + len(rows)] = self.embeddings.gather(table, rows).to(dtype)
        return held


def attach(embeddings: Mapping[str, Embeddings], num_rows: Mapping[str, Mapping[str, int]],
           device: str) -> dict[str, Features]:
    """The features of several databases, which share the room that the device has, in order."""
    room, features = resident_room(device), {}
    for name, found in embeddings.items():
        features[name] = Features(found, num_rows[name], device, room)
        room -= features[name].resident_bytes
    return features


def resident_room(device: str) -> int:
    """Bytes of a device that resident vectors may take now; none on a CPU, which reads the map."""
    if torch.device(device).type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * SHARE)
