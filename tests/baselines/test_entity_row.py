import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.artifacts import Draft
from rowgraph.baselines.entity_row import EntityColumns, entity_mean, prior, run_baselines
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.regimes import visible_before

label_rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 1)),
                      min_size=1, max_size=12)


def label_table(rows):
    who, when, target = zip(*rows, strict=True)
    return LabelTable(np.array(who), np.array(when), np.array(target, dtype=float))


@given(train=label_rows, val=label_rows, test=label_rows, timedelta=st.integers(0, 6),
       seeds=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=9))
def test_an_entitys_mean_is_over_labels_whose_window_ended_before_the_seed(
        world, train, val, test, timedelta, seeds):
    task = dataclasses.replace(world.task, timedelta=timedelta, train=label_table(train),
                               val=label_table(val), test=label_table(test))
    found = entity_mean(task, *(np.array(c) for c in zip(*seeds, strict=True)))
    for value, (who, before) in zip(found, seeds, strict=True):
        past = [y for w, t, y in [*train, *val, *test] if w == who and t + timedelta < before]
        assert value == pytest.approx(np.mean(past) if past else prior(task))


def test_the_prior_is_a_share_or_a_median(world, regression_world):
    assert prior(world.task) == world.task.train.target.mean()
    assert prior(regression_world.task) == np.median(regression_world.task.train.target)


@pytest.fixture(scope="module")
def columns(world):
    return EntityColumns.fit(world.database, world.task)


def test_the_entitys_columns_are_its_attributes_without_keys(columns):
    assert columns.names == ("debut", "name", "country", "height", "rookie")
    assert [columns.names[i] for i in columns.categorical] == ["name", "country", "rookie"]
    height = columns.values[:, columns.names.index("height")]
    assert np.isnan(height[0])
    assert height[1] == 157


def test_an_entity_row_that_its_seed_may_not_see_has_no_features(columns, world, lab):
    debut = int(lab.SEED_DATES[26])  # driver 1 enters on that day
    labels = LabelTable(np.array([1, 1, 1]), debut + lab.DAY * np.array([-1, 0, 1]), np.zeros(3))
    before = visible_before(labels.times, "rolling", "test", world.database)
    seen = columns.features(labels, before)
    assert np.isnan(seen[:, :-1]).all(axis=1).tolist() == [True, True, False]
    assert np.isfinite(seen[:, -1]).all()
    frozen = visible_before(labels.times, "frozen_db", "test", world.database)
    assert np.isnan(columns.features(labels, frozen)[:, :-1]).all()


def test_values_that_training_entities_do_not_have_are_missing(world, lab):
    train = world.task.train
    task = dataclasses.replace(world.task, train=train.take(np.flatnonzero(train.rows % 4 == 1)))
    columns = EntityColumns.fit(world.database, task)
    country = columns.values[:, columns.names.index("country")]
    assert (np.isnan(country) == (np.arange(40) % 4 != 1)).all()


def test_a_string_column_with_many_values_is_text_and_left_out(world, monkeypatch):
    monkeypatch.setattr("rowgraph.trees.MAX_CATEGORIES", 10)
    names = EntityColumns.fit(world.database, world.task).names
    assert "name" not in names
    assert "country" in names


@pytest.mark.parametrize("kind", ["world", "regression_world"])
def test_baselines_write_results_and_predictions_laid_out_as_the_models(kind, request, tmp_path):
    where = request.getfixturevalue(kind)
    seen = []
    settings = BaselineMetricsSettings(seeds=(0, 1), trees=20, bootstrap=5)
    summary = run_baselines(where.database, where.task, settings, Draft(tmp_path),
                            log=lambda step, metrics: seen.append(step))
    metrics = pl.read_parquet(tmp_path / "metrics.parquet")
    primary = metrics.filter(metric=where.task.metrics[0])
    assert dict(primary.filter(regime="rolling").select("variant", "seeds").iter_rows()) == {
        "global_mean": 1, "entity_mean": 1, "lightgbm_entity": 2}
    assert metrics.height == 2 * 3 * len(where.task.metrics)
    rows = len(where.task.val) + len(where.task.test)
    assert len(pl.read_parquet(tmp_path / "predictions.parquet")) == 2 * 4 * rows
    assert set(summary["results"]) == {"frozen_db", "rolling"}
    assert seen == [0, 1, 0, 1]


def test_baselines_give_the_same_bytes_again(world, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run_baselines(world.database, world.task,
                      BaselineMetricsSettings(seeds=(0,), trees=20, bootstrap=5),
                      Draft(tmp_path / name), log=lambda *_: None)
    for file in ("metrics.parquet", "predictions.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
