"""The suite's answer, from evaluations as the pipeline leaves them."""

import math

import polars as pl
import pytest

from benchmarks import ablation, suite
from rowgraph.evaluation.comparison import COMPARISONS, VALIDATION
from rowgraph.evaluation.scoring import METRICS


def _evaluation(folder, task, means, verdict, database="rel-a", metric="roc_auc"):
    folder.mkdir(parents=True)
    higher = metric == "roc_auc"
    facts = {"database": database, "task": task, "regime": "rolling", "metric": metric}
    pl.DataFrame([facts | {"variant": v, "mean": m, "n_test": 9, "higher_is_better": higher}
                  for v, m in means.items()], schema=METRICS).write_parquet(
                      folder / "metrics.parquet")
    pl.DataFrame([facts | {"variant": v, "baseline": v.startswith("data"), "mean": m,
                           "higher_is_better": higher} for v, m in means.items()],
                 schema=VALIDATION).write_parquet(folder / "validation.parquet")
    pl.DataFrame([facts | {"variant": "rowgraph", "against": "data_scientist", "headline": True,
                           "difference": .1, "ci_low": .05, "ci_high": .15, "verdict": verdict}],
                 schema=COMPARISONS).write_parquet(folder / "comparisons.parquet")
    return folder


@pytest.fixture
def found(tmp_path):
    churn = {"rowgraph": .9, "data_scientist": .8, "data_scientist_linear": .7,
             "entity_history": .6, "rowgraph_zero_shot": .7, "rowgraph_own_past": .85,
             "rowgraph_untrained": .86}
    spend = {"rowgraph": 11.0, "data_scientist": 10.0, "entity_history": 12.0}
    few = {"rowgraph": .8, "data_scientist": .6}
    return suite.figures([
        (1.0, _evaluation(tmp_path / "1", "churn", churn, "ahead")),
        (1.0, _evaluation(tmp_path / "2", "spend", spend, "behind", "rel-b", "mae")),
        (0.1, _evaluation(tmp_path / "3", "churn", few, "level"))])


def test_a_gain_is_the_share_of_the_error_that_is_gone(found):
    churn = found[1.0, "rel-a", "churn", "rolling"]
    assert churn["scientist"] == "data_scientist"  # the best on validation of the three
    assert suite.gain(churn, "rowgraph", churn["scientist"]) == pytest.approx(.5)
    spend = found[1.0, "rel-b", "spend", "rolling"]
    assert suite.gain(spend, "rowgraph", "data_scientist") == pytest.approx(-.1)
    assert suite.gain(spend, "rowgraph_zero_shot", "data_scientist") is None


def test_goals_are_counted_by_share_and_regime(found):
    said = suite.summary(found)
    whole = said["1 rolling"]
    assert (whole["tasks"], whole["ahead"], whole["level"], whole["behind"]) == (2, 1, 0, 1)
    assert whole["gain"] == pytest.approx(.2)
    assert whole["ci_low"] < whole["gain"] < whole["ci_high"]
    assert whole["better_than_scientist"] == .5
    assert whole["zero_shot_better_than_history"] == 1
    assert whole["own_past_better_than_untrained"] == 0
    assert math.isnan(said["0.1 rolling"]["ci_low"])  # one database has no interval


def test_every_task_has_a_line_and_a_panel(found, tmp_path):
    table = suite.lines(found)
    assert len(table) == 2 + len(found)
    assert any("rel-b/spend (mae)" in line and "behind" in line for line in table)
    suite.draw(found, tmp_path / "figures" / "few.png")
    assert (tmp_path / "figures" / "few.png").stat().st_size > 5000


def test_the_ablation_says_what_each_part_gains_on_folds_and_on_test(found, tmp_path):
    folds = [("2020", [0.0, 1.0, 0.0, 1.0]), ("2021", [1.0, 1.0, 1.0, 1.0])]
    answers = {"untrained": [.1, .2, .3, .4], "own_past": [.1, .4, .2, .3],
               "trees": [.4, .3, .2, .1]}
    pl.DataFrame([{"regime": "rolling", "part": part, "fold": fold, "target": y, "answer": a}
                  for part, a_N in answers.items() for fold, y_N in folds
                  for y, a in zip(y_N, a_N, strict=True)]).write_parquet(
                      tmp_path / "fold_answers.parquet")
    errors = ablation.fold_errors([(1.0, "rel-a", "churn", tmp_path)])
    key = 1.0, "rel-a", "churn", "rolling"
    assert errors[key] == pytest.approx({"untrained": .25, "own_past": 0, "trees": .75})
    rows = {r["part"]: r for r in ablation.ablation(found, errors) if r["share"] == 1}
    own = rows["+ own past"]
    assert own["folds"][0] == pytest.approx(1)
    assert own["test"][0] == pytest.approx(-.01 / .14)
    assert own["scientist"][0] == pytest.approx(.25)
    assert rows["the blend"]["folds"] is None
    assert rows["the blend"]["tasks"] == 1  # spend has no untrained encoder
    assert "trees on aggregates (and vectors where folds say so)" not in rows
    assert len(ablation.lines(ablation.ablation(found, errors))) > 4
