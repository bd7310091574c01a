"""Why: what matters to a task, and what speaks for and against a single prediction.

The blend has no single reason. What is explained is a forest on window features alone, which people
can read; how much it reaches by itself stands beside it. What matters is measured by permutation
on validation rows, which the forest was not fitted on: how much worse it becomes where the columns
of a relation, or of one column, are dealt to other rows of the same date. What speaks for a single
prediction is what each feature adds to it along the paths of its trees (Lundberg et al., Nature
Machine Intelligence 2020), as LightGBM computes it.

Shapes: n rows, F features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl

from rowgraph.adaptation.exams import Exams, Rows
from rowgraph.adaptation.shallow import Picks, TreesOnWindows
from rowgraph.adaptation.sheets import Sheets
from rowgraph.features.asked import AskedFeatures
from rowgraph.features.store import WindowFeatures
from rowgraph.randomness import generator
from rowgraph.resampling import resample_weights
from rowgraph.serving.asking import Asked, said
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure, row_scores

FOREST = "explaining.txt"
IMPORTANCE = "importance.parquet"
TREES = 100
ROWS = 4_000  # newest validation rows, at most
REPEATS = 3  # permutations of each group
DRAWS = 400  # of the bootstrap over entities
COLUMNS = 30  # of highest gain, that are looked at one by one
REASONS = 3  # of a prediction
NEIGHBOURS = 2  # newest rows of each relation
ATTRIBUTES = 4  # of a neighbour row
SCHEMA = {"level": pl.String, "relation": pl.String, "column": pl.String, "features": pl.Int64,
          "increase": pl.Float64, "low": pl.Float64, "high": pl.Float64}


@dataclass(frozen=True, eq=False)
class Importance:
    """What matters to a task.

    Args:
        table: `SCHEMA`: by relation and by column, the increase of `loss` where it is permuted,
            with its 95 % interval over entities; largest first.
        loss: `log_loss` or `mae`.
        metric, reached: the task's primary metric of the forest on these rows.
    """

    table: pl.DataFrame
    loss: str
    metric: str
    reached: float


def importance_of(task: Task, exams: Exams, features: Path) -> Importance:
    """Measure what matters on validation.

    Args:
        features: folder of the task's window features.
    """
    sheets = Sheets(task, WindowFeatures.open(features))
    exam = exams.validation
    fitted = _forest(task, sheets, exam)
    rows = exam.asked.get("rolling") or next(iter(exam.asked.values()))
    newest = np.argsort(rows.labels.times, kind="stable")[-ROWS:]
    rows = Rows(rows.view, rows.index[np.sort(newest)])
    matrix, labels = fitted.features(rows), rows.labels
    loss = "mae" if task.task_type == "regression" else "log_loss"

    def lost(values: np.ndarray) -> np.ndarray:
        answer = fitted.forests[0].predict(values, (TREES,))[0]
        return row_scores(loss, labels.target, answer)

    plain = lost(matrix)
    groups = np.unique(labels.times, return_inverse=True)[1]
    gains = fitted.forests[0].gains()
    found = []
    for level, relation, column, places in _groups(sheets, gains):
        worse = np.zeros(len(plain))
        for repeat in range(REPEATS):
            dealt = _dealt(groups, task.database.name, task.name, relation, column, repeat)
            other = matrix.copy()
            other[:, places] = matrix[np.ix_(dealt, places)]
            worse += (lost(other) - plain) / REPEATS
        low, high = _interval(worse, labels.rows, task)
        found.append((level, relation, column, len(places), float(worse.mean()), low, high))
    table = pl.DataFrame(found, schema=SCHEMA, orient="row").sort(
        "level", "increase", descending=[True, True], maintain_order=True)
    answer = fitted.forests[0].predict(matrix, (TREES,))[0]
    one = task.task_type != "regression" and len(np.unique(labels.target)) < 2
    return Importance(table, loss, task.primary, float("nan") if one else measure(
        task.primary, labels.target, answer, task.train.target))


def final_forest(task: Task, exams: Exams, features: Path) -> str:
    """The forest that explains predictions, fitted on train and validation, as LightGBM's text."""
    sheets = Sheets(task, WindowFeatures.open(features))
    return _forest(task, sheets, exams.test).forests[0].booster.model_to_string()


def reasons(forest: str, asked: Asked, features: AskedFeatures, prediction: np.ndarray,
            wanted: Sequence[int]) -> list[dict[str, Any]]:
    """What speaks for and against some predictions, and the newest rows beside them.

    Args:
        forest: of `final_forest`.
        prediction: as answered; of classes, the one that is named is explained.
        wanted: positions of the rows that are explained.

    Returns:
        For each a dict with `because`, a list of `said` (in words), `adds` (to the log odds, of a
        regression to the number) and `feature`; and `rows`: in words, the newest of each relation.
    """
    if not len(wanted):
        return []
    booster = lightgbm.Booster(model_str=forest)
    values = features.values[np.asarray(wanted)]
    width = len(features.columns)
    adds = np.asarray(booster.predict(values, pred_contrib=True))
    adds = adds.reshape(len(wanted), -1, width + 1)
    named = (prediction[np.asarray(wanted)].argmax(axis=1) if prediction.ndim == 2
             else np.zeros(len(wanted), np.int64))
    found, near = [], newest_rows(asked, wanted)
    for k in range(len(wanted)):
        mine = adds[k, named[k], :width]
        because, met = [], set()
        for f in np.argsort(-np.abs(mine), kind="stable"):
            column = features.columns[f]
            key = column["path"], column["column"]
            if mine[f] == 0 or len(because) == REASONS:
                break
            if key not in met:
                met.add(key)
                because.append({
                    "said": in_words(column, float(values[k, f]), asked.task.timedelta,
                                     features.words.get(column["name"], ())),
                    "adds": float(mine[f]), "feature": column["name"]})
        found.append({"because": because, "rows": near[k]})
    return found


