import dataclasses

import numpy as np
import pytest

from rowgraph.evaluation.comparison import (
    COMPARISONS,
    compare,
    sentence,
    validation_figures,
    verdict,
    written,
)
from rowgraph.evaluation.resamples import Resamples
from rowgraph.evaluation.scoring import score_task
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.tasks.predictions import Run

SETTINGS = EvaluationSettings(bootstrap=200, reference="ours")


def compared(task, predictions, baselines=(), settings=SETTINGS):
    resamples = Resamples.of(task, settings.bootstrap, settings.fewest_dates)
    scored = score_task(task, predictions, resamples)
    return compare(task, scored, validation_figures(task, predictions), resamples, baselines,
                   settings)


def pairs(frame):
    return frame.select("variant", "against", "basis", "headline").rows()


def test_a_clear_difference_is_ahead_or_behind_and_its_sign_is_the_better_ones(task, kinds):
    predictions = kinds.answers(task, {"ours": 0.5, "worse": 0.1, "baseline": 0.1})
    frame, best = compared(task, predictions, ["baseline"])
    assert dict(frame.schema) == COMPARISONS
    assert best["rolling"] == ("ours", "baseline")
    assert pairs(frame) == [("ours", "baseline", "validation", True),
                            ("worse", "baseline", "validation", False),
                            ("worse", "ours", "reference", False)]
    assert frame["verdict"][0] == "ahead"
    assert frame["verdict"][2] == "behind"
    assert frame["difference"][0] > 0 > frame["difference"][2]
    assert frame["comparisons"].to_list() == [3, 3, 3]


def test_a_variant_against_itself_by_another_name_is_no_finding(task, kinds):
    same = kinds.answers(task, {"ours": 0.3})
    predictions = {**same, **{run._replace(variant="baseline"): said
                              for run, said in same.items()}}
    frame, _ = compared(task, predictions, ["baseline"])
    row = frame.row(0, named=True)
    assert (row["difference"], row["ci_low"], row["ci_high"]) == (0, 0, 0)
    assert (row["p_value"], row["p_adjusted"], row["verdict"]) == (1, 1, "level")
    assert sentence(row) == "no finding: the gain of `ours` over `baseline` is .000 [.000, .000]"


def test_opponents_are_picked_on_validation_and_the_best_on_test_stands_beside(kinds):
    task = kinds.task("regression")
    near, far = task.test.target + 0.5, task.test.target + 2.0
    val = task.val.target
    predictions = {Run("rolling", name, 0): {"val": val + off, "test": test}
                   for name, off, test in [("ours", 0.1, near), ("theirs", 0.2, far),
                                           ("lucky", 0.9, near - 0.2), ("other", 0.3, far)]}
    frame, best = compared(task, predictions, ["theirs", "lucky"])
    assert best["rolling"] == ("ours", "theirs")
    assert pairs(frame) == [("ours", "theirs", "validation", True),
                            ("other", "theirs", "validation", False),
                            ("ours", "lucky", "test", False),
                            ("other", "ours", "reference", False)]
    assert frame["difference"].to_list() == pytest.approx([1.5, 0.0, -0.2, -1.5])


def test_test_labels_pick_no_opponent_but_the_harder_one(kinds):
    task = kinds.task("binary_classification")
    predictions = kinds.answers(task, {"ours": 0.3, "b1": 0.2, "b2": 0.1, "other": 0.0})
    before = compared(task, predictions, ["b1", "b2"])
    flipped = dataclasses.replace(task, test=dataclasses.replace(
        task.test, target=1 - task.test.target))
    after = compared(flipped, predictions, ["b1", "b2"])
    assert before[1] == after[1]
    for frame in (before[0], after[0]):
        assert "test" not in frame.filter(headline=True)["basis"]


def test_a_reference_that_did_not_run_is_the_best_on_validation(kinds):
    task = kinds.task("regression")
    predictions = kinds.answers(task, {"a": 0.1, "b": 0.9, "c": 0.2})
    frame, best = compared(task, predictions)
    assert best["rolling"] == ("b", None)
    assert pairs(frame) == [("a", "b", "reference", False), ("c", "b", "reference", False)]


def test_pairs_of_the_settings_are_compared_once_even_if_they_were_anyway(kinds):
    task = kinds.task("regression")
    predictions = kinds.answers(task, {"a": 0.1, "ours": 0.9, "c": 0.2})
    settings = SETTINGS.model_copy(update={"pairs": (("ours", "a"), ("a", "c"), ("a", "gone"))})
    assert pairs(compared(task, predictions, settings=settings)[0]) == [
        ("a", "ours", "reference", False), ("c", "ours", "reference", False),
        ("a", "c", "pair", False)]


def test_each_regime_is_a_family_of_its_own(kinds):
    task = kinds.task("regression")
    predictions = {**kinds.answers(task, {"ours": 0.5, "base": 0.1}),
                   **kinds.answers(task, {"ours": 0.5, "b": 0.4, "base": 0.3},
                                   regimes=("frozen_db",))}
    frame, best = compared(task, predictions, ["base"])
    assert frame.group_by("regime").len().sort("regime").rows() == [("frozen_db", 3),
                                                                    ("rolling", 1)]
    assert set(best) == {"frozen_db", "rolling"}


