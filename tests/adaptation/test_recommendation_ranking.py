"""Candidates, negatives, pair features, and the best of very many destinations."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.adaptation.recommendation import candidates as candidates_module
from rowgraph.adaptation.recommendation import chunks as chunks_module
from rowgraph.adaptation.recommendation.candidates import candidates_of
from rowgraph.adaptation.recommendation.chunks import chunks_of, dealt_out
from rowgraph.adaptation.recommendation.evidence import Evidence
from rowgraph.adaptation.recommendation.exams import Exams
from rowgraph.adaptation.recommendation.fitting import SNAPSHOTS, snapshots
from rowgraph.adaptation.recommendation.ranking import (
    SHAPES,
    best_first,
    fit_ranker,
    standardised,
)
from rowgraph.adaptation.recommendation.topk import best_of_all
from rowgraph.adaptation.recommendation.towers import listwise_loss
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Destinations, LabelTable
from tests.worlds import shops


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return shops.build(tmp_path_factory.mktemp("shop") / "db", shops.frames())


@pytest.fixture(scope="module")
def evidence(shop):
    return Evidence(shop)


def fresh(task):
    return View("known", task.known, task.known.times.copy())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 7), st.integers(0, 12), st.integers(1, 6), st.integers(1, 5),
       st.integers(1, 5), st.integers(0, 2**31))
def test_blocks_find_what_scoring_all_pairs_at_once_finds(seeds, destinations, count, seed_block,
                                                          block, number):
    random = np.random.default_rng(number)
    seed_QW = torch.from_numpy(random.integers(-1, 2, (seeds, 2)).astype(np.float32))
    other_DW = torch.from_numpy(random.integers(-1, 2, (destinations, 2)).astype(np.float32))
    bias_D = torch.from_numpy(random.integers(0, 2, destinations).astype(np.float32))
    exists_D = torch.from_numpy(random.integers(0, 4, destinations))
    before_Q = torch.from_numpy(random.integers(0, 5, seeds))
    found = best_of_all(seed_QW, other_DW, bias_D, exists_D, before_Q, count, seeds=seed_block,
                        destinations=block)
    score = (seed_QW @ other_DW.T + bias_D).numpy()
    for q in range(seeds):
        there = [d for d in range(destinations) if exists_D[d] < before_Q[q]]
        expected = sorted(there, key=lambda d: (-score[q, d], d))[:count]
        assert found[q].tolist() == expected + [-1] * (count - len(expected))


def test_sixty_thousand_destinations_for_ten_thousand_seeds_never_lie_in_memory_at_once():
    code = """
import resource, torch
from rowgraph.adaptation.recommendation.topk import best_of_all
torch.manual_seed(0)
seeds, others = torch.randn(10_000, 4), torch.randn(60_000, 4)
arguments = torch.zeros(60_000), torch.zeros(60_000, dtype=torch.int64)
best_of_all(seeds[:8], others[:8], arguments[0][:8], arguments[1][:8], torch.ones(8), 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
arguments[1][-1] = 1  # one that does not exist yet, so that every block is masked
found = best_of_all(seeds, others, *arguments, torch.ones(10_000, dtype=torch.int64), 12)
assert found.shape == (10_000, 12) and (found >= 0).all()
some = torch.arange(0, 10_000, 1_111)
whole = (seeds[some] @ others.T).topk(12).indices
assert (found[some] == whole).float().mean() > .99, 'rounding aside the same'
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).resolve().parents[2])
    assert int(done.stdout) < 400, "MiB; all scores would take 2,289"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 6), max_size=6, unique=True), min_size=1, max_size=5),
       st.integers(1, 4), st.integers(0, 99))
def test_the_best_come_first_and_equal_scores_go_by_row_number(lists, count, number):
    made = Destinations.of([np.array(rows, dtype=np.int64) for rows in lists])
    score = np.random.default_rng(number).integers(0, 3, len(made.rows)).astype(float)
    found = best_first(made, score, count)
    for q in range(len(lists)):
        mine = list(zip(-score[made.indptr[q]:made.indptr[q + 1]], made.of_row(q).tolist(),
                        strict=True))
        expected = [row for _, row in sorted(mine)][:count]
        assert found[q].tolist() == expected + [-1] * (count - len(expected))


def test_scores_are_standardised_seed_by_seed():
    made = Destinations.of([np.arange(3), np.arange(1), np.empty(0, int), np.arange(2)])
    got = standardised(made, np.array([1.0, 2.0, 3.0, 7.0, 5.0, 5.0]))
    assert np.allclose(got, [-1.2247449, 0, 1.2247449, 0, 0, 0])


@pytest.mark.parametrize("few", [128, 3])
def test_no_candidate_was_released_at_or_after_its_seed(shop, evidence, monkeypatch, few):
    monkeypatch.setattr(candidates_module, "FEW", few)
    view = View("all", shop.test, shop.test.times)
    found = candidates_of(evidence.trails, evidence.windows, view, evidence.exists)
    assert set(np.unique(found.rows)) == set(range(12)), "12 comes on that day, 13 later"
    early = fresh(shop)
    seed, row = candidates_of(evidence.trails, evidence.windows, early, evidence.exists).pairs()
    assert (evidence.exists[row] < early.before[seed]).all()


def test_few_candidates_are_kept_in_the_order_of_their_best_rank(shop, evidence, monkeypatch):
    monkeypatch.setattr(candidates_module, "FEW", 3)
    monkeypatch.setattr(candidates_module, "MOST", 2)
    view = View("all", shop.test, shop.test.times)
    found = candidates_of(evidence.trails, evidence.windows, view, evidence.exists)
    assert (found.counts == 2).all()


