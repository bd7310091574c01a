"""Why: in words, with what each reason adds, and with intervals for what matters."""

import lightgbm
import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.features.asked import AskedFeatures
from rowgraph.serving.asking import ask
from rowgraph.serving.explaining import _dealt, _interval, importance_of, in_words, reasons
from rowgraph.tasks.loading import load_task

DAY = 86_400_000_000


@pytest.mark.parametrize(("column", "value", "words", "said"), [
    (("orders by customer_id", "", "count", "over 3 horizons", "count"), 3, (),
     "3 orders by customer_id in 90 days"),
    (("orders by customer_id", "", "count", "", "count"), 0, (), "no orders by customer_id"),
    (("orders by customer_id", "total", "mean", "over 0.5 horizons", "number"), 12.345, (),
     "mean total of orders by customer_id in 15 days: 12.35"),
    (("orders by customer_id", "", "age of the last", "", "age"), 61.2, (),
     "age of the last orders by customer_id: 61.2 days"),
    (("customers", "gone_at", "age in days", "", "age"), 43.25, (),
     "age of gone_at of customers: 43.2 days"),
    (("customers", "days until gone_at", "", "", "age"), 8.0, (),
     "days from row to gone_at of customers: 8 days"),
    (("customers", "country", "", "", "code"), 1, ("DE", "FR"), "country of customers: FR"),
    (("customers", "country", "", "", "code"), 7, ("DE", "FR"), "country of customers: another"),
    (("orders by customer_id", "paid = yes", "mean", "over 172 days", "share"), 0.25, (),
     "mean paid = yes of orders by customer_id in 172 days: 25%"),
    (("own labels", "", "mean", "of last 3", "label"), np.nan, (),
     "mean own labels of last 3: missing")])
def test_a_feature_is_said_as_a_person_says_it(column, value, words, said):
    parts = dict(zip(("path", "column", "aggregate", "window", "kind"), column, strict=True))
    assert in_words(parts, value, 30 * DAY, words) == said


def test_rows_are_dealt_within_their_date_alone():
    groups = np.repeat([0, 1, 2], 50)
    dealt = _dealt(groups, "x")
    assert (groups[dealt] == groups).all()
    assert sorted(dealt) == list(range(150))
    assert (dealt != np.arange(150)).any()


def test_an_interval_holds_zero_where_nothing_is_lost(world):
    random = np.random.default_rng(0)
    entities = random.integers(0, 200, 2000)
    low, high = _interval(random.normal(0, 1, 2000), entities, world.task)
    assert low < 0 < high
    low, _ = _interval(random.normal(0.5, 1, 2000), entities, world.task)
    assert low > 0.3


def test_reasons_are_what_the_trees_add(shop):
    asked = ask(shop, "again")
    random = np.random.default_rng(0)
    values = random.normal(size=(len(asked.view.labels), 3)).astype(np.float32)
    target = (random.random(len(values)) < 1 / (1 + np.exp(-3 * values[:, 1]))).astype(float)
    forest = lightgbm.train({"objective": "binary", "verbosity": -1, "min_data_in_leaf": 5},
                            lightgbm.Dataset(values, target), 20)
    columns = [{"name": f"f{k}", "path": "orders by customer_id", "column": f"c{k}",
                "aggregate": "mean", "window": "", "kind": "number"} for k in range(3)]
    found = reasons(forest.model_to_string(), asked, AskedFeatures(columns, values),
                    target, [4, 0])
    assert len(found) == 2
    everything = forest.predict(values[[4, 0]], pred_contrib=True)
    for one, adds in zip(found, everything, strict=True):
        assert one["because"][0]["adds"] == pytest.approx(adds[np.abs(adds[:3]).argmax()])
        assert [r["adds"] for r in one["because"]] == sorted(
            (r["adds"] for r in one["because"]), key=abs, reverse=True)
        assert 0 < len(one["rows"]) <= 2
    assert reasons("", asked, AskedFeatures(columns, values), target, []) == []


def test_what_decides_a_task_matters_and_what_does_not_does_not(shop, features_of):
    task = load_task(shop, "again")
    settings = RowgraphMetricsSettings(folds=2)
    found = importance_of(task, Exams.of(task, settings), features_of(task))
    relations = found.table.filter(level="relation")  # everybody orders every 35 days
    assert relations["increase"].is_sorted(descending=True)
    by_name = {row["relation"]: row for row in relations.iter_rows(named=True)}
    assert relations["relation"][0] == "orders by customer_id"
    assert by_name["orders by customer_id"]["low"] > 0.05
    assert by_name["customers"]["low"] <= 0 <= by_name["customers"]["high"]
    assert by_name["customers"]["high"] < 0.01
    assert found.table.select((pl.col("low") <= pl.col("increase") + 1e-9).all()).item()
    assert found.loss == "log_loss"
    assert found.reached > 0.8
