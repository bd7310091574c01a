"""Shards of rows encoded by whoever is free: each leaves its vectors in a file of its own.

A worker keeps the language model from one shard to the next and reads its tables forward; rows do
not travel. Files lie in the draft's state until they are in the table's, so an interrupted run
encodes none of them again.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from rowgraph.databases.database import Database
from rowgraph.disk import write_arrays
from rowgraph.encoding.encoder import Encoded, RowEncoder
from rowgraph.encoding.row_texts import frames
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.kept import kept
from rowgraph.rows.linearization import linearize_frame
from rowgraph.side_by_side import side_by_side


@dataclass(frozen=True)
class Shard:
    """Some rows of a table; `new` is a packed bit for each: its text stands nowhere before."""

    table: str
    first: int
    rows: int
    new: bytes

    def places(self) -> np.ndarray:
        """int64: of the new texts, counted from the first row."""
        bits = np.unpackbits(np.frombuffer(self.new, np.uint8), count=self.rows)
        return np.flatnonzero(bits)


@dataclass(frozen=True, eq=False)
class Encoding:
    """What is encoded, by which model, in a form that any process can open.

    Args:
        columns: that make a row's text, by table.
        size: rows of a shard.
        folder: for the files; every process sees it.
    """

    database: Database
    columns: Mapping[str, list[str]]
    checkpoint: Path
    settings: NodeEmbeddingsSettings
    device: str
    size: int
    folder: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # tells encodings apart

    def of(self, shards: list[Shard]) -> Generator[Encoded]:
        """The vectors of shards, in their order."""
        self.folder.mkdir(exist_ok=True)
        weights = sum(p.stat().st_size for p in self.checkpoint.glob("*.safetensors"))
        done = side_by_side(functools.partial(_encode, self), shards, processes=1,
                            device=self.device, gigabytes=1 + 2 * weights / 1e9)
        for path in done:
            with np.load(path, allow_pickle=False) as arrays:
                yield Encoded(arrays["vectors"], arrays["truncated"])
            path.unlink()


def shards_of(table: str, distinct_N: np.ndarray, size: int, start: int) -> list[Shard]:
    """The shards of a table from row `start` on."""
    return [Shard(table, first, len(new), np.packbits(new).tobytes())
            for first in range(start, len(distinct_N), size)
            for new in [distinct_N[first:first + size]]]


def _encode(encoding: Encoding, shard: Shard) -> Path:
    """Encode a shard in any process, unless it is done; where its vectors lie."""
    path = encoding.folder / f"{shard.table}.{shard.first}.npz"
    if path.exists():
        return path
    encoder = kept(encoding.token, "encoder", lambda: RowEncoder.open(
        encoding.checkpoint, encoding.settings.model_copy(update={"workers": 1}), encoding.device))
    reader = kept(encoding.token, f"texts of {shard.table}",
                  lambda: _Forward(encoding, shard.table))
    encoded = encoder.encode_distinct(
        reader.texts(shard.first).gather(shard.places()).to_list())
    write_arrays(path, vectors=encoded.vectors, truncated=encoded.truncated)
    return path


class _Forward:
    """The texts of a table, read forward; begun anew where earlier ones are asked for."""

    def __init__(self, encoding: Encoding, table: str):
        self.encoding, self.table = encoding, table
        self.first = -1  # of the shard that was read last
        self.left: Iterator[tuple[int, pl.DataFrame]] = iter(())

    def texts(self, first: int) -> pl.Series:
        """Of the shard that begins with a row."""
        columns = self.encoding.columns[self.table]
        if first <= self.first or self.first < 0:
            self.left = frames(self.encoding.database, self.table, columns, self.encoding.size)
        self.first, frame = next(found for found in self.left if found[0] == first)
        return linearize_frame(self.table, frame, columns)
