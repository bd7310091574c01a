"""Filling in cells, the task of Vogel et al. (2023): how well does the row language model do it?

One value of a row is hidden and BART generates it from the rest (`filling.py`); the usual value of
the column and a LightGBM over the row's other attributes answer the same cells (`guesses.py`).
Texts are judged by exact match; numbers and times by absolute error in units of the column's
spread over the fitting rows, so that answering the median errs by about one.

The regime of every row of a table is `corpus_split` (a pre-training database: BART and baselines
learnt from the corpus's train rows, its test rows are asked) or `frozen_db` (a held-out database
that BART never saw: baselines learnt from what is older than `test_timestamp`, the rest is asked).
See docs/decisions/imputation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.artifacts import Draft
from rowgraph.databases.database import Database
from rowgraph.imputation.answers import Answers, AskedColumn, answer_rows, score_columns
from rowgraph.imputation.cells import (
    SplitTable,
    draw,
    is_there,
    kind_of,
    read_values,
    split_table,
    values_of,
    write_values,
)
from rowgraph.imputation.filling import CellFiller, Filling
from rowgraph.imputation.guesses import Attributes, lightgbm_guesses, most_frequent, spread
from rowgraph.imputation.settings import ImputationMetricsSettings
from rowgraph.journal import Journal
from rowgraph.progress import Log
from rowgraph.rows.linearization import linearize_frame

SKIPPED = {"database": pl.String, "regime": pl.String, "table": pl.String, "column": pl.String,
           "reason": pl.String}


def run_imputation(database: Database, corpus_parquet: Path | None, checkpoint_folder: Path,
                   settings: ImputationMetricsSettings, draft: Draft, *, keys: bool, device: str,
                   log: Log) -> dict[str, Any]:
    """Ask cells of every column of a database and score who answers.

    Args:
        corpus_parquet: that the checkpoint was fine-tuned on (`write_corpus`), for a database in
            it; None for a held-out one.
        checkpoint_folder: model and tokenizer, as `fine_tune` saved them.
        draft: gets `metrics.parquet` (a row a column and method), `kinds.parquet` (their means
            over columns), `cells.parquet` (every answer) and `skipped.parquet`.
        keys: whether the checkpoint's rows show their keys.
        device: as PyTorch names it.
        log: called after each batch of cells and each column.

    Returns:
        The summary: what was asked, mean scores by kind and method, skipped columns with reasons.
    """
    corpus = None if corpus_parquet is None else pl.read_parquet(
        corpus_parquet, columns=["database", "table", "row", "split"])
    filler = CellFiller.open(checkpoint_folder, max_new_tokens=settings.max_new_tokens,
                             batch=settings.batch, device=device)
    columns: list[AskedColumn] = []
    attributes: dict[str, Attributes] = {}
    skipped: list[dict[str, str]] = []
    regime = "frozen_db" if corpus is None else "corpus_split"
    for name in database.tables:
        table = split_table(database, name, corpus, keys, settings.fit_rows, settings.seed)
        attributes[name] = Attributes.fit(table)
        for column in table.targets:
            found = ask_column(table, column, filler, settings)
            if isinstance(found, AskedColumn):
                columns.append(found)
            else:
                skipped.append({"database": database.name, "regime": regime, "table": name,
                                "column": column, "reason": found})
    fillings = iter(filler.fill([b for c in columns for b in c.blanks], log,
                                Journal(draft.state / "filled.jsonl")))
    guessed = Journal(draft.state / "guessed.jsonl")
    scored = []
    for step, column in enumerate(columns):
        if step == len(guessed.lines):
            guesses = guess_column(column, attributes[column.table.name], settings)
            guessed.add(guesses.tolist())
            log(step + 1, {"scored_columns": step + 1}, len(columns))
        guesses = np.array(guessed.lines[step], dtype=column.known.dtype)
        said = [next(fillings) for _ in column.blanks]
        scored.append((column, answer_column(column, guesses, said)))
    metrics, kinds = score_columns(scored, regime, settings)
    metrics.write_parquet(draft.path("metrics.parquet"))
    kinds.write_parquet(draft.path("kinds.parquet"))
    answer_rows(scored, regime).write_parquet(draft.path("cells.parquet"))
    pl.DataFrame(skipped, schema=SKIPPED).write_parquet(draft.path("skipped.parquet"))
    results: dict[str, dict[str, float]] = {}
    for kind, method, mean in kinds.select("kind", "method", "mean").iter_rows():
        results.setdefault(kind, {})[method] = mean
    return {"regime": regime, "columns": len(columns),
            "cells": sum(len(c.truth) for c in columns),
            "cut_off": sum(c.cut_off for c in columns), "results": results,
            "skipped": {f"{s['table']}.{s['column']}": s["reason"] for s in skipped}}


def ask_column(table: SplitTable, column: str, filler: CellFiller,
               settings: ImputationMetricsSettings) -> AskedColumn | str:
    """Draw the cells of a column and hide them, or say why it is skipped."""
    known, values = values_of(table.fitted[column]), values_of(table.asked[column])
    fitted, there = np.flatnonzero(is_there(known)), np.flatnonzero(is_there(values))
    if len(there) < settings.min_rows:
        return f"{len(there)} cells to ask, min_rows is {settings.min_rows}"
    if (distinct := len(set(known[fitted].tolist()))) < 2:
        return "one value in all fitting rows" if distinct else "no fitting row has a value"
    drawn = draw(table.rows[there], settings.rows_per_column, table.database, table.name, column,
                 settings.seed)
    asked = np.searchsorted(table.rows, np.sort(drawn))
    texts = linearize_frame(table.name, table.asked[asked], table.attributes)
    blanks = filler.blank(texts.to_list(), table.attributes.index(column))
    whole = np.array([b is not None for b in blanks])
    if whole.sum() < settings.min_rows:
        return (f"{int((~whole).sum())} of {len(whole)} cells lie beyond the {filler.max_tokens} "
                f"tokens that are read, min_rows is {settings.min_rows}")
    return AskedColumn(table, column, kind_of(table.asked[column].dtype), fitted, known[fitted],
                       asked[whole], values[asked[whole]], [b for b in blanks if b is not None],
                       int((~whole).sum()))


def guess_column(column: AskedColumn, attributes: Attributes,
                 settings: ImputationMetricsSettings) -> np.ndarray:
    """What LightGBM says about the asked cells of a column, as `lightgbm_guesses`."""
    return lightgbm_guesses(
        attributes, column.name, column.fitted, column.known,
        column.table.fitted.height + column.asked, trees=settings.trees,
        classes=settings.classes, seed=settings.seed)


def answer_column(column: AskedColumn, guesses: np.ndarray,
                  fillings: Sequence[Filling]) -> dict[str, Answers]:
    """Every method's answers to the cells of a column, BART's first.

    Args:
        guesses: LightGBM's.
        fillings: BART's.
    """
    texts = [f.text for f in fillings]
    if column.kind == "text":
        usual = [most_frequent(column.known)[0]] * len(texts)
        by_method = {"bart": texts, "most_frequent": usual, "lightgbm": guesses.tolist()}
        return {method: Answers(said, (np.array(said, dtype=object) == column.truth).astype(float))
                for method, said in by_method.items()}
    middle, unit = np.median(column.known), spread(column.known)
    # A number that is not finished is none: its first digits would say something else.
    written = read_values([f.text if f.ended else "" for f in fillings], column.kind)
    unparsable = np.isnan(written)
    written[unparsable] = middle

    def errors(values: np.ndarray) -> np.ndarray:
        return np.abs(values - column.truth) / unit

    medians = np.full(len(texts), middle)
    return {"bart": Answers(texts, errors(written), unparsable),
            "median": Answers(write_values(medians, column.kind), errors(medians)),
            "lightgbm": Answers(write_values(guesses, column.kind), errors(guesses))}
