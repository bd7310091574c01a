import dataclasses
import functools

import numpy as np
import pytest

from rowgraph.adaptation.choosing import adapt
from rowgraph.adaptation.ground import FINAL, Trained
from rowgraph.adaptation.settings import Candidate
from rowgraph.tasks.predictions import Run

CANDIDATES = (Candidate(learning_rate=0.01), Candidate(learning_rate=0.001),
              Candidate(dropout=0.5, aged=True))
VARIANTS = ("bart_gnn_finetuned", "bart_head", "random_head")


@pytest.fixture(scope="module")
def adapted(ground_of):
    """Adapt, and say which trainings were done."""

    @functools.cache
    def run(candidates=CANDIDATES, final_fit="train_and_validation"):
        ground = ground_of(variants=VARIANTS, candidates=candidates, final_fit=final_fit,
                           epochs=3, seeds=(4, 5))
        done = []

        def do(trainings):
            found = {t: ground.perform(t, lambda *_: None) for t in trainings}
            done.extend(found)
            return found

        return ground, adapt(ground, do), done

    return run


def test_the_reference_compares_candidates_on_every_fold_with_the_first_seed(adapted):
    ground, found, done = adapted()
    compared = [t for t in done if t.variant == "bart_gnn_finetuned" and t.fold != FINAL
                and t.seed == 4]
    assert {(t.fold, t.candidate) for t in compared} == {(f, c) for f in range(len(ground.folds))
                                                         for c in range(3)}
    aged = [s for s in found.scores if "aged" in s.candidate]
    assert {s.regime for s in aged} == {"frozen_db"}
    assert {s.model for s in found.scores} == set(VARIANTS)


def test_each_regime_takes_the_best_mean_over_folds_and_every_variant_its_own_epochs(adapted):
    ground, found, _ = adapted()
    for name, by_regime in found.chosen.items():
        for regime, chosen in by_regime.items():
            scores = {}
            for s in found.scores:
                if (s.model, s.regime) == (name, regime):
                    scores.setdefault((s.candidate, s.step), []).append(s.value)
            assert all(len(values) == len(ground.folds) for values in scores.values())
            best = max(scores, key=lambda key: np.mean(scores[key]))
            assert (chosen.candidate, chosen.step) == best
            assert chosen.value == pytest.approx(np.mean(scores[best]))
    assert {by["rolling"].candidate for by in found.chosen.values()} == {
        found.chosen["bart_gnn_finetuned"]["rolling"].candidate}


def test_no_training_is_done_twice_and_one_serves_both_regimes_where_it_can(adapted):
    ground, found, done = adapted(candidates=())
    assert len({t.name for t in done}) == len(done)
    folds = len(ground.folds)
    assert len(done) == 3 * folds + 3 + 3 * 2  # on folds; the other seed; final fits
    for final in (t for t in done if t.fold == FINAL):
        steps = {r: found.chosen[final.variant][r].step for r in ("frozen_db", "rolling")}
        assert dict(final.at) == steps
        assert final.epochs == max(steps.values())


def test_validation_is_predicted_by_a_fit_on_training_rows_and_test_by_one_on_all(adapted):
    for final_fit, rows in (("train", 720), ("train_and_validation", 920)):
        ground, found, done = adapted(final_fit=final_fit, candidates=())
        newest = len(ground.folds) - 1
        run = Run("rolling", "bart_gnn_finetuned", 5, 0)
        on_newest = next(t for t in done if (t.variant, t.seed, t.fold) == (run.variant, 5, newest))
        final = next(t for t in done if (t.variant, t.seed, t.fold) == (run.variant, 5, FINAL))
        assert len(ground.fit(on_newest).labels) == 720
        assert len(ground.fit(final).labels) == rows
        epoch = found.chosen[run.variant]["rolling"].step
        expected = ground.perform(on_newest, lambda *_: None).raw["rolling"][epoch - 1]
        assert np.array_equal(found.predictions[run]["val"],
                              ground.answer(on_newest).prediction(expected))


def test_scores_are_on_the_rows_of_the_fold_alone(ground_of, world):
    """The newest fold may be shorter than validation, which is predicted whole."""
    late = world.task.test
    short = dataclasses.replace(world.task, test=late.take(late.times <= late.times.min()))
    ground = ground_of(task=short, candidates=())
    newest = len(ground.folds) - 1
    assert len(ground.judged(newest)) == 40 < len(ground.scored(newest)) == 200
    assert np.array_equal(ground.task.known.target[ground.folds[newest].score],
                          ground.scored(newest).target[ground.judged(newest)])
    for fold in range(newest):
        assert len(ground.judged(fold)) == len(ground.scored(fold)) == 40


def test_a_fold_is_scored_with_the_database_frozen_at_its_cut(adapted):
    ground, _, done = adapted()
    for training in (t for t in done if t.fold != FINAL):
        fit, asked = ground.fit(training), ground.asked(training)
        cut = ground.folds[training.fold].cut
        assert (fit.labels.times + ground.task.timedelta <= cut).all()
        if "frozen_db" in asked:
            assert (asked["frozen_db"].before <= cut + 1).all()
        if "rolling" in asked:
            assert np.array_equal(asked["rolling"].before, asked["rolling"].labels.times)


def test_of_several_candidates_one_that_diverges_is_not_chosen(ground_of):
    ground = ground_of(variants=("bart_head",), candidates=CANDIDATES[:2], regimes=("rolling",))

    def do(trainings):
        found = {t: ground.perform(t, lambda *_: None) for t in trainings}
        return {t: Trained({r: v * np.nan for r, v in done.raw.items()}, done.curve)
                if t.candidate == 0 else done for t, done in found.items()}

    assert "0.001" in adapt(ground, do).chosen["bart_head"]["rolling"].candidate


def test_curves_say_whose_they_are_and_training_rows_belong_to_the_regimes_they_serve(adapted):
    _, found, _ = adapted(candidates=())
    who = {(r["variant"], r["bart"], r["seed"]) for r in found.curve}
    assert who == {(v, None if v.startswith("random") else 0, s) for v in VARIANTS for s in (4, 5)}
    assert {r["regime"] for r in found.curve if r["split"] == "train"} == {None}
    assert {r["epoch"] for r in found.curve} == {1, 2, 3}
    _, apart, _ = adapted()
    picked = apart.chosen["bart_head"]
    alike = picked["rolling"].candidate == picked["frozen_db"].candidate
    assert {r["regime"] for r in apart.curve if r["split"] == "train"} == (
        {None} if alike else {"frozen_db", "rolling"})
