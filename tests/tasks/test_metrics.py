import numpy as np
import pytest
import relbench.metrics
import sklearn.metrics as skm
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.tasks.label_tables import Destinations
from rowgraph.tasks.metrics import hits, measure

PATIENT = settings(deadline=None)  # a busy machine is no failure

BINARY = ("roc_auc", "average_precision", "precision", "accuracy", "f1")
TRAIN = np.array([1.0, 2.0, 4.0])
COLUMNS = st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.8]), min_size=3, max_size=3)


def probabilities(rows):
    values = np.array(rows) + 1e-3
    return values / values.sum(1, keepdims=True)


@PATIENT
@given(rows=st.lists(st.tuples(st.integers(0, 2), COLUMNS), min_size=2, max_size=20).filter(
    lambda rows: len({r[0] for r in rows}) > 1))
def test_multiclass_metrics_are_scikit_learns(rows):
    target = np.array([r[0] for r in rows], dtype=float)
    prediction = probabilities([r[1] for r in rows])
    said = prediction.argmax(1)
    found = {m: measure(m, target, prediction, target)
             for m in ("macro_f1", "accuracy", "log_loss", "roc_auc_ovr")}
    assert found["macro_f1"] == pytest.approx(skm.f1_score(target, said, average="macro"))
    assert found["accuracy"] == pytest.approx(skm.accuracy_score(target, said))
    assert found["log_loss"] == pytest.approx(skm.log_loss(target, prediction, labels=[0, 1, 2]))
    if len(set(target)) == 3:
        assert found["roc_auc_ovr"] == pytest.approx(
            skm.roc_auc_score(target, prediction, multi_class="ovr"))
    else:  # scikit-learn refuses; the classes that occur have an AUC each
        assert found["roc_auc_ovr"] == pytest.approx(np.mean([
            skm.roc_auc_score(target == c, prediction[:, int(c)]) for c in set(target)]))


@PATIENT
@given(rows=st.lists(st.tuples(st.sets(st.integers(0, 9)),
                               st.lists(st.integers(0, 9), max_size=3, unique=True)),
                     min_size=1, max_size=15).filter(lambda rows: any(r[0] for r in rows)))
def test_recommendation_metrics_are_relbenchs(rows):
    target = Destinations.of([np.array(sorted(r[0]), dtype=int) for r in rows])
    prediction = np.array([[*r[1], -1, -1, -1][:3] for r in rows])
    isin = np.stack([np.isin(p, sorted(r[0])) for p, r in zip(prediction, rows, strict=True)])
    count = np.array([len(r[0]) for r in rows])
    np.testing.assert_array_equal(hits(target, prediction), isin)
    assert measure("map", target, prediction, target) == pytest.approx(
        relbench.metrics.map(isin, count))
    assert measure("recall", target, prediction, target) == pytest.approx(
        np.mean([i.sum() / c for i, c in zip(isin, count, strict=True) if c]))


@pytest.mark.parametrize("metric", BINARY)
def test_a_metric_of_one_class_raises_rather_than_scoring_nought(metric):
    with pytest.raises(ValueError, match=r"undefined: all 3 labels are 1\.0"):
        measure(metric, np.ones(3), np.array([0.1, 0.6, 0.9]), TRAIN)


@pytest.mark.parametrize(("arguments", "message"), [
    (("auc", np.arange(2.0), np.zeros(2), TRAIN), "'auc' does not exist; known: roc_auc"),
    (("mae", np.arange(2.0), np.zeros(3), TRAIN), "one prediction for each"),
    (("mae", np.arange(2.0), np.array([0, np.nan]), TRAIN), "1 of 2 predictions are not finite"),
    (("r2", np.ones(2), np.zeros(2), TRAIN), "r2 is undefined"),
    (("nmae", np.arange(2.0), np.zeros(2), np.ones(4)), "training labels have no spread"),
    (("macro_f1", np.arange(2.0), np.zeros(2), TRAIN), r"one prediction list .* found \(2,\)"),
    (("macro_f1", np.zeros(2), np.eye(2), TRAIN), r"macro_f1 is undefined: all 2 labels are 0\.0"),
    (("log_loss", np.arange(2.0), np.ones((2, 2)), TRAIN), r"sum to 1, found \[1\.0, 1\.0\]"),
    (("map", Destinations.of([[], []]), np.zeros((2, 1), dtype=int), TRAIN),
     "none of 2 label rows has a destination"),
    (("map", Destinations.of([[1], []]), np.array([[-1, -1], [2, 2]]), TRAIN),
     r"different rows .* found \[2, 2\] for label row 1"),
])
def test_what_cannot_be_scored_says_why(arguments, message):
    with pytest.raises(ValueError, match=message):
        measure(*arguments)


def test_precision_without_a_predicted_positive_does_not_exist():
    assert measure("precision", np.array([0.0, 1.0]), np.array([0.1, 0.2]), TRAIN) is None


def test_probabilities_of_a_float32_softmax_are_probabilities():
    logits = np.random.default_rng(0).normal(0, 3, (50, 40)).astype(np.float32)
    prediction = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert measure("log_loss", np.arange(50.0) % 40, prediction.astype(np.float64), TRAIN) > 0
