import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.baselines.running import SCIENTIST, run_baselines
from rowgraph.baselines.settings import BASELINES, BaselineMetricsSettings
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run

PAST = ("entity_mean", "entity_history")
DRAWN = ("lightgbm_entity", "data_scientist", "data_scientist_blend")


def of_kind(name, request):
    found = request.getfixturevalue(name)
    return getattr(found, "task", found)


@pytest.fixture(scope="module")
def done(ran, world):
    """The stage on the binary task: folder, predictions, summary."""
    return ran(world.task)


@pytest.mark.parametrize("kind", ["world", "regression_world", "multiclass", "autocomplete"])
def test_every_baseline_answers_every_kind_of_task(kind, request, ran, quick):
    task = of_kind(kind, request)
    folder, predictions, summary = ran(task)
    # A row that is itself asked about has no past.
    names = [n for n in BASELINES if not (task.autocomplete and n in PAST)]
    assert set(predictions) == {
        Run(regime, name, seed) for regime in quick.regimes for name in names
        for seed in (quick.seeds if name in DRAWN else (0,))}
    json.dumps(summary)
    choices = pl.read_parquet(folder / "choices.parquet").filter("chosen")
    picked = set(choices.select("model", "regime").iter_rows())
    assert picked == {(name, regime) for regime in quick.regimes for name in names
                      if name not in ("global_constant", "entity_mean")}


def test_the_summary_says_what_was_chosen_and_the_mean_over_seeds(done, world, quick):
    _, predictions, summary = done
    task = world.task
    for split, key in (("val", "validation"), ("test", "results")):
        found = [measure("roc_auc", task.labels(split).target,
                         predictions[Run("rolling", "data_scientist", seed)][split],
                         task.train.target) for seed in quick.seeds]
        assert summary[key]["rolling"]["data_scientist"] == pytest.approx(np.mean(found))
    assert summary["folds"][-1] == str(np.datetime64(task.database.val_timestamp, "us"))[:10]
    assert summary["n_train"] == len(task.known)
    assert summary["chosen"]["rolling"]["lightgbm_entity"]["candidate"] == "own row"


def test_window_features_find_what_the_entity_row_does_not_say(done):
    results = done[2]["results"]["rolling"]
    for name in SCIENTIST:
        assert results[name] > 0.9
    assert results["lightgbm_entity"] < 0.7


def test_choices_are_the_best_means_over_folds(done):
    choices = pl.read_parquet(done[0] / "choices.parquet")
    assert choices.select("model", "regime", "candidate", "step", "fold").is_duplicated().sum() == 0
    means = choices.group_by("model", "regime", "candidate", "step").agg(
        pl.col("value").mean(), pl.col("chosen").any())
    for _, tried in means.group_by("model", "regime"):
        assert tried.filter("chosen")["value"].item() == pytest.approx(tried["value"].max())


def test_aged_rows_are_tried_for_frozen_db_alone(done):
    choices = pl.read_parquet(done[0] / "choices.parquet")
    aged = choices.filter(pl.col("candidate").str.contains("aged"))
    assert set(aged["regime"]) == {"frozen_db"}
    assert set(aged["model"]) == {"data_scientist", "data_scientist_linear"}


def test_importances_are_shares_of_the_gain_by_name(done):
    found = pl.read_parquet(done[0] / "importances.parquet")
    assert found.columns == ["regime", "model", "feature", "gain"]
    assert set(found["regime"]) == {"frozen_db", "rolling"}
    assert (found.group_by("regime").agg(pl.col("gain").sum())["gain"] <= 1 + 1e-9).all()
    assert found.filter(regime="rolling")["feature"][0].startswith("results by driverId")


def test_the_blend_is_the_mean_of_the_parts_that_it_names(done, quick):
    _, predictions, summary = done
    for regime in quick.regimes:
        parts = summary["chosen"][regime]["data_scientist_blend"]["candidate"].split(" + ")
        if set(parts) == {"trees", "linear"}:
            for seed in quick.seeds:
                mean = (predictions[Run(regime, "data_scientist", seed)]["test"]
                        + predictions[Run(regime, "data_scientist_linear", 0)]["test"]) / 2
                blend = predictions[Run(regime, "data_scientist_blend", seed)]["test"]
                np.testing.assert_allclose(blend, mean)


