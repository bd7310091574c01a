"""Every row of a database to its vector, on disk.

Writing goes table by table in shards of rows that an interrupted run does not repeat; each distinct
text is encoded once.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rowgraph.artifacts import Draft, write_json
from rowgraph.databases.database import Database
from rowgraph.disk import new_array
from rowgraph.embeddings import EmbeddingError, EmbeddingStore, OverlaidEmbeddings, mapped
from rowgraph.encoding.encoder import Encoded, RowEncoder
from rowgraph.encoding.row_texts import first_rows, row_texts
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.encoding.shards import Encoding, Shard, shards_of
from rowgraph.progress import Log
from rowgraph.side_by_side import elsewhere


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
    columns = {table: database.attributes(table) if attributes is None else attributes[table]
               for table in database.tables}
    facts = _encode_tables(database, columns, checkpoint_folder, settings, draft, device, log,
                           shard)
    vectors = {table: mapped(draft.path(f"{table}.npy")) for table in database.tables}
    np.save(draft.path("range.npy"), _past_range(database, vectors), allow_pickle=False)
    write_json(draft.path("store.json"), facts)
    return facts


def write_task_embeddings(database: Database, checkpoint_folder: Path,
                          settings: NodeEmbeddingsSettings, draft: Draft, *,
                          base: EmbeddingStore, keys: bool, device: str, log: Log,
                          shard: int = 16_384) -> dict[str, Any]:
    """Encode anew, without what a task must not see, the rows of the tables that hold it.

    Args:
        database: hides columns. Tables in whose text they do not stand are left out.
        checkpoint_folder, settings: those of the base.
        draft: as in `write_embeddings`. `range.npy` is over all tables, each without what is
            hidden, so that a random twin is free of it too.
        base: the vectors of every table, made from every column.
        keys: whether the texts of the base hold key columns.

    Returns:
        As `write_embeddings`, of the tables that were encoded anew.

    Raises:
        EmbeddingError: as `write_embeddings`.
    """
    columns = _texts_without(database, keys)
    facts = {"database": database.name, "dim": base.dim, "dtype": base.dtype, "tables": {}}
    if columns:
        facts = _encode_tables(database, columns, checkpoint_folder, settings, draft, device, log,
                               shard)
    vectors = {table: mapped(draft.path(f"{table}.npy")) if table in columns
               else base.vectors(table) for table in database.tables}
    np.save(draft.path("range.npy"), _past_range(database, vectors), allow_pickle=False)
    write_json(draft.path("store.json"), facts)
    return facts


def without_hidden(store: EmbeddingStore, database: Database, checkpoint_folder: Path,
                   settings: NodeEmbeddingsSettings, folder: Path, *, keys: bool, device: str,
                   log: Log) -> EmbeddingStore | OverlaidEmbeddings:
    """The vectors of a database for a task that must not see some of its columns.

    Args:
        store: made from every column.
        database: hides columns.
        folder: where the other vectors are kept, and found again by a later call; an interrupted
            one is continued.
        checkpoint_folder, settings, keys, device, log: as in `write_task_embeddings`.

    Returns:
        The store itself where the hidden columns stand in no text.
    """
    if not _texts_without(database, keys):
        return store
    if not (folder / "store.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_task_embeddings(database, checkpoint_folder, settings, Draft(folder), base=store,
                              keys=keys, device=device, log=log)
    return OverlaidEmbeddings(store, EmbeddingStore.open(folder))


def _texts_without(database: Database, keys: bool) -> dict[str, list[str]]:
    """The columns that make a row's text, by table, where the hidden ones would stand in it."""
    whole = dataclasses.replace(database, hidden=frozenset())
    tables = [t for t in database.tables if any(table == t for table, _ in database.hidden)]
    return {t: database.attributes(t, keys) for t in tables
            if database.attributes(t, keys) != whole.attributes(t, keys)}


def _encode_tables(database: Database, columns: Mapping[str, list[str]], checkpoint_folder: Path,
                   settings: NodeEmbeddingsSettings, draft: Draft, device: str, log: Log,
                   shard: int) -> dict[str, Any]:
    """Encode some tables; what `store.json` says of them."""
    encoder = RowEncoder.open(checkpoint_folder, settings, device)
    encodings = None
    if elsewhere():
        left = [t for t in columns if not draft.path(f"{t}.npy").exists()]
        encodings = Encoding(database, columns, checkpoint_folder.resolve(), settings, device,
                             shard, draft.state.resolve() / "shards").of(
            [s for t in left for s in _shards(database, t, columns[t], draft, shard)])
    tables, done, encoded, of = {}, 0, 0, sum(map(database.num_rows, columns))

    def log_all(rows: int, texts: int) -> None:
        log(done + rows, {"encoded_texts": float(encoded + texts)}, of)

    try:
        for table, attributes in columns.items():
            target, facts = draft.path(f"{table}.npy"), draft.state / f"{table}.json"
            if not target.exists():
                _encode_table(database, table, attributes, encoder, encodings, draft, target, shard,
                              log_all)
            tables[table] = json.loads(facts.read_text())["table"]
            done += tables[table]["rows"]
            encoded += tables[table]["distinct"]
    finally:
        if encodings is not None:
            encodings.close()
    return {"database": database.name, "dim": encoder.dim, "dtype": settings.dtype,
            "precision": encoder.precision, "tables": tables}


