import dataclasses

import numpy as np
import polars as pl
import pytest

from rowgraph.evaluation.resamples import Resamples
from rowgraph.evaluation.scoring import METRICS, metric_rows, score_task, unavailable_rows
from rowgraph.tasks.label_tables import Destinations, LabelTable
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run


def rows_of(task, predictions, bootstrap=200, fewest=5):
    resamples = Resamples.of(task, bootstrap, fewest)
    return metric_rows(task, score_task(task, predictions, resamples), resamples)


def test_every_metric_of_every_kind_has_its_mean_its_spread_and_an_interval(task, kinds):
    predictions = kinds.answers(task, {"strong": 0.4, "weak": 0.1})
    rows = rows_of(task, predictions)
    assert dict(rows.schema) == METRICS
    assert rows["metric"].unique(maintain_order=True).to_list() == list(task.metrics)
    for row in rows.iter_rows(named=True):
        values = [measure(row["metric"], task.test.target,
                          predictions[Run("rolling", row["variant"], s)]["test"],
                          task.train.target) for s in (0, 1)]
        assert row["mean"] == pytest.approx(np.mean(values))
        assert row["std"] == pytest.approx(np.std(values, ddof=1))
        assert row["ci_low"] < row["mean"] < row["ci_high"]
        assert row["interval"] == "80 rows on 8 dates, 2 seeds"
        assert (row["n_test"], row["dates"], row["seeds"]) == (80, 8, 2)
        assert (row["task_type"], row["source"]) == (task.task_type, "measured")
    strong, weak = (rows.filter(variant=v, metric=task.primary) for v in ("strong", "weak"))
    assert (strong["mean"][0] > weak["mean"][0]) == task.higher_is_better


def test_results_rows_do_not_depend_on_what_else_is_scored(kinds):
    task = kinds.task("binary_classification")
    predictions = kinds.answers(task, {"strong": 0.6, "weak": 0.1})
    alone = {k: v for k, v in predictions.items() if k.variant == "weak"}
    assert rows_of(task, alone, 20).equals(
        rows_of(task, predictions, 20).filter(pl.col("variant") == "weak"))


def test_dates_that_move_together_widen_the_interval(kinds):
    task = kinds.task("regression", dates=12, rows=40)
    random = np.random.default_rng(0)
    error = np.repeat(random.normal(0, 1, 12), 40) + random.normal(0, 0.1, 480)
    predictions = {Run("rolling", "a", 0): {"test": task.test.target + error}}
    by_date, by_row = (rows_of(task, predictions, 400, fewest).filter(metric="mae").row(
        0, named=True) for fewest in (5, 13))
    assert by_row["interval"] == "480 rows on 12 dates: 40 entities drawn instead, 1 seed"
    assert by_date["mean"] == by_row["mean"]
    assert by_date["ci_high"] - by_date["ci_low"] > 5 * (by_row["ci_high"] - by_row["ci_low"])


def test_seeds_that_differ_widen_the_interval_and_one_language_models_luck_is_said(kinds):
    task = kinds.task("regression", dates=20, rows=20)
    random = np.random.default_rng(1)
    noise = random.normal(0, 1, len(task.test))
    lucks = dict(enumerate([0.5, 1.0, 1.5, 2.0]))

    def width(predictions):
        row = rows_of(task, predictions, 400).filter(metric="mae").row(0, named=True)
        return row["ci_high"] - row["ci_low"], row["interval"], row["seeds"]

    same = {Run("rolling", "a", s): {"test": task.test.target + noise} for s in lucks}
    differ = {Run("rolling", "a", s): {"test": task.test.target + k * noise}
              for s, k in lucks.items()}
    by_bart = {Run("rolling", "a", s, b): {"test": task.test.target + lucks[b] * noise}
               for b in lucks for s in (0, 1)}
    assert width(differ)[0] > 2 * width(same)[0]
    assert width(by_bart)[0] > 2 * width(same)[0]
    assert width(by_bart)[1:] == ("400 rows on 20 dates, 2 seeds of each of 4 BARTs", 2)


