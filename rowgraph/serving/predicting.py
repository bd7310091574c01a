"""Predictions of a saved model for everybody who is asked about at a date, best first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.artifacts import Draft, write_json
from rowgraph.databases.keys import keys_of
from rowgraph.forecasting.own_past import Reading
from rowgraph.serving.asking import Asked, ask, said
from rowgraph.serving.explaining import FOREST, reasons
from rowgraph.serving.model import AdaptedModel, Answers
from rowgraph.serving.ranked import Lists
from rowgraph.serving.settings import PredictionsSettings
from rowgraph.tasks.kinds import NO_ROW

FILE = "predictions.parquet"
FACTS = "predictions.json"
WHY = "why.json"
KEY = " (key)"  # ends the name of a key that is also one of ours
RECOMMENDED = "recommended "  # begins the name of a key of what is recommended
SHOWN = 10  # rows of the summary


def predict(model: Path, reading: Reading, name: str, settings: PredictionsSettings,
            draft: Draft, *, device: str) -> dict[str, Any]:
    """Ask a saved model about a date.

    Args:
        model: folder of `adapted_model`.
        reading: the database as it is now.
        name: of the task.
        draft: gets `why.json` (`rowgraph.serving.explaining.reasons`, of the highest ranks) and
            `predictions.parquet`: the entity's own keys, `prediction`, `spread`
            (`rowgraph.serving.model.Answers`), `rank` (1 is the highest prediction; of classes the
            likeliest to be right) and of classes a `probability` each; and `predictions.json`:
            date, horizon, task. Of a recommendation the keys of both ends, the blend's score as
            `prediction`, and `rank` within each list.

    Returns:
        The summary: date, how many were asked and who, the first rows, how many features the
        database does not offer any more, and tables of which it is judged otherwise now when
        their cells are known.

    Raises:
        ValueError: as `rowgraph.serving.asking.ask` and `AdaptedModel.answers`.
    """
    asked = ask(reading.database, name, settings.moment)
    opened = AdaptedModel.open(model)
    answers = opened.answers(asked, reading, device)
    frame = table_of(asked, answers)
    frame.write_parquet(draft.path(FILE))
    why, lost = [], 0
    if isinstance(answers, Answers):
        order = np.argsort(ranks_of(answers), kind="stable")[:settings.explained]
        why = reasons((model / FOREST).read_text(), asked, answers.features, answers.prediction,
                      order.tolist())
        lost = len(answers.features.lost)
    write_json(draft.path(WHY), [{"rank": k + 1, **one} for k, one in enumerate(why)])
    task = asked.task
    write_json(draft.path(FACTS), {
        "database": task.database.name, "task": task.name, "task_type": task.task_type,
        "entity_table": task.entity_table, "moment": asked.moment, "timedelta": task.timedelta,
        "classes": list(task.classes), "eval_k": task.eval_k, "asked": len(asked.view.labels)})
    return {"at": said(asked.moment), "until": said(asked.moment + task.timedelta),
            "asked": len(asked.view.labels), "who": asked.whom, "answers_since": asked.answers,
            "features_lost": lost,
            "known_otherwise": _otherwise(opened.facts["knowledge"],
                                          reading.database.knowledge.as_dict()),
            **_middle(asked, answers),
            "first": {str(place + 1): {k: _plain(v) for k, v in row.items()}
                      for place, row in enumerate(frame.head(SHOWN).iter_rows(named=True))}}


def table_of(asked: Asked, answers: Answers | Lists) -> pl.DataFrame:
    """The rows as a person reads them, best first; of equals in the order of their rows. Of a
    recommendation the lists, one after the other, a row for each recommended one."""
    if isinstance(answers, Lists):
        return _lists(asked, answers)
    task, rows = asked.task, asked.view.labels.rows
    prediction = answers.prediction
    columns: dict[str, Any] = {}
    if task.task_type == "multiclass_classification":
        named = prediction.argmax(axis=1)
        columns["prediction"] = np.array(task.classes, dtype=object)[named].tolist()
        columns |= {f"probability of {word}": prediction[:, k]
                    for k, word in enumerate(task.classes)}
    else:
        columns["prediction"] = prediction
    rank = ranks_of(answers)
    keys = keys_of(task.database, task.entity_table, rows)
    said_of = pl.DataFrame({**columns, "spread": answers.spread, "rank": rank})
    taken = set(keys.columns) & set(said_of.columns)
    keys = keys.rename({name: f"{name}{KEY}" for name in taken})
    return pl.concat([keys, said_of], how="horizontal").sort("rank")


def _lists(asked: Asked, answers: Lists) -> pl.DataFrame:
    task, rows = asked.task, asked.view.labels.rows
    at, place = np.nonzero(answers.rows != NO_ROW)
    who = keys_of(task.database, task.entity_table, rows[at])
    what = keys_of(task.database, task.destination_table, answers.rows[at, place])
    what = what.rename({name: f"{RECOMMENDED}{name}" for name in what.columns})
    said_of = pl.DataFrame({"prediction": answers.scores[at, place], "rank": place + 1})
    taken = set(who.columns) & {*what.columns, *said_of.columns}
    who = who.rename({name: f"{name}{KEY}" for name in taken})
    return pl.concat([who, what, said_of], how="horizontal")


def ranks_of(answers: Answers) -> np.ndarray:
    """int64 [n]: 1 is the highest prediction, of classes the likeliest; of equals the first."""
    height = answers.prediction if answers.prediction.ndim == 1 else answers.prediction.max(axis=1)
    rank = np.empty(len(height), np.int64)
    rank[np.argsort(-height, kind="stable")] = np.arange(1, len(height) + 1)
    return rank


def export(frame: pl.DataFrame, path: Path) -> None:
    """Write predictions for others: Parquet or CSV, by the ending.

    Raises:
        ValueError: another ending.
    """
    kinds: Mapping[str, Any] = {".parquet": pl.DataFrame.write_parquet,
                                ".csv": pl.DataFrame.write_csv}
    if path.suffix not in kinds:
        raise ValueError(f"{path}: predictions are written as .parquet or .csv; end its name so")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    kinds[path.suffix](frame, part)
    part.replace(path)


def _otherwise(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Tables of which it was said otherwise when their cells are known."""
    return sorted(t for t in {**then, **now} if then.get(t) != now.get(t))


def _middle(asked: Asked, answers: Answers | Lists) -> dict[str, float]:
    if isinstance(answers, Lists) or answers.prediction.ndim == 2:
        return {}
    words = ("mean_probability" if asked.task.task_type == "binary_classification"
             else "mean_prediction")
    return {words: float(answers.prediction.mean())}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
