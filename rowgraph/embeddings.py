"""Row vectors on disk, memory-mapped, one file for each table; and their random twin.

`<table>.npy` holds vector i of row i. Writing goes table by table in shards of rows that an
interrupted run does not repeat; reading maps the files, so a store larger than memory is used
like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch

from rowgraph.artifacts import Draft, write_json
from rowgraph.databases.database import Database
from rowgraph.encoding.encoder import Log, RowEncoder
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.randomness import stable_seed
from rowgraph.rows.linearization import linearize_frame


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


def write_embeddings(database: Database, checkpoint_folder: Path,
                     settings: NodeEmbeddingsSettings, draft: Draft, *, device: str, log: Log,
                     attributes: Mapping[str, list[str]] | None = None,
                     shard: int = 16_384) -> dict[str, Any]:
    """Encode every row of a database.

    A table is read, linearized and encoded in shards of rows, so memory does not grow with it but
    for 24 bytes a row, which remember where each text stands first.

    Args:
        database: whose rows.
        checkpoint_folder: model and tokenizer, as `fine_tune` saved them.
        draft: where to write `<table>.npy`, `range.npy` (float32 [2, dim], lowest and highest
            value of each dimension over the rows older than `val_timestamp`) and `store.json`;
            `draft.state` holds finished shards.
        log: called after each shard with the number of distinct texts encoded so far.
        attributes: the columns that make a row's text, by table; as the corpus was linearized.
            None means all but the keys.
        shard: rows between two savings.

    Returns:
        A summary: `dim`, `dtype`, and by table its rows, distinct texts and the share of rows whose
        text was cut at the model's `max_tokens`.

    Raises:
        EmbeddingError: a vector is not finite in the chosen dtype.
    """
    encoder = RowEncoder.open(checkpoint_folder, settings, device)
    tables, done = {}, 0
    for table in database.tables:
        columns = database.attributes(table) if attributes is None else attributes[table]
        target, facts = draft.path(f"{table}.npy"), draft.state / f"{table}.json"
        if not target.exists():
            _encode_table(database, table, columns, encoder, draft, target, shard, log, done)
        tables[table] = json.loads(facts.read_text())["table"]
        done += tables[table]["distinct"]
    np.save(draft.path("range.npy"), _past_range(database, draft.folder), allow_pickle=False)
    facts = {"database": database.name, "dim": encoder.dim, "dtype": settings.dtype,
             "precision": encoder.precision, "tables": tables}
    write_json(draft.path("store.json"), facts)
    return facts


def _encode_table(database: Database, table: str, columns: list[str], encoder: RowEncoder,
                  draft: Draft, target: Path, shard: int, log: Log, before: int) -> None:
    """Vectors of a table's rows in the state folder, published at the end; continues where it
    stopped. The texts that are new in a shard are encoded, then earlier ones are looked up."""
    first_N = first_rows(_texts(database, table, columns, shard))
    distinct_N = first_N == np.arange(len(first_N))
    path, cut = draft.state / f"{table}.npy", draft.state / f"{table}.cut.npy"
    progress = draft.state / f"{table}.json"
    if not progress.exists():
        np.lib.format.open_memmap(path, "w+", encoder.settings.dtype,
                                  (len(first_N), encoder.dim)).flush()
        np.lib.format.open_memmap(cut, "w+", bool, (len(first_N),)).flush()
        write_json(progress, {"rows": 0})
    start = json.loads(progress.read_text())["rows"]
    for first, texts in _texts(database, table, columns, shard, start):
        memory, cut_N = (np.lib.format.open_memmap(p, "r+") for p in (path, cut))
        rows = np.arange(first, first + len(texts))
        new = rows[distinct_N[rows]]
        encoded = encoder.encode_distinct(texts.gather(new - first).to_list())
        memory[new] = _finite(encoded.vectors, encoder.settings.dtype, table, new)
        cut_N[new] = encoded.truncated
        cut_N.flush()
        again = rows[~distinct_N[rows]]
        memory[again] = memory[first_N[again]]
        memory.flush()
        write_json(progress, {"rows": int(rows[-1]) + 1})
        encoded_texts = before + int(distinct_N[:rows[-1] + 1].sum())
        log(encoded_texts, {"encoded_texts": encoded_texts})
    cut_N = np.load(cut, mmap_mode="r", allow_pickle=False)
    share = float(cut_N[first_N].mean()) if len(first_N) else 0.0
    write_json(progress, {"table": {"rows": len(first_N), "distinct": int(distinct_N.sum()),
                                    "truncated": round(share, 6)}})
    path.rename(target)


def _texts(database: Database, table: str, columns: list[str], shard: int,
           start: int = 0) -> Iterator[tuple[int, pl.Series]]:
    """Linearized rows of a table from row `start` on, in shards: first row and texts."""
    for first, frame in database.read_chunks(table, columns or None, shard):
        if first + frame.height > start:
            skip = max(0, start - first)
            yield first + skip, linearize_frame(table, frame[skip:], columns)


def first_rows(shards: Iterable[tuple[int, pl.Series]]) -> np.ndarray:
    """int64 [N]: for each text the place at which an equal one stands first.

    Texts are told apart by two 64-bit hashes: with ten million of them the odds that two different
    ones share both are below 1 in 10^24.
    """
    hashes = [pl.DataFrame({"a": texts.hash(1), "b": texts.hash(2)})
              for _, texts in shards]
    if not hashes:
        return np.zeros(0, dtype=np.int64)
    place = pl.concat(hashes).with_row_index("place")
    return place.select(pl.col("place").min().over("a", "b").cast(pl.Int64))["place"].to_numpy()


def _finite(vectors: np.ndarray, dtype: str, table: str, rows: np.ndarray) -> np.ndarray:
    """The vectors in the chosen dtype.

    Raises:
        EmbeddingError: one is not finite there.
    """
    with np.errstate(over="ignore"):
        vectors = vectors.astype(dtype)
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(bad):
        raise EmbeddingError(
            f"{table}: the vector of row {rows[bad[0]]} is not finite in {dtype}; set "
            "node_embeddings.dtype to float32, or train the checkpoint again with a lower "
            "bart_checkpoint.learning_rate")
    return vectors


def _past_range(database: Database, folder: Path, chunk: int = 65_536) -> np.ndarray:
    """float32 [2, dim]: lowest and highest value of each dimension over the rows that training
    may see, so that a random twin carries nothing of the future."""
    lowest, highest = np.inf, -np.inf
    for table in database.tables:
        vectors = np.load(folder / f"{table}.npy", mmap_mode="r", allow_pickle=False)
        seen = np.flatnonzero(database.times(table) < database.val_timestamp)
        for first in range(0, len(seen), chunk):
            part = vectors[seen[first:first + chunk]].astype(np.float32)
            lowest, highest = np.minimum(lowest, part.min(0)), np.maximum(highest, part.max(0))
    if np.ndim(lowest) == 0:
        raise EmbeddingError(f"{database.name}: no row is older than its val_timestamp; check "
                             "val_timestamp and the time columns in its manifest.yaml")
    return np.stack([lowest, highest]).astype(np.float32)


class EmbeddingStore:
    """The vectors that `write_embeddings` wrote.

    Args:
        folder: theirs.
        num_rows: rows of each table of the database that they are to serve; None skips the check.

    Raises:
        EmbeddingError: a table is missing, or has another number of vectors than rows.
    """

    def __init__(self, folder: Path, num_rows: Mapping[str, int] | None = None):
        facts = json.loads((folder / "store.json").read_text())
        self.dim: int = facts["dim"]
        self.dtype: str = facts["dtype"]  # of the vectors on disk
        self.range: np.ndarray = np.load(folder / "range.npy", allow_pickle=False)
        self._vectors = {t: np.load(folder / f"{t}.npy", mmap_mode="r", allow_pickle=False)
                         for t in facts["tables"]}
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

    def gather(self, table: str, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        """float32 [len(rows), dim]: the vectors of the given rows, in the given order."""
        picked = self._vectors[table][np.asarray(rows, dtype=np.int64)]
        return torch.from_numpy(picked.astype(np.float32))


class RandomTwin:
    """Random vectors in the place of a store's: "sampled from the same value range" (Table 4).

    Each number is a hash of (seed, table, row, dimension), uniform between the lowest and the
    highest value that its dimension takes in the store on rows older than `val_timestamp`. The
    twin needs no disk, and a row has the same vector whenever it is asked for. A range per
    dimension or one over all is left open by the paper: docs/decisions/sage.md.
    """

    def __init__(self, store: EmbeddingStore, seed: int):
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
