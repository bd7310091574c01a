"""What was known, at each seed, of the labels of its entity and of all entities.

A label at time t is the outcome in (t, t + timedelta]. It is computed from rows dated up to
t + timedelta, so a seed knows it only if such rows are visible: t + timedelta < before. The labels
of every split count (under `rolling` a past test label is a fact of the visible database); the
effective time alone decides. A row never knows its own label.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rowgraph.cells.columns import DAY
from rowgraph.features.candidates import Described
from rowgraph.features.events import Events, Seeds
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.windows import COUNT, SUM, faded_means, look_back, summaries
from rowgraph.tasks.label_tables import Destinations, Task

OWN, ALL = "own labels", "all labels"  # as paths
DATES = (1, 3, 10)  # newest dates of labels over which the population's mean is taken
MAX_CLASSES = 10  # classes of a multiclass task that have features of their own


def known_labels(task: Task) -> Events:
    """The labels of every entity as events, dated when they were known.

    Returns:
        Events of the entity table's rows; their rows are positions in `Task.told`.
    """
    labels = task.told
    return Events.grouped(labels.rows, labels.times + task.timedelta, np.arange(len(labels)),
                          task.database.num_rows(task.entity_table))


def past_mean(task: Task, rows: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The mean of each entity's own labels that are known to the seed; NaN without any.

    Args:
        task: its targets are numbers.
        rows: int64 [n], entity rows of the seeds.
        before: int64 [n], their effective times.

    Returns:
        float64 [n].
    """
    events = known_labels(task)
    target = task.told.target[events.rows]
    looks = look_back(events.indptr, events.times, rows, before, (), ())
    return _mean(summaries(events.indptr, target, looks)[:, 0])


def history_of(task: Task, seeds: Seeds,
               settings: WindowFeaturesSettings) -> Iterator[tuple[Described, np.ndarray]]:
    """The features of label history, one by one.

    Nothing for autocomplete: a row has one label, and it is asked for.

    Yields:
        Its description and float64 [n].
    """
    if task.autocomplete or not settings.label_history:
        return
    events = known_labels(task)
    lasts = tuple(sorted({1, *settings.lasts}))
    horizons = {max(int(m * task.timedelta), 1): m for m in sorted(settings.horizons)}
    looks = look_back(events.indptr, events.times, seeds.rows, seeds.before, lasts,
                      tuple(horizons))
    there = looks.end > looks.begin
    newest = np.maximum(looks.end - 1, 0)
    yield Described(OWN, "", "count", "", "count"), looks.sizes[:, -1].astype(float)
    age = np.full(len(seeds), np.nan)
    age[there] = (seeds.before[there] - events.times[newest[there]]) / DAY
    yield Described(OWN, "", "age of the last", "", "age"), age
    windows = ["" if k == 1 else f"of last {k}" for k in lasts]
    windows += [f"over {m:g} horizon{'s' if m != 1 else ''}" for m in horizons.values()] + [""]
    for label, target in _targets(task).items():
        values = target[events.rows]
        found = summaries(events.indptr, values, looks)
        for w, window in enumerate(windows):
            aggregate = "last" if w == 0 else "mean"
            yield Described(OWN, label, aggregate, window, "label"), _mean(found[:, w])
        for half in settings.half_lives:
            faded = faded_means(events.indptr, events.times, values, float(half * task.timedelta))
            mean = np.full(len(seeds), np.nan)
            mean[there] = faded[newest[there]]
            yield Described(OWN, label, "weighted mean", f"with half-life {half:g} horizons",
                            "label"), mean
        for dates in DATES:
            window = "of the newest date" if dates == 1 else f"of the newest {dates} dates"
            yield (Described(ALL, label, "mean", window, "label"),
                   _population(events.times, values, seeds.before, dates))


def _targets(task: Task) -> dict[str, np.ndarray]:
    """float64 [labels] of `Task.told`, by what they are."""
    target = task.told.target
    if isinstance(target, Destinations):
        return {"links": target.counts.astype(np.float64)}
    if task.task_type == "multiclass_classification":
        counts = np.bincount(task.train.target.astype(int), minlength=len(task.classes))
        often = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
        return {f"is {task.classes[c]}": (target == c).astype(np.float64) for c in often}
    return {"": target.astype(np.float64)}


def _mean(found: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(found[:, COUNT] > 0, found[:, SUM] / found[:, COUNT], np.nan)


def _population(times: np.ndarray, values: np.ndarray, before: np.ndarray,
                dates: int) -> np.ndarray:
    """float64 [n]: the mean label of everyone over the newest dates on which labels were known."""
    if not len(times):
        return np.full(len(before), np.nan)
    moments, at = np.unique(times, return_inverse=True)
    sums = np.bincount(at, values, len(moments))
    counts = np.bincount(at, minlength=len(moments)).astype(np.float64)
    end = np.searchsorted(moments, before)  # moments strictly before
    total, count = np.zeros(len(before)), np.zeros(len(before))
    for step in range(1, dates + 1):
        there = end >= step
        total[there] += sums[end[there] - step]
        count[there] += counts[end[there] - step]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

