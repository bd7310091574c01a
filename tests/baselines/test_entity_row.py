import dataclasses

import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation.exams import Exams, Rows
from rowgraph.baselines.entity_row import EntityColumns, EntityRow, steps_upto
from rowgraph.databases.database import Database
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.regimes import visible_before


def every(labels, before=None):
    before = labels.times if before is None else before
    return Rows(View("known", labels, before), np.arange(len(labels)))


@pytest.fixture(scope="module")
def columns(world):
    return EntityColumns.fit(world.database, world.task, every(world.task.train))


def test_the_entitys_columns_are_its_attributes_without_keys(columns):
    assert columns.names == ("debut", "name", "country", "height", "rookie")
    assert [columns.names[i] for i in columns.categorical] == ["name", "country", "rookie"]
    height = columns.values[:, columns.names.index("height")]
    assert np.isnan(height[0])
    assert height[1] == 157


def test_an_entity_row_that_its_seed_may_not_see_has_no_features(columns, world, lab):
    debut = int(lab.SEED_DATES[26])  # driver 1 enters on that day
    labels = LabelTable(np.array([1, 1, 1]), debut + lab.DAY * np.array([-1, 0, 1]), np.zeros(3))
    seen = columns.features(every(labels))
    assert np.isnan(seen[:, :-1]).all(axis=1).tolist() == [True, True, False]
    assert np.isfinite(seen[:, -1]).all()
    frozen = visible_before(labels.times, "frozen_db", "test", world.database)
    assert np.isnan(columns.features(every(labels, frozen))[:, :-1]).all()


def test_values_that_fitted_entities_do_not_have_are_missing(world):
    train = world.task.train
    fitted = every(train.take(np.flatnonzero(train.rows % 4 == 1)))
    columns = EntityColumns.fit(world.database, world.task, fitted)
    country = columns.values[:, columns.names.index("country")]
    assert (np.isnan(country) == (np.arange(40) % 4 != 1)).all()


def test_a_string_column_with_many_values_is_text_and_left_out(world, monkeypatch):
    monkeypatch.setattr("rowgraph.trees.MAX_CATEGORIES", 10)
    names = EntityColumns.fit(world.database, world.task, every(world.task.train)).names
    assert "name" not in names
    assert "country" in names


def test_a_column_whose_name_looks_like_a_pattern_is_one_column(lab, tmp_path):
    world = lab.build_world(tmp_path / "db", lab.frames())
    odd = ["^h.*$", "^.*$", "*", "", 'a"b']
    frame = pl.read_parquet(world.database.path("drivers"))
    frame.with_columns(pl.Series(name, range(len(frame))) for name in odd).write_parquet(
        world.database.path("drivers"))
    database = Database.open(world.database.folder)
    columns = EntityColumns.fit(database, world.task, every(world.task.train))
    assert columns.names == ("debut", "name", "country", "height", "rookie", *odd)
    at = columns.names.index("^h.*$")
    assert columns.values[:, at].tolist() == list(range(40))


def test_the_row_of_an_autocomplete_task_is_visible_but_for_its_hidden_column(autocomplete):
    columns = EntityColumns.fit(autocomplete.database, autocomplete, every(autocomplete.train))
    assert "laps" not in columns.names
    assert "failed" in columns.names
    seen = columns.features(every(autocomplete.test))
    assert np.isfinite(seen[:, columns.names.index("failed")]).all()


def test_an_entity_of_which_nothing_else_is_known_still_has_its_dates(world, quick):
    hidden = [("drivers", c) for c in world.database.attributes("drivers") if c != "debut"]
    task = dataclasses.replace(world.task, database=world.database.without(hidden))
    exams = Exams.of(task, quick)
    model = EntityRow(task, trees=5)
    fitted = model.fit(model.candidates()[0], exams.validation, seed=0, last=5)
    assert fitted.columns.names == ("debut",)
    answers = fitted.predict(exams.validation.asked["rolling"], [5])[0]
    assert np.isfinite(answers).all()
    assert len(answers) == len(task.val)


def test_steps_end_at_the_number_that_is_asked_for():
    assert steps_upto(30, (5, 10, 50)) == (5, 10, 30)
    assert steps_upto(50, (5, 10, 50)) == (5, 10, 50)
    assert steps_upto(3, (5, 10)) == (3,)
