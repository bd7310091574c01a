import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from rowgraph.adaptation.linear import PENALTIES, SMOOTH, NormalScores, fit_linear

COUNT = 400


@pytest.fixture(scope="module")
def table():
    """Features: two numbers that matter, one with missing values, a code, a constant, nothing."""
    random = np.random.default_rng(3)
    features = np.column_stack([
        random.normal(size=COUNT), random.lognormal(0, 2, COUNT), random.normal(size=COUNT),
        random.integers(0, 4, COUNT), np.full(COUNT, 7.0), np.full(COUNT, np.nan)])
    features[random.random(COUNT) < 0.3, 2] = np.nan
    score = (features[:, 0] + np.log(features[:, 1]) / 2 - 1.0 * np.isnan(features[:, 2])
             + (features[:, 3] == 2))
    noise = random.logistic(size=COUNT)
    return features.astype(np.float32), score, noise


TARGETS = {
    "binary_classification": lambda score, noise: (score + noise > 0) * 1.0,
    "multiclass_classification": lambda score, noise: np.digitize(score + noise, [-1, 1]) * 1.0,
    "regression": lambda score, noise: 1e6 + 10 * (score + noise)}


def columns_of(features):
    return NormalScores.fit(features, [3]).columns(features)


@pytest.mark.parametrize("kind", ["binary_classification", "multiclass_classification"])
def test_every_penalty_reaches_the_optimum_that_scikit_learn_finds(kind, table):
    features, score, noise = table
    target = TARGETS[kind](score, noise)
    columns = columns_of(features)
    path = fit_linear(kind, 3, features, target, [3])
    for place, penalty in enumerate(PENALTIES):
        judge = LogisticRegression(C=1 / (penalty * COUNT), tol=1e-10, max_iter=10_000)
        expected = judge.fit(columns, target).predict_proba(columns)
        expected = expected[:, 1] if kind.startswith("binary") else expected
        # Directions of next to no variance are left out, hence not more than three digits.
        np.testing.assert_allclose(path.predict(features, [place])[0], expected, atol=5e-3)


def test_a_regression_minimises_the_smoothed_absolute_error(table):
    features, score, noise = table
    target = TARGETS["regression"](score, noise)
    columns, unit = columns_of(features), target.std()
    path = fit_linear("regression", 0, features, target, [3])

    def loss(point, penalty):
        error = (columns @ point[:-1] + point[-1] - target + np.median(target)) / unit
        return (np.sqrt(error**2 + SMOOTH**2).mean()
                + penalty / 2 * (point[:-1] ** 2).sum() / unit**2)

    for place in (1, 4):
        found = np.append(path.weights[place][:, 0], path.bias[place]) * unit
        best = scipy.optimize.minimize(loss, found, args=(PENALTIES[place],))
        assert loss(found, PENALTIES[place]) <= best.fun * (1 + 2e-3)


@pytest.mark.parametrize("kind", TARGETS)
def test_fewer_penalties_are_the_first_of_more_and_equal_rows_give_equal_bytes(kind, table):
    features, score, noise = table
    target = TARGETS[kind](score, noise)
    whole, part = (fit_linear(kind, 3, features, target, [3], last) for last in (None, 2))
    assert len(part.weights) == 3
    for one, other in zip(whole.predict(features, range(3)), part.predict(features, range(3)),
                          strict=True):
        assert one.tobytes() == other.tobytes()


def test_scores_are_fitted_on_the_given_rows_and_hold_for_others(table):
    features = table[0]
    scores = NormalScores.fit(features, [3])
    fitted = scores.columns(features)
    np.testing.assert_allclose(fitted.mean(axis=0), 0, atol=1e-9)
    deviations = fitted.std(axis=0)
    assert (np.isclose(deviations, 1) | (deviations == 0)).all()
    wild = np.array([[1e30, -1e30, np.nan, 99, 3, 5]], dtype=np.float32)  # never seen
    assert np.abs(scores.columns(wild)).max() < 10


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=40))
def test_scores_keep_the_order_of_values(values):
    column = np.array(values, dtype=np.float32)[:, None]
    scores = NormalScores.fit(column, []).columns(column)
    ordered = scores[np.argsort(column[:, 0], kind="stable")]
    assert (np.diff(ordered, axis=0) >= -1e-9).all()


def test_nothing_to_go_by_gives_the_share_of_the_labels():
    nothing = np.full((40, 3), np.nan)
    target = np.arange(40) % 4 == 0
    path = fit_linear("binary_classification", 0, nothing, target * 1.0, [1])
    for answer in path.predict(nothing, range(len(PENALTIES))):
        np.testing.assert_allclose(answer, 0.25, atol=1e-3)


def test_one_class_only_gives_an_answer():
    features = np.arange(60, dtype=np.float32).reshape(30, 2)
    for kind, classes in (("binary_classification", 0), ("multiclass_classification", 3)):
        path = fit_linear(kind, classes, features, np.zeros(30), [])
        assert all(np.isfinite(a).all() for a in path.predict(features, range(len(PENALTIES))))
    constant = fit_linear("regression", 0, features, np.full(30, 4.0), [])
    assert all(np.allclose(a, 4) for a in constant.predict(features, range(len(PENALTIES))))