def in_words(column: Mapping[str, str], value: float, horizon: int,
             words: Sequence[str] = ()) -> str:
    """A feature with its value, as a person says it: `3 orders by customer_id in 30 days`.

    Args:
        horizon: of the task, microseconds.
        words: what codes stand for.
    """
    path, name = column["path"], column["column"]
    window = re.sub(r"over ([\d.]+) horizons?", lambda m: _days(float(m[1]) * horizon),
                    column["window"])
    window = re.sub(r"^over (.*) days$", r"in \1 days", window)
    if column["kind"] == "count" and not name:
        amount = "no" if not value or np.isnan(value) else f"{value:,.0f}"
        return " ".join(filter(None, (amount, path, window)))
    name = re.sub("^days until ", "days from row to ", name)  # both lie in the past
    of = f"{name} of {path}" if name else path
    aggregate = column["aggregate"].replace("age in days", "age of")
    what = " ".join(filter(None, (aggregate, of, window)))
    return f"{what}: {_value(column['kind'], value, words)}"


def newest_rows(asked: Asked, places: Sequence[int]) -> list[list[str]]:
    """The newest rows that name each of some entities, relation by relation, with a few of their
    cells, in words."""
    task, found = asked.task, [[] for _ in places]
    who, before = asked.view.labels.rows[np.asarray(places)], asked.moment
    for name, schema in task.database.tables.items():
        for fkey, parent in schema.fkeys.items():
            if parent != task.entity_table or schema.time_col is None:
                continue
            times, keys = task.database.times(name), task.database.keys(name, fkey)
            near = np.flatnonzero(np.isin(keys, who) & (times < before))
            near = near[np.argsort(times[near], kind="stable")][::-1]
            mine = [near[keys[near] == row][:NEIGHBOURS] for row in who]
            shown = [c for c in task.database.attributes(name) if c != schema.time_col][:ATTRIBUTES]
            cells = task.database.read(name, shown) if shown else pl.DataFrame()
            for words, rows in zip(found, mine, strict=True):
                for at in rows.tolist():
                    facts = ", ".join(f"{c} {cells[c][at]}" for c in shown
                                      if cells[c][at] is not None)
                    words.append(f"{name} of {said(int(times[at]))}" + (f": {facts}" if facts
                                                                        else ""))
    return found


def _forest(task: Task, sheets: Sheets, exam: Any) -> Any:
    model = TreesOnWindows(task, Picks(task, sheets), TREES, 1, "explained")
    return model.fit(model.parts(False)[0], exam, 0, TREES)


def _groups(sheets: Sheets, gains: np.ndarray) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Level, relation, column and positions: every relation, and the columns that gain most."""
    columns = sheets.described
    for relation in dict.fromkeys(column["path"] for column in columns):
        places = [i for i, c in enumerate(columns) if c["path"] == relation]
        yield "relation", relation, "", np.array(places)
    single: dict[tuple[str, str], list[int]] = {}
    for i, column in enumerate(columns):
        single.setdefault((column["path"], _bare(column["column"])), []).append(i)
    order = sorted(single, key=lambda key: -gains[single[key]].sum())[:COLUMNS]
    for relation, column in order:
        if gains[single[relation, column]].sum() > 0:
            yield "column", relation, column or "number and age", np.array(single[relation, column])


def _bare(column: str) -> str:
    """The column that shares of values, lengths and ages are made of."""
    column = re.sub(r" (= .*|is given|is over)$", "", column)
    return re.sub(r"^(length of|days until) ", "", column)


def _dealt(groups: np.ndarray, *purpose: object) -> np.ndarray:
    """int64 [n]: the rows of each date, dealt anew among themselves."""
    random, out = generator("importance", *purpose), np.arange(len(groups))
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        out[inside] = random.permutation(inside)
    return out


def _interval(worse: np.ndarray, entities: np.ndarray, task: Task) -> tuple[float, float]:
    place = np.unique(entities, return_inverse=True)[1]
    sums, counts = np.bincount(place, weights=worse), np.bincount(place)
    weights = resample_weights(len(sums), DRAWS, "importance", task.database.name, task.name)
    means = weights @ sums / (weights @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _value(kind: str, value: float, words: Sequence[str]) -> str:
    if np.isnan(value):
        return "missing"
    if kind == "code":
        return words[int(value)] if int(value) < len(words) else "another"
    if kind in ("share", "given"):
        return f"{value:.0%}"
    return f"{value:,.3g} days" if kind == "age" else f"{value:,.4g}"


def _days(microseconds: float) -> str:
    return f"in {microseconds / 86_400e6:,.3g} days"