def test_equal_settings_give_equal_bytes(done, ran, world, features_of):
    folder = ran(world.task)[0]
    for file in ("predictions.parquet", "choices.parquet", "importances.parquet"):
        assert (folder / file).read_bytes() == (done[0] / file).read_bytes()


def test_a_baseline_answers_alike_whichever_others_run(done, ran, world, quick):
    asked = ("data_scientist_linear", "entity_history")
    _, predictions, summary = ran(world.task, quick.model_copy(update={"baselines": asked}))
    assert {run.variant for run in predictions} == set(asked)
    assert set(summary["chosen"]["rolling"]) == set(asked)
    for run, splits in predictions.items():
        np.testing.assert_array_equal(splits["test"], done[1][run]["test"])


def test_test_labels_choose_nothing(done, ran, world, features_of):
    task = world.task
    poisoned = dataclasses.replace(task, test=LabelTable(task.test.rows, task.test.times,
                                                         1 - task.test.target))
    folder, predictions, summary = ran(poisoned)
    assert summary["chosen"] == done[2]["chosen"]
    assert summary["validation"] == done[2]["validation"]
    choices = "choices.parquet"
    assert (folder / choices).read_bytes() == (done[0] / choices).read_bytes()
    for run, splits in predictions.items():
        np.testing.assert_array_equal(splits["val"], done[1][run]["val"])
        if run.regime == "frozen_db":
            np.testing.assert_array_equal(splits["test"], done[1][run]["test"])
    run = Run("rolling", "entity_mean", 0)  # the control: past test labels are known to it
    assert not np.array_equal(predictions[run]["test"], done[1][run]["test"])


def test_a_fold_of_one_class_chooses_nothing_and_is_no_failure(ran, world, quick):
    task = world.task
    val = LabelTable(task.val.rows, task.val.times, np.zeros(len(task.val)))
    lonely = dataclasses.replace(task, val=val)
    folder, predictions, summary = ran(lonely)
    newest = pl.read_parquet(folder / "choices.parquet").filter(fold=summary["folds"][-1])
    assert newest["value"].is_null().all()
    assert summary["validation"]["rolling"]["data_scientist"] is None
    assert all(np.isfinite(splits["test"]).all() for splits in predictions.values())
    # With no fold that can say anything, the plainest and most cautious is taken.
    folder, predictions, _ = ran(lonely, quick.model_copy(update={"folds": 1}))
    scores = pl.read_parquet(folder / "choices.parquet")
    assert scores["value"].is_null().all()
    assert scores.filter("chosen").height
    assert all(np.isfinite(splits["test"]).all() for splits in predictions.values())


def test_the_data_scientist_without_features_is_refused_before_anything_is_done(world, quick,
                                                                                tmp_path, silent):
    with pytest.raises(ValueError, match=r"rel-races/driver-fails.*window features.*leave "
                                         r"data_scientist, .*out of baseline_metrics.baselines"):
        run_baselines(world.task, None, quick, Draft(tmp_path), log=silent)
    some = quick.model_copy(update={"baselines": ("lightgbm_entity", "entity_mean")})
    run_baselines(world.task, None, some, Draft(tmp_path), log=silent)
    assert not (tmp_path / "importances.parquet").exists()


def test_features_of_other_folds_are_refused(world, quick, features_of, tmp_path, silent):
    folder = features_of(world.task, quick.model_copy(update={"folds": 1}))
    with pytest.raises(ValueError, match="no view 'fold_"):
        run_baselines(world.task, folder, quick, Draft(tmp_path), log=silent)


def test_features_that_are_all_missing_leave_the_constant(world, quick, features_of, ran,
                                                          monkeypatch):
    from rowgraph.features.store import WindowFeatures

    read = WindowFeatures.matrix
    monkeypatch.setattr(WindowFeatures, "matrix", lambda self, view: np.full_like(
        read(self, view), np.nan))
    _, predictions, _ = ran(world.task, quick.model_copy(update={"baselines": SCIENTIST[:2]}))
    for splits in predictions.values():
        share = world.task.known.target.mean()
        np.testing.assert_allclose(splits["test"], share, atol=0.02)


def test_settings_refuse_a_baseline_that_is_listed_twice_or_unknown():
    with pytest.raises(ValueError, match="listed once"):
        BaselineMetricsSettings(baselines=("entity_mean", "entity_mean"))
    with pytest.raises(ValueError, match="data_scientist_blend"):
        BaselineMetricsSettings(baselines=("xgboost",))
