"""Features of rows that came later are those that a model was fitted on, or it is said."""

import dataclasses

import numpy as np
import pytest

from rowgraph.features.asked import _recoded, features_of
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.store import WindowFeatures
from rowgraph.tasks.folds import views_of

SETTINGS = WindowFeaturesSettings(folds=2, regimes=("frozen_db", "rolling"), max_features=60)


@pytest.fixture
def stored(world, features_of):
    return WindowFeatures.open(features_of(world.task))


@pytest.mark.parametrize("name", ["test_rolling", "test_frozen_db", "known"])
def test_features_of_a_view_are_those_that_were_stored_to_the_bit(name, world, stored):
    view = views_of(world.task, ("frozen_db", "rolling"), ())[name]
    found = features_of(world.task, SETTINGS, view, stored.columns)
    np.testing.assert_array_equal(found.values, stored.matrix(name))
    assert found.names == stored.names
    assert found.categorical == stored.categorical
    assert found.lost == ()
    assert set(found.words) == {stored.names[i] for i in stored.categorical}


def test_fewer_columns_in_another_order_are_the_same_columns(world, stored):
    view = views_of(world.task, ("rolling",), ())["test_rolling"]
    picked = stored.columns[::-3]
    found = features_of(world.task, SETTINGS, view, picked)
    np.testing.assert_array_equal(found.values, stored.matrix("test_rolling")[:, ::-3])


def test_codes_stand_for_the_words_that_they_stood_for(world, stored):
    view = views_of(world.task, ("rolling",), ())["test_rolling"]
    truth = features_of(world.task, SETTINGS, view, stored.columns)
    name, words = next(iter(truth.words.items()))
    then = ("a word that is gone", *reversed(words[1:]))  # the first is new since
    found = features_of(world.task, SETTINGS, view, stored.columns, {name: then})
    place = stored.names.index(name)
    for now, was in zip(truth.values[:, place], found.values[:, place], strict=True):
        if np.isnan(now) or words[int(now)] not in then:
            assert np.isnan(was)
        else:
            assert then[int(was)] == words[int(now)]


def test_a_code_of_a_new_word_is_missing():
    found = _recoded(np.array([0.0, 1.0, np.nan, 2.0]), ("a", "b", "c"), ("c", "a"))
    np.testing.assert_array_equal(found, [1, np.nan, np.nan, 0])


def test_a_few_features_may_be_gone_and_many_may_not(world, stored):
    view = views_of(world.task, ("rolling",), ())["test_rolling"]
    gone = {**stored.columns[0], "column": "was here once"}
    found = features_of(world.task, SETTINGS, view, [*stored.columns, gone])
    assert found.lost == (gone["name"],)
    assert np.isnan(found.values[:, -1]).all()
    with pytest.raises(ValueError, match=r"reads .* and 2 more features .* train anew"):
        features_of(world.task, SETTINGS, view, [*stored.columns, *(
            {**gone, "column": f"gone {k}", "name": f"gone {k}"} for k in range(3))])


def test_a_hidden_column_is_a_column_that_is_gone(world, stored):
    view = views_of(world.task, ("rolling",), ())["test_rolling"]
    time = world.task.database.tables["drivers"].time_col
    used = next(c for c in stored.columns if c["path"] == "drivers" and c["kind"] == "code"
                and c["column"] != time)
    hidden = world.task.database.without([("drivers", used["column"].split(" = ")[0])])
    task = dataclasses.replace(world.task, database=hidden)
    found = features_of(task, SETTINGS, view, [used])
    assert found.lost == (used["name"],)