def test_a_negative_existed_at_its_seed_and_did_not_come_true_for_it(shop, evidence, monkeypatch):
    for wide in (1_024, 5):  # all destinations, and a draw of them
        monkeypatch.setattr(chunks_module, "WIDE", wide)
        view = fresh(shop)
        pairs = evidence.pairs(view)
        seen = []
        for chunk in chunks_of(evidence, view, pairs, 50, ("test",)):
            asked, true = chunk.asked.numpy(), chunk.true.numpy()
            assert chunk.moment == view.before[chunk.rows].min()
            for i, row in enumerate(chunk.rows):
                there = evidence.exists[chunk.destinations] < view.before[row]
                assert np.array_equal(asked[i], there)
                mine = np.isin(chunk.destinations, view.labels.target.of_row(row))
                assert np.array_equal(true[i], mine & there)
            place = pairs.candidates.rows[chunk.pair]
            assert np.array_equal(chunk.destinations[chunk.pair_destination.numpy()], place)
            seen.append(chunk.rows)
        assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(len(view.labels)))


def test_what_is_not_asked_and_other_truths_get_no_push_from_the_loss():
    score = torch.zeros(2, 4, requires_grad=True)
    asked = torch.tensor([[True, True, True, False], [True, True, True, True]])
    true = torch.tensor([[True, True, False, True], [False, False, False, False]])
    listwise_loss(score, asked, true).backward()
    assert score.grad[0, 3] == 0, "it did not exist"
    assert (score.grad[0, :2] < 0).all()
    assert score.grad[0, 2] > 0
    assert (score.grad[1] == 0).all(), "nothing came true"


def test_chunks_end_where_seeds_become_much_newer():
    before = np.repeat([0, 100, 104, 300], [20, 3, 20, 2])
    found = dealt_out(before, 40, 64)
    assert [sorted(set(before[rows].tolist())) for rows in found] == [[0], [100, 104], [300]]
    assert [len(rows) for rows in dealt_out(before, 40, 8)][:3] == [8, 8, 8]


def test_a_seed_sees_destinations_as_of_a_moment_that_is_no_later_than_its_own():
    before = np.random.default_rng(1).integers(0, 1_000, 300)
    labels = LabelTable(np.zeros(300, int), before, Destinations(np.zeros(301, int), np.empty(0)))
    groups, moments = snapshots(View("x", labels, before))
    assert len(moments) <= SNAPSHOTS
    assert all(moments[g][1] <= b for g, b in zip(groups, before, strict=True))
    few = before // 500
    groups, moments = snapshots(View("x", labels, few))
    assert [m for _, m in moments] == [0, 1]
    assert np.array_equal(groups, few)


def test_pair_features_are_the_same_whoever_else_is_asked(shop, evidence):
    view = fresh(shop)
    whole = evidence.pairs(view)
    at = np.array([3, 50, 51, 200])
    part = evidence.pairs(View("some", view.labels.take(at), view.before[at]))
    taken = whole.take(at)
    assert np.array_equal(part.candidates.rows, taken.candidates.rows)
    assert np.array_equal(part.values, taken.values, equal_nan=True)
    smooth = taken.smooth()
    assert np.isfinite(smooth).all()
    blocks = list(evidence.blocks(View("some", view.labels.take(at), view.before[at])))
    assert np.array_equal(blocks[0][1].values, part.values, equal_nan=True)


def test_a_ranker_without_anything_true_says_nothing(shop, evidence):
    pairs = evidence.pairs(fresh(shop)).take(np.arange(5))
    nothing = Destinations(np.zeros(6, dtype=np.int64), np.empty(0, dtype=np.int64))
    for shape in SHAPES:
        ranker = fit_ranker(pairs, nothing, shape, 3, 1)
        assert [s.tolist() for s in ranker.scores(pairs, [1, 3])] == [[0.0] * len(pairs.values)] * 2


def test_fewer_trees_are_the_first_of_more(shop, evidence):
    pairs = evidence.pairs(fresh(shop))
    many, few = (fit_ranker(pairs, shop.known.target, "few leaves", n, 1) for n in (8, 5))
    assert np.allclose(many.scores(pairs, [5, 8])[0], few.scores(pairs, [5])[0])


def test_regimes_that_see_the_same_are_asked_once(shop):
    exams = Exams(shop, shops.SETTINGS)
    assert exams.alike() == [("frozen_db", "rolling")]
    assert exams.test.asked["frozen_db"] is exams.test.asked["rolling"]
    for exam in exams.folds:
        fit = exams.fitted(exam, "rolling")
        assert (fit.labels.times + shop.timedelta <= exam.asked["rolling"].before.min()).all()
        assert exam.fit.max() < len(shop.train), "validation is answered by what never saw it"
    later = dataclasses.replace(shop, test=dataclasses.replace(
        shop.test, times=shop.test.times + shops.DAY * np.arange(len(shop.test))))
    apart = Exams(later, shops.SETTINGS)
    assert apart.alike() == [("frozen_db",), ("rolling",)]
    stale = apart.fitted(apart.test, "frozen_db")
    assert (stale.before <= stale.labels.times).all()
    assert (stale.before < stale.labels.times).any()


def test_a_task_of_another_kind_is_refused_by_name(shop):
    other = dataclasses.replace(shop, task_type="regression")
    with pytest.raises(ValueError, match="shopper-product: expected a recommendation"):
        Evidence(other)
