"""What an asset's page says of its tables, scores and curves."""

import json

import polars as pl
import pytest
import yaml

from assets.describing import _curves
from assets.tables import score_table, table_metadata
from rowgraph.artifacts import ArtifactStore


def made(home, key, files, summary=()):
    def write(draft):
        for name, content in files.items():
            path = draft.path(name)
            if isinstance(content, pl.DataFrame):
                content.write_parquet(path)
            else:
                path.write_text(content)
        return dict(summary)

    return ArtifactStore(home).build(key, 1, {}, {}, write)[0]


def columns(metadata):
    return {c.name: (c.type, c.description) for c in metadata["dagster/column_schema"].columns}


def test_a_database_shows_its_tables_its_columns_and_what_they_refer_to(tmp_path):
    manifest = {"name": "shop", "val_timestamp": "2020-01-01", "test_timestamp": "2020-02-01",
                "tables": {"users": {"pkey": "id", "time_col": None, "fkeys": {}},
                           "orders": {"pkey": None, "time_col": "at", "fkeys": {"by": "users"}}}}
    metadata = table_metadata(made(tmp_path, ("source", "shop"), {
        "manifest.yaml": yaml.safe_dump(manifest, sort_keys=False),
        "db/users.parquet": pl.DataFrame({"id": [1, 2]}),
        "db/orders.parquet": pl.DataFrame({"at": ["a", "b", "c"], "by": [1, 1, 2]})}))
    assert metadata["dagster/row_count"] == 5
    assert columns(metadata) == {
        "users.id": ("int64", "primary key"), "orders.at": ("large_string", "time of the row"),
        "orders.by": ("int64", "refers to users")}
    assert [r.data for r in metadata["tables"].records] == [
        {"table": "users", "rows": 2, "columns": 1, "primary key": "id", "time": "",
         "refers to": ""},
        {"table": "orders", "rows": 3, "columns": 2, "primary key": "", "time": "at",
         "refers to": "users"}]


def test_sampled_rows_show_the_columns_of_every_table_and_all_rows(tmp_path):
    metadata = table_metadata(made(tmp_path, ("sampled_rows", "shop"), {
        "a.parquet": pl.DataFrame({"x": [1.0]}), "b.parquet": pl.DataFrame({"x": [1, 2]})}))
    assert columns(metadata) == {"a.x": ("double", None), "b.x": ("int64", None)}
    assert metadata["dagster/row_count"] == 3


@pytest.mark.parametrize(("stage", "files", "rows"), [
    ("linearized_corpus", {"corpus.parquet": pl.DataFrame({"text": ["a", "b"]})}, 2),
    ("predictions", {"predictions.parquet": pl.DataFrame({"rank": [1, 2, 3]})}, 3),
    ("peer_metrics", {"unavailable.parquet": pl.DataFrame({"reason": ["absent"]})}, None),
    ("sage_weights", {"weights.json": "{}"}, None)])
def test_an_artifact_of_one_table_shows_its_rows_and_others_none(tmp_path, stage, files, rows):
    assert table_metadata(made(tmp_path, (stage,), files)).get("dagster/row_count") == rows


def row(variant, regime, mean, **more):
    return {"database": "d", "task": "t", "regime": regime, "variant": variant, "metric": "mae",
            "n_test": 9, "seeds": None, "mean": mean, "std": None, "ci_low": None,
            "ci_high": None, **more}


def test_scores_have_a_line_a_variant_and_a_column_a_regime_and_say_no_more_than_is_known():
    table = score_table([row("a", "frozen_db", 0.5, std=0.01, ci_low=0.4, ci_high=0.6),
                         row("a", "rolling", None), row("b", "rolling", 0.7),
                         row("b", "rolling", 0.1, metric="r2")], ["mae"])
    assert [r.data for r in table.records] == [
        {"variant": "a", "metric": "mae", "frozen_db": "0.500 [0.400, 0.600]",
         "rolling": "undefined", "n_test": 9},
        {"variant": "b", "metric": "mae", "frozen_db": "", "rolling": "0.700", "n_test": 9}]
    assert score_table([], ["mae"]) is None


def test_scores_of_several_tasks_name_them():
    table = score_table([row("a", "rolling", 0.5), row("a", "rolling", 0.5, task="u")], ["mae"])
    assert [r.data["task"] for r in table.records] == ["d/t", "d/u"]


def test_a_training_shows_its_losses_as_a_line_of_text(tmp_path):
    points = [{"epoch": e, "train_loss": 1 / e, "rate": 3.0, "validation_loss": None}
              for e in (1, 2, 4, 8)]
    (tmp_path / "curves.json").write_text(json.dumps(points))
    assert _curves(tmp_path) == {"curve_train_loss": "█▄▂▁ 1 → 0.125, 4 points"}


def test_the_losses_of_several_trainings_are_told_apart(tmp_path):
    pl.DataFrame({"end": ["val", "val", "test", "test"], "seed": [0, 0, 1, 1],
                  "step": [1, 2, 1, 2], "loss": [2.0, 1.0, 1.0, 2.0]}
                 ).write_parquet(tmp_path / "curves.parquet")
    assert _curves(tmp_path) == {"curve_loss_val_0": "█▁ 2 → 1, 2 points",
                                 "curve_loss_test_1": "▁█ 1 → 2, 2 points"}


def test_what_is_not_trained_has_no_curve(tmp_path):
    assert _curves(tmp_path) == {}
