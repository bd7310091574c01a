"""Is a model that was trained anew worse than the one before it? docs/decisions/champion.md

Both are asked about the same validation rows: those that both were asked about, found by the
entity's own key and the time of the seed, since row numbers move where a database has grown.
Judged by the labels as they are known now. Test rows are not looked at: they choose nothing.

Shapes: N common validation rows.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from rowgraph.adaptation.hybrid.variants import NAME
from rowgraph.adaptation.variants import Embeddings, variant
from rowgraph.databases.database import Database
from rowgraph.databases.keys import KEYS, keys_of
from rowgraph.evaluation.comparison import (
    ALPHA,
    Difference,
    difference,
    verdict,
    written,
)
from rowgraph.evaluation.intervals import holm, t_interval
from rowgraph.evaluation.resamples import Resamples
from rowgraph.evaluation.scoring import Scored, score_task
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.loading import load_task, task_names
from rowgraph.tasks.predictions import Predictions, Run, read_predictions
from rowgraph.tasks.settings import LabelSettings

OLD, NEW = "old", "new"
CORRECTED = 0.1  # of the labels; more that differ are of other entities than they seem
RETRAINING = {"question": pl.String, "regime": pl.String, "variant": pl.String,
              "metric": pl.String, "rows": pl.Int64, "old": pl.Float64, "new": pl.Float64,
              "difference": pl.Float64, "ci_low": pl.Float64, "ci_high": pl.Float64,
              "level": pl.Float64, "verdict": pl.String, "why": pl.String}


class Measured(NamedTuple):
    """What a model is judged by on one task.

    Args:
        task: its name, as keys of assets have it.
        variant: whose predictions.
        source, predictions: folders of the database and of the stage that asked.
    """

    task: str
    variant: str
    source: Path
    predictions: Path


class Incomparable(ValueError):
    """Two trainings were not asked the same; the message says why."""


def judged_by(stage: str, settings: Mapping[str, Any]) -> str | None:
    """The variant whose predictions judge a model, None where it has a part in none.

    Of the paper's models the first that the profile lists and that hangs on it: a pick by its
    figures would favour the model that it was picked for.

    Args:
        stage: that trained the model.
        settings: of the stage that asked about the task.
    """
    if stage not in ("bart_checkpoint", "sage_weights"):
        return NAME
    for found in map(variant, settings["variants"]):
        hangs = found.transfers if stage == "sage_weights" else (
            found.embeddings is Embeddings.BART)
        if hangs and not found.static:  # whose validation rows see their labels
            return found.name
    return None


def compare_trainings(old: Mapping[str, Measured], new: Mapping[str, Measured],
                      settings: EvaluationSettings) -> pl.DataFrame:
    """Paired differences on validation rows in the primary metric of each task and regime.

    Args:
        old, new: by question, which is for people to read.
        settings: of the resamples.

    Returns:
        `RETRAINING`: `difference` is positive where the new one is better, `ci_low` to `ci_high`
        its interval at the `level` at which Holm tests that many; or `why` there is none.
    """
    rows: list[dict[str, Any]] = []
    found: list[Difference] = []
    for question, measured in new.items():
        try:
            for regime, theirs, ours, resamples, facts in _pairs(old.get(question), measured,
                                                                 settings):
                found.append(difference(ours, theirs, resamples, facts.pop("sign")))
                rows.append({"question": question, "regime": regime, **facts,
                             "old": theirs.mean, "new": ours.mean,
                             "difference": found[-1].value})
        except Incomparable as error:
            rows.append({"question": question, "variant": measured.variant, "why": str(error)})
    judged = [row for row in rows if "why" not in row]
    levels = holm([one.p_value for one in found], ALPHA)[1] if found else ()
    for row, one, level in zip(judged, found, levels, strict=True):
        low, high = (None, None) if one.sd is None else t_interval(one.value, one.sd, level,
                                                                   one.df)
        row |= {"ci_low": low, "ci_high": high, "level": level, "verdict": verdict(low, high)}
    return pl.DataFrame(rows, schema=RETRAINING, orient="row")


def reason_of(frame: pl.DataFrame) -> tuple[bool, str]:
    """Whether the new one may be champion, and why, in words.

    Args:
        frame: from `compare_trainings`.
    """
    judged, missing = (frame.filter(pl.col("why").is_null() == there) for there in (True, False))
    left_out = [f"{row['question']}: {row['why']}" for row in missing.iter_rows(named=True)]
    if judged.is_empty():
        return True, f"nothing to compare with: {'; '.join(left_out) or 'no task asks it'}"
    worse = judged.filter(verdict="behind")
    if worse.height:
        said = "worse beyond its interval: " + "; ".join(
            _figures(row) for row in worse.iter_rows(named=True))
    else:
        ahead = judged.filter(verdict="ahead").height
        said = (f"not worse beyond its interval in {judged.height} "
                f"comparison{'s' * (judged.height != 1)}, better in {ahead}")
    return not worse.height, "; ".join([said, *(f"not compared: {why}" for why in left_out)])


def _figures(row: Mapping[str, Any]) -> str:
    old, new, size, low, high = written(*(row[name] for name in (
        "old", "new", "difference", "ci_low", "ci_high")))
    return (f"{row['question']} under {row['regime']}, {row['metric']} {new} for {old}, "
            f"a gain of {size} [{low}, {high}]")


def _pairs(old: Measured | None, new: Measured, settings: EvaluationSettings,
           ) -> Iterator[tuple[str, Scored, Scored, Resamples, dict[str, Any]]]:
    """By regime: the old and the new training, scored on the same resamples of common rows."""
    if old is None:
        raise Incomparable("the champion was not asked about it")
    if old.variant != new.variant:
        raise Incomparable(f"the champion was judged by {old.variant}")
    if not (old.source.is_dir() and old.predictions.is_dir()):
        raise Incomparable("the champion's predictions are gone")
    task, answers = _read(new)
    try:
        before, old_answers = _read(old)
    except (ValueError, OSError, KeyError) as error:
        raise Incomparable(f"the champion's predictions cannot be read: {error}") from error
    if (task.task_type, task.classes, task.eval_k) != (before.task_type, before.classes,
                                                       before.eval_k):
        raise Incomparable("the task is of another kind, or has other classes, than it had")
    place = {table: _places(before.database, task.database, table, old.source == new.source)
             for table in (task.entity_table, task.destination_table) if table}
    moved = LabelTable(place[task.entity_table][before.val.rows], before.val.times,
                       before.val.target)
    at_new, at_old = _common(task.val, moved)
    if not len(at_new):
        raise Incomparable("no validation row in common with the champion")
    differ = 0.0 if task.destination_table else float(np.mean(
        task.val.target[at_new] != before.val.target[at_old]))
    if differ > CORRECTED:
        raise Incomparable(f"{differ:.0%} of the labels of equal keys and times differ from what "
                           "they were: the rows were numbered anew, or the labels made anew")
    asked = {Run(run.regime, NEW, run.seed, run.bart): {"test": splits["val"][at_new]}
             for run, splits in answers.items() if run.variant == new.variant}
    for run, splits in old_answers.items():
        if run.variant == new.variant:
            said = splits["val"][at_old]
            if task.destination_table:
                said = _packed(np.where(said == NO_ROW, NO_ROW,
                                        place[task.destination_table][said]))
            asked[Run(run.regime, OLD, run.seed, run.bart)] = {"test": said}
    judged = dataclasses.replace(task, test=task.val.take(at_new), told_test=None)
    resamples = Resamples.of(judged, settings.bootstrap, settings.fewest_dates)
    try:
        scored = score_task(judged, asked, resamples)
    except ValueError as error:
        raise Incomparable(str(error)) from error
    regimes = [r for r, v, m in scored if v == NEW and m == task.primary
               and (r, OLD, m) in scored]
    if not regimes:
        raise Incomparable(f"the champion has no answers of {new.variant} in the same regimes")
    for regime in regimes:
        facts = {"variant": new.variant, "metric": task.primary, "rows": len(at_new),
                 "sign": 1 if task.higher_is_better else -1}
        yield (regime, scored[regime, OLD, task.primary], scored[regime, NEW, task.primary],
               resamples, facts)


def _read(measured: Measured) -> tuple[Task, Predictions]:
    """The task as it was then, and the answers of every run that has some on validation."""
    database = Database.open(measured.source)
    name = next((t for t in task_names(database) if t.replace("-", "_") == measured.task), "")
    settings = json.loads((measured.predictions / "manifest.json").read_text())["settings"]
    labels = LabelSettings.model_validate({k: settings[k] for k in LabelSettings.model_fields})
    task = load_task(database, name or measured.task, labels)
    found = read_predictions(task, measured.predictions / "predictions.parquet")
    return task, {run: splits for run, splits in found.items() if "val" in splits}


def _places(old: Database, new: Database, table: str, same: bool) -> np.ndarray:
    """int64 [rows of the old table]: the row of the new table with the same key, or `NO_ROW`."""
    if same:
        return np.arange(new.num_rows(table))
    before, now = _identities(old, table), _identities(new, table)
    if before.schema != now.schema:
        raise Incomparable(f"keys of {table} were {dict(before.schema)} and are "
                           f"{dict(now.schema)}")
    found = before.join(now.with_row_index("row"), on=before.columns, how="left",
                        maintain_order="left")
    return found["row"].cast(pl.Int64).fill_null(NO_ROW).to_numpy()


def _identities(database: Database, table: str) -> pl.DataFrame:
    """The own key of each row; of a database without, its number before anything was truncated."""
    rows = np.arange(database.num_rows(table))
    kept = database.folder / "rows" / f"{table}.npy"
    if kept.exists() and not (database.folder / KEYS / f"{table}.parquet").exists():
        rows = np.load(kept, allow_pickle=False)
    return keys_of(database, table, rows)


def _common(new: LabelTable, old: LabelTable) -> tuple[np.ndarray, np.ndarray]:
    """int64 [N] twice: positions of the label rows that both have, by entity and time."""
    frames = [pl.DataFrame({"row": labels.rows, "time": labels.times,
                            name: np.arange(len(labels))}).unique(["row", "time"], keep="first")
              for name, labels in ((NEW, new), (OLD, old))]
    both = frames[0].join(frames[1], on=["row", "time"]).sort(NEW)
    return both[NEW].to_numpy(), both[OLD].to_numpy()


def _packed(said_NK: np.ndarray) -> np.ndarray:
    """Lists without the rows that are no more, filled up at the end."""
    order = np.argsort(said_NK == NO_ROW, axis=1, kind="stable")
    return np.take_along_axis(said_NK, order, axis=1)
