"""The parts that answer a recommendation: each scores the candidates of a seed.

- `untrained`, `own_past`, `pretrained`: a softmax over candidates, linear in the destination's
  vector and its product with the source's, averaged over encoders. On folds: the penalty, and
  whether the pair's own past stands beside.
- `windows`: the same on the pair's own past alone.
- `trees`: LightGBM on the pair's own past. On folds: size, number of trees.
- `history`: past links, then popularity. On folds: trail, window, order.

Shapes: n seeds, G pairs of a seed and a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rowgraph.adaptation.hybrid.both_ends import BothEnds
from rowgraph.adaptation.hybrid.listwise import PENALTIES, ListwisePath, fit_listwise
from rowgraph.adaptation.recommendation.candidates import DEPTH
from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.exams import Exam, Exams
from rowgraph.adaptation.recommendation.links import COUNT, RECENCY
from rowgraph.adaptation.recommendation.lists import PastList, filled_up, lists_along
from rowgraph.adaptation.recommendation.pairs import PairFeatures
from rowgraph.adaptation.recommendation.ranking import SHAPES, Ranker, fit_ranker, standardised
from rowgraph.randomness import stable_seed, uniform_of_rows
from rowgraph.tasks.folds import View
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import Destinations
from rowgraph.tasks.regimes import Regime

NEGATIVES = 20  # candidates that did not come true, drawn for each of them
TREES = (10, 20, 40, 80)  # at which a ranker is scored
VECTORS, AND_PAIRS = "vectors", "vectors and the pair's past"


class FittedPairs(Protocol):
    """A part that was fitted."""

    def scores(self, view: View, at: np.ndarray, pairs: PairFeatures,
               steps: Sequence[int]) -> list[np.ndarray]:
        """float [G] at each of these ascending steps: the pairs of the seeds `at` of a view."""


class PairModel(Protocol):
    """A part that may be fitted.

    Args:
        name: of the part.
        drawn: what it answers depends on the seed.
        steps: ascending, at which it is scored.
    """

    name: str
    drawn: bool
    steps: tuple[int, ...]

    def candidates(self) -> list[str]:
        """What is tried."""

    def fit(self, candidate: str, exam: Exam, regime: Regime, seed: int) -> FittedPairs:
        """Fit on the exam's rows."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Pairs that linear parts are fitted on.

    Args:
        view: the seeds that are fitted on.
        past: float32 [G, F], what is known of the pairs.
        seed, row: int64 [G].
        true: bool [G].
    """

    view: View
    past: np.ndarray
    seed: np.ndarray
    row: np.ndarray
    true: np.ndarray

    @classmethod
    def of(cls, view: View, pairs: PairFeatures, target: Destinations) -> Shown:
        """All that came true, and of each seed's other candidates a few. Seeds none of whose
        candidates came true teach nothing about order."""
        seed, row = pairs.candidates.pairs()
        true = pairs.relevance(target)
        some = np.bincount(seed[true], minlength=len(target)) > 0
        luck = uniform_of_rows(np.arange(len(seed)), "rowgraph_metrics", "negatives")
        drawn = luck * pairs.candidates.counts[seed] < NEGATIVES
        kept = np.flatnonzero(some[seed] & (true | drawn))
        return cls(view, pairs.smooth()[kept], seed[kept], row[kept], true[kept])


@dataclass(frozen=True, eq=False)
class Basis:
    """What all parts stand on.

    Args:
        exams: without test labels.
    """

    evidence: Evidence
    exams: Exams
    _shown: dict[str, Shown] = field(default_factory=dict)

    def shown(self, exam: Exam, regime: Regime) -> Shown:
        """The pairs that linear parts of an exam are fitted on."""
        view = self.exams.fitted(exam, regime)
        if view.name not in self._shown:
            self._shown[view.name] = Shown.of(
                view, self.exams.fitted_pairs(self.evidence, exam, regime), view.labels.target)
        return self._shown[view.name]


@dataclass(frozen=True, eq=False)
class LinearOnPairs:
    """`windows`, or with encoders `untrained`, `own_past`, `pretrained`.

    Args:
        kind: of the encoders; None: no vectors.
        encoders: how many of them.
    """

    basis: Basis
    name: str
    ends: BothEnds | None = None
    kind: str = ""
    encoders: int = 1
    drawn: bool = False
    steps: tuple[int, ...] = tuple(range(len(PENALTIES)))

    def candidates(self) -> list[str]:
        """With and without the pair's own past beside the vectors."""
        return ["the pair's past"] if self.ends is None else [VECTORS, AND_PAIRS]

    def fit(self, candidate: str, exam: Exam, regime: Regime, seed: int) -> FittedLinear:
        """One path for each encoder."""
        shown = self.basis.shown(exam, regime)
        paths = [fit_listwise(self.blocks(candidate, exam, number, shown.view, shown.seed,
                                          shown.row, shown.past), shown.seed, shown.true)
                 for number in range(self.encoders)]
        return FittedLinear(self, candidate, exam, paths)

    def blocks(self, candidate: str, exam: Exam, number: int, view: View, seed: np.ndarray,
               row: np.ndarray, past: np.ndarray) -> list[np.ndarray]:
        """float32 [G, width] each, of pairs.

        Args:
            past: float32 [G, F], what is known of the pairs.
        """
        if self.ends is None:
            return [past]
        there = self.ends.destinations(self.kind, exam, number, view, seed, row)
        here = self.ends.sources(self.kind, exam, number, view)
        found = [there, here[seed] * there]
        return [*found, past] if candidate == AND_PAIRS else found


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """A path for each encoder."""

    model: LinearOnPairs
    candidate: str
    exam: Exam
    paths: list[ListwisePath]

    def scores(self, view: View, at: np.ndarray, pairs: PairFeatures,
               steps: Sequence[int]) -> list[np.ndarray]:
        """The mean over encoders, each standardised."""
        seed, row = pairs.candidates.pairs()
        past, total = pairs.smooth(), [np.zeros(len(seed)) for _ in steps]
        for number, path in enumerate(self.paths):
            blocks = self.model.blocks(self.candidate, self.exam, number, view, at[seed], row, past)
            for k, score in enumerate(path.scores(blocks, steps)):
                total[k] += standardised(pairs.candidates, score) / len(self.paths)
        return total


