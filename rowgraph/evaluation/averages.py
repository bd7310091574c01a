"""What a variant says when all its runs are asked: the rows of `test_predictions_<regime>.parquet`.

Shapes: N label rows, R runs, C classes, K recommended rows.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rowgraph.evaluation.resamples import shares, trainings
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.predictions import Predictions, Run, in_order, list_column


def by_variant(predictions: Predictions) -> dict[tuple[str, str], list[Run]]:
    """The runs of each regime and variant, in order."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in in_order(predictions):
        groups.setdefault((run.regime, run.variant), []).append(run)
    return groups


def mean_predictions(predictions: Predictions) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """The mean of a variant's numbers or probabilities over its trainings, by regime and variant,
    then split; a split that some run lacks is left out."""
    return {key: {split: _mean([predictions[run][split] for run in runs], runs)
                  for split in predictions[runs[0]]
                  if all(split in predictions[run] for run in runs)}
            for key, runs in by_variant(predictions).items()}


def merged_lists(lists_RNK: np.ndarray, share_R: np.ndarray, rows: int) -> np.ndarray:
    """One list from several: by the sum over lists of 1 / place; of equals the smaller row first.

    Args:
        lists_RNK: int64, the best row first, filled up with `NO_ROW`.
        share_R: how much each list counts.
        rows: of the destination table.

    Returns:
        int64 [N, K].
    """
    _, count, width = lists_RNK.shape
    weight = share_R[:, None, None] / np.arange(1, width + 1)
    place = np.broadcast_to(np.arange(count)[:, None], lists_RNK.shape)
    listed = lists_RNK != NO_ROW
    pair, pair_of = np.unique((place * rows + lists_RNK)[listed], return_inverse=True)
    total = np.bincount(pair_of, np.broadcast_to(weight, lists_RNK.shape)[listed], len(pair))
    order = np.lexsort((pair, -total.round(12), pair // rows))
    label_row, destination = np.divmod(pair[order], rows)
    rank = np.arange(len(pair)) - np.searchsorted(label_row, label_row)
    kept = rank < width
    merged = np.full((count, width), NO_ROW)
    merged[label_row[kept], rank[kept]] = destination[kept]
    return merged


def answer_rows(task: Task, predictions: Predictions, regime: str) -> pl.DataFrame:
    """Every variant's answer to every test row in one regime.

    Returns:
        `variant`, `row` (of the entity table), the entity's primary key under its own name,
        `time` of the seed, `target`, `prediction` (mean over runs; of recommendations the merged
        list), `spread` (standard deviation over runs, ddof=1; of recommendations the share of the
        merged list that a run does not name; null for one run).
    """
    keys = entity_keys(task)
    frames = []
    for (of, variant), runs in by_variant(predictions).items():
        if of != regime:
            continue
        said = np.stack([np.asarray(predictions[run]["test"]) for run in runs])
        if task.task_type == "recommendation":
            share_R = shares(trainings(runs)[1])
            merged = merged_lists(said, share_R, task.database.num_rows(task.destination_table))
            prediction, spread = list_column(merged), pl.Series(_disagreement(said, merged))
        else:
            prediction = list_column(_mean(list(said), runs))
            spread = list_column(said.std(0, ddof=1) if len(runs) > 1 else np.zeros(said.shape[1:]))
        frames.append(keys.select(
            pl.lit(variant).alias("variant"), *keys.columns,
            target=list_column(task.test.target), prediction=prediction,
            spread=spread if len(runs) > 1 else pl.lit(None, spread.dtype)))
    return pl.concat(frames) if frames else keys.clear()


def entity_keys(task: Task) -> pl.DataFrame:
    """Who is asked about in the test rows, and when."""
    frame = pl.DataFrame({"row": task.test.rows, "time": pl.Series(task.test.times).cast(
        pl.Datetime("us"))})
    key = task.database.tables[task.entity_table].pkey_col
    if key is None:
        return frame
    taken = ("variant", "row", "time", "target", "prediction", "spread")
    values = task.database.read(task.entity_table, [key])[key][task.test.rows]
    name = f"{task.entity_table}.{key}" if key in taken else key
    return frame.select("row", values.alias(name), "time")


def _mean(said: list[np.ndarray], runs: list[Run]) -> np.ndarray:
    return np.tensordot(shares(trainings(runs)[1]), np.stack(said), axes=1)


def _disagreement(said_RNK: np.ndarray, merged_NK: np.ndarray) -> np.ndarray:
    """float64 [N]: the share of the merged list that a run does not name, mean over runs."""
    there = merged_NK != NO_ROW
    named = [((merged_NK[:, :, None] == said_NK[:, None, :]).any(2) & there).sum(1)
             for said_NK in said_RNK]
    return 1 - np.mean(named, axis=0) / np.maximum(there.sum(1), 1)
