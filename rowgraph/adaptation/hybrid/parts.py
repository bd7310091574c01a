"""A part of the model, and what of it is averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rowgraph.adaptation.hybrid.blending import FEW, TOLD_APART, loss_of
from rowgraph.adaptation.trials import Trials
from rowgraph.tasks.choosing import Chosen
from rowgraph.tasks.regimes import Regime


@dataclass(frozen=True, eq=False)
class Part:
    """One part: what was tried, and whether its answers depend on the seed."""

    name: str
    trials: Trials
    drawn: bool

    def chosen(self) -> dict[Regime, tuple[Chosen, ...]]:
        """By regime what is averaged: the best on folds, and where rows may be aged the best of
        the other age too, for folds tell the two hardly apart.

        With few rows to choose by, instead of the best in the metric everything whose likelihood
        is as good as the best within `TOLD_APART`.
        """
        found = {}
        for regime, best in self.trials.chosen().items():
            both = regime == "frozen_db" and self.trials.tried_aged
            aged = self.trials.candidate(best).aged
            found[regime] = self._alike(regime, aged if both else None) or (best,)
            if both:
                other = self.trials.chosen(aged=not aged)[regime]
                found[regime] += self._alike(regime, not aged) or (other,)
        return found

    def _alike(self, regime: Regime, aged: bool | None) -> tuple[Chosen, ...]:
        """What few rows cannot tell from the most likely; nothing where rows are many."""
        exams = self.trials.exams
        target = np.concatenate([exam.asked[regime].labels.target for exam in exams.folds])
        if len(target) >= FEW:
            return ()
        tried = self.trials.tried(regime, aged)
        losses = [loss_of(exams.task, np.concatenate(self.trials.on_folds(regime, one)), target)
                  for one in tried]
        return tuple(one for one, loss in zip(tried, losses, strict=True)
                     if loss <= min(losses) + TOLD_APART)
