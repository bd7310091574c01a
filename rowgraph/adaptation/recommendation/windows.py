"""Spans of time in which links are counted, scaled to the task, and the season of a year ago."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rowgraph.databases.database import TIMELESS
from rowgraph.tasks.label_tables import Task

YEAR = round(365.2425 * 86_400e6)  # microseconds
MULTIPLES = (1, 4, 16)  # of the horizon
SHARE = 128  # of a task without a horizon: the span of its labels is divided by it
SEASONS = 2  # years back


@dataclass(frozen=True)
class Windows:
    """The windows of a task; the first is everything before the seed.

    Args:
        horizon: microseconds that a label looks ahead; of a task whose label is of its own
            moment a share of the time that training labels span.
        spans: microseconds, of the windows that end at the seed.
        seasons: years back of the windows that hold what followed a year ago.
    """

    horizon: int
    spans: tuple[int, ...]
    seasons: tuple[int, ...]

    @classmethod
    def of(cls, task: Task) -> Windows:
        """From the task's horizon and the times of its training labels."""
        reach = int(task.train.times.max() - task.train.times.min())
        horizon = task.timedelta or max(reach // SHARE, 1)
        spans = tuple(m * horizon for m in MULTIPLES if m * horizon < max(reach, horizon + 1))
        seasons = range(1, SEASONS + 1) if horizon < YEAR else ()
        return cls(horizon, spans, tuple(s for s in seasons if s * YEAR < reach))

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of `bounds`."""
        return ("all", *(f"last {s // self.horizon} horizons" for s in self.spans),
                *(f"season {s} years ago" for s in self.seasons))

    def __len__(self) -> int:
        return 1 + len(self.spans) + len(self.seasons)

    def bounds(self, times: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 [Q, W] each: where the windows of each seed begin (inclusive) and end (exclusive).

        A season is what follows the seed's own time, years earlier. No window reaches `before`.
        """
        begin = [np.full_like(before, TIMELESS), *(before - s for s in self.spans)]
        end = [before] * len(begin)
        for years in self.seasons:
            begin.append(times - years * YEAR + 1)
            end.append(np.minimum(times - years * YEAR + self.horizon + 1, before))
        return np.stack(begin, axis=1), np.stack(end, axis=1)
