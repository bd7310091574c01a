"""Asked cells, what each method said about them, and the tables that come of it.

Shapes: N asked cells of a column, B bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from rowgraph.imputation.cells import Kind, SplitTable
from rowgraph.imputation.filling import Blank
from rowgraph.imputation.guesses import spread
from rowgraph.imputation.settings import ImputationMetricsSettings
from rowgraph.resampling import resample_weights
from rowgraph.rows.linearization import texts_of

USUAL: dict[Kind, str] = {"text": "most_frequent", "number": "median", "time": "median"}
_WHERE = {"database": pl.String, "regime": pl.String, "table": pl.String, "column": pl.String,
          "kind": pl.String}
_SCORE = {"mean": pl.Float64, "ci_low": pl.Float64, "ci_high": pl.Float64,
          "higher_is_better": pl.Boolean, "seed": pl.Int64}
METRICS = {**_WHERE, "metric": pl.String, "method": pl.String, "n_fit": pl.Int64,
           "n_test": pl.Int64, "cut_off": pl.Int64, "unparsable": pl.Float64,
           "spread": pl.Float64, "better": pl.Boolean, **_SCORE}
KINDS = {"database": pl.String, "regime": pl.String, "kind": pl.String, "metric": pl.String,
         "method": pl.String, "columns": pl.Int64, "better": pl.Int64, "n_test": pl.Int64,
         "unparsable": pl.Float64, **_SCORE}
CELLS = {**_WHERE, "row": pl.Int64, "truth": pl.String, "method": pl.String, "said": pl.String,
         "unparsable": pl.Boolean, "score": pl.Float64}


@dataclass(frozen=True)
class AskedColumn:
    """The cells of one column that are asked, and what may be learnt about it.

    Args:
        table: its table, both sides.
        name, kind: of the column.
        fitted: int64 [m], places in `table.fitted` of the rows that have a value.
        known: [m], these values, float64 or texts.
        asked: int64 [n], places in `table.asked` of the cells asked.
        truth: [n], their values.
        blanks: n rows with the value hidden.
        cut_off: cells that were drawn but that the model does not read whole.
    """

    table: SplitTable
    name: str
    kind: Kind
    fitted: np.ndarray
    known: np.ndarray
    asked: np.ndarray
    truth: np.ndarray
    blanks: list[Blank]
    cut_off: int


@dataclass(frozen=True)
class Answers:
    """What a method says about the asked cells of a column.

    Args:
        said: n texts.
        score: float64 [n], 1 or 0 for a text, the error in spreads for a number or time.
        unparsable: bool [n], texts that are no number or time, replaced by the median; None where
            that cannot be.
    """

    said: Sequence[str]
    score: np.ndarray
    unparsable: np.ndarray | None = None


def score_columns(scored: Sequence[tuple[AskedColumn, dict[str, Answers]]], regime: str,
                  settings: ImputationMetricsSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Mean scores with 95 % intervals over resampled rows, all methods on the same resamples.

    Returns:
        A row for each column and method (`METRICS`); and for each kind and method the mean over
        columns, each resampled on its own, with the number of columns in which the method is
        better than the usual value (`KINDS`).
    """
    metrics: list[dict[str, Any]] = []
    draws: list[np.ndarray] = []
    for column, answers in scored:
        n = len(column.truth)
        weights_BN = resample_weights(n, settings.bootstrap, "imputation_metrics",
                                      column.table.database, column.table.name, column.name)
        usual = answers[USUAL[column.kind]].score.mean()
        for method, found in answers.items():
            mean, draws_B = found.score.mean(), weights_BN @ found.score / n
            draws.append(draws_B)
            metrics.append({
                **_where(column, regime), **_figures(mean, draws_B, column.kind),
                "method": method, "n_fit": len(column.known), "n_test": n,
                "cut_off": column.cut_off, "seed": settings.seed,
                "better": bool(mean > usual if column.kind == "text" else mean < usual),
                "unparsable": None if found.unparsable is None else found.unparsable.mean(),
                "spread": None if column.kind == "text" else spread(column.known)})
    return (pl.DataFrame(metrics, schema=METRICS),
            pl.DataFrame(_means(metrics, draws), schema=KINDS))


def _means(metrics: Sequence[Mapping[str, Any]],
           draws: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Means over the columns of each kind, by method."""
    groups: dict[tuple[Kind, str], list[int]] = {}
    for place, row in enumerate(metrics):
        groups.setdefault((row["kind"], row["method"]), []).append(place)
    means = []
    for (kind, method), places in groups.items():
        rows = [metrics[p] for p in places]
        shares = [row["unparsable"] for row in rows if row["unparsable"] is not None]
        means.append({
            **{name: rows[0][name] for name in ("database", "regime", "seed")},
            **_figures(np.mean([row["mean"] for row in rows]),
                       np.mean([draws[p] for p in places], axis=0), kind),
            "kind": kind, "method": method, "columns": len(rows),
            "better": None if method == USUAL[kind] else sum(row["better"] for row in rows),
            "n_test": sum(row["n_test"] for row in rows),
            "unparsable": np.mean(shares) if shares else None})
    return means


def _where(column: AskedColumn, regime: str) -> dict[str, str]:
    return {"database": column.table.database, "regime": regime, "table": column.table.name,
            "column": column.name, "kind": column.kind}


def _figures(mean: float, draws_B: np.ndarray, kind: Kind) -> dict[str, Any]:
    low, high = np.percentile(draws_B, [2.5, 97.5])
    return {"metric": "exact_match" if kind == "text" else "relative_mae", "mean": float(mean),
            "ci_low": float(low), "ci_high": float(high), "higher_is_better": kind == "text"}


def answer_rows(scored: Sequence[tuple[AskedColumn, dict[str, Answers]]],
           regime: str) -> pl.DataFrame:
    """Every answer beside the truth, `CELLS`."""
    frames = [pl.DataFrame(schema=CELLS)]
    for column, answers in scored:
        truth = texts_of(column.table.asked[column.name][column.asked])
        frames += [pl.DataFrame({
            **_where(column, regime), "row": column.table.rows[column.asked], "truth": truth,
            "method": method, "said": list(found.said),
            "unparsable": pl.Series(found.unparsable, dtype=pl.Boolean)
            if found.unparsable is not None else None, "score": found.score,
        }, schema=CELLS) for method, found in answers.items()]
    return pl.concat(frames)
