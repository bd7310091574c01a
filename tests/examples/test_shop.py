"""The shop whose best possible predictions are known."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from examples.shop.best import _chance, log_loss, no_order_within
from examples.shop.generating import DAYS, LATE, PUT_OFF, START, make_shop
from examples.shop.page import write_page

NOW = START + timedelta(days=600)


@pytest.fixture(scope="module")
def shop():
    return make_shop(6000, seed=1)


def test_a_shop_holds_what_had_happened_by_then(shop):
    tables = shop.until(NOW)
    for name, time in (("customers", "created_at"), ("orders", "placed_at"),
                       ("deliveries", "delivered_at")):
        assert tables[name][time].max() <= NOW
        assert len(tables[name]) < len(shop.tables[name])
    assert tables["customers"]["deleted_at"].drop_nulls().max() <= NOW
    assert set(tables["order_items"]["order_id"]) <= set(tables["orders"]["id"])
    later = shop.until(START + timedelta(days=DAYS))
    assert later["orders"].head(len(tables["orders"])).equals(tables["orders"])


def test_equal_seeds_make_equal_shops():
    one, two = make_shop(50, 3), make_shop(50, 3)
    assert all(one.tables[name].equals(two.tables[name]) for name in one.tables)


def test_the_best_prediction_comes_true_as_often_as_it_says(shop):
    best = no_order_within(shop.until(NOW), NOW, 30)
    ordered = shop.tables["orders"].filter(
        pl.col("placed_at").is_between(NOW, NOW + timedelta(days=30), closed="right"))
    truth = ~best["id"].is_in(ordered["customer_id"].unique().to_list())
    frame = best.with_columns(truth.alias("truth")).filter(pl.col("chance") < 1)
    binned = frame.group_by((pl.col("chance") * 10).floor().alias("bin")).agg(
        pl.col("chance").mean(), pl.col("truth").mean(), pl.len())
    wide = 4 * np.sqrt(binned["chance"] * (1 - binned["chance"]) / binned["len"]) + 0.005
    assert ((binned["chance"] - binned["truth"]).abs() <= wide).all()


def test_nobody_says_more_than_the_rules_allow(shop):
    best = no_order_within(shop.until(NOW), NOW, 30)["chance"].to_numpy()
    ended = shop.ended[:len(best)] < 600  # what nobody is told
    assert ((best > 0) & (best <= 1)).all()
    assert best[ended].mean() > best[~ended].mean() + 0.2


def test_a_late_delivery_makes_it_likelier_that_it_was_the_last_order():
    def after(chance):
        return _chance([(10.0, 0.1), (20.0, chance)], 0.0, 50.0, 30.0, 5.0)

    unseen = LATE * PUT_OFF[True] + (1 - LATE) * PUT_OFF[False]
    assert after(PUT_OFF[False]) < after(unseen) < after(PUT_OFF[True])


def test_log_loss_is_that_of_a_coin_where_nothing_is_known():
    assert log_loss(np.array([0, 1]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))


def test_the_page_says_how_close_predictions_come(shop, tmp_path):
    best = no_order_within(shop.until(NOW), NOW, 30)["chance"].to_numpy()
    target = (np.random.default_rng(0).random(len(best)) < best).astype(float)
    table = write_page(tmp_path / "new" / "shop.html", NOW, 30, target, best, best)
    by_name = {row[0]: row[1:] for row in table.rows}
    assert by_name["RowGraph"] == by_name["the best possible"]
    assert by_name["RowGraph"][2] == "0.000"
    assert by_name["their share, for all"][0] == "0.5000"
    text = (tmp_path / "new" / "shop.html").read_text()
    assert text.count("<svg") >= 2
    assert "http://" not in text.replace("http://www.w3.org", "")