def _shards(database: Database, table: str, columns: list[str], draft: Draft,
            shard: int) -> list[Shard]:
    """What is left of a table; where its texts stand first is kept for when they come back."""
    kept = draft.state / f"{table}.first.npy"
    if not kept.exists():
        first_N = first_rows(row_texts(database, table, columns, shard))
        with open(part := kept.with_suffix(".part"), "wb") as handle:
            np.save(handle, first_N)
        part.replace(kept)
    first_N, progress = mapped(kept), draft.state / f"{table}.json"
    start = json.loads(progress.read_text()).get("rows", 0) if progress.exists() else 0
    return shards_of(table, first_N == np.arange(len(first_N)), shard, start)


def _encode_table(database: Database, table: str, columns: list[str], encoder: RowEncoder,
                  encodings: Generator[Encoded] | None, draft: Draft, target: Path, shard: int,
                  log: Callable[[int, int], None]) -> None:
    """Vectors of a table's rows in the state folder, published at the end; continues where it
    stopped. The texts that are new in a shard are encoded, here or (`encodings`) on a cluster; then
    earlier ones are looked up."""
    kept = draft.state / f"{table}.first.npy"
    first_N = mapped(kept) if kept.exists() else first_rows(
        row_texts(database, table, columns, shard))
    distinct_N = first_N == np.arange(len(first_N))
    path, cut = draft.state / f"{table}.npy", draft.state / f"{table}.cut.npy"
    progress = draft.state / f"{table}.json"
    if not progress.exists():
        new_array(path, encoder.settings.dtype, (len(first_N), encoder.dim)).flush()
        new_array(cut, bool, (len(first_N),)).flush()
        write_json(progress, {"rows": 0})
    start = json.loads(progress.read_text())["rows"]
    texts = row_texts(database, table, columns, shard, start)
    for first in range(start, len(first_N), shard):
        memory, cut_N = (np.lib.format.open_memmap(p, "r+") for p in (path, cut))
        rows = np.arange(first, min(first + shard, len(first_N)))
        new = rows[distinct_N[rows]]
        encoded = next(encodings) if encodings is not None else encoder.encode_distinct(
            next(texts)[1].gather(new - first).to_list())
        memory[new] = _finite(encoded.vectors, encoder.settings.dtype, table, new)
        cut_N[new] = encoded.truncated
        cut_N.flush()
        again = rows[~distinct_N[rows]]
        memory[again] = memory[first_N[again]]
        memory.flush()
        write_json(progress, {"rows": int(rows[-1]) + 1})
        log(int(rows[-1]) + 1, int(distinct_N[:rows[-1] + 1].sum()))
    cut_N = np.load(cut, mmap_mode="r", allow_pickle=False)
    share = float(cut_N[first_N].mean()) if len(first_N) else 0.0
    write_json(progress, {"table": {"rows": len(first_N), "distinct": int(distinct_N.sum()),
                                    "truncated": round(share, 6)}})
    path.rename(target)


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


def _past_range(database: Database, vectors: Mapping[str, np.ndarray],
                chunk: int = 65_536) -> np.ndarray:
    """float32 [2, dim]: lowest and highest value of each dimension over the rows that training
    may see, so that a random twin carries nothing of the future."""
    lowest, highest = np.array(np.inf), np.array(-np.inf)
    for table, of_table in vectors.items():
        seen = np.flatnonzero(database.times(table) < database.val_timestamp)
        for first in range(0, len(seen), chunk):
            part = of_table[seen[first:first + chunk]].astype(np.float32)
            lowest, highest = np.minimum(lowest, part.min(0)), np.maximum(highest, part.max(0))
    if lowest.ndim == 0:
        raise EmbeddingError(f"{database.name}: no row is older than its val_timestamp; check "
                             "val_timestamp and the time columns in its manifest.yaml")
    return np.stack([lowest, highest]).astype(np.float32)
