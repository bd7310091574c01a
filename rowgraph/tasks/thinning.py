"""A task of which only some labels are known: who was asked has not changed, what came true has.

With few labels there are few to fit on, few to choose by, and little of an entity's own past
answers to see. So training and validation labels are thinned alike, and so are the test labels that
become known to later seeds under `rolling`. Test rows are all asked.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.settings import LabelSettings

FEWEST = 16  # labels of a split: with fewer nothing can be fitted or chosen
EACH = 2  # labels of the second most frequent class


def thinned(task: Task, settings: LabelSettings) -> Task:
    """The task with a share of its labels; the same task where the share is 1.

    Of one draw a smaller share is a part of a larger one. At least `FEWEST` labels stay in training
    and in validation, or all, and of a classification as many more as give the second most
    frequent class `EACH`.
    """
    share = settings.label_share
    if share >= 1:
        return task
    train, val = (labels.take(_kept(task, name, labels, settings, FEWEST))
                  for name, labels in (("train", task.train), ("val", task.val)))
    told = _kept(task, "test", task.test, settings, 0)
    return dataclasses.replace(task, train=train, val=val, whole=task, told_test=told)


def _kept(task: Task, split: str, labels: LabelTable, settings: LabelSettings,
          fewest: int) -> np.ndarray:
    """int64, ascending: the positions that stay."""
    count = max(min(fewest, len(labels)), round(settings.label_share * len(labels)))
    order = generator("labels", task.database.name, task.name, split,
                      settings.label_draw).permutation(len(labels))
    if fewest and task.task_type.endswith("classification"):
        classes = np.unique(labels.numbers[order], return_inverse=True)[1]
        seen = np.cumsum(classes[:, None] == np.arange(classes.max() + 1), axis=0)
        second = np.sort(seen, axis=1)[:, -2] if seen.shape[1] > 1 else np.zeros(len(labels), int)
        count = max(count, int(np.searchsorted(second, EACH)) + 1)
    return np.sort(order[:count])
