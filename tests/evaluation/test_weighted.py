import numpy as np
import pytest
import relbench.metrics
import sklearn.metrics as skm
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.evaluation.resamples import Resamples
from rowgraph.evaluation.weighted import weighted
from rowgraph.tasks.kinds import METRICS
from rowgraph.tasks.label_tables import Destinations

TRAIN = np.array([1.0, 2.0, 4.0])
CLUSTERS, DRAWS = 6, 4
PATIENT = settings(deadline=None, max_examples=40)  # compiles, and scikit-learn is slow
OFFSETS = st.sampled_from([0.0, -3.0, 1e6, 3e6, 1e9, 1e12])


def drawn(count, seed):
    """Clusters of rows (none empty) and how often each is drawn."""
    random = np.random.default_rng(seed)
    cluster = np.unique(random.integers(0, CLUSTERS, count), return_inverse=True)[1]
    clusters = int(cluster.max()) + 1
    counts = random.multinomial(clusters, np.full(clusters, 1 / clusters), DRAWS)
    return cluster, counts.astype(float)


def repeated(cluster, counts):
    """The label rows of each resample, as often as they are drawn."""
    return [np.repeat(np.arange(len(cluster)), count[cluster].astype(int)) for count in counts]


def check(metric, target, prediction, seed, reference):
    cluster, counts = drawn(len(target), seed)
    found = weighted(metric, target, prediction, cluster, counts, TRAIN)
    for value, rows in zip(found, repeated(cluster, counts), strict=True):
        expected = reference(target[rows], prediction[rows])
        if expected is None:
            assert np.isnan(value), metric
        else:
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12), metric


def both_classes(metric):
    return lambda t, p: metric(t, p) if len(set(t)) > 1 else None


BINARY = {
    "roc_auc": both_classes(skm.roc_auc_score),
    "average_precision": lambda t, p: skm.average_precision_score(t, p) if t.any() else None,
    "precision": lambda t, p: skm.precision_score(t, p >= 0.5) if (p >= 0.5).any() else None,
    "accuracy": lambda t, p: skm.accuracy_score(t, p >= 0.5),
    "f1": lambda t, p: skm.f1_score(t, p >= 0.5) if (t.any() or (p >= 0.5).any()) else None}


@PATIENT
@given(rows=st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])),
                     min_size=3, max_size=30), seed=st.integers(0, 99))
def test_binary_metrics_are_scikit_learns_of_the_rows_drawn_with_ties_and_constants(rows, seed):
    target, prediction = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    assert set(BINARY) == set(METRICS["binary_classification"])
    for metric, reference in BINARY.items():
        check(metric, target, prediction, seed, reference)


@PATIENT
@given(rows=st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from([0.1, 0.4, 0.9]),
                                                           min_size=4, max_size=4)),
                     min_size=3, max_size=25), seed=st.integers(0, 99))
def test_multiclass_metrics_are_scikit_learns_of_the_rows_drawn(rows, seed):
    target = np.array([r[0] for r in rows], dtype=float)
    prediction = np.array([r[1] for r in rows])
    prediction /= prediction.sum(1, keepdims=True)

    def ovr(t, p):
        each = [skm.roc_auc_score(t == c, p[:, int(c)]) for c in set(t) if (t != c).any()]
        return np.mean(each) if each else None

    reference = {
        "macro_f1": lambda t, p: skm.f1_score(t.astype(int), p.argmax(1), average="macro"),
        "accuracy": lambda t, p: skm.accuracy_score(t, p.argmax(1)),
        "log_loss": lambda t, p: skm.log_loss(t, p, labels=range(4)),
        "roc_auc_ovr": ovr}
    assert set(reference) == set(METRICS["multiclass_classification"])
    for metric, judge in reference.items():
        check(metric, target, prediction, seed, judge)