@dataclass(frozen=True, eq=False)
class Trees:
    """`trees`."""

    basis: Basis
    most: int
    name: str = "trees"
    drawn: bool = True

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of trees."""
        return tuple(sorted({min(count, self.most) for count in TREES}))

    def candidates(self) -> list[str]:
        """Sizes."""
        return list(SHAPES)

    def fit(self, candidate: str, exam: Exam, regime: Regime, seed: int) -> FittedTrees:
        """Grow them all."""
        basis = self.basis
        task, fit = basis.evidence.task, basis.exams.fitted(exam, regime)
        number = stable_seed("rowgraph_metrics", task.database.name, task.name, "trees",
                             seed) % 2**31
        pairs = basis.exams.fitted_pairs(basis.evidence, exam, regime)
        return FittedTrees(fit_ranker(pairs, fit.labels.target, candidate, self.steps[-1], number))


@dataclass(frozen=True, eq=False)
class FittedTrees:
    """A ranker."""

    ranker: Ranker

    def scores(self, view: View, at: np.ndarray, pairs: PairFeatures,
               steps: Sequence[int]) -> list[np.ndarray]:
        """Log odds after so many trees."""
        return self.ranker.scores(pairs, steps)


@dataclass(frozen=True, eq=False)
class PastLists:
    """`history`, or where it finds what is popular: lists along one kind of trail; nothing is
    fitted.

    Args:
        lists: by candidate.
        popular: what fills them up; None: nothing does.
    """

    evidence: Evidence
    name: str
    lists: Mapping[str, PastList]
    popular: PastList | None = None
    drawn: bool = False
    steps: tuple[int, ...] = (0,)

    @classmethod
    def popularity(cls, evidence: Evidence) -> PastLists:
        """What everybody linked most."""
        return cls(evidence, "popularity", lists_along(evidence, "everyone", COUNT))

    @classmethod
    def history(cls, evidence: Evidence) -> PastLists:
        """What the source row itself linked."""
        return cls(evidence, "history", {name: one for order in (COUNT, RECENCY) for name, one in
                                         lists_along(evidence, "own", order).items()})

    def candidates(self) -> list[str]:
        """The lists."""
        return list(self.lists)

    def fit(self, candidate: str, exam: Exam, regime: Regime, seed: int) -> FittedList:
        """Nothing to do."""
        return FittedList(self.evidence, self.lists[candidate], self.popular)


@dataclass(frozen=True, eq=False)
class FittedList:
    """A list, filled up."""

    evidence: Evidence
    one: PastList
    popular: PastList | None

    def scores(self, view: View, at: np.ndarray, pairs: PairFeatures,
               steps: Sequence[int]) -> list[np.ndarray]:
        """The lower on the list, the lower, and lowest where a candidate is not on it."""
        asked = View(view.name, view.labels.take(at), view.before[at])
        found = self.one.of(self.evidence, asked, DEPTH)
        if self.popular is not None:
            found = filled_up(found, self.popular.of(self.evidence, asked, DEPTH))
        return [by_place(pairs.candidates, found)] * len(steps)


def by_place(candidates: Destinations, found: np.ndarray) -> np.ndarray:
    """float64 [G]: minus the logarithm of each candidate's place on its seed's list.

    Args:
        found: int64 [n, depth], best first, padded with -1.
    """
    seed, row = candidates.pairs()
    width = 1 + max(row.max(initial=0), found.max(initial=0))
    score = np.full(len(seed), -np.log1p(found.shape[1]))
    listed, place = np.nonzero(found != NO_ROW)
    pair, asked = seed * width + row, listed * width + found[listed, place]
    at = np.minimum(np.searchsorted(pair, asked), max(len(pair) - 1, 0))
    same = pair[at] == asked if len(pair) else np.zeros(len(asked), bool)
    score[at[same]] = -np.log1p(place[same])
    return score
