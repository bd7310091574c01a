import dataclasses

import numpy as np
import pytest

from rowgraph.evaluation.resamples import (
    MOST_CLUSTERS,
    Resamples,
    clusters_of,
    say_runs,
    shares,
    trainings,
)
from rowgraph.resampling import resample_weights
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.predictions import Run


def labels(times, rows=None):
    times = np.array(times)
    return LabelTable(np.arange(len(times)) if rows is None else np.array(rows), times,
                      np.zeros(len(times)))


def test_rows_of_one_day_are_one_cluster_whatever_the_hour(kinds):
    days = [5, 5, 6, 7, 8, 9, 5]
    hours = np.arange(7) * kinds.DAY // 24
    cluster, words = clusters_of(labels(np.array(days) * kinds.DAY + hours), 5)
    assert cluster.tolist() == [0, 0, 1, 2, 3, 4, 0]
    assert words == "7 rows on 5 dates"


def test_too_few_dates_are_no_clusters_and_the_words_say_what_is_drawn(kinds):
    dates = np.repeat([0, 1], 6) * kinds.DAY
    cluster, words = clusters_of(labels(dates, [*range(6), *range(6)]), 5)
    assert cluster.tolist() == [*range(6), *range(6)]
    assert words == "12 rows on 2 dates: 6 entities drawn instead"
    cluster, words = clusters_of(labels(dates[:6]), 5)
    assert cluster.tolist() == [*range(6)]
    assert words == "6 rows on 1 date: rows drawn instead"
    few = labels(dates, [0, 1, 2] * 4)  # three entities are too few as well
    assert clusters_of(few, 5)[1] == "12 rows on 2 dates: rows drawn instead"


def test_many_clusters_are_dealt_into_groups_and_the_words_say_so(kinds):
    task = kinds.task("binary_classification", dates=2 * MOST_CLUSTERS + 1, rows=1)
    found = Resamples.of(task, 20, 5)
    assert found.clusters == MOST_CLUSTERS
    assert set(np.bincount(found.cluster_N)) == {2, 3}
    assert found.words == "2,001 rows on 2,001 dates, dealt into 1,000 groups"


def test_one_date_fewer_than_there_are_is_drawn_so_that_a_mean_varies_as_it_should(kinds):
    task = kinds.task("regression", dates=6, rows=4)
    resamples = Resamples.of(task, 60_000, 5)
    assert (resamples.counts_BK.sum(1) == 5).all()
    means = task.test.target.reshape(6, 4).mean(1)
    draws = resamples.counts_BK @ means / 5
    assert draws.var() == pytest.approx(means.var(ddof=1) / 6, rel=0.03)


def test_resamples_depend_on_the_task_alone_and_on_no_other_draw(kinds):
    task = kinds.task("regression")
    first, again = (Resamples.of(task, 10, 5).counts_BK for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = Resamples.of(dataclasses.replace(task, name="else"), 10, 5).counts_BK
    assert (first != other).any()


def runs(variant, seeds, barts=(None,)):
    return [Run("rolling", variant, seed, bart) for bart in barts for seed in seeds]


def test_equal_seeds_are_drawn_equally_for_every_variant(kinds):
    resamples = Resamples.of(kinds.task("regression"), 50, 5)
    weights = resamples.of_runs(runs("a", (0, 1, 2)))
    np.testing.assert_array_equal(weights, resamples.of_runs(runs("b", (0, 1, 2))))
    np.testing.assert_array_equal(weights, resamples.of_runs(runs("b", (0, 1, 2), (7,))))
    assert weights.sum(1) == pytest.approx(1)
    assert (weights != resamples.of_runs(runs("b", (0, 1, 3)))).any()
    assert (resamples.of_runs(runs("c", (4,))) == 1).all()


def test_a_language_model_is_drawn_with_all_its_seeds(kinds):
    resamples = Resamples.of(kinds.task("regression"), 50, 5)
    weights = resamples.of_runs(runs("a", (0, 1), (3, 4, 5))).reshape(50, 3, 2)
    np.testing.assert_array_equal(weights[:, :, 0], weights[:, :, 1])
    assert len(np.unique(weights.round(9))) > 2


def test_the_variance_of_a_mean_over_language_models_is_right(kinds):
    resamples = Resamples.of(kinds.task("regression"), 60_000, 5)
    group = runs("a", (0, 1), (3, 4, 5))
    values = np.array([1.0, 1.5, 3.0, 3.2, 9.0, 8.0])
    by_bart = values.reshape(3, 2).mean(1)
    assert (resamples.of_runs(group) @ values).var() == pytest.approx(
        by_bart.var(ddof=1) / 3, rel=0.03)


def test_unequal_numbers_of_seeds_leave_language_models_equal():
    group = [*runs("a", (0, 1, 2), (3,)), *runs("a", (0,), (4,))]
    names, unit = trainings(group)
    assert names == ["bart 3", "bart 4"]
    assert shares(unit) == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_the_words_say_which_luck_an_interval_holds():
    assert say_runs(runs("a", (0,))) == "1 seed"
    assert say_runs(runs("a", (0, 1, 2))) == "3 seeds"
    assert say_runs(runs("a", (0, 1), (5, 6))) == "2 seeds of each of 2 BARTs"


def test_rows_as_imputation_draws_them_are_as_many_as_there_are_and_depend_on_their_purpose():
    weights = resample_weights(50, 8, "a")
    assert (weights.sum(1) == 50).all()
    assert (weights == resample_weights(50, 8, "a")).all()
    assert (weights != resample_weights(50, 8, "b")).any()