@PATIENT
@given(rows=st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, -2.0]),
                               st.sampled_from([0.0, 0.5, 1.25])), min_size=3, max_size=30),
       offset=OFFSETS, seed=st.integers(0, 99))
def test_regression_metrics_are_scikit_learns_however_far_from_nought_the_target_lies(
        rows, offset, seed):
    target, prediction = (np.array(c) + offset for c in zip(*rows, strict=True))
    reference = {
        "mae": skm.mean_absolute_error,
        "nmae": lambda t, p: skm.mean_absolute_error(t, p) / TRAIN.std(ddof=1),
        "r2": lambda t, p: skm.r2_score(t - offset, p - offset) if np.ptp(t) else None}
    assert set(reference) == set(METRICS["regression"])
    for metric, judge in reference.items():
        check(metric, target, prediction, seed, judge)


def test_one_outlier_that_is_not_drawn_spoils_no_r2():
    random = np.random.default_rng(0)
    target = np.append(random.normal(0, 1e-3, 30), 1e9)
    prediction = target + random.normal(0, 1e-4, 31)
    counts = np.append(np.ones(30), 0)[None]
    found = weighted("r2", target, prediction, np.arange(31), counts, TRAIN)
    # What remains is 10^12 times smaller than the outlier, whose mean was taken off.
    assert found[0] == pytest.approx(skm.r2_score(target[:30], prediction[:30]), abs=1e-3)


@PATIENT
@given(rows=st.lists(st.tuples(st.sets(st.integers(0, 7)),
                               st.lists(st.integers(0, 7), max_size=3, unique=True)),
                     min_size=3, max_size=15), seed=st.integers(0, 99))
def test_recommendation_metrics_are_relbenchs_of_the_rows_drawn(rows, seed):
    target = Destinations.of([np.array(sorted(r[0]), dtype=int) for r in rows])
    prediction = np.array([[*r[1], -1, -1, -1][:3] for r in rows])

    def reference(definition):
        def judge(t, p):
            isin = np.stack([np.isin(said, t.of_row(i)) for i, said in enumerate(p)])
            return definition(isin, t.counts) if t.counts.any() else None
        return judge

    judges = {
        "map": reference(relbench.metrics.map),
        "recall": reference(lambda isin, n: (isin[n > 0].sum(1) / n[n > 0]).mean())}
    assert set(judges) == set(METRICS["recommendation"])
    for metric, judge in judges.items():
        check(metric, target, prediction, seed, judge)


@pytest.mark.parametrize("offset", [0.0, 1e6, 3e6, 1e10])
def test_the_interval_of_r2_does_not_depend_on_where_nought_is(kinds, offset):
    task = kinds.task("regression", dates=30)
    resamples = Resamples.of(task, 300, 5)
    target = task.test.target
    prediction = 0.8 * target + np.random.default_rng(1).normal(0, 0.5, len(target))
    found = [weighted("r2", target + shift, prediction + shift, resamples.cluster_N,
                      resamples.counts_BK, TRAIN) for shift in (0.0, offset)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_the_draws_are_distributed_as_scikit_learns_over_dates_drawn_anew(kinds):
    task = kinds.task("binary_classification", dates=12, rows=15)
    prediction = kinds.predict(task, "test", 0.3, 1)
    resamples = Resamples.of(task, 2_000, 5)
    found = weighted("roc_auc", task.test.target, prediction, resamples.cluster_N,
                     resamples.counts_BK, TRAIN)
    random, dates = np.random.default_rng(5), np.unique(task.test.times)
    rows = [np.flatnonzero(task.test.times == d) for d in dates]
    drawn_anew = []
    for _ in range(600):
        index = np.concatenate([rows[i] for i in random.integers(0, len(dates), len(dates) - 1)])
        drawn_anew.append(skm.roc_auc_score(task.test.target[index], prediction[index]))
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    assert np.quantile(found, levels) == pytest.approx(np.quantile(drawn_anew, levels), abs=0.006)
