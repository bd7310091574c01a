"""Attempts in other processes, on a cluster, and here: the same bytes, in the same order."""

import contextlib
import dataclasses
import uuid

import numpy as np
import pytest

from rowgraph import kept
from rowgraph.adaptation import attempts
from rowgraph.adaptation.attempts import Bench
from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.trials import Attempt, Candidate
from rowgraph.artifacts import Draft
from rowgraph.baselines.running import run_baselines
from rowgraph.side_by_side import on
from rowgraph.tasks.settings import SplitSettings
from tests.pretended_ray import pretended
from tests.worlds.windows import SMALL

SHOWN = ("predictions.parquet", "choices.parquet")


@pytest.fixture
def many(monkeypatch):
    """Any number of label rows is worth a process."""
    monkeypatch.setattr(attempts, "FEW", 0)


@pytest.fixture
def seen(monkeypatch):
    """How many pieces went out, and to how many processes."""
    found, spread = [], attempts.side_by_side

    def counted(function, pieces, **options):
        found.append((len(pieces), options["processes"]))
        return spread(function, pieces, **options)

    monkeypatch.setattr(attempts, "side_by_side", counted)
    return found


def baselines_of(task, features, folder, workers):
    folder.mkdir()
    settings = SMALL.model_copy(update={"workers": workers})
    run_baselines(task, features, settings, Draft(folder), log=lambda *_: None)
    return {name: (folder / name).read_bytes() for name in (*SHOWN, "importances.parquet")}


@pytest.mark.parametrize("where", ["processes", "cluster"])
def test_baselines_are_the_same_bytes_wherever_they_are_fitted(where, world, features_of, tmp_path,
                                                               many, seen):
    features = features_of(world.task, SMALL)
    here = baselines_of(world.task, features, tmp_path / "here", 1)
    seen.clear()
    with on(pretended()) if where == "cluster" else contextlib.nullcontext():
        apart = baselines_of(world.task, features, tmp_path / "apart", 2)
    assert here == apart
    assert {processes for _, processes in seen} == {2}
    assert max(pieces for pieces, _ in seen) > 2  # not one for all


def test_rowgraphs_own_parts_are_the_same_bytes_in_other_processes(world, hybrid_ground, hybrid_ran,
                                                                   many, seen):
    ground = hybrid_ground(world.task, parts=("own_past", "trees", "history"), beside=())
    here, _, _ = hybrid_ran(world.task, ground)
    seen.clear()
    settings = ground.settings.model_copy(update={"workers": 2})
    apart, _, _ = hybrid_ran(world.task, dataclasses.replace(ground, settings=settings,
                                                             token=uuid.uuid4().hex))
    assert {processes for _, processes in seen} == {2}
    for name in (*SHOWN, "mixtures.parquet"):
        assert (here / name).read_bytes() == (apart / name).read_bytes(), name


def test_few_label_rows_stay_here(world, features_of, tmp_path, seen):
    baselines_of(world.task, features_of(world.task, SMALL), tmp_path / "here", 2)
    assert seen == []
    assert kept._KEPT == {}  # and nothing is held after


@dataclasses.dataclass
class Numbers:
    """A model whose answers are its candidate's number."""

    exams: Exams
    token: str = "numbers"
    name: str = "numbers"
    steps: tuple = (0,)

    def of(self, name):
        return self

    def fit(self, candidate, exam, seed, last):
        return dataclasses.replace(self, name=candidate.label)

    def predict(self, rows, steps):
        return [np.full(len(rows), float(self.name))] * len(steps)


def test_outcomes_come_in_the_order_of_the_attempts_whatever_rows_they_share(world):
    exams = Exams.of(world.task, SplitSettings(regimes=("rolling",), folds=2))
    asked = [Attempt(Candidate(str(k), aged=k % 2 > 0), exams.folds[k // 2 % 2].name, k // 4,
                     {"rolling": (0,)}) for k in range(8)]
    with Bench(Numbers(exams), 1, "cpu") as bench:
        found = [outcome.answers["rolling", 0][0] for outcome in bench.perform("numbers", asked)]
    assert found == list(range(8))
