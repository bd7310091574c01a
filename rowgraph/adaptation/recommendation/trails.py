"""Trails: from a seed, through an anchor row, to the destinations of the anchor's past.

| anchor | whose past it is |
|---|---|
| `own` | the source row's |
| `everyone` | of all rows: popularity |
| `parent` | that of a row which the source row names (its site, its constructor) |
| `company` | that of a row which the source's newest event names (its latest airline) |

Each kind of anchor has links from event tables (`paths.py`) and from the task's own labels, dated
when their outcome was known (`label_lag`). Which trails help is no decision of this module:
baselines choose among them on folds, and rankers weigh them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rowgraph.adaptation.recommendation.links import Links
from rowgraph.adaptation.recommendation.paths import (
    Chain,
    Path,
    Walker,
    at,
    chains_from,
    paths_between,
)
from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import Task

Kind = Literal["own", "everyone", "parent", "company"]
Anchors = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (rows, before) -> anchor rows, -1: none
MOST = {"own": 4, "everyone": 6, "parent": 4, "company": 3}  # trails from event tables
PER_ANCHOR = 2  # paths from one parent
LABELS = "labels"  # what links of the task's own label rows are called


@dataclass(frozen=True, eq=False)
class Trail:
    """One way from a seed to destinations.

    Args:
        kind: whose past.
        name: kind and path in words, unique within a task.
        links: from anchors.
        anchors: the anchor of each seed, from its row and what it may see.
    """

    kind: Kind
    name: str
    links: Links
    anchors: Anchors

    @property
    def of_labels(self) -> bool:
        """Its links are label rows."""
        return self.name.endswith(f" {LABELS}")


def trails_of(task: Task, lag: int | None = None) -> tuple[Trail, ...]:
    """Every trail of a task, by kind; those of label rows first within a kind.

    A trail without any link is left out. The source row of an autocomplete task is asked about
    once, so it has no past of its own.

    Args:
        lag: microseconds, how much later than their outcome labels are learnt of; None is the
            task's own `label_lag`.
    """
    walker, lag = Walker(task.database), label_lag(task) if lag is None else lag
    found = [*_own(task, walker, lag), *_everyone(task, walker, lag),
             *_parents(task, walker, lag), *_company(task, walker)]
    return tuple(t for t in found if len(t.links))


def _own(task: Task, walker: Walker, lag: int) -> list[Trail]:
    if task.autocomplete:
        return []
    return [_by_labels(task, walker, lag, "own", "", _itself, _rows_of(task, task.entity_table)),
            *(_along(task, walker, "own", "", p, _itself) for p in _own_paths(task))]


def _own_paths(task: Task) -> list[Path]:
    return paths_between(task.database, task.entity_table,
                         task.destination_table)[:MOST["own"]]


def _everyone(task: Task, walker: Walker, lag: int) -> list[Trail]:
    chains = _ends(task)
    used = [str(p.to_destination) for p in _own_paths(task)]
    chains.sort(key=lambda c: (used.index(str(c)) if str(c) in used else len(used), len(c),
                               -task.database.num_rows(c.table), str(c)))
    trails = [_by_labels(task, walker, lag, "everyone", "", _all_in_one, 1)]
    for chain in chains[:MOST["everyone"]]:
        rows, known = walker.walk(chain)
        links = _links(task, walker, np.zeros(len(rows), dtype=np.int64), rows, known, 1)
        trails.append(Trail("everyone", f"everyone {chain}", links, _all_in_one))
    return trails


def _ends(task: Task) -> list[Chain]:
    """Chains from any table to the destination; of a table without times none from itself, which
    would say of each destination that it is there."""
    database, end = task.database, task.destination_table
    return [c for table in database.tables for c in chains_from(database, table, 2)
            if (c.end == end and (len(c) or database.tables[end].time_col))
            or c in {p.to_destination for p in _own_paths(task)}]


def _parents(task: Task, walker: Walker, lag: int) -> list[Trail]:
    trails: list[Trail] = []
    for chain in chains_from(task.database, task.entity_table, 2):
        if not len(chain):
            continue
        anchors, name = _named_by_source(task, walker, chain), f" {chain}"
        count = _rows_of(task, chain.end)
        trails.append(_by_labels(task, walker, lag, "parent", name, anchors, count))
        trails += [_along(task, walker, "parent", name, p, anchors)
                   for p in paths_between(task.database, chain.end,
                                          task.destination_table)[:PER_ANCHOR]]
    labelled = [t for t in trails if t.of_labels][:MOST["parent"]]
    return labelled + [t for t in trails if not t.of_labels][:MOST["parent"]]


def _company(task: Task, walker: Walker) -> list[Trail]:
    """Rows of what the newest event names; small tables first, where company is large."""
    if task.autocomplete:
        return []
    found = []
    for path in _own_paths(task):
        up, down = path.to_anchor.steps, path.to_destination.steps
        for chain in chains_from(task.database, path.event, 2):
            apart = len(chain) and chain.steps[:1] != down[:1]
            if apart and chain.steps[:len(up)] != up and chain.steps != up[:len(chain)] \
                    and chain.end != task.entity_table:
                found.append((_rows_of(task, chain.end), path, chain))
    found.sort(key=lambda f: f[0])
    trails = []
    for count, path, chain in found[:MOST["company"]]:
        who, met = walker.walk(path.to_anchor)
        group, known = walker.walk(chain)
        latest = Links.of(who, group, np.maximum(met, known), _rows_of(task, task.entity_table),
                          count)
        trails.append(_along(task, walker, "company", f" {path.to_anchor}",
                             Path(chain, path.to_destination), latest.latest))
    return trails


def _along(task: Task, walker: Walker, kind: Kind, name: str, path: Path,
           anchors: Anchors) -> Trail:
    anchor, destination, time = walker.events(path)
    links = Links.of(anchor, destination, time, _rows_of(task, path.to_anchor.end),
                     _rows_of(task, task.destination_table))
    return Trail(kind, f"{kind}{name} {path}", links, anchors)


def _by_labels(task: Task, walker: Walker, lag: int, kind: Kind, name: str, anchors: Anchors,
               count: int) -> Trail:
    """Links of label rows of every split: under `rolling` a past test label is a fact, and the
    effective time alone decides what is past.

    They are dated when their outcome was known, and later by the lag that test rows suffer.
    """
    labels = task.told
    row, destination = labels.target.pairs()
    links = _links(task, walker, anchors(labels.rows, labels.times)[row], destination,
                   labels.times[row] + task.timedelta + lag, count)
    return Trail(kind, f"{kind}{name} {LABELS}", links, anchors)


def label_lag(task: Task) -> int:
    """How long before the first test row no outcome of a label became known any more, microseconds.

    Label tables often have one validation date and one test date, years apart, while training
    dates follow each other closely. A ranker that was fitted on the freshest labels would look for
    them in vain at test; so every seed learns of labels as late as test rows do. The rows of an
    autocomplete task have no such gap: each one's label is a fact at once.
    """
    first = int(task.test.times.min())
    outcomes = task.known.times + task.timedelta
    past = outcomes[outcomes < first]
    if task.autocomplete or not len(past):
        return 0
    return max(first - int(past.max()) - 1, 0)


def _links(task: Task, walker: Walker, anchor: np.ndarray, destination: np.ndarray,
           time: np.ndarray, count: int) -> Links:
    exists = at(walker.times(task.destination_table), destination, NEVER)
    return Links.of(anchor, destination, np.maximum(time, exists), count,
                    _rows_of(task, task.destination_table))


def _named_by_source(task: Task, walker: Walker, chain: Chain) -> Anchors:
    rows, passed = walker.walk(chain, first=False)
    own = np.full(len(rows), TIMELESS) if task.autocomplete else walker.times(chain.table)
    known = np.maximum(own, passed)

    def anchors(row: np.ndarray, before: np.ndarray) -> np.ndarray:
        return np.where(known[row] < before, rows[row], NO_ROW)
    return anchors


def _itself(rows: np.ndarray, before: np.ndarray) -> np.ndarray:
    return rows


def _all_in_one(rows: np.ndarray, before: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), dtype=np.int64)


def _rows_of(task: Task, table: str) -> int:
    return task.database.num_rows(table)
