"""The honest test: predictions that were made before, against what came true since.

Nothing of the truth was there when the predictions were made: they lie in a folder that was
published then. People are found again by their own keys, as row numbers move when rows come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.adaptation.own_labels import constant_of
from rowgraph.databases.database import Database
from rowgraph.databases.keys import keys_of
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labels import MANIFEST, all_tasks
from rowgraph.serving.asking import answers_at, newest_of, said
from rowgraph.serving.predicting import FACTS, FILE, KEY, RECOMMENDED
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.metrics import measure

OUTCOME = "what came true"


@dataclass(frozen=True)
class Checked:
    """What came of the predictions of one date.

    Args:
        at, until: the date, and when its outcomes were known.
        asked: who was asked about; `scored`: of these, those with an outcome.
        metric: the task's primary one; `value` is theirs, `constant` that of the same answer for
            all, known when it was asked; None where nothing can be measured (one class).
        predicted, observed: the means of both; None of classes.
        why: in words, where nothing was scored.
    """

    at: str
    until: str
    asked: int
    scored: int
    metric: str
    value: float | None
    constant: float | None
    predicted: float | None
    observed: float | None
    why: str = ""


def check(database: Database, name: str, folders: Iterable[Path]) -> list[Checked]:
    """Score predictions whose horizon has passed.

    Args:
        database: as it is now.
        name: of the task.
        folders: of `predictions`, any order.

    Returns:
        Oldest date first; of one date, the folder that was given last.

    Raises:
        ValueError: the task's SQL cannot be run.
    """
    newest, by_moment = newest_of(database), {}
    for folder in folders:
        facts = json.loads((folder / FACTS).read_text())
        by_moment[facts["moment"]] = folder, facts
    return [_one(database, name, newest, *by_moment[moment]) for moment in sorted(by_moment)]


def _one(database: Database, name: str, newest: int, folder: Path,
         facts: dict[str, Any]) -> Checked:
    task = load_task(database, name)
    frame = pl.read_parquet(folder / FILE)
    moment, until = facts["moment"], facts["moment"] + facts["timedelta"]
    shown = {"at": said(moment), "until": said(until), "asked": facts.get("asked", len(frame)),
             "metric": task.primary}
    nothing = {"value": None, "constant": None, "predicted": None, "observed": None}
    if until > newest:
        return Checked(**shown, scored=0, **nothing,
                       why=f"its horizon ends on {said(until)}; the newest row is of "
                           f"{said(newest)}")
    schema = LabelSchema.read(all_tasks(database.folder, None)[name] / MANIFEST, database.tables)
    truth = answers_at(database, schema, task, np.array([moment]), until)
    if truth is None:
        return Checked(**shown, scored=0, **nothing, why="nobody has an outcome")
    if task.task_type == "recommendation":
        return _lists(database, task, frame, truth, {**shown, **nothing})
    keys = keys_of(database, task.entity_table, truth.rows)
    named = {k: f"{k}{KEY}" if f"{k}{KEY}" in frame.columns else k for k in keys.columns}
    outcome = pl.Series(OUTCOME, truth.target)
    joined = frame.join(keys.rename(named).with_columns(outcome), on=list(named.values()),
                        how="inner", maintain_order="left")
    if not len(joined):
        return Checked(**shown, scored=0, **nothing, why="nobody who was asked has an outcome")
    target = joined[OUTCOME].to_numpy()
    numbers = task.task_type != "multiclass_classification"
    answers = (joined["prediction"].to_numpy() if numbers else
               joined.select(pl.col(f"probability of {c}") for c in task.classes).to_numpy())
    known = task.train.then(task.val)
    same = constant_of(task, known.target)
    every = np.repeat(same[None], len(target), axis=0)
    one_class = task.task_type != "regression" and len(np.unique(target)) < 2
    return Checked(
        **shown, scored=len(target),
        value=None if one_class else measure(task.primary, target, answers, task.train.target),
        constant=None if one_class else measure(
            task.primary, target, every[:, 0] if numbers else every, task.train.target),
        predicted=float(answers.mean()) if numbers else None,
        observed=float(target.mean()) if numbers else None,
        why="all outcomes are equal" if one_class else "")


def _lists(database: Database, task: Task, frame: pl.DataFrame, truth: LabelTable,
           shown: dict[str, Any]) -> Checked:
    """Lists, against what was linked since; the same list for all is that of the commonest
    destinations that were known then."""
    split = frame.columns.index("prediction")
    what = [name for name in frame.columns[:split] if name.startswith(RECOMMENDED)]
    who = [name for name in frame.columns[:split] if name not in what]
    ends = []
    for table, names in ((task.entity_table, who), (task.destination_table, what)):
        keys = keys_of(database, table, np.arange(database.num_rows(table)))
        ends.append(keys.rename(dict(zip(keys.columns, names, strict=True))).with_columns(
            pl.int_range(pl.len()).alias(f"row of {len(ends)}")))
    found = frame.join(ends[0], on=who, how="left", maintain_order="left").join(
        ends[1], on=what, how="left", maintain_order="left").drop_nulls(["row of 0", "row of 1"])
    lists = np.full((len(truth), task.eval_k), NO_ROW, np.int64)
    place = {int(row): k for k, row in enumerate(truth.rows)}
    for row, destination, rank in found.select("row of 0", "row of 1", "rank").iter_rows():
        if row in place and rank <= task.eval_k:
            lists[place[row], rank - 1] = destination
    asked = (lists != NO_ROW).any(axis=1)
    if not asked.any():
        return Checked(**shown, scored=0, why="nobody who was asked has an outcome")
    target = truth.target[np.flatnonzero(asked)]
    known = task.train.then(task.val).target
    common = np.argsort(-np.bincount(known.rows), kind="stable")[:task.eval_k]
    same = np.full((int(asked.sum()), task.eval_k), NO_ROW, np.int64)
    same[:, :len(common)] = common
    return Checked(**{**shown, "value": measure(task.primary, target, lists[asked], known),
                      "constant": measure(task.primary, target, same, known)},
                   scored=int(asked.sum()))
