"""Rows as PyTorch Frame sees them: semantic types and statistics from the past, cells from all.

Types follow PyTorch Frame's rules, as `relbench.modeling` has it, but for three differences
(docs/decisions/peers.md): they come from rows older than a cut, evenly spaced instead of drawn;
text is never taken for dates or lists; and a number that never varied in the past is left out.
Text becomes hashed character n-grams, where RelBench uses GloVe, which is data from outside.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from torch import Tensor
from torch_frame import TensorFrame, stype
from torch_frame.config import TextEmbedderConfig
from torch_frame.data import Dataset
from torch_frame.data.stats import StatType, compute_col_stats
from torch_frame.utils import infer_series_stype

from rowgraph.baselines.peers.columns import past_rows, plain_columns
from rowgraph.databases.database import Database

SAMPLE = 1_000  # rows whose cells decide a column's type, as in RelBench
RARE = 4  # PyTorch Frame: a category occurs more often than this
TEXT_LENGTH = 512  # characters of a text that are read
NOTHING = "__const__"  # the one column of a table that has none, as in RelBench
Statistics = dict[str, dict[StatType, object]]


@dataclass(frozen=True, eq=False)
class RowFrames:
    """Every table as a tensor frame, row i at position i.

    Args:
        frames: by table.
        statistics: by table and column, from rows older than the cut.
    """

    frames: dict[str, TensorFrame]
    statistics: dict[str, Statistics]

    def kinds(self) -> dict[str, dict[str, list[str]]]:
        """The columns of each table by semantic type, for people."""
        return {table: {kind.value: list(names) for kind, names in frame.col_names_dict.items()}
                for table, frame in self.frames.items()}


class RowReader:
    """Reads the tables of a database once, and frames them for any cut.

    Args:
        database: without what the task must not see.
        text_dim: width of a text's vector.
    """

    def __init__(self, database: Database, text_dim: int):
        self.database = database
        self._tables = {t: {name: _series(c) for name, c in plain_columns(database, t).items()}
                        for t in database.tables}
        self._hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4),
                                          n_features=text_dim, dtype=np.float32)
        self._texts: dict[tuple[str, str], Tensor] = {}

    def frames(self, cut: int) -> RowFrames:
        """All rows, described by what was known before the cut.

        Args:
            cut: microseconds; types, means, deviations, categories and year ranges come from
                strictly older rows.
        """
        frames, statistics = {}, {}
        for table, columns in self._tables.items():
            past = past_rows(self.database, table, cut)
            kinds = {name: kind for name, values in columns.items()
                     if (kind := kind_of(values[past])) is not None}
            with _quiet():
                found: Statistics = {name: compute_col_stats(columns[name][past], kind)
                                     for name, kind in kinds.items()}
            for name in [n for n in kinds if found[n].get(StatType.STD) == 0.0]:
                del kinds[name], found[name]  # a constant, and no unit to measure change in
            frames[table], statistics[table] = (
                self._framed(table, columns, kinds, found) if kinds
                else _nothing(self.database.num_rows(table)))
        return RowFrames(frames, statistics)

    def _framed(self, table: str, columns: dict[str, pd.Series], kinds: dict[str, stype],
                statistics: Statistics) -> tuple[TensorFrame, Statistics]:
        texts = {name: TextEmbedderConfig(partial(self._text_vectors, table, name))
                 for name, kind in kinds.items() if kind == stype.text_embedded}
        dataset = Dataset(pd.DataFrame({n: columns[n] for n in kinds}), kinds,
                          col_to_text_embedder_cfg=texts or None)
        with _quiet():
            dataset.materialize(col_stats=statistics)
        return dataset.tensor_frame, dataset.col_stats

    def _text_vectors(self, table: str, column: str, texts: list[str]) -> Tensor:
        """float32 [rows, text_dim]: of the whole column, each distinct text hashed once."""
        if (table, column) not in self._texts:
            words = pd.Series(texts, dtype=object).str.slice(0, TEXT_LENGTH)
            codes, distinct = pd.factorize(words)
            vectors = self._hashing.transform(distinct).toarray()
            self._texts[table, column] = torch.from_numpy(vectors[codes])
        return self._texts[table, column]


def kind_of(past: pd.Series) -> stype | None:
    """A column's semantic type from its past cells; None where they say nothing.

    Args:
        past: as `RowReader` holds columns, rows older than the cut only.
    """
    known = past.dropna()
    if len(known) > SAMPLE:
        known = known.iloc[np.linspace(0, len(known) - 1, SAMPLE).astype(int)]
    if not len(known):
        return None
    first = known.iloc[0]
    if isinstance(first, list):
        return stype.multicategorical
    if isinstance(first, bool):
        return stype.categorical
    if isinstance(first, str):
        return (stype.categorical if known.value_counts().min() > RARE
                else stype.text_embedded)
    if pd.api.types.is_datetime64_any_dtype(known):
        return stype.timestamp
    return infer_series_stype(known.reset_index(drop=True))  # numerical or categorical


def _series(column: pl.Series) -> pd.Series:
    """As pandas holds it for PyTorch Frame: numbers with NaN, times, or plain Python objects."""
    dtype = column.dtype
    if dtype == pl.Boolean or dtype == pl.String or dtype == pl.List:
        return pd.Series(column.to_list(), dtype=object)
    if dtype == pl.Datetime:
        return pd.Series(column.to_numpy())
    return pd.Series(column.cast(pl.Float64).fill_null(np.nan).to_numpy()
                     if dtype.is_float() or column.null_count() else column.to_numpy())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's warning about the parts of dates, which pandas lends for reading."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        yield


def _nothing(rows: int) -> tuple[TensorFrame, Statistics]:
    frame = TensorFrame({stype.numerical: torch.ones(rows, 1)}, {stype.numerical: [NOTHING]})
    return frame, {NOTHING: compute_col_stats(pd.Series([1.0]), stype.numerical)}
