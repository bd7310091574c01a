"""The leakage audit: does anything that lies in a seed's future reach its prediction?

The canary: every cell dated at or after a moment, and every label that was not known by then, is
overwritten with nonsense (`rowgraph.evaluation.nonsense`), and everything on the way to a
prediction is made again. Not one bit may differ for the seeds of that moment. Two controls
overwrite what lies before the moment instead, cells and labels apart: a path that neither changes
looks at nothing, and its silence would prove nothing; one that labels alone change reads no dated
cell. Apart, because a model that ignored every cell would still move with its labels. Where cells
are known later than their row (`Database.known_at`), those whose time had not come are overwritten
with the future, and a third control overwrites those alone whose time had.

The ways to a prediction are those of `rowgraph.evaluation.audited_paths`.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rowgraph.databases.database import Database
from rowgraph.evaluation.audited_paths import FITTED, SEEDS, answers_of
from rowgraph.evaluation.nonsense import nonsense_labels, write_nonsense
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.regimes import INCLUSIVE, Regime


@dataclass(frozen=True)
class Finding:
    """One path under one regime.

    Args:
        database, task, regime, path: what was tried.
        seeds: label rows asked about.
        values: numbers compared.
        differences: of them, how many the future changed. 0, or something leaks.
        by_cells, by_labels: the control: how many past cells changed, and how many past labels.
            Both 0, and the path looks at nothing. A path that labels alone change reads no dated
            cell (an entity's own history, the row of a table without time): of cells it proves
            nothing.
        by_late: how many the cells changed that were written after their row, and known by then;
            None where the database has no such cells.
    """

    database: str
    task: str
    regime: Regime
    path: str
    seeds: int
    values: int
    differences: int
    by_cells: int
    by_labels: int
    by_late: int | None = None

    @property
    def blind(self) -> bool:
        """Neither control changed it."""
        return not (self.by_cells or self.by_labels)

    @property
    def passed(self) -> bool:
        """Nothing leaks, and a control shows that a leak would have been seen."""
        return self.differences == 0 and not self.blind


def audit_task(database: Database, name: str, scratch: Path, *,
               regimes: Sequence[Regime] = ("frozen_db", "rolling"),
               note: Callable[[str], None] = lambda text: None) -> Iterator[Finding]:
    """Try the canary and its control on every path of one task, under each regime.

    Args:
        database: resolved; nothing is written to it.
        scratch: a folder for copies; emptied at the end.
        note: hears what is being tried.
    """
    task = load_task(database, name)
    for regime in regimes:
        asked, moment = _asked(task, regime)
        found = {}
        late = any(database.known_at(t, c) is not None for t in database.tables
                   for c in database.columns(t))
        for world, make in (WORLDS | (LATE if late else {})).items():
            note(f"{database.name}/{name} {regime}: {world}")
            found[world] = answers_of(make(asked, scratch / "copy", moment), regime,
                                    scratch / "made")
        shutil.rmtree(scratch, ignore_errors=True)
        for path, truth in found["as it is"].items():
            yield Finding(database.name, name, regime, path, len(asked.test), truth.size,
                          *(_different(truth, found[world][path]) if world in found else None
                            for world in ("future", "past cells", "past labels", "late cells")))


def verdict(findings: list[Finding]) -> str:
    """The one line with which an audit ends."""
    def named(some: list[Finding]) -> str:
        return ", ".join(f"{f.database}/{f.task} {f.regime} {f.path}" for f in some)

    line = (f"audit: {sum(f.differences for f in findings)} differences in "
            f"{sum(f.values for f in findings):,} values over {len(findings)} paths; past cells "
            f"changed {sum(f.by_cells > 0 for f in findings)} of them, past labels alone "
            f"{sum(f.by_labels > 0 and not f.by_cells for f in findings)}")
    if late := [f for f in findings if f.by_late is not None]:
        line += (", cells written after their row but known by then "
                 f"{sum(f.by_late > 0 for f in late)} of {len(late)}")
    if leaks := [f for f in findings if f.differences]:
        line += f"; LEAKS: {named(leaks)}"
    if blind := [f for f in findings if f.blind]:
        line += f"; proves nothing: {named(blind)}"
    return line


def _asked(task: Task, regime: Regime) -> tuple[Task, int]:
    """The task with few label rows, and the first moment that its test rows must not see.

    Under `rolling` the seeds are those up to a date in the middle of the test span, and the moment
    is that date; under `frozen_db` they are the newest, and the moment follows `test_timestamp`.
    """
    times = task.test.times
    if regime == "rolling":
        dates = np.unique(times)
        moment = int(dates[len(dates) // 2])
        index = np.flatnonzero(times <= moment)[-SEEDS:]
    else:
        moment = task.database.test_timestamp + INCLUSIVE
        index = np.argsort(times, kind="stable")[-SEEDS:]
    return dataclasses.replace(task, train=task.train.newest(FITTED), val=task.val.newest(FITTED),
                               test=task.test.take(np.sort(index))), moment


def _as_it_is(task: Task, folder: Path, moment: int) -> Task:
    return task


def _future(task: Task, folder: Path, moment: int) -> Task:
    """Cells at or after the moment, and labels that were not known by then, are nonsense."""
    keep = {task.entity_table: task.test.rows} if task.autocomplete else None
    database = write_nonsense(task.database, folder, start=moment, keep=keep)
    unknown = task.test.times + task.timedelta >= moment
    return dataclasses.replace(task, database=database,
                               test=nonsense_labels(task, task.test, unknown))


def _past_cells(task: Task, folder: Path, moment: int) -> Task:
    """Cells before the moment are nonsense, and every label stays."""
    return dataclasses.replace(task, database=write_nonsense(task.database, folder, end=moment))


def _late_cells(task: Task, folder: Path, moment: int) -> Task:
    """Cells that were written after their row, and before the moment, are nonsense."""
    return dataclasses.replace(task, database=write_nonsense(task.database, folder, end=moment,
                                                             only_late=True))


def _past_labels(task: Task, folder: Path, moment: int) -> Task:
    """Every second training and validation label is nonsense, and every cell stays."""
    train, val = (nonsense_labels(task, labels, np.arange(len(labels)) % 2 == 0)
                  for labels in (task.train, task.val))
    return dataclasses.replace(task, train=train, val=val)


WORLDS = {"as it is": _as_it_is, "future": _future, "past cells": _past_cells,
          "past labels": _past_labels}
LATE = {"late cells": _late_cells}


def _different(one: np.ndarray, other: np.ndarray) -> int:
    """Values that differ; where there are more or fewer, those too."""
    if one.shape != other.shape:
        one, other = one.ravel(), other.ravel()
        common = min(len(one), len(other))
        return int((one[:common] != other[:common]).sum()) + abs(len(one) - len(other))
    return int((one != other).sum())
