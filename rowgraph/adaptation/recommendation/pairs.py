"""What is known about a seed and a candidate as of the seed: one row of numbers for each pair.

Legend: Q seeds, P pairs, W windows, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rowgraph.adaptation.recommendation.trails import Trail
from rowgraph.adaptation.recommendation.windows import Windows
from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Destinations

Form = Literal["count", "share", "rank", "age"]


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """Features of the candidates of some seeds.

    Args:
        candidates: of each seed.
        values: float32 [P, F], pairs in the order of `candidates.pairs()`; counts and ages are
            log(1 + x); NaN where there is nothing to tell (no link, no time).
        names: of the features.
        forms: what each of them is.
    """

    candidates: Destinations
    values: np.ndarray
    names: tuple[str, ...]
    forms: tuple[Form, ...]

    def take(self, index: np.ndarray) -> PairFeatures:
        """Those of the seeds at these positions."""
        return PairFeatures(self.candidates[index], self.values[self.pairs_of(index)], self.names,
                            self.forms)

    def pairs_of(self, index: np.ndarray) -> np.ndarray:
        """int64: positions of the pairs of the seeds at these positions, seed by seed."""
        counts = self.candidates.counts[index]
        starts = np.repeat(self.candidates.indptr[:-1][index], counts)
        return starts + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)

    def relevance(self, target: Destinations) -> np.ndarray:
        """bool [P]: the pair came true."""
        return relevance(self.candidates, target)

    def smooth(self) -> np.ndarray:
        """float32 [P, F] for a network: nothing missing, and near the seed or the top is large.

        Ages become 1 / (1 + age) and ranks 1 / (1 + rank); what is missing is infinitely long
        ago.
        """
        values = self.values.copy()
        ages = [i for i, form in enumerate(self.forms) if form == "age"]
        ranks = [i for i, form in enumerate(self.forms) if form == "rank"]
        values[:, ages] = np.exp(-np.nan_to_num(values[:, ages], nan=np.inf))
        values[:, ranks] = 1 / (1 + values[:, ranks])
        return values


def relevance(candidates: Destinations, target: Destinations) -> np.ndarray:
    """bool [P]: which candidates of each seed came true for it."""
    width = 1 + max(candidates.rows.max(initial=0), target.rows.max(initial=0))
    seed, row = candidates.pairs()
    true_seed, true_row = target.pairs()
    return np.isin(seed * width + row, true_seed * width + true_row)


def pair_features(trails: Sequence[Trail], windows: Windows, view: View,
                  candidates: Destinations, exists: np.ndarray) -> PairFeatures:
    """Counts, shares, ages and ranks of every candidate along every trail.

    Args:
        exists: int64 [destinations], their own times.
    """
    seed, row = candidates.pairs()
    before = view.before[seed]
    begin, end = windows.bounds(view.labels.times, view.before)
    width = (len(windows) + 8) * len(trails) + 2
    values = np.empty((len(seed), width), dtype=np.float32)
    names: list[str] = []
    forms: list[Form] = []

    def add(name: str, form: Form, column: np.ndarray) -> None:
        values[:, len(names)] = np.log1p(column) if form in ("count", "age") else column
        names.append(name)
        forms.append(form)

    for trail in trails:
        anchor = trail.anchors(view.labels.rows, view.before)
        counts, first, last = trail.links.about(anchor, begin, end, seed, row)
        for w, window in enumerate(windows.names):
            name = f"{trail.name}, {window}"
            add(f"{name}: count", "count", counts[:, w])
            if w < 2:
                total = trail.links.totals(anchor, begin[:, w], end[:, w])[seed]
                add(f"{name}: share", "share", counts[:, w] / np.maximum(total, 1))
                add(f"{name}: rank", "rank", _rank(candidates, counts[:, w]))
        age, since = _age(last, before, windows), _age(first, before, windows)
        add(f"{trail.name}: age of the newest", "age", age)
        add(f"{trail.name}: age of the first", "age", since)
        add(f"{trail.name}: rank of the newest", "rank",
            _rank(candidates, np.nan_to_num(-age, nan=-np.inf)))
        gap = (since - age) / np.maximum(counts[:, 0] - 1, 1)
        add(f"{trail.name}: age in usual gaps", "age",
            np.divide(age, gap, out=np.full(len(age), np.nan), where=gap > 0))
    add("age of the destination", "age", _age(exists[row], before, windows))
    add("candidates", "count", candidates.counts[seed])
    return PairFeatures(candidates, values[:, :len(names)], tuple(names), tuple(forms))


def _age(time: np.ndarray, before: np.ndarray, windows: Windows) -> np.ndarray:
    """In horizons; NaN where there is no time."""
    known = (time != NEVER) & (time != TIMELESS) & (time < before)
    return np.where(known, (before - np.where(known, time, 0)) / windows.horizon, np.nan)


def _rank(candidates: Destinations, value: np.ndarray) -> np.ndarray:
    """How many candidates of the same seed have a higher value."""
    seed, _ = candidates.pairs()
    order = np.lexsort((-value, seed))
    sorted_seed, sorted_value = seed[order], value[order]
    new = np.diff(sorted_seed, prepend=-1).astype(bool)
    new[1:] |= sorted_value[1:] != sorted_value[:-1]
    place = np.arange(len(order)) - candidates.indptr[:-1][sorted_seed]
    rank = np.empty(len(order))
    rank[order] = place[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return rank