def test_more_comparisons_make_a_finding_harder(kinds):
    task = kinds.task("binary_classification", dates=12)
    predictions = kinds.answers(task, {"ours": 0.22, "base": 0.1})
    few = compared(task, predictions, ["base"])[0].row(0, named=True)
    many = compared(task, {**predictions, **kinds.answers(
        task, {f"v{i}": 0.1 for i in range(9)}, seeds=(5, 6))}, ["base"])[0]
    row = many.filter(variant="ours", against="base").row(0, named=True)
    assert row["p_value"] == few["p_value"] == few["p_adjusted"] < row["p_adjusted"]
    assert row["level"] > few["level"] == pytest.approx(0.95)
    assert row["ci_high"] - row["ci_low"] > few["ci_high"] - few["ci_low"]


def test_the_answer_begins_with_half_of_what_may_be_claimed(kinds):
    task = kinds.task("regression")
    same = next(iter(kinds.answers(task, {"ours": 0.3}, seeds=(0,)).values()))
    predictions = {Run("rolling", name, 0): same for name in ("ours", "a", "b", "c", "base")}
    frame, _ = compared(task, predictions, ["base"])
    level = dict(zip(frame["headline"], frame["level"], strict=True))
    assert frame["comparisons"][0] == frame.height == 7
    assert level[True] == pytest.approx(1 - 0.05 / 2)
    assert level[False] == pytest.approx(1 - 0.05 / 2 / 6)


def test_a_pair_on_the_same_rows_and_seeds_is_told_apart_where_apart_they_overlap(kinds):
    """Shared luck of dates and seeds cancels in the difference."""
    task = kinds.task("regression", dates=12)
    random = np.random.default_rng(0)
    date = np.repeat(np.exp(random.normal(0, 1, 12)), 10)
    said = {Run("rolling", name, seed): {
        "test": task.test.target + (date + more) * np.exp(0.3 * seed),
        "val": task.val.target + more}
        for name, more in (("ours", 0.0), ("base", 0.2)) for seed in (0, 1, 2)}
    row = compared(task, said, ["base"])[0].row(0, named=True)
    assert row["verdict"] == "ahead"
    unpaired = {(run if run.variant == "ours" else run._replace(seed=run.seed + 7)): s
                for run, s in said.items()}
    assert compared(task, unpaired, ["base"])[0].row(0, named=True)["verdict"] == "level"


def test_equal_models_are_seldom_told_apart(kinds):
    base = kinds.task("regression", dates=8, rows=6)
    random, findings = np.random.default_rng(2), 0
    for number in range(120):
        task = dataclasses.replace(base, name=f"world {number}")
        predictions = {Run("rolling", name, s): {
            "test": task.test.target + np.repeat(random.normal(0, 1, 8), 6),
            "val": task.val.target} for name in ("ours", "base") for s in (0, 1, 2)}
        findings += compared(task, predictions, ["base"], SETTINGS.model_copy(
            update={"bootstrap": 100}))[0]["verdict"][0] != "level"
    assert findings / 120 <= 0.1


def test_validation_that_cannot_be_measured_picks_nothing(kinds):
    task = kinds.task("binary_classification")
    task = dataclasses.replace(task, val=dataclasses.replace(task.val, target=np.ones(80)))
    predictions = kinds.answers(task, {"ours": 0.3, "base": 0.1})
    assert validation_figures(task, predictions) == {}
    frame, best = compared(task, predictions, ["base"])
    assert best["rolling"] == (None, None)
    assert pairs(frame) == [("ours", "base", "test", False)]
    broken = {run: {**s, "val": s["val"] * np.nan} for run, s in predictions.items()}
    with pytest.raises(ValueError, match="not finite"):
        validation_figures(kinds.task("binary_classification"), broken)


@pytest.mark.parametrize(("difference", "low", "high", "said"), [
    (0.012, 0.003, 0.021, "RowGraph is ahead of `ds` by .012 [.003, .021]"),
    (-0.012, -0.021, -0.003, "RowGraph is behind `ds` by .012 [.003, .021]"),
    (0.002, -0.008, 0.012, "no finding: the gain of RowGraph over `ds` is .002 [-.008, .012]"),
    (12.5, 3.0, 22.0, "RowGraph is ahead of `ds` by 12.50 [3.00, 22.00]"),
    (0.1, None, None, "no finding: too little was measured to compare RowGraph with `ds`"),
])
def test_the_words_are_written_by_what_read_the_interval(difference, low, high, said):
    row = {"variant": "rowgraph", "against": "ds", "difference": difference, "ci_low": low,
           "ci_high": high, "verdict": verdict(low, high)}
    assert sentence(row, {"rowgraph": "RowGraph"}) == said


@pytest.mark.parametrize(("values", "texts"), [
    ((0.7251, -0.02), [".725", "-.020"]),
    ((1.0, 0.5), ["1.000", ".500"]),
    ((-0.0001, 0.5), [".000", ".500"]),
    ((0.00012, -0.00003), [".00012", "-.00003"]),
    ((12345.6, -3.2), ["12,346", "-3"]),
    ((0.0, 0.0), [".000", ".000"]),
])
def test_figures_that_stand_together_have_equally_many_decimals(values, texts):
    assert written(*values) == texts


def test_the_headline_is_the_named_model_where_it_ran_whatever_validation_says(kinds):
    task = kinds.task("binary_classification")
    predictions = kinds.answers(task, {"blend": 0.2, "lucky": 0.6, "baseline": 0.1})
    named = SETTINGS.model_copy(update={"headline": "blend"})
    frame, best = compared(task, predictions, ["baseline"], named)
    assert best["rolling"].model == "blend"
    assert frame.filter(headline=True)["variant"].to_list() == ["blend"]
    absent = SETTINGS.model_copy(update={"headline": "nobody"})
    assert compared(task, predictions, ["baseline"], absent)[1]["rolling"].model == "lucky"