def test_one_seed_has_no_spread_and_a_missing_precision_no_interval(kinds):
    task = kinds.task("binary_classification")
    flat = {Run("rolling", "flat", 0): {"test": np.full(len(task.test), 0.1)}}
    rows = {r["metric"]: r for r in rows_of(task, flat, 10).iter_rows(named=True)}
    assert rows["roc_auc"]["mean"] == 0.5
    assert rows["roc_auc"]["std"] is None
    assert rows["precision"]["mean"] is rows["precision"]["ci_low"] is None


def test_resamples_without_the_metric_are_left_out_and_said(kinds):
    task = kinds.task("binary_classification", dates=6, rows=5)
    target = np.zeros(30)
    target[0] = 1.0
    task = dataclasses.replace(task, test=dataclasses.replace(task.test, target=target))
    rows = rows_of(task, {Run("rolling", "a", 0): {"test": np.linspace(1, 0, 30)}}, 300)
    row = rows.filter(metric="roc_auc").row(0, named=True)
    assert row["ci_low"] == row["ci_high"] == 1.0
    assert row["interval"].startswith("30 rows on 6 dates, 1 seed; undefined in ")
    assert row["interval"].endswith("% of resamples")


def test_a_test_split_of_one_row_has_a_figure_and_no_interval(kinds):
    task = kinds.task("recommendation")
    task = dataclasses.replace(task, test=LabelTable(np.array([0]), np.array([kinds.DAY]),
                                                     Destinations.of([[1, 2]])))
    rows = rows_of(task, {Run("rolling", "a", 0): {"test": np.array([[1, 5, -1, -1]])}})
    assert rows["mean"].to_list() == [0.5, 0.5]
    assert rows["ci_low"].to_list() == [None, None]
    assert rows["interval"][0] == "1 row on 1 date: rows drawn instead, 1 seed"


def test_a_test_split_of_one_class_is_an_error(kinds):
    task = kinds.task("binary_classification")
    ones = dataclasses.replace(task.test, target=np.ones(len(task.test)))
    with pytest.raises(ValueError, match="roc_auc is undefined: all 80 labels are 1"):
        rows_of(dataclasses.replace(task, test=ones), kinds.answers(task, {"a": 0.1}))


def test_what_could_not_run_has_rows_that_say_why_instead_of_figures(kinds):
    task = kinds.task("binary_classification")
    rows = unavailable_rows(task, pl.DataFrame({
        "variant": ["kumo"], "regime": ["rolling"], "reason": ["weights not available"]}))
    assert dict(rows.schema) == METRICS
    assert rows["metric"].to_list() == list(task.metrics)
    assert rows["source"].unique().to_list() == ["weights not available"]
    assert rows["mean"].null_count() == rows.height


def test_an_interval_over_dates_and_seeds_holds_the_truth_as_often_as_it_says(kinds):
    """Errors that share a date and a seed: the mean of |error| is known."""
    random = np.random.default_rng(3)
    base = kinds.task("regression", dates=10, rows=8)
    held = {5: 0, 11: 0}  # by the fewest dates that are drawn: dates, and rows instead
    worlds, truth = 120, np.exp(0.5**2 / 2 + 0.3**2 / 2)
    for number in range(worlds):
        task = dataclasses.replace(base, name=f"world {number}")
        date = np.repeat(np.exp(random.normal(0, 0.5, 10)), 8)
        predictions = {Run("rolling", "a", s): {
            "test": task.test.target + date * np.exp(random.normal(0, 0.3))} for s in range(4)}
        for fewest in held:
            row = rows_of(task, predictions, 150, fewest).row(0, named=True)
            held[fewest] += row["ci_low"] <= truth <= row["ci_high"]
    assert 0.88 <= held[5] / worlds <= 1.0
    assert held[11] < held[5]
