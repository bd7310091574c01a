"""What of a part is averaged: the best where rows are many, all that cannot be told apart else."""

import dataclasses

import numpy as np
import pytest

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.hybrid.parts import Part
from rowgraph.adaptation.trials import Candidate, Trials
from rowgraph.tasks.settings import LabelSettings, SplitSettings
from rowgraph.tasks.thinning import thinned


@dataclasses.dataclass
class Said:
    """Answers the base rate, tilted towards the truth or away from it."""

    task: object
    name: str = "said"
    steps: tuple = (0,)

    def fit(self, candidate, exam, seed, last):
        self.tilt = candidate.options
        return self

    def predict(self, rows, steps):
        return [0.5 + self.tilt * (rows.labels.target - 0.5)] * len(steps)


def _part(task):
    trials = Trials(Said(task), Exams.of(task, SplitSettings(regimes=("rolling",), folds=2)), 0)
    trials.run([Candidate(f"tilt {t}", options=t) for t in (0.80, 0.81, -0.5)])
    return Part("said", trials, False)


def test_many_rows_choose_one(world):
    (found,) = _part(world.task).chosen()["rolling"]
    assert found.candidate == "tilt 0.8"


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_few_rows_average_what_they_cannot_tell_apart_and_leave_out_what_they_can(world, share):
    few = thinned(world.task, LabelSettings(label_share=share))
    found = _part(few).chosen()["rolling"]
    assert {one.candidate for one in found} == {"tilt 0.8", "tilt 0.81"}


def test_few_aged_rows_stand_beside_fresh_ones(world):
    few = thinned(world.task, LabelSettings(label_share=0.05))
    trials = Trials(Said(few), Exams.of(few, SplitSettings(regimes=("frozen_db",), folds=2)), 0)
    trials.run([Candidate("fresh", options=0.8), Candidate("aged", aged=True, options=0.1)])
    found = Part("said", trials, False).chosen()["frozen_db"]
    assert {one.candidate for one in found} == {"fresh", "aged"}
    assert np.isfinite([one.value for one in found]).all()
