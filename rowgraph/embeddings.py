"""Row vectors on disk, memory-mapped, one file for each table.

`<table>.npy` holds vector i of row i; `rowgraph.encoding.row_vectors` writes them. Reading maps the
files, so a store larger than memory is used like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from rowgraph.random_twin import RandomTwin

__all__ = [
    "EmbeddingError",
    "EmbeddingStore",
    "Embeddings",
    "OverlaidEmbeddings",
    "RandomTwin",
]


class EmbeddingError(RuntimeError):
    """Vectors that do not belong to the rows they are asked for, or are not numbers."""


class Embeddings(Protocol):
    """What a graph asks of row vectors."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""

    def gather(self, table: str, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), dim]: the vectors of the given rows, in the given order."""


def mapped(path: Path) -> np.ndarray:
    """An array that is read from its file when it is used."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


class EmbeddingStore:
    """The vectors that `write_embeddings` wrote.

    Args:
        folder: theirs.
        num_rows: rows of each table of the database that they are to serve; None skips the check.

    Raises:
        EmbeddingError: a table is missing, or has another number of vectors than rows.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rowgraph.embeddings import EmbeddingStore
        >>> from rowgraph.example import write_example, write_example_vectors
        >>> folder = tempfile.mkdtemp()
        >>> store = write_example_vectors(write_example(folder), folder)
        >>> store.num_rows("orders"), store.dim, store.dtype
        (88, 16, 'float16')
        >>> store.gather("books", [2, 0]).shape
        torch.Size([2, 16])
        >>> EmbeddingStore.open(Path(folder) / "vectors", {"books": 5})
        Traceback (most recent call last):
        ...
        rowgraph.embeddings.EmbeddingError: ... table books has 5 rows, found vectors ...
    """

    def __init__(self, folder: Path, num_rows: Mapping[str, int] | None = None):
        facts = json.loads((folder / "store.json").read_text())
        self.dim: int = facts["dim"]
        self.dtype: str = facts["dtype"]  # of the vectors on disk
        self.range: np.ndarray = np.load(folder / "range.npy", allow_pickle=False)
        self._vectors = {t: mapped(folder / f"{t}.npy") for t in facts["tables"]}
        for table, expected in (num_rows or {}).items():
            found = self._vectors.get(table)
            if found is None or found.shape != (expected, self.dim):
                raise EmbeddingError(
                    f"{folder}: table {table} has {expected} rows, found "
                    f"{'no vectors' if found is None else f'vectors of shape {found.shape}'}; "
                    "vector i must be row i, so rebuild node_embeddings for "
                    f"{facts['database']} with `rowgraph run --force`")

    @classmethod
    def open(cls, folder: Path, num_rows: Mapping[str, int] | None = None) -> EmbeddingStore:
        """Same as the constructor."""
        return cls(Path(folder), num_rows)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that have vectors."""
        return tuple(self._vectors)

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return len(self._vectors[table])

    def vectors(self, table: str) -> np.ndarray:
        """[num_rows, dim] in `dtype`, memory-mapped."""
        return self._vectors[table]

    def gather(self, table: str, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), dim]: the vectors of the given rows, in the given order."""
        picked = self._vectors[table][np.asarray(rows, dtype=np.int64)]
        return torch.from_numpy(picked.astype(np.float32))


class OverlaidEmbeddings:
    """The vectors of a store, but for some tables those of another.

    Args:
        base: vectors of every table.
        over: vectors of some tables, and the range of all (`write_task_embeddings`).

    Raises:
        EmbeddingError: the two do not fit.
    """

    def __init__(self, base: EmbeddingStore, over: EmbeddingStore):
        wrong = [t for t in over.tables
                 if t not in base.tables or over.num_rows(t) != base.num_rows(t)]
        if wrong or over.dim != base.dim:
            raise EmbeddingError(
                f"vectors without hidden columns have {over.dim} dimensions, those of the "
                f"database {base.dim}, and tables {wrong or 'none'} have other rows; both must be "
                "made from one database by one checkpoint: delete the draft and run again")
        self.base, self.over = base, over
        self.dim, self.tables, self.range = base.dim, base.tables, over.range
        self.dtype = base.dtype

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return self.base.num_rows(table)

    def gather(self, table: str, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), dim]: the vectors of the given rows, in the given order."""
        return (self.over if table in self.over.tables else self.base).gather(table, rows)
