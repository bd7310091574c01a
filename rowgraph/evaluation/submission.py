"""RelBench leaderboard files, written and checked by RelBench's own code, without the network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import relbench.submit

from rowgraph.evaluation.comparison import best_of
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure

# The metric that RelBench's leaderboards use, by kind of task; other kinds have none.
LEADERBOARD_METRICS = {"binary_classification": "roc_auc", "regression": "nmae",
                       "recommendation": "map"}


class Submitted(NamedTuple):
    """What became of one task.

    Args:
        task: database/task.
        path: the file, or None where there can be none.
        variant: whose predictions.
        metric, score: RelBench's own, computed from the file.
        own: the same metric by our code; equal up to rounding.
        said: what RelBench's validator says of the file, or why there is none.
    """

    task: str
    path: Path | None
    variant: str | None
    metric: str | None
    score: float | None
    own: float | None
    said: str

    @property
    def valid(self) -> bool:
        """RelBench accepted the file."""
        return self.score is not None


def write_submission(evaluations: Iterable[tuple[Task, Path]], out: Path, *,
                     regime: str = "frozen_db", variant: str | None = None) -> list[Submitted]:
    """A file `<database>__<task>.csv` for each task: the mean prediction of a variant's runs.

    Args:
        evaluations: tasks, each with the folder that `evaluate_task` wrote for it.
        out: gets the files; may hold files of an earlier submission and nothing else.
        regime: RelBench's models see the database up to `test_timestamp`, as `frozen_db` does.
        variant: whose predictions; None = the best one on validation, task by task.

    Returns:
        One for each task, also where no file can be written.

    Raises:
        ValueError: `out` holds other files, or a task has no predictions of that variant or
            regime.
    """
    out.mkdir(parents=True, exist_ok=True)
    if strangers := relbench.submit._extra_files(out):
        raise ValueError(f"{out}: a submission holds prediction tables only, found "
                         f"{', '.join(strangers)}; choose an empty folder")
    return [_submit(task, folder, out, regime, variant) for task, folder in evaluations]


def best_on_validation(task: Task, folder: Path, regime: str) -> str:
    """The variant with the best primary metric on validation, from `validation.parquet`.

    Raises:
        ValueError: no variant was measured there.
    """
    figures = pl.read_parquet(folder / "validation.parquet").filter(regime=regime)
    means = dict(figures.select("variant", "mean").iter_rows())
    best = best_of(means, means, task.higher_is_better)
    if best is None:
        raise ValueError(f"{task.database.name}/{task.name}: no variant has a figure on "
                         f"validation in {regime}; name one")
    return best


def _submit(task: Task, folder: Path, out: Path, regime: str, variant: str | None) -> Submitted:
    name = f"{task.database.name}/{task.name}"
    if reason := _no_file(task):
        return Submitted(name, None, None, None, None, None, reason)
    variant = variant or best_on_validation(task, folder, regime)
    prediction = read_answers(task, folder, regime, variant)
    dataset = relbench.submit.RelBenchDataset(task.database.folder)
    asked = dataset.load_task(task.name)
    table = asked.get_table("test", mask_input_cols=False).df
    entity, time = relbench.submit._key_cols(asked)
    times = table[time].to_numpy().astype("datetime64[us]").astype(np.int64)
    if not (np.array_equal(table[entity].to_numpy(), task.test.rows)
            and np.array_equal(times, task.test.times)):
        return Submitted(name, None, variant, None, None, None,
                         "the test labels as RelBench reads them are not those that were "
                         "predicted; run the source and all after it again")
    path = out / f"{task.database.name}__{task.name}.csv"
    rows = [r[r != NO_ROW] for r in prediction] if task.eval_k else prediction
    relbench.submit.write_prediction_table(asked, rows, path)
    metric = LEADERBOARD_METRICS[task.task_type]
    own = measure(metric, task.test.target, prediction, task.train.target)
    try:
        score = relbench.submit.evaluate_task(name, path, dataset)[metric]
    except ValueError as error:  # the validator's own answer
        return Submitted(name, path, variant, metric, None, own, f"refused by RelBench: {error}")
    listed = any(name in names for names in relbench.submit.LEADERBOARD_TASKS.values())
    said = [f"valid: {len(table):,} test rows, each once"]
    said += [] if listed else ["no leaderboard lists this task"]
    said += [] if regime == "frozen_db" else [
        f"{regime} sees rows after test_timestamp, which RelBench's models do not"]
    return Submitted(name, path, variant, metric, float(score), own, "; ".join(said))


def read_answers(task: Task, folder: Path, regime: str, variant: str) -> np.ndarray:
    """The mean prediction of a variant, from `test_predictions_<regime>.parquet`.

    Returns:
        As `rowgraph.tasks.kinds` says.

    Raises:
        ValueError: there is none.
    """
    who = f"{task.database.name}/{task.name}"
    path = folder / f"test_predictions_{regime}.parquet"
    if not path.exists():
        known = [p.stem.removeprefix("test_predictions_") for p in
                 sorted(folder.glob("test_predictions_*.parquet"))]
        raise ValueError(f"{who}: no predictions in regime '{regime}'; there are some in "
                         f"{', '.join(known) or 'none'}")
    frame = pl.read_parquet(path, columns=["variant", "prediction"])
    column = frame.filter(variant=variant)["prediction"]
    if column.is_empty():
        raise ValueError(f"{who}: no variant '{variant}' in {regime}; there are "
                         f"{', '.join(frame['variant'].unique(maintain_order=True))}")
    if task.task_type == "binary_classification":
        return column.to_numpy().clip(0, 1)  # a mean of probabilities may pass 1 by rounding
    if column.dtype == pl.Float64:
        return column.to_numpy()
    lists = column.to_list()
    if task.task_type == "multiclass_classification":
        return np.array(lists, dtype=np.float64)
    return np.array([[*rows, *[NO_ROW] * (task.eval_k - len(rows))] for rows in lists],
                    dtype=np.int64)


def _no_file(task: Task) -> str | None:
    if task.task_type not in LEADERBOARD_METRICS:
        return f"no file: RelBench has no leaderboard of {task.task_type} tasks"
    if task.autocomplete:
        return "no file: RelBench has no leaderboard of autocomplete tasks"
    if (task.database.folder / "rows").exists():
        return ("no file: rows of the database were left out, and a leaderboard asks about every "
                "row; take max_rows_per_table off this database")
    return None
