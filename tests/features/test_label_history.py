import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.features.events import Seeds
from rowgraph.features.label_history import history_of, past_mean
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.tasks.label_tables import Destinations, LabelTable

SETTINGS = WindowFeaturesSettings(horizons=(1, 3), lasts=(3,), half_lives=(2,))
moments = st.lists(st.integers(0, 30), min_size=1, max_size=12)


def with_labels(task, times, random):
    """The task with random labels at some times, dealt to train, val and test."""
    tables = []
    for part in np.array_split(np.sort(np.array(times)), 3):
        tables.append(LabelTable(random.integers(0, 3, len(part)), part.astype(np.int64),
                                 random.integers(0, 2, len(part)).astype(float)))
    return dataclasses.replace(task, timedelta=4, train=tables[0], val=tables[1], test=tables[2])


def history(task, rows, before) -> dict[str, np.ndarray]:
    seeds = Seeds(rows, before + 1, before, task.autocomplete)
    return {d.name: values for d, values in history_of(task, seeds, SETTINGS)}


@given(times=moments, seed=st.integers(0, 10**6))
def test_the_history_is_made_of_labels_whose_outcome_was_visible(world, times, seed):
    random = np.random.default_rng(seed)
    task = with_labels(world.task, times, random)
    every = task.known.then(task.test)
    rows, before = random.integers(0, 3, 10), random.integers(0, 40, 10)
    found = history(task, rows, before)
    np.testing.assert_allclose(past_mean(task, rows, before), found["own labels · mean"])
    for i, (row, bound) in enumerate(zip(rows, before, strict=True)):
        known = every.times + 4
        order = np.argsort(known, kind="stable")
        own = [j for j in order if every.rows[j] == row and known[j] < bound]
        y, age = every.target[own], bound - known[own]
        recent = y[age <= 12]
        faded = 0.5 ** (age / 8)
        all_times = np.unique(known[known < bound])
        newest = every.target[np.isin(known, all_times[-3:])]
        expected = {
            "own labels · count": len(own),
            "own labels · last": y[-1] if own else np.nan,
            "own labels · mean of last 3": y[-3:].mean() if own else np.nan,
            "own labels · mean": y.mean() if own else np.nan,
            "own labels · mean over 3 horizons": recent.mean() if len(recent) else np.nan,
            "own labels · age of the last": age[-1] / 86_400e6 if own else np.nan,
            "own labels · weighted mean with half-life 2 horizons":
                (faded * y).sum() / faded.sum() if own else np.nan,
            "all labels · mean of the newest 3 dates": newest.mean() if len(newest) else np.nan}
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][i], value, rtol=1e-9, err_msg=name)


def test_no_row_knows_its_own_label_or_a_label_of_its_window(world):
    task = world.task
    labels = task.known
    flipped = dataclasses.replace(labels, target=1 - labels.target)
    rows, at = labels.rows, labels.times
    for moment in np.unique(at):
        late = at >= moment
        mixed = LabelTable(rows, at, np.where(late, flipped.target, labels.target))
        n = len(task.train)
        other = dataclasses.replace(task, train=mixed.take(np.arange(n)),
                                    val=mixed.take(np.arange(n, len(rows))))
        asked = rows[at == moment], at[at == moment]
        seen, unchanged = history(other, *asked), history(task, *asked)
        assert all(seen[k].tobytes() == unchanged[k].tobytes() for k in unchanged)


def test_earlier_test_labels_count_while_the_database_rolls_and_not_while_it_is_frozen(world):
    task = world.task
    flipped = dataclasses.replace(task, test=dataclasses.replace(
        task.test, target=1 - task.test.target))
    last = task.test.times == task.test.times.max()
    rows, own = task.test.rows[last], task.test.times[last]
    frozen = np.full(len(own), task.database.test_timestamp + 1)
    for before, same in ((own, False), (frozen, True)):
        a, b = history(task, rows, before), history(flipped, rows, before)
        assert np.array_equal(a["own labels · last"], b["own labels · last"],
                              equal_nan=True) == same


def test_each_class_and_the_number_of_links_have_a_history(world):
    labels = world.task.train.take(np.arange(60))
    rows, before = labels.rows[-5:], np.full(5, labels.times.max() + 10**12)
    classes = dataclasses.replace(
        world.task, task_type="multiclass_classification", classes=("slow", "fast"),
        train=labels, val=labels.take(np.arange(1)), test=labels.take(np.arange(1)))
    found = history(classes, rows, before)
    np.testing.assert_allclose(found["own labels · is slow · mean"]
                               + found["own labels · is fast · mean"], 1)
    links = dataclasses.replace(labels, target=Destinations.of([np.arange(i % 3)
                                                                for i in range(60)]))
    asked = dataclasses.replace(world.task, task_type="recommendation", train=links,
                                val=links.take(np.arange(1)), test=links.take(np.arange(1)))
    assert history(asked, rows, before)["own labels · links · mean"].shape == (5,)


@pytest.mark.parametrize("change", [{"autocomplete": True}, {}])
def test_autocomplete_has_no_history(world, change):
    task = dataclasses.replace(world.task, **change)
    assert bool(history(task, task.test.rows, task.test.times)) != bool(change)
