"""Vectors of rows some of whose cells are masked, for the objective `cells`.

The rows of a batch are linearized, values are replaced by `<mask>` as in the fine-tuning of the
language model, and the text is encoded again: what is hidden is hidden from the encoder too, which
zeroed dimensions of the whole row's vector would not be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import polars as pl
import torch
from torch import Tensor

from rowgraph.databases.database import Database
from rowgraph.encoding.encoder import RowEncoder
from rowgraph.language.masking import row_keys
from rowgraph.randomness import uniform_of_rows
from rowgraph.rows.linearization import linearize_frame

_VALUE = re.compile(r"(?<=<value>)[^<]*(?:<(?!attr>)[^<]*)*")  # up to the next attribute or the end


class MaskedTexts:
    """The rows of a database as texts with masked cells, and these as vectors.

    A table's columns are read when it is first asked for and kept.

    Args:
        database: whose rows.
        encoder: the one that made the database's vectors.
        attributes: the columns that make a row's text, by table; None means all but the keys.
    """

    def __init__(self, database: Database, encoder: RowEncoder,
                 attributes: Mapping[str, list[str]] | None = None):
        self.database, self.encoder, self.attributes = database, encoder, attributes
        self._frames: dict[str, pl.DataFrame] = {}

    def texts(self, table: str, rows: np.ndarray, probability: float, *what: object) -> list[str]:
        """Linearized rows, each value replaced by `<mask>` with a probability.

        A row with values loses at least one. Whether a value is lost is a hash of its row, its
        place and `what`.
        """
        if table not in self._frames:
            self._frames[table] = self.database.read(table, self._columns(table) or None)
        whole = linearize_frame(table, self._frames[table][rows], self._columns(table))
        cells = max(1, len(self._columns(table)))
        with np.errstate(over="ignore"):
            places_NC = (row_keys(self.database.name, table, rows)[:, None]
                         + np.arange(cells, dtype=np.uint64))
        drawn_NC = uniform_of_rows(places_NC, "cells", *what)
        return [_masked(text, drawn_C, probability)
                for text, drawn_C in zip(whole.to_list(), drawn_NC, strict=True)]

    def vectors(self, table: str, rows: np.ndarray, probability: float, *what: object) -> Tensor:
        """float32 [len(rows), dim]: the vectors of `texts`."""
        found = self.encoder.encode_distinct(self.texts(table, rows, probability, *what))
        return torch.from_numpy(found.vectors)

    def _columns(self, table: str) -> list[str]:
        if self.attributes is None:
            return self.database.attributes(table)
        return self.attributes[table]


def _masked(text: str, drawn_C: np.ndarray, probability: float) -> str:
    """The text without the values whose draw lies below the probability, or the lowest draw."""
    values = list(_VALUE.finditer(text))
    real = [i for i, value in enumerate(values) if value.group().strip()]
    if not real:
        return text
    lost = {i for i in real if drawn_C[i] < probability} or {min(real, key=drawn_C.__getitem__)}
    parts, end = [], 0
    for i, value in enumerate(values):
        if i in lost:
            parts += [text[end:value.start()], " <mask> "]
            end = value.end()
    return "".join([*parts, text[end:]]).rstrip()
