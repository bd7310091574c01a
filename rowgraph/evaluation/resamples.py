"""What is drawn again to learn how far a figure may move: dates, and trainings.

Shapes: N test rows, K clusters, B resamples, R runs.

Label rows of one date share the weather, so dates are drawn, each with all its rows; where there
are too few dates to draw from, entities are (docs/decisions/statistics.md). Trainings are drawn
besides: the language models where there are several, each with all its seeds, else the seeds.
Of n things n - 1 are drawn with replacement (Rao and Wu 1988), which makes the variance of a mean
right even for two of them. Everything about a task shares its resamples, so that differences
between variants are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.predictions import Run

DAY = 86_400_000_000
MOST_CLUSTERS = 1_000  # more are dealt into so many groups, which are drawn


@dataclass(frozen=True, eq=False)
class Resamples:
    """The resamples of one split of a task.

    Args:
        cluster_N: int64, the cluster of each label row.
        clusters: their number K.
        words: what the label rows are, and what is drawn of them.
        bootstrap: how many resamples.
        purpose: what the draws are for; they depend on this alone.
    """

    cluster_N: np.ndarray
    clusters: int
    words: str
    bootstrap: int
    purpose: tuple[str, ...]

    @classmethod
    def of(cls, task: Task, bootstrap: int, fewest_dates: int) -> Resamples:
        """Those of the test rows.

        Args:
            fewest_dates: with fewer dates entities are drawn instead.
        """
        cluster_N, words = clusters_of(task.test, fewest_dates)
        clusters = int(cluster_N.max()) + 1
        purpose = (task.database.name, task.name)
        if clusters > MOST_CLUSTERS:
            deal = generator("clusters", *purpose).permutation(clusters) % MOST_CLUSTERS
            cluster_N, clusters = deal[cluster_N], MOST_CLUSTERS
            words = f"{words}, dealt into {MOST_CLUSTERS:,} groups"
        return cls(cluster_N, clusters, words, bootstrap, purpose)

    @cached_property
    def counts_BK(self) -> np.ndarray:
        """float64: how often each resample draws each cluster."""
        return _draws(self.clusters, self.bootstrap, "bootstrap", *self.purpose)

    def of_runs(self, runs: Sequence[Run]) -> np.ndarray:
        """float64 [B, R]: how much each run counts in each resample; each row sums to 1.

        Equal trainings (seeds, or language models) are drawn equally for every variant.
        """
        names, unit_R = trainings(runs)
        counts = _draws(len(names), self.bootstrap, "bootstrap trainings", *self.purpose, names)
        weights = counts[:, unit_R] * shares(unit_R)
        return weights / weights.sum(1, keepdims=True)


def trainings(runs: Sequence[Run]) -> tuple[list[str], np.ndarray]:
    """What is drawn of the runs of a variant: their language models if several, else their seeds.

    A language model is drawn with all its seeds: what differs between seeds is part of what
    differs between language models, and would be counted twice if it were drawn again.

    Returns:
        Names, ascending, and int64 [R], the place among them of each run.
    """
    several = len({run.bart for run in runs}) > 1
    names, unit_R = np.unique([f"bart {run.bart}" if several else f"seed {run.seed}"
                               for run in runs], return_inverse=True)
    return names.tolist(), unit_R


def shares(unit_R: np.ndarray) -> np.ndarray:
    """float64 [R], summing to 1: every training counts alike, and so does every run within it."""
    sizes = np.bincount(unit_R)
    return 1 / (len(sizes) * sizes[unit_R])


def say_runs(runs: Sequence[Run]) -> str:
    """How many trainings an interval holds, in words."""
    seeds, barts = len({run.seed for run in runs}), len({run.bart for run in runs})
    said = f"{seeds} seed{'s' * (seeds != 1)}"
    return said if barts == 1 else f"{said} of each of {barts} BARTs"


def clusters_of(labels: LabelTable, fewest_dates: int) -> tuple[np.ndarray, str]:
    """Which label rows are drawn together, and what they are in words.

    Returns:
        int64 [N] from 0, dates in order; and for example "702 rows on 29 dates", or
        "120 rows on 1 date: rows drawn instead".
    """
    dates, date_N = np.unique(labels.times // DAY, return_inverse=True)
    words = (f"{len(labels):,} row{'s' * (len(labels) != 1)} on "
             f"{len(dates):,} date{'s' * (len(dates) != 1)}")
    if len(dates) >= fewest_dates:
        return date_N, words
    entities, entity_N = np.unique(labels.rows, return_inverse=True)
    if fewest_dates <= len(entities) < len(labels):
        return entity_N, f"{words}: {len(entities):,} entities drawn instead"
    return np.arange(len(labels)), f"{words}: rows drawn instead"


def _draws(count: int, draws: int, *parts: object) -> np.ndarray:
    """float64 [draws, count]: how often each is drawn when all but one (at least one) are."""
    chances = np.full(count, 1 / count)
    return generator(*parts).multinomial(max(count - 1, 1), chances, draws).astype(np.float64)
