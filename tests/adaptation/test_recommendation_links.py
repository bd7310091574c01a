"""Dated links, the paths that they come from, and what a seed is told of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.adaptation.recommendation.links import COUNT, RECENCY, Links
from rowgraph.adaptation.recommendation.paths import Walker, chains_from, paths_between
from rowgraph.adaptation.recommendation.trails import label_lag, trails_of
from rowgraph.databases.database import NEVER, TIMELESS, Database
from rowgraph.tasks.loading import load_task
from tests.worlds import shops

ANCHORS, DESTINATIONS = 3, 5
times = st.sampled_from([TIMELESS, -7, 0, 1, 2, 3, 5, 8, NEVER])
events = st.lists(st.tuples(st.integers(-1, ANCHORS - 1), st.integers(-1, DESTINATIONS - 1), times),
                  max_size=40)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return shops.build(tmp_path_factory.mktemp("shop") / "db", shops.frames())


def links_of(found):
    columns = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Links.of(columns[:, 0], columns[:, 1], columns[:, 2], ANCHORS, DESTINATIONS)


def sound(found, anchor, since, before):
    return [(d, t) for a, d, t in found if a == anchor >= 0 and d >= 0 and t != NEVER
            and since <= t < before]


@settings(max_examples=150, deadline=None)
@given(events, st.integers(-1, ANCHORS - 1), st.integers(-9, 9), st.integers(-9, 9),
       st.integers(1, 6))
def test_the_top_of_an_anchor_is_what_sorting_its_links_in_the_window_gives(
        found, anchor, since, before, count):
    mine = sound(found, anchor, since, before)
    for order in (COUNT, RECENCY):
        def key(d, order=order):
            ts = [t for other, t in mine if other == d]
            main = (len(ts), max(ts)) if order == COUNT else (max(ts), len(ts))
            return (-main[0], -main[1], d)

        expected = sorted({d for d, _ in mine}, key=key)[:count]
        got = links_of(found).top(np.array([anchor]), np.array([since]), np.array([before]), count,
                                  order)[0]
        assert got.tolist() == expected + [-1] * (count - len(expected))


@settings(max_examples=150, deadline=None)
@given(events, st.integers(-1, ANCHORS - 1), st.integers(-9, 9), st.integers(-9, 9))
def test_what_is_known_of_a_pair_is_what_counting_says(found, anchor, since, before):
    links, pairs = links_of(found), np.arange(DESTINATIONS)
    begin, end = np.array([[TIMELESS, since]]), np.array([[before, before]])
    counts, first, last = links.about(np.array([anchor]), begin, end, np.zeros(DESTINATIONS, int),
                                      pairs)
    everything, windowed = (sound(found, anchor, s, before) for s in (TIMELESS, since))
    for d in pairs:
        ts = [t for other, t in everything if other == d]
        assert counts[d].tolist() == [len(ts), sum(other == d for other, _ in windowed)]
        assert first[d] == (min(ts) if ts else NEVER)
        assert last[d] == (max(ts) if ts else NEVER)
    assert links.totals(np.array([anchor]), None, np.array([before]))[0] == len(everything)
    newest = links.latest(np.array([anchor]), np.array([before]))[0]
    assert newest == (max(everything, key=lambda e: (e[1], e[0]))[0] if everything else -1)


@settings(max_examples=60, deadline=None)
@given(events, st.integers(0, ANCHORS - 1), st.integers(-9, 9), st.integers(0, 20))
def test_links_at_or_after_a_moment_change_nothing_that_is_said_as_of_it(found, anchor, before,
                                                                          extra):
    later = [(i % ANCHORS, i % DESTINATIONS, before + i) for i in range(extra)]
    asked = np.array([anchor]), np.array([[TIMELESS, -5]]), np.array([[before, before]])
    pair = np.zeros(DESTINATIONS, int), np.arange(DESTINATIONS)
    plain, more = links_of(found), links_of(found + later)
    for a, b in zip(plain.about(*asked, *pair), more.about(*asked, *pair), strict=True):
        assert np.array_equal(a, b)
    for order in (COUNT, RECENCY):
        assert np.array_equal(*(x.top(asked[0], None, np.array([before]), 4, order)
                                for x in (plain, more)))


def test_chains_go_up_and_pass_a_table_twice_at_most(shop):
    chains = [str(c) for c in chains_from(shop.database, "purchases")]
    assert "purchases" in chains
    assert "purchases.item_id.product_id" in chains
    assert "purchases.shopper_id.region_id" in chains
    loops = [str(c) for c in chains_from(shop.database, "products", 3)]
    assert "products.replaces" in loops
    assert "products.replaces.replaces" not in loops


def test_a_path_parts_at_its_event_and_hidden_keys_are_no_path(shop):
    paths = [str(p) for p in paths_between(shop.database, "shoppers", "products")]
    assert paths[0] == "purchases.shopper_id - purchases.item_id.product_id"
    same = [str(p) for p in paths_between(shop.database, "items", "products")]
    assert "purchases.item_id - purchases.item_id.product_id" not in same
    hidden = shop.database.without([("purchases", "shopper_id")])
    assert not any("shopper_id" in str(p) for p in paths_between(hidden, "shoppers", "products"))


def test_a_link_is_as_new_as_the_newest_row_on_its_path_and_as_its_destination(shop):
    path = paths_between(shop.database, "shoppers", "products")[0]
    anchor, destination, time = Walker(shop.database).events(path)
    tables = shops.frames()
    released = tables["products"]["released"].to_numpy()
    product = tables["items"]["product_id"]
    for i, row in enumerate(tables["purchases"].iter_rows(named=True)):
        end = None if row["item_id"] is None else product[row["item_id"]]
        assert anchor[i] == (-1 if row["shopper_id"] is None else row["shopper_id"])
        assert destination[i] == (-1 if end is None else end)
        if end is not None and row["time"] is not None:
            assert time[i] == max(row["time"], released[end])
        else:
            assert end is None or time[i] == NEVER


def test_trails_lead_over_the_source_its_parents_and_everybody(shop):
    trails = trails_of(shop)
    assert len({t.name for t in trails}) == len(trails)
    assert {t.kind for t in trails} >= {"own", "everyone", "parent"}
    region = next(t for t in trails if t.kind == "parent")
    assert region.anchors(np.arange(6), np.zeros(6, dtype=int)).tolist() == [0, 1, 2, 0, 1, 2]


def test_the_row_of_an_autocomplete_task_names_its_parents_at_its_own_time_but_has_no_past(shop):
    task = load_task(Database.open(shop.database.folder), "purchases-shopper")
    trails = trails_of(task)
    assert not [t for t in trails if t.kind in ("own", "company")]
    assert not [t for t in trails if "shopper_id" in t.name.split(" - ")[-1]]
    item = next(t for t in trails if t.name.startswith("parent purchases.item_id "))
    known = task.known
    named = item.anchors(known.rows, known.times)
    expected = shops.frames()["purchases"]["item_id"].fill_null(-1).to_numpy()[known.rows]
    assert np.array_equal(named, expected)


def test_a_label_is_no_link_before_its_window_has_passed(shop):
    own = next(t for t in trails_of(shop) if t.name == "own labels")
    known = shop.known
    for i in (0, 40, len(known) - 1):
        row, time = known.rows[i], known.times[i]
        true = known.target.of_row(i)
        ends = time + shop.timedelta
        early = own.links.top(np.array([row]), np.array([ends]), np.array([ends]), 14, COUNT)
        assert (early == -1).all()
        found = own.links.top(np.array([row]), np.array([ends]), np.array([NEVER - 1]), 14, COUNT)
        assert np.isin(true, found).all()


def test_every_seed_learns_of_labels_as_late_as_test_rows_do(shop):
    lag = label_lag(shop)
    assert lag == shops.SEED_DATES[13] - shops.SEED_DATES[12] - 1
    own = next(t for t in trails_of(shop) if t.name == "own labels")
    newest = own.links.time[own.links.time < shop.test.times.min()].max()
    assert newest == shop.test.times.min() - 1
    fresh = dataclasses.replace(shop, test=dataclasses.replace(
        shop.test, times=shop.test.times - 10 * shops.DAY + 1))
    assert label_lag(fresh) == 0
