"""What models said about a task's label rows: the one form in which predictions travel.

A stage that trains writes `predictions.parquet` with every run's answers beside their label rows;
`rowgraph.evaluation` reads it and scores. Nothing is scored, averaged or left out on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from rowgraph.tasks.kinds import NO_ROW, TaskType
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task
from rowgraph.tasks.regimes import Split

SPLITS: tuple[Split, ...] = ("val", "test")
_NUMBER = (pl.Float64(), pl.Float64())
# Of target and prediction, by kind of task.
TYPES: dict[TaskType, tuple[pl.DataType, pl.DataType]] = {
    "binary_classification": _NUMBER,
    "multiclass_classification": (pl.Float64(), pl.List(pl.Float64)),
    "regression": _NUMBER,
    "recommendation": (pl.List(pl.Int64), pl.List(pl.Int64))}


class Run(NamedTuple):
    """One model's answers in one regime.

    Args:
        regime: what the rows were allowed to see.
        variant: the model's name.
        seed: of its training; 0 where nothing is drawn.
        bart: seed of the language model whose vectors it saw, None where there is none.
    """

    regime: str
    variant: str
    seed: int
    bart: int | None = None


# By run and split ("val", "test"): float64 or int64, shaped as `rowgraph.tasks.kinds` says.
Predictions = Mapping[Run, Mapping[Split, np.ndarray]]


def schema(task: Task) -> dict[str, pl.DataType]:
    """The columns of `predictions.parquet` for a task of this kind."""
    target, prediction = TYPES[task.task_type]
    return {"regime": pl.String(), "variant": pl.String(), "bart": pl.Int64(),
            "seed": pl.Int64(), "split": pl.String(), "row": pl.Int64(),
            "time": pl.Datetime("us"), "target": target, "prediction": prediction}


def in_order(predictions: Predictions) -> list[Run]:
    """The runs, by regime, variant, BART (none first) and seed."""
    return sorted(predictions, key=lambda r: (r.regime, r.variant, r.bart is not None,
                                              r.bart or 0, r.seed))


def prediction_rows(task: Task, predictions: Predictions) -> pl.DataFrame:
    """Every prediction beside its label row, runs as `in_order`, label rows in their order.

    Returns:
        Columns as `schema`: regime, variant, bart, seed, split, row (of the entity table), time,
        target, prediction. Lists for the probabilities of a multiclass task, and for the
        destinations and recommended rows of a recommendation, whose padding is left out.

    Raises:
        ValueError: a split or the shape of a prediction is not what the task's kind asks for.
    """
    columns, frames = schema(task), []
    for run in in_order(predictions):
        run = Run(*run)
        for split in sorted(predictions[run], key=_place):
            labels = task.labels(split)
            prediction = _checked(task, run, split, predictions[run][split])
            frames.append(pl.DataFrame({
                "row": labels.rows, "time": pl.Series(labels.times, dtype=pl.Int64),
                "target": list_column(labels.target),
                "prediction": list_column(prediction),
            }).select(pl.lit(run.regime).alias("regime"), pl.lit(run.variant).alias("variant"),
                      pl.lit(run.bart, pl.Int64).alias("bart"),
                      pl.lit(run.seed, pl.Int64).alias("seed"), pl.lit(split).alias("split"),
                      "row", pl.col("time").cast(pl.Datetime("us")), "target", "prediction"))
    return pl.concat([pl.DataFrame(schema=columns), *frames])


def write_predictions(task: Task, predictions: Predictions, path: Path) -> None:
    """Write `prediction_rows` as Parquet.

    Raises:
        ValueError: as `prediction_rows`.
    """
    prediction_rows(task, predictions).write_parquet(path)


def read_predictions(task: Task, path: Path) -> dict[Run, dict[Split, np.ndarray]]:
    """What `write_predictions` wrote, in the same order.

    Raises:
        ValueError: the file is of another form, or its rows, times, targets or splits are not
            those of the task; the message names what differs.
    """
    who = f"{path}: predictions of {task.database.name}/{task.name}"
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"{who}: expected a Parquet file that `write_predictions` wrote, found "
                         f"{error}; run the stage that makes it again") from error
    if dict(frame.schema) != schema(task):
        raise ValueError(f"{who}: expected columns {_say(schema(task))}, found "
                         f"{_say(frame.schema)}; run the stage that makes them again")
    found: dict[Run, dict[Split, np.ndarray]] = {}
    keys = ["regime", "variant", "seed", "bart", "split"]
    for (*key, split), part in frame.partition_by(keys, as_dict=True, maintain_order=True,
                                                  include_key=False).items():
        run, where = Run(*key), f"{who}, {' '.join(str(p) for p in key if p is not None)}"
        if split not in SPLITS:
            raise ValueError(f"{where}: split '{split}' does not exist; known: "
                             f"{', '.join(SPLITS)}; run the stage that makes them again")
        _check_rows(task.labels(split), part, f"{where}, {split}")
        found.setdefault(run, {})[split] = _checked(task, run, split, _array(task, part))
    return found


def _place(split: str) -> int:
    if split not in SPLITS:
        raise ValueError(f"split '{split}' has no predictions; known: {', '.join(SPLITS)}")
    return SPLITS.index(split)


def _checked(task: Task, run: Run, split: Split, prediction: np.ndarray) -> np.ndarray:
    """The prediction in its kind's type, once its shape is right."""
    ranked = task.task_type == "recommendation"
    shape: tuple[int, ...] = (len(task.labels(split)),)
    if task.task_type == "multiclass_classification":
        shape = (*shape, len(task.classes))
    elif ranked:
        shape = (*shape, task.top_k)
    prediction = np.asarray(prediction)
    if prediction.shape != shape:
        raise ValueError(f"{task.database.name}/{task.name}, {run.variant} seed {run.seed} "
                         f"{run.regime} {split}: expected predictions of shape {shape} for a "
                         f"{task.task_type} task, found {prediction.shape}; the model's head or "
                         "its label rows are of another task")
    if ranked and not np.issubdtype(prediction.dtype, np.integer):
        raise ValueError(f"{task.database.name}/{task.name}, {run.variant}: a recommendation is "
                         f"row numbers, found {prediction.dtype}; hand over the rows, not scores")
    prediction = prediction.astype(np.int64 if ranked else np.float64)
    if task.binary and ((prediction < 0) | (prediction > 1)).any():
        raise ValueError(f"{task.database.name}/{task.name}, {run.variant} seed {run.seed}: "
                         f"expected probabilities, found {prediction.min():.4g} to "
                         f"{prediction.max():.4g}; put the scores through a logistic function")
    return prediction


