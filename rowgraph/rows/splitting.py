"""The corpus of linearized rows and its 70/10/20 split (Section 4.2).

A row's split is a hash of its identity (database, table, row number): it does not depend on which
other rows were drawn, so a larger sample never moves a test row into training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.randomness import uniform_of_rows
from rowgraph.rows.linearization import linearize_frame
from rowgraph.rows.settings import LinearizedCorpusSettings

SPLITS = ("train", "validation", "test")


def split_of(database: str, table: str, rows: np.ndarray,
             settings: LinearizedCorpusSettings) -> np.ndarray:
    """The split of each row.

    Args:
        rows: row numbers of one table, in any order.

    Returns:
        Strings of the same shape: `train`, `validation` or `test`.
    """
    place = uniform_of_rows(rows, "linearized_corpus", database, table, settings.seed)
    bounds = [settings.train, settings.train + settings.validation]
    return np.array(SPLITS)[np.searchsorted(bounds, place, side="right")]


def write_corpus(sampled: Mapping[str, Path], settings: LinearizedCorpusSettings,
                 draft_folder: Path) -> dict[str, Any]:
    """Linearize every sampled row and write `corpus.parquet`: text, database, table, row, split.

    Args:
        sampled: for each pre-training database the folder that `write_sampled_rows` filled.
        draft_folder: where to write.

    Returns:
        A summary: `rows`; `splits` and `tables` with their counts; `seen_in_train`, the share of
        validation and test texts that some training row spells as well (equal rows of a database
        are different rows, so a low reconstruction loss on them is no surprise).
    """
    parts = []
    for database, folder in sampled.items():
        schema = json.loads((folder / "schema.json").read_text())
        for table, facts in schema["tables"].items():
            frame = pl.read_parquet(folder / f"{table}.parquet")
            names = [c for c in facts["columns"] if settings.keys or c not in facts["keys"]]
            rows = frame[facts["row"]].to_numpy()
            parts.append(pl.DataFrame({
                "text": linearize_frame(table, frame, names),
                "database": pl.repeat(database, len(rows), eager=True),
                "table": pl.repeat(table, len(rows), eager=True),
                "row": rows,
                "split": split_of(database, table, rows, settings),
            }))
    corpus = pl.concat(parts)
    corpus.write_parquet(draft_folder / "corpus.parquet")
    train = corpus.filter(split="train")["text"].unique()
    held_back = corpus.filter(pl.col("split") != "train")["text"]
    counts = corpus.group_by("database", "table", "split").len().sort("database", "table", "split")
    tables: dict[str, dict[str, int]] = {}
    for database, table, split, n in counts.iter_rows():
        tables.setdefault(f"{database}.{table}", {})[split] = n
    return {
        "rows": corpus.height,
        "splits": {s: corpus.filter(split=s).height for s in SPLITS},
        "tables": tables,
        "seen_in_train": round(held_back.is_in(train.implode()).mean() or 0.0, 6),
    }
