"""The page of a model that is kept."""

import json

import numpy as np
import polars as pl

from rowgraph.reports.kept import kept_models
from rowgraph.reports.kept_models import (
    examples_table,
    importance_table,
    lift_table,
    splits_table,
)
from rowgraph.reports.tables import Band


def write(folder, **task):
    model, asked = folder / "model", folder / "predictions"
    for path in (model, asked):
        path.mkdir(parents=True)
    split = {"rows": 1234, "entities": 56, "first": "2024-01-01", "last": "2024-06-01",
             "usual": "41.0% ones"}
    (model / "model.json").write_text(json.dumps({
        "task": {"database": "shop", "name": "churn", "task_type": "binary_classification",
                 "entity_table": "customers", "question": "PREDICT …", **task},
        "splits": dict.fromkeys(("test", "train", "val"), split),
        "explained": {"loss": "log_loss", "metric": "roc_auc", "reached": 0.7581}}))
    pl.DataFrame({"level": ["relation", "column"], "relation": ["orders by customer"] * 2,
                  "column": ["", "total"], "features": [12, 3], "increase": [0.03, -0.001],
                  "low": [0.02, -0.002], "high": [0.04, 0.001]}).write_parquet(
                      model / "importance.parquet")
    pl.DataFrame({"id": ["a<b>", "c"], "prediction": [0.9, 0.2], "spread": [0.01, 0.02],
                  "rank": [1, 2]}).write_parquet(asked / "predictions.parquet")
    (asked / "why.json").write_text(json.dumps([{
        "rank": 1, "because": [{"said": "no orders in 30 days", "adds": 0.5, "feature": "f"}],
        "rows": ["orders of 2024-01-05: total 12"]}]))
    (asked / "predictions.json").write_text(json.dumps({"moment": 1_700_000_000_000_000}))
    return {"adapted_model__shop__churn": model, "predictions__shop__churn": asked}


def test_splits_are_in_the_order_of_time_and_reasons_beside_their_prediction(tmp_path):
    kept, = kept_models(write(tmp_path))
    assert (kept.database, kept.task) == ("shop", "churn")
    assert [row[0] for row in splits_table(kept).rows] == ["train", "val", "test"]
    assert splits_table(kept).rows[0][1] == "1,234"
    examples = examples_table(kept)
    assert examples.title == "First of the list as of 2023-11-14 22:13:20 (UTC)"
    assert examples.rows[0] == ["a<b>", "0.900", "0.010", "no orders in 30 days (+0.50)",
                                "orders of 2024-01-05: total 12"]
    assert examples.rows[1][3:] == ["", ""]


def test_what_matters_stands_with_its_interval_and_what_it_was_measured_on(tmp_path):
    table = importance_table(kept_models(write(tmp_path))[0])
    assert "ROC-AUC .758" in table.legend
    bands = [row.text for row in table.rows if isinstance(row, Band)]
    assert bands == ["Relations", "Columns"]
    assert table.rows[1] == ["orders by customer", "12", "0.0300", "[0.0200, 0.0400]"]
    assert table.rows[3][0] == "orders by customer · total"


def test_a_model_that_was_never_asked_has_a_page_without_a_list(tmp_path):
    folders = write(tmp_path)
    del folders["predictions__shop__churn"]
    kept, = kept_models(folders)
    assert kept.predictions is None


def test_lift_is_how_many_times_the_base_rate_a_cut_list_holds():
    target = np.zeros(200)
    target[:20] = 1  # the ten likeliest and ten others
    prediction = np.linspace(0, 0.5, 200)
    prediction[:10] = np.linspace(0.9, 1, 10)
    frame = pl.DataFrame({"variant": "rowgraph", "target": target, "prediction": prediction})
    other = frame.with_columns(variant=pl.lit("other"), prediction=1 - pl.col("prediction"))
    table = lift_table(pl.concat([other, frame]))
    by_share = {row[0]: row[1:] for row in table.rows}
    assert by_share["5%"] == ["10", "1.000", "10.00", "50.0%"]
    assert by_share["1%"] == ["2", "1.000", "10.00", "10.0%"]
    assert lift_table(frame.with_columns(target=pl.lit(0.0))).is_empty