def list_column(values: np.ndarray | Destinations) -> pl.Series:
    """Targets or predictions of any kind as a column; padding of recommended rows is left out."""
    if isinstance(values, Destinations):
        return ragged(values.rows, values.indptr)
    if values.ndim == 1:
        return pl.Series(values, dtype=pl.Float64)
    kept = (values != NO_ROW) if np.issubdtype(values.dtype, np.integer) else np.ones_like(
        values, dtype=bool)
    return ragged(values[kept], np.concatenate([[0], np.cumsum(kept.sum(1))]))


def ragged(values: np.ndarray, offsets: np.ndarray) -> pl.Series:
    """A list column: element i is `values[offsets[i]:offsets[i + 1]]`."""
    place = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    frame = pl.DataFrame({"place": place, "value": values})
    lists = frame.group_by("place", maintain_order=True).agg("value")
    whole = pl.DataFrame({"place": np.arange(len(offsets) - 1)})
    found = whole.join(lists, on="place", how="left", maintain_order="left")["value"]
    return found.fill_null([]).cast(lists["value"].dtype)


def _array(task: Task, part: pl.DataFrame) -> np.ndarray:
    column = part["prediction"]
    if column.null_count():
        raise ValueError(f"{task.database.name}/{task.name}: {column.null_count()} predictions "
                         "are missing; run the stage that makes them again")
    if column.dtype == pl.Float64:
        return column.to_numpy()
    lengths = column.list.len().to_numpy().astype(np.int64)
    values = column.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    ranked = task.task_type == "recommendation"
    width, fill = (task.top_k, NO_ROW) if ranked else (len(task.classes), np.nan)
    if (lengths > width).any() or (fill != NO_ROW and (lengths != width).any()):
        raise ValueError(f"{task.database.name}/{task.name}: expected lists of {width} values, "
                         f"found {sorted(set(lengths.tolist()))[:5]}; run the stage that makes "
                         "them again")
    array = np.full((len(part), width), fill, dtype=values.dtype)
    array[np.arange(width) < lengths[:, None]] = values
    return array


def _check_rows(labels: LabelTable, part: pl.DataFrame, where: str) -> None:
    if len(part) != len(labels):
        raise ValueError(f"{where}: expected one prediction for each of {len(labels)} label rows, "
                         f"found {len(part)}; the task has changed: run the stage again")
    expected = {"row": pl.Series(labels.rows, dtype=pl.Int64),
                "time": pl.Series(labels.times, dtype=pl.Int64).cast(pl.Datetime("us")),
                "target": list_column(labels.target)}
    for name, column in expected.items():
        differs = part[name].ne_missing(column)
        if differs.any():
            at = int(differs.arg_true()[0])
            raise ValueError(f"{where}: {name} of label row {at} should be {_cell(column[at])}, "
                             f"found {_cell(part[name][at])} ({int(differs.sum())} rows differ); "
                             "the task has changed: run the stage again")


def _cell(value: object) -> object:
    return value.to_list() if isinstance(value, pl.Series) else value


def _say(columns: Mapping[str, pl.DataType]) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in columns.items())
