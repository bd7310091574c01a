"""Baselines of recommendation tasks."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.artifacts import Draft
from rowgraph.baselines.recommendation import (
    filled_up,
    recommendation_predictions,
    run_recommendation_baselines,
)
from rowgraph.baselines.running import run_baselines
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.databases.database import Database
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.predictions import read_predictions
from tests.worlds import shops

SETTINGS = BaselineMetricsSettings(seeds=(0, 1), folds=2)
LISTS = {"popularity", "past_links_recent", "past_links_frequent", "past_links"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return shops.build(tmp_path_factory.mktemp("shop") / "db", shops.frames())


@pytest.fixture(scope="module")
def ran(shop, tmp_path_factory):
    draft, logged = Draft(tmp_path_factory.mktemp("run")), []
    summary = run_baselines(shop, None, SETTINGS, draft,
                            log=lambda step, metrics: logged.append(metrics))
    return draft, summary, logged


def bought(task):
    """(time when it counts, shopper, product) of each purchase, by brute force."""
    tables = shops.frames()
    product, released = tables["items"]["product_id"], tables["products"]["released"]
    return [(max(row["time"], released[product[row["item_id"]]]), row["shopper_id"],
             product[row["item_id"]]) for row in tables["purchases"].iter_rows(named=True)
            if None not in (row["time"], row["shopper_id"], row["item_id"])
            and product[row["item_id"]] is not None]


def test_every_baseline_answers_under_every_regime_and_lists_have_no_seed(shop, ran):
    found = read_predictions(shop, ran[0].path("predictions.parquet"))
    assert {r.regime for r in found} == {"frozen_db", "rolling"}
    assert {r.variant for r in found} == LISTS | {"data_scientist"}
    assert {(r.variant, r.seed) for r in found} == {(n, 0) for n in LISTS} | {
        ("data_scientist", 0), ("data_scientist", 1)}
    assert len(ran[2]) == len(found)


def test_the_own_past_beats_popularity_and_the_ranker_is_no_worse(ran):
    results = ran[1]["results"]["rolling"]
    assert results["past_links"] > results["popularity"] + 0.2
    assert results["data_scientist"] > results["popularity"] + 0.2
    assert results["past_links"] >= results["past_links_frequent"] - 1e-9


@pytest.mark.parametrize("name", ["past_links_recent", "past_links_frequent"])
def test_past_links_are_strictly_older_than_their_seed_and_the_shoppers_own(shop, ran, name):
    found = read_predictions(shop, ran[0].path("predictions.parquet"))
    events = bought(shop)
    for run, splits in found.items():
        if run.variant != name:
            continue
        for split, rows in splits.items():
            labels = shop.labels(split)
            for who, when, row in zip(labels.rows, labels.times, rows, strict=True):
                mine = {p for t, s, p in events if s == who and t < when}
                assert set(row[row >= 0].tolist()) <= mine


def test_what_is_chosen_most_often_is_what_counting_purchases_says(shop, ran):
    chosen = ran[1]["chosen"]["rolling"]["past_links_frequent"]["candidate"]
    assert chosen == "own purchases.shopper_id - purchases.item_id.product_id, all"
    found = read_predictions(shop, ran[0].path("predictions.parquet"))
    rows = next(s for r, s in found.items() if r.variant == "past_links_frequent")["test"]
    events = bought(shop)
    for who, when, row in zip(shop.test.rows, shop.test.times, rows, strict=True):
        mine = [(t, p) for t, s, p in events if s == who and t < when]
        count = {p: sum(q == p for _, q in mine) for _, p in mine}
        newest = {p: max(t for t, q in mine if q == p) for _, p in mine}
        expected = sorted(count, key=lambda p: (-count[p], -newest[p], p))[:shops.EVAL_K]
        assert row[row >= 0].tolist() == expected


@given(st.integers(0, 10_000))
def test_a_short_list_is_filled_up_with_what_is_not_on_it(number):
    random = np.random.default_rng(number)

    def lists():
        made = np.full((6, 4), -1)
        for row in made:
            some = random.permutation(7)[:random.integers(0, 5)]
            row[:len(some)] = some
        return made

    found, popular = lists(), lists()
    for mine, more, got in zip(found, popular, filled_up(found, popular), strict=True):
        expected = [x for x in mine if x >= 0]
        expected += [x for x in more if x >= 0 and x not in expected]
        assert got.tolist() == (expected + [-1] * 4)[:4]


def test_nothing_dated_at_or_after_the_test_seed_changes_a_recommendation(shop, tmp_path):
    tables = shops.frames()
    later = shops.build(tmp_path / "later", shops.corrupted(tables, start=shops.TEST))
    earlier = shops.build(tmp_path / "earlier", shops.corrupted(
        tables, start=int(shops.SEED_DATES[5]), end=shops.VAL))
    plain, same, other = (recommendation_predictions(t, SETTINGS).predictions
                          for t in (shop, later, earlier))
    assert all(np.array_equal(plain[r][s], same[r][s]) for r in plain for s in ("val", "test"))
    assert plain.keys() == other.keys()
    assert any(not np.array_equal(plain[r]["test"], other[r]["test"]) for r in plain)


def test_equal_settings_give_equal_bytes(shop, ran, tmp_path):
    draft = Draft(tmp_path)
    summary = run_recommendation_baselines(shop, SETTINGS, draft, log=lambda *a: None)
    assert summary == ran[1]
    for name in ("predictions.parquet", "choices.parquet"):
        assert draft.path(name).read_bytes() == ran[0].path(name).read_bytes()


def test_the_choices_are_the_best_means_over_folds(ran):
    table = pl.read_parquet(ran[0].path("choices.parquet"))
    assert set(table["model"]) == LISTS | {"data_scientist"}
    for (_, _), part in table.group_by("model", "regime"):
        means = part.group_by("candidate", "step").agg(pl.col("value").mean())
        chosen = part.filter("chosen")["value"].mean()
        assert chosen == pytest.approx(means["value"].max())


def test_a_row_that_is_asked_about_once_has_no_past_links(shop):
    task = load_task(Database.open(shop.database.folder), "purchases-shopper")
    task = dataclasses.replace(task, **{s: task.labels(s).newest(80)
                                        for s in ("train", "val", "test")})
    found = recommendation_predictions(task, SETTINGS)
    assert {r.variant for r in found.predictions} == {"popularity", "data_scientist"}
