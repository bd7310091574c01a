"""Lists of destinations along one trail: most often linked in a window, or most recently."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.links import RECENCY
from rowgraph.adaptation.recommendation.trails import Kind, Trail
from rowgraph.tasks.folds import View
from rowgraph.tasks.kinds import NO_ROW


class PastList(NamedTuple):
    """One trail, one window, one order; filled up with what is popular, or not."""

    trail: Trail
    window: int
    order: int
    filled: bool = False

    def of(self, evidence: Evidence, view: View, count: int) -> np.ndarray:
        """int64 [n, count]: the best destinations of each label row, padded with -1; without what
        would fill them up."""
        begin, end = evidence.windows.bounds(view.labels.times, view.before)
        anchors = self.trail.anchors(view.labels.rows, view.before)
        return self.trail.links.top(anchors, begin[:, self.window], end[:, self.window], count,
                                    self.order)


def lists_along(evidence: Evidence, kind: Kind, order: int) -> dict[str, PastList]:
    """Every list along trails of a kind, by what it is called.

    Args:
        order: `COUNT`, one for each window, or `RECENCY`.
    """
    windows, trails = evidence.windows, [t for t in evidence.trails if t.kind == kind]
    if order == RECENCY:
        return {f"{t.name}, newest": PastList(t, 0, order) for t in trails}
    return {f"{t.name}, {windows.names[w]}": PastList(t, w, order)
            for t in trails for w in range(len(windows))}


def filled_up(found: np.ndarray, popular: np.ndarray) -> np.ndarray:
    """Rows of `found`, and then those of `popular` that are not among them.

    Args:
        found, popular: int64 [n, k], padded with -1.

    Returns:
        int64 [n, k].
    """
    width = found.shape[1]
    known = (popular[:, :, None] == found[:, None, :]).any(2)
    both = np.concatenate([found, np.where(known, NO_ROW, popular)], axis=1)
    order = np.argsort(both == NO_ROW, axis=1, kind="stable")
    return np.take_along_axis(both, order, axis=1)[:, :width]
