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
        self._tables, self._whole = {}, {}
        for table in database.tables:
            columns = plain_columns(database, table)
            self._tables[table] = {name: _series(c) for name, c in columns.items()}
            self._whole[table] = {name for name, c in columns.items() if c.dtype.is_integer()}
        self._hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4),
                                          n_features=text_dim, dtype=np.float32)
        self._texts: dict[tuple[str, str], Tensor] = {}
        self._cut: int | None = None
        self._latest: RowFrames | None = None

    def frames(self, cut: int) -> RowFrames:
        """All rows, described by what was known before the cut.

        Args:
            cut: microseconds; types, means, deviations, categories and year ranges come from
                strictly older rows.
        """
        if cut == self._cut:
            return self._latest
        frames, statistics = {}, {}
        for table, columns in self._tables.items():
            past = past_rows(self.database, table, cut)
            kinds = {name: kind for name, values in columns.items()
                     if (kind := kind_of(values[past], name in self._whole[table]))}
            with _quiet():
                found: Statistics = {name: statistics_of(columns[name][past], kind)
                                     for name, kind in kinds.items()}
            for name in [n for n in kinds if found[n].get(StatType.STD) == 0.0]:
                del kinds[name], found[name]  # a constant, and no unit to measure change in
            frames[table], statistics[table] = (
                self._framed(table, columns, kinds, found) if kinds
                else _nothing(self.database.num_rows(table)))
        self._cut, self._latest = cut, RowFrames(frames, statistics)
        return self._latest

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
        """float32 [rows, text_dim]: of the whole column, each distinct text hashed once; zero
        where there is none."""
        if (table, column) not in self._texts:
            words = ["" if pd.isna(text) else text[:TEXT_LENGTH] for text in texts]
            codes, distinct = pd.factorize(np.array(words, dtype=object))
            vectors = self._hashing.transform(distinct).toarray()
            self._texts[table, column] = torch.from_numpy(vectors[codes])
        return self._texts[table, column]


def kind_of(past: pd.Series, whole: bool) -> stype | None:
    """A column's semantic type from its past cells; None where they say nothing.

    Args:
        past: as `RowReader` holds columns, rows older than the cut only.
        whole: the column's own type is one of whole numbers.
    """
    known = past.dropna()
    gaps = len(known) < len(past)
    if len(known) > SAMPLE:
        known = known.iloc[np.linspace(0, len(known) - 1, SAMPLE).astype(int)]
    if not len(known):
        return None
    first = known.iloc[0]
    if isinstance(first, list):
        return stype.multicategorical
    if isinstance(first, bool):
        return stype.categorical
    if pd.api.types.is_datetime64_any_dtype(known):
        return stype.timestamp
    text = isinstance(first, str)
    # Numbers with gaps are floats to RelBench, whole or not.
    few = text or whole or (gaps and bool((known % 1 == 0).all()))
    if few and known.value_counts().min() > RARE:
        return stype.categorical
    return stype.text_embedded if text else stype.numerical


def statistics_of(past: pd.Series, kind: stype) -> dict[StatType, object]:
    """PyTorch Frame's statistics of a column; those of numbers not cell by cell, as it does.

    Args:
        past: rows older than the cut, some known.
        kind: as `kind_of`.
    """
    if kind != stype.numerical:
        return compute_col_stats(past, kind)
    numbers = past.dropna().to_numpy()
    return {StatType.MEAN: np.mean(numbers).item(), StatType.STD: np.std(numbers).item(),
            StatType.QUANTILES: np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]).tolist()}


def _series(column: pl.Series) -> pd.Series:
    """As pandas holds it for PyTorch Frame: floats with NaN, times, or plain Python objects; by
    the column's type alone, so that no cell decides how others are read."""
    if column.dtype.is_numeric():
        return pd.Series(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
    if column.dtype == pl.Datetime:
        return pd.Series(column.to_numpy())
    return pd.Series(column.to_list(), dtype=object)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's warning about the parts of dates, which pandas lends for reading."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        yield


def _nothing(rows: int) -> tuple[TensorFrame, Statistics]:
    frame = TensorFrame({stype.numerical: torch.ones(rows, 1)}, {stype.numerical: [NOTHING]})
    return frame, {NOTHING: compute_col_stats(pd.Series([1.0]), stype.numerical)}
