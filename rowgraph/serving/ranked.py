"""The saved model of a recommendation: fitted for good, and the lists that it makes.

As `fitting`, `packing` and `model` do it for classes and numbers; what differs is that a part
scores candidates of a seed, and that a list is what is asked for. Members lie in the same files.

Shapes: n asked rows, k rows of a list, G pairs of an asked row and a candidate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import polars as pl

from rowgraph.adaptation.hybrid.both_ends import BothEnds
from rowgraph.adaptation.hybrid.finetuning import Ground
from rowgraph.adaptation.hybrid.listwise import ListwisePath
from rowgraph.adaptation.hybrid.models import DRAWN
from rowgraph.adaptation.hybrid.pair_attempts import POPULARITY, PairAttempt, PairModels, each
from rowgraph.adaptation.hybrid.pair_models import (
    Basis,
    FittedLinear,
    FittedList,
    FittedTrees,
    LinearOnPairs,
    PastLists,
)
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.exams import TEST, Exam
from rowgraph.adaptation.recommendation.pairs import PairFeatures
from rowgraph.adaptation.recommendation.ranking import Ranker, best_first, standardised
from rowgraph.adaptation.recommendation.trails import label_lag
from rowgraph.progress import Log
from rowgraph.serving.packing import Packed
from rowgraph.tasks.folds import View
from rowgraph.tasks.kinds import NO_ROW
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.regimes import Regime

Add = Callable[[str, "int | None", str, "list[int]", Packed], None]


@dataclass(frozen=True, eq=False)
class Lists:
    """What a model recommends.

    Args:
        rows: int64 [n, k], rows of the destination table, best first, padded with -1.
        scores: float64 [n, k]: the blend's, in standard deviations of each row's candidates.
        by_seed: the rows by every seed alone.
    """

    rows: np.ndarray
    scores: np.ndarray
    by_seed: Mapping[int, np.ndarray]


def fit_ranked(ground: Ground, weights: Mapping[str, float], choices: pl.DataFrame,
               regime: Regime, add: Add, log: Log) -> dict[str, Any]:
    """Fit what was chosen of every part of a recommendation's blend.

    Args:
        weights: of the parts.
        choices: what folds chose under the regime: model, candidate, step.
        add: keeps a fitted part: name, seed, label, steps.
        log: called with the number of fits that are done.

    Returns:
        What serving must know besides: cut, lag of labels, names of pair features.
    """
    models, seeds = PairModels(ground), ground.settings.seeds
    chosen = {model: (label, step) for model, label, step in choices.select(
        "model", "candidate", "step").unique(maintain_order=True).iter_rows()}
    popular, _ = chosen.get(POPULARITY, (None, 0))
    drawn = {model.name: model.drawn for model in models.asked_for() if model.name in weights}
    wanted = [[PairAttempt(name, chosen[name][0], TEST, regime, seed, (chosen[name][1],), True,
                           popular)]
              for name in drawn for seed in (seeds if drawn[name] else seeds[:1])]
    for done, ((one,), packed) in enumerate(zip(wanted, each(models, _fit, wanted), strict=True)):
        add(one.part, one.seed if drawn[one.part] else None, one.candidate, list(one.steps), packed)
        log(done + 1, {"fitted": float(done + 1)}, len(wanted))
    task, exam = ground.task, models.exams.test
    first = models.evidence.pairs(View("names", task.known.take(np.arange(1)),
                                       task.known.times[:1]))
    return {"cut": exam.cut, "lag": label_lag(task), "pairs": list(first.names),
            "n_fitted": len(exam.fit)}


def _fit(models: PairModels, piece: Sequence[PairAttempt]) -> Packed:
    one, = piece
    fitted = models.of(one.part, one.filler).fit(one.candidate, models.exam(one.exam), one.regime,
                                                 one.seed)
    return _packed(fitted, one.filler)


def _packed(fitted: Any, popular: str | None) -> Packed:
    match fitted:
        case FittedLinear():
            packed = Packed({"kind": "pairs", "encoder": fitted.model.kind, "paths": len(
                fitted.paths), "blocks": len(fitted.paths[0].mean)})
            for number, path in enumerate(fitted.paths):
                packed.arrays[f"{number}.weights"] = np.stack(path.weights)
                for k, (mean, scale) in enumerate(zip(path.mean, path.scale, strict=True)):
                    packed.arrays.update({f"{number}.mean.{k}": mean, f"{number}.scale.{k}": scale})
        case FittedTrees():
            booster = fitted.ranker.booster
            packed = Packed({"kind": "ranker"}, {}, [] if booster is None else [
                booster.model_to_string()])
        case FittedList():
            packed = Packed({"kind": "list", "popular": popular})
        case _:
            raise TypeError(f"a {type(fitted).__name__} cannot be saved")
    return packed


class _Named(Evidence):
    """Evidence whose pairs have the features that a model was fitted on, in their order."""

    def __init__(self, task: Task, lag: int, names: list[str]):
        super().__init__(task, lag=lag)
        self._names = names

    def pairs(self, view: View) -> PairFeatures:
        """As `Evidence.pairs`.

        Raises:
            ValueError: the database does not offer one of them any more.
        """
        found = super().pairs(view)
        place = {name: k for k, name in enumerate(found.names)}
        if missing := [name for name in self._names if name not in place]:
            raise ValueError(f"{self.task.database.name}/{self.task.name}: the model reads "
                             f"'{missing[0]}' and {len(missing) - 1} more facts of a pair that the "
                             "database does not offer any more; restore the table, or train anew")
        at = [place[name] for name in self._names]
        return dataclasses.replace(found, values=found.values[:, at], names=tuple(self._names),
                                   forms=tuple(found.forms[k] for k in at))


def lists_of(task: Task, view: View, vectors: RowVectors, facts: Mapping[str, Any],
             members: list[Any], packed: Callable[[int], Packed]) -> Lists:
    """The lists of asked rows.

    Args:
        task: whose validation rows are all answers that are known and were not trained on.
        facts, members: of `model.json`.
        packed: reads a member's file.
    """
    evidence = _Named(task, facts["lag"], facts["pairs"])
    ends = BothEnds(task, lambda: vectors)
    exam = Exam(TEST, facts["cut"], np.empty(0, np.int64), {}, np.empty(0, np.int64))
    fitted = {m.file: _unpacked(packed(m.file), m.label, evidence, ends, exam) for m in members}
    seeds, rows, scores = facts["seeds"], [], []
    by_seed: dict[int, list[np.ndarray]] = {seed: [] for seed in seeds}
    for at, pairs in evidence.blocks(view):
        said = {(m.part, m.seed): standardised(pairs.candidates, fitted[m.file].scores(
            view, at, pairs, [m.step])[0]).astype(np.float32) for m in members}
        total = np.zeros(len(pairs.values))
        for seed in seeds:
            one = sum(weight * said[part, seed if part in DRAWN else None]
                      for part, weight in facts["weights"].items())
            total += one / len(seeds)
            by_seed[seed].append(best_first(pairs.candidates, one, task.eval_k))
        best = best_first(pairs.candidates, total, task.eval_k)
        rows.append(best)
        scores.append(_scores_of(pairs, total, best))
    return Lists(np.concatenate(rows), np.concatenate(scores),
                 {seed: np.concatenate(found) for seed, found in by_seed.items()})


def _unpacked(packed: Packed, label: str, evidence: Evidence, ends: BothEnds, exam: Exam) -> Any:
    facts, arrays = packed.facts, packed.arrays
    if facts["kind"] == "ranker":
        return FittedTrees(Ranker(lightgbm.Booster(model_str=packed.texts[0])
                                  if packed.texts else None))
    if facts["kind"] == "list":
        everyone = PastLists.popularity(evidence).lists
        own = PastLists.history(evidence).lists
        if label not in own or (facts["popular"] and facts["popular"] not in everyone):
            raise ValueError(f"{evidence.task.database.name}/{evidence.task.name}: the model reads "
                             f"the list '{label}', which the database does not offer any more; "
                             "restore the table, or train anew")
        return FittedList(evidence, own[label],
                          everyone[facts["popular"]] if facts["popular"] else None)
    paths = [ListwisePath(*(tuple(arrays[f"{number}.{what}.{k}"] for k in range(facts["blocks"]))
                            for what in ("mean", "scale")), tuple(arrays[f"{number}.weights"]))
             for number in range(facts["paths"])]
    model = LinearOnPairs(Basis(evidence, None), label, ends if facts["encoder"] else None,
                          facts["encoder"], len(paths))
    return FittedLinear(model, label, exam, paths)


def _scores_of(pairs: PairFeatures, total: np.ndarray, best: np.ndarray) -> np.ndarray:
    """float64 [n, k]: the scores of the rows of a list; NaN where it ends early."""
    seed, row = pairs.candidates.pairs()
    out = np.full(best.shape, np.nan)
    width = 1 + int(max(row.max(initial=0), best.max(initial=0)))
    order = np.argsort(seed * width + row, kind="stable")
    key = (seed * width + row)[order]
    at, place = np.nonzero(best != NO_ROW)
    found = np.searchsorted(key, at * width + best[at, place])
    out[at, place] = total[order][found]
    return out


def same_lists(lists: Lists, measured: Mapping[int, np.ndarray]) -> float:
    """The share of asked rows whose list is that of every seed as it was measured.

    Args:
        measured: int64 [n, k] by seed.
    """
    same = [(lists.by_seed[seed] == rows).all(axis=1) for seed, rows in measured.items()]
    return float(np.mean(np.all(same, axis=0)))

