"""`data_scientist_blend`: the equal mean of trees, linear model and what else helps on folds.

A mean of models is seldom worse than the best of them and needs no luck in choosing. Which parts it
is of is chosen on folds, where each part answers with what it chose there. Trees and linear model
alone are variants of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.trials import Trials, score_of
from rowgraph.tasks.choosing import Chosen, Score, choose
from rowgraph.tasks.regimes import Regime

NAME = "data_scientist_blend"
TREES, LINEAR, OWN = "trees", "linear", "own labels"


@dataclass(frozen=True, eq=False)
class Part:
    """One model as it was chosen for a regime.

    Args:
        trials: of the model.
        chosen: candidate and step.
        drawn: its answers depend on the seed.
    """

    trials: Trials
    chosen: Chosen
    drawn: bool = False


def parts_of(trees: Trials, linear: Trials, own: Trials | None,
             regime: Regime) -> dict[str, Part]:
    """The parts of a regime by name: the best trees and linear model; where rows may be aged, the
    best fitted on fresh and on aged rows each; and the entity's own labels."""
    found = {}
    for name, trials in ((TREES, trees), (LINEAR, linear)):
        best = trials.chosen()[regime]
        found[name] = Part(trials, best, trials is trees)
        other = trials.chosen(aged=not trials.candidate(best).aged) if trials.tried_aged else {}
        if regime in other:
            found[f"other {name}"] = Part(trials, other[regime], trials is trees)
    if own is not None:
        found[OWN] = Part(own, own.chosen()[regime])
    return found


def mixtures(parts: Mapping[str, Part]) -> list[tuple[str, ...]]:
    """Which parts may be averaged: the plainest first, for of equals the first is chosen."""
    found = [(TREES, LINEAR)]
    models = tuple(name for name in parts if name != OWN)
    found += [models] if len(models) > 2 else []
    if OWN in parts:
        found += [(*names, OWN) for names in found]
    return found


def choose_mixture(exams: Exams, parts: Mapping[Regime, Mapping[str, Part]],
                   ) -> tuple[list[Score], dict[Regime, Chosen]]:
    """Score every mixture on folds, and choose one a regime.

    Returns:
        The scores, and the choices, whose candidates are the names of parts joined by ` + `.
    """
    task, scores = exams.task, []
    for regime, found in parts.items():
        on_folds = {name: part.trials.on_folds(regime, part.chosen)
                    for name, part in found.items()}
        for names in mixtures(found):
            for at, exam in enumerate(exams.folds):
                answer = np.mean([on_folds[name][at] for name in names], axis=0)
                scores.append(Score(NAME, " + ".join(names), 0, exam.name, regime, task.primary,
                                    score_of(task, exam.asked[regime].labels.target, answer)))
    return scores, choose(scores, higher_is_better=task.higher_is_better)


def mixed(chosen: Chosen, parts: Mapping[str, Part],
          answer: Callable[[Part], np.ndarray]) -> np.ndarray:
    """The mean of the answers of the chosen mixture's parts."""
    return np.mean([answer(parts[name]) for name in names_of(chosen)], axis=0)


def names_of(chosen: Chosen) -> list[str]:
    """The parts of a mixture."""
    return chosen.candidate.split(" + ")
