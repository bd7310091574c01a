"""Baselines of recommendation tasks: popularity, past links, and a ranker over pair features.

- `popularity`: what everybody linked most, along one trail and in one window.
- `past_links_frequent`, `past_links_recent`: what the source row itself linked, most often in one
  window or most recently; nothing else, so that lists may be short.
- `past_links`: either of them, filled up with what is popular.
- `data_scientist`: LightGBM over what is known about a seed and each candidate
  (`rowgraph.adaptation.recommendation.pairs`), without any vector.

Trail, window, order, shape and trees are chosen on folds (docs/decisions/recommendation.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.exams import Exam, Exams
from rowgraph.adaptation.recommendation.links import COUNT, RECENCY
from rowgraph.adaptation.recommendation.lists import PastList, filled_up, lists_along
from rowgraph.adaptation.recommendation.ranking import SHAPES, best_first, fit_ranker
from rowgraph.artifacts import Draft
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.progress import Log
from rowgraph.randomness import stable_seed
from rowgraph.tasks.choosing import Chosen, Score, choice_table, choose
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run, write_predictions
from rowgraph.tasks.regimes import Regime

TREES = (10, 20, 40, 80)  # at which a ranker is scored


@dataclass(frozen=True, eq=False)
class Recommended:
    """What the baselines of a task gave.

    Args:
        predictions: by run and split.
        scores: of everything that was tried on folds.
        chosen: by variant and regime.
    """

    predictions: dict[Run, dict[str, np.ndarray]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    chosen: dict[str, dict[Regime, Chosen]] = field(default_factory=dict)


def run_recommendation_baselines(task: Task, settings: BaselineMetricsSettings, draft: Draft, *,
                                 log: Log) -> dict[str, Any]:
    """Choose on folds and predict with every baseline.

    Args:
        task: of type recommendation.
        settings: as in `recommendation_predictions`.
        draft: gets `predictions.parquet` and `choices.parquet`.
        log: called with the validation metric of each run.

    Returns:
        The summary: metric, numbers of label rows, names of folds; by regime and variant
        `chosen`, `validation` and `results` (means of the metric over seeds).
    """
    found = recommendation_predictions(task, settings)
    values = {split: {run: measure(task.primary, task.labels(split).target, splits[split],
                                   task.train.target)
                      for run, splits in found.predictions.items()} for split in ("val", "test")}
    for step, (run, value) in enumerate(values["val"].items()):
        log(step, {f"{run.regime}/{run.variant}/val_{task.primary}": value})
    write_predictions(task, found.predictions, draft.path("predictions.parquet"))
    choice_table(found.scores, found.chosen).write_parquet(draft.path("choices.parquet"))
    return {"metric": task.primary, "n_train": len(task.train), "n_val": len(task.val),
            "n_test": len(task.test),
            "folds": list(dict.fromkeys(score.fold for score in found.scores)),
            "chosen": {regime: {name: {"candidate": by[regime].candidate, "step": by[regime].step}
                                for name, by in found.chosen.items()}
                       for regime in settings.regimes},
            "validation": _means(values["val"]), "results": _means(values["test"])}


def recommendation_predictions(task: Task, settings: BaselineMetricsSettings) -> Recommended:
    """Every baseline's recommendations for validation and test.

    Validation is answered by what was fitted on train alone, test by the final fit. A source row
    without any path to a past of its own (the row of an autocomplete task) has no `past_links`.

    Args:
        task: of type recommendation.
        settings: regimes, folds, final fit, and seeds (of the ranker; the others have none).

    Raises:
        ValueError: the task is of another kind, or nothing can be chosen on folds.
    """
    bench = _Bench(task, settings)
    bench.lists()
    bench.rankers()
    return bench.found


class _Bench:
    """The baselines of one task on their way."""

    def __init__(self, task: Task, settings: BaselineMetricsSettings):
        self.task, self.settings = task, settings
        self.evidence = Evidence(task)
        self.exams = Exams(task, settings)
        self.found = Recommended()

    def lists(self) -> None:
        """`popularity` and what is made of past links."""
        own = tuple(lists_along(self.evidence, "own", order) for order in (COUNT, RECENCY))
        popular = lists_along(self.evidence, "everyone", COUNT)
        self._try("popularity", popular)
        self._try("past_links_frequent", own[0])
        self._try("past_links_recent", own[1])
        self._try("past_links", {
            f"{name}, then popularity": one._replace(filled=True)
            for some in own for name, one in some.items()})

    def rankers(self) -> None:
        """`data_scientist`."""
        name, scores = "data_scientist", []
        first = self.settings.seeds[0]
        for exam in self.exams.folds:
            for shape in SHAPES:
                for regimes in self.exams.alike():
                    for (regime, step), answer in self._ranked(exam, shape, regimes, TREES,
                                                               first).items():
                        scores.append(self._score(name, shape, step, exam, regime, answer))
        chosen = self._choose(name, scores)
        for seed in self.settings.seeds:
            for split, exam in (("val", self.exams.folds[-1]), ("test", self.exams.test)):
                for regimes in self.exams.alike():
                    for shape in SHAPES:
                        mine = tuple(r for r in regimes if chosen[r].candidate == shape)
                        steps = sorted({chosen[r].step for r in mine})
                        answers = self._ranked(exam, shape, mine, steps, seed) if mine else {}
                        for regime in mine:
                            self._note(Run(regime, name, seed), split,
                                       answers[regime, chosen[regime].step])

    def _try(self, name: str, options: Mapping[str, PastList]) -> None:
        """Choose one of some lists on folds, and answer with it."""
        if not options:
            return
        scores = [self._score(name, label, 0, exam, regime, answer)
                  for exam in self.exams.folds for label, one in options.items()
                  for regime, answer in self._each(exam, {r: one for r in self.exams.regimes})]
        chosen = self._choose(name, scores)
        for split, exam in (("val", self.exams.folds[-1]), ("test", self.exams.test)):
            picked = {regime: options[one.candidate] for regime, one in chosen.items()}
            for regime, answer in self._each(exam, picked):
                self._note(Run(regime, name, 0), split, answer)

    def _each(self, exam: Exam, lists: Mapping[Regime, PastList],
              ) -> Iterable[tuple[Regime, np.ndarray]]:
        """What a list says to an exam under each regime; once where they see the same."""
        said: dict[tuple[int, PastList, int], np.ndarray] = {}
        for regime, one in lists.items():
            view, popular = exam.asked[regime], self._popular(regime) if one.filled else None
            key = id(view), one, id(popular)
            if key not in said:
                said[key] = one.of(self.evidence, view, self.task.eval_k)
                if popular is not None:
                    said[key] = filled_up(said[key], popular.of(self.evidence, view,
                                                                self.task.eval_k))
            yield regime, said[key]

    def _popular(self, regime: Regime) -> PastList | None:
        """The popularity that was chosen."""
        chosen = self.found.chosen.get("popularity")
        return chosen and lists_along(self.evidence, "everyone", COUNT)[chosen[regime].candidate]

    def _ranked(self, exam: Exam, shape: str, regimes: tuple[Regime, ...],
                steps: Iterable[int], seed: int) -> dict[tuple[Regime, int], np.ndarray]:
        """Fit a ranker and ask it after some numbers of trees."""
        task, steps = self.task, list(steps)
        pairs = self.exams.fitted_pairs(self.evidence, exam, regimes[0])
        ranker = fit_ranker(pairs, task.known.target[exam.fit], shape, steps[-1],
                            stable_seed("baseline_metrics", task.database.name, task.name,
                                        seed) % 2**31)
        found, of_view = {}, {}
        for regime in regimes:
            view = exam.asked[regime]
            if id(view) not in of_view:
                blocks = [[best_first(pairs.candidates, score, task.eval_k)
                           for score in ranker.scores(pairs, steps)]
                          for _, pairs in self.evidence.blocks(view)]
                of_view[id(view)] = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
            found |= {(regime, step): answer
                      for step, answer in zip(steps, of_view[id(view)], strict=True)}
        return found

    def _score(self, name: str, candidate: str, step: int, exam: Exam, regime: Regime,
               answer: np.ndarray) -> Score:
        task, target = self.task, exam.asked[regime].labels.target
        return Score(name, candidate, step, exam.name, regime, task.primary,
                     measure(task.primary, target[exam.scored], answer[exam.scored],
                             task.train.target))

    def _choose(self, name: str, scores: list[Score]) -> dict[Regime, Chosen]:
        self.found.scores.extend(scores)
        self.found.chosen[name] = choose(scores, higher_is_better=self.task.higher_is_better)
        return self.found.chosen[name]

    def _note(self, run: Run, split: str, answer: np.ndarray) -> None:
        self.found.predictions.setdefault(run, {})[split] = answer


def _means(values: Mapping[Run, float]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for run, value in values.items():
        found.setdefault(run.regime, {}).setdefault(run.variant, []).append(value)
    return {regime: {name: float(np.mean(some)) for name, some in by.items()}
            for regime, by in found.items()}
