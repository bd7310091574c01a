import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowgraph.cells.columns import Tables
from rowgraph.features.candidates import Windows, candidates_of
from rowgraph.features.events import Seeds
from rowgraph.features.matrix import compute, of_seeds
from rowgraph.features.settings import WindowFeaturesSettings

SETTINGS = WindowFeaturesSettings(horizons=(1, 3), spans=(0.3,), lasts=(1, 3), max_features=10**6)


def computed(task, rows, before, candidates=None):
    """Candidates, windows and float64 [candidates, n]."""
    tables = Tables(task.database, SETTINGS.frequent_values)
    windows = Windows.of(task, SETTINGS, tables)
    if candidates is None:
        candidates = candidates_of(task, tables, windows, SETTINGS)
    out = np.full((len(candidates), len(rows)), -1.0)
    seeds = Seeds(rows, before, before, task.autocomplete)
    compute(tables, task.entity_table, seeds, candidates, windows,
            lambda position, values: out.__setitem__(position, values), lambda done: None)
    return candidates, windows, out


@settings(max_examples=15, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), autocomplete=st.booleans(), late=st.booleans())
def test_every_feature_of_any_schema_is_what_brute_force_says(schemas, tmp_path_factory, seed,
                                                             autocomplete, late):
    task = schemas.random_task(seed, tmp_path_factory.mktemp("db"), autocomplete=autocomplete,
                               late=late)
    random = np.random.default_rng(seed)
    rows = random.integers(0, task.database.num_rows("t0"), 6)
    before = random.integers(-1, 26, 6)
    candidates, windows, found = computed(task, rows, before)
    brute = schemas.Brute(task)
    some = random.permutation(len(candidates))[:150]
    for position in some:
        candidate = candidates[position]
        expected = [brute.feature(candidate, windows, int(r), int(b))
                    for r, b in zip(rows, before, strict=True)]
        np.testing.assert_allclose(found[position], expected, rtol=1e-6, atol=1e-12,
                                   err_msg=candidate.described(windows).name)


@settings(max_examples=15, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), late=st.booleans())
def test_a_seed_sees_the_same_bits_whatever_else_is_asked(schemas, tmp_path_factory, seed, late):
    task = schemas.random_task(seed, tmp_path_factory.mktemp("db"), late=late)
    random = np.random.default_rng(seed)
    rows = random.integers(0, task.database.num_rows("t0"), 9)
    before = random.integers(0, 24, 9)
    candidates, _, together = computed(task, rows, before)
    _, _, alone = computed(task, rows[4:5], before[4:5], candidates)
    assert together[:, 4:5].tobytes() == alone.tobytes()


def test_an_autocomplete_row_sees_its_own_cells_but_not_its_neighbours_of_that_moment(
        schemas, tmp_path):
    task = next(t for s in range(100)
                if (t := schemas.random_task(s, tmp_path / str(s))).database.tables["t0"].time_col)
    times = task.database.times("t0")
    row = int(np.flatnonzero((times > 3) & (times < 24))[0])
    asked = np.array([row]), times[[row]]
    for autocomplete in (False, True):
        candidates, _, found = computed(dataclasses.replace(task, autocomplete=autocomplete),
                                        *asked)
        own = [i for i, c in enumerate(candidates)
               if c.path.branch is None and not c.path.anchor.ups and not c.path.anchor.newest]
        assert np.isnan(found[own]).all() != autocomplete


@pytest.mark.parametrize("two_hops", [True, False])
def test_hidden_columns_are_in_no_feature(schemas, tmp_path, two_hops):
    task = schemas.random_task(3, tmp_path)
    hidden = {(t, c) for t in task.database.tables for c in task.database.columns(t)
              if c not in ("id", "time") and not c.startswith("key")}
    dark = dataclasses.replace(task, database=task.database.without(hidden))
    wanted = SETTINGS.model_copy(update={"two_hops": two_hops})
    for seen in (task, dark):
        tables = Tables(seen.database, 6)
        names = {(c.column.table, c.column.name)
                 for c in candidates_of(seen, tables, Windows.of(seen, wanted, tables), wanted)
                 if hasattr(c.column, "table")}
        assert bool(names & hidden) == (seen is task)


@pytest.mark.parametrize(("years", "known"), [(1, False), (3, True)])
def test_the_day_of_the_year_is_told_once_it_comes_again(world, years, known):
    day = 86_400_000_000
    first = int(np.datetime64("2001-01-01", "us").astype(np.int64))
    train = dataclasses.replace(world.task.train, times=first + np.linspace(
        0, years * 366 * day, len(world.task.train)).astype(np.int64))
    task = dataclasses.replace(world.task, train=train)
    at = np.array([first, first + 31 * day])
    found = {d.name: v.tolist() for d, v in of_seeds(Seeds(np.zeros(2, int), at, at - day, False),
                                                     task)}
    assert found["seed · day of the week"] == [0, 3]  # a Monday
    assert found["seed · staleness in horizons"] == [day / task.timedelta] * 2
    assert ("seed · day of the year" in found) == known
    assert not known or found["seed · day of the year"] == [0, 31]
