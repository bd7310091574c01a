import numpy as np
import polars as pl
import pytest

from rowgraph.trees import TREES, binned, grow, numbers_of

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(300, 4))
FEATURES[::7, 1] = np.nan
PARAMETERS = {**TREES, "min_data_in_leaf": 5}
TARGETS = {
    "binary_classification": (FEATURES[:, 0] > 0) * 1.0,
    "multiclass_classification": np.digitize(FEATURES[:, 0], [-0.5, 0.5]) * 1.0,
    "regression": 100 + 3 * FEATURES[:, 0]}


@pytest.mark.parametrize("words", [
    pl.Series(["b", "a", None, "b"], dtype=pl.Enum(["b", "a", "never"])),
    pl.Series(["b", "a", None, "b"], dtype=pl.Categorical),
    pl.Series(["b", "a", None, "b"])])
def test_words_of_every_type_are_categories(words):
    numbers, coded = numbers_of(words)
    assert coded
    np.testing.assert_equal(numbers, [1, 0, np.nan, 1])


@pytest.mark.parametrize("kind", TARGETS)
def test_fewer_trees_are_the_first_of_more(kind):
    data = binned(FEATURES, TARGETS[kind], [], PARAMETERS)
    forest = grow(kind, 3, data, 30, 1, PARAMETERS)
    fewer = grow(kind, 3, data, 12, 1, PARAMETERS)  # of the same bins
    first, last = forest.predict(FEATURES, [12, 30])
    np.testing.assert_array_equal(first, fewer.predict(FEATURES, [12])[0])
    expected = forest.booster.predict(FEATURES, num_iteration=30)
    np.testing.assert_allclose(last, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", TARGETS)
def test_answers_have_the_form_of_their_kind(kind):
    data = binned(FEATURES, TARGETS[kind], [], PARAMETERS)
    answer = grow(kind, 3, data, 5, 0, PARAMETERS).predict(FEATURES, [5])[0]
    assert answer.shape == ((300, 3) if kind.startswith("multi") else (300,))
    if kind.startswith("multi"):
        np.testing.assert_allclose(answer.sum(axis=1), 1)
    elif kind.startswith("binary"):
        assert ((answer > 0) & (answer < 1)).all()
    else:
        assert abs(np.median(answer) - 100) < 3


def test_one_class_and_empty_features_still_give_an_answer():
    nothing = np.full((50, 2), np.nan)
    for kind, target in (("binary_classification", np.zeros(50)), ("regression", np.ones(50)),
                         ("multiclass_classification", np.zeros(50))):
        data = binned(nothing, target, [1], PARAMETERS)
        answer = grow(kind, 3, data, 5, 0, PARAMETERS).predict(nothing, [5])[0]
        assert np.isfinite(answer).all()


def test_gains_are_of_the_trees_that_are_asked_for():
    data = binned(FEATURES, TARGETS["regression"], [], PARAMETERS)
    forest = grow("regression", 0, data, 20, 0, PARAMETERS)
    assert forest.gains().argmax() == 0
    assert forest.gains(1).sum() < forest.gains(20).sum()


def test_bins_serve_forests_of_every_size_and_seed_as_bins_of_their_own_would():
    target, plain = TARGETS["regression"], {**PARAMETERS, "feature_pre_filter": False}
    shared = binned(FEATURES, target, [], plain)
    for seed, leaves in ((0, 7), (1, 31), (0, 7)):
        growth = {**plain, "num_leaves": leaves, "min_data_in_leaf": 40 - leaves}
        own = binned(FEATURES, target, [], growth)
        one, other = (grow("regression", 0, data, 9, seed, growth).predict(FEATURES, [9])[0]
                      for data in (own, shared))
        np.testing.assert_array_equal(one, other)
