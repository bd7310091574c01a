"""The rows of a database as tokens, and the language model that reads them.

Plain arrays, so that processes share them by mapping files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers.models.bart.modeling_bart import BartEncoder

from rowgraph.artifacts import write_json
from rowgraph.databases.database import Database
from rowgraph.encoding.encoder import RowEncoder
from rowgraph.encoding.row_texts import row_texts
from rowgraph.encoding.settings import NodeEmbeddingsSettings

SHARD = 16_384  # rows that are tokenized at a time
FP32 = NodeEmbeddingsSettings(precision="fp32", workers=1)


@dataclass(frozen=True, eq=False)
class Tokens:
    """The texts of a table's rows, one after the other.

    Args:
        ids: unsigned integers, the tokens of all texts.
        starts: int64 [rows + 1], where each text begins, and where the last one ends.
    """

    ids: np.ndarray
    starts: np.ndarray

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """int64 [len(rows)]: tokens of these rows' texts."""
        return self.starts[rows + 1] - self.starts[rows]

    def of(self, row: int) -> np.ndarray:
        """The tokens of one row's text."""
        return self.ids[self.starts[row]:self.starts[row + 1]]


@dataclass(frozen=True, eq=False)
class RowTexts:
    """What a language model is given of every row of a database.

    Args:
        checkpoint: folder of the language model and its tokenizer.
        pad: the token that fills up a batch.
        tables: by table.
    """

    checkpoint: Path
    pad: int
    tables: Mapping[str, Tokens]

    @classmethod
    def of(cls, database: Database, checkpoint: Path, *, keys: bool) -> RowTexts:
        """Tokenize every row, as `rowgraph.encoding.row_vectors.write_embeddings` does.

        Args:
            database: columns that it hides stand in no text.
            checkpoint: folder of the language model.
            keys: whether texts hold key columns; as the corpus was linearized.
        """
        encoder = RowEncoder.open(checkpoint, FP32, "cpu")
        small = np.min_scalar_type(len(encoder.tokenizer) - 1)
        tables = {}
        for table in database.tables:
            ids, lengths = [np.empty(0, small)], [np.zeros(1, np.int64)]
            for _, texts in row_texts(database, table, database.attributes(table, keys), SHARD):
                rows = encoder.tokens(texts.to_list())
                ids.append(np.concatenate(rows).astype(small))
                lengths.append(np.array([len(row) for row in rows], np.int64))
            tables[table] = Tokens(np.concatenate(ids), np.cumsum(np.concatenate(lengths)))
        return cls(checkpoint, encoder.tokenizer.pad_token_id, tables)

    def encoder(self, device: str) -> BartEncoder:
        """The language model's encoder, as it was saved."""
        return RowEncoder.open(self.checkpoint, FP32, device).encoder

    def save(self, folder: Path) -> None:
        """Write what `load` maps."""
        folder.mkdir()
        for i, tokens in enumerate(self.tables.values()):
            np.save(folder / f"{i:03d}.ids.npy", tokens.ids)
            np.save(folder / f"{i:03d}.starts.npy", tokens.starts)
        write_json(folder / "texts.json", {"checkpoint": str(self.checkpoint.resolve()),
                                           "pad": self.pad, "tables": list(self.tables)})

    @classmethod
    def load(cls, folder: Path) -> RowTexts:
        """What `save` wrote, mapped."""
        facts = json.loads((folder / "texts.json").read_text())
        tables = {table: Tokens(*(np.load(folder / f"{i:03d}.{part}.npy", mmap_mode="r",
                                          allow_pickle=False) for part in ("ids", "starts")))
                  for i, table in enumerate(facts["tables"])}
        return cls(Path(facts["checkpoint"]), facts["pad"], tables)
