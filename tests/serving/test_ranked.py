"""Lists of a kept model: those that were measured, with the keys of both ends, and checked."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from rowgraph import kept
from rowgraph.adaptation.hybrid.running import run_rowgraph
from rowgraph.artifacts import Draft
from rowgraph.databases.database import Database
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.serving.asking import newest_of
from rowgraph.serving.checking import check
from rowgraph.serving.fitting import fit_adapted
from rowgraph.serving.model import AdaptedModel
from rowgraph.serving.predicting import FILE, predict
from rowgraph.serving.settings import PredictionsSettings
from rowgraph.side_by_side import on
from rowgraph.tasks.loading import load_task
from tests.pretended_ray import pretended
from tests.serving.conftest import DAY, at

QUERY = "PREDICT LIST_DISTINCT(order_items.sku, 0, 14) RANK TOP 3 FOR EACH customers.id"


@pytest.fixture(scope="module")
def fitted(shop_of, hybrid_ground, silent, tmp_path_factory):
    """A shop, and what fits a model that recommends its products: folder and summary."""
    shop = shop_of(query=QUERY)
    ground = hybrid_ground(load_task(shop, "again"))
    metrics = Draft(tmp_path_factory.mktemp("metrics"))
    run_rowgraph(ground, metrics.folder, metrics, log=silent)
    features = tmp_path_factory.mktemp("features")
    pl.DataFrame({"name": []}).write_parquet(features / "columns.parquet")

    def fit():
        draft = Draft(tmp_path_factory.mktemp("model"))
        return draft.folder, fit_adapted(ground, features, WindowFeaturesSettings(),
                                         metrics.folder, draft, log=silent)

    return shop, fit


@pytest.fixture(scope="module")
def listed(fitted):
    """A shop, and the folder and summary of the model that recommends its products."""
    shop, fit = fitted
    return shop, *fit()


@pytest.fixture(scope="module")
def recommended(listed, reading_of, tmp_path_factory):
    def run(database, moment=None):
        folder = tmp_path_factory.mktemp("predictions")
        summary = predict(listed[1], reading_of(database), "again", PredictionsSettings(
            at=None if moment is None else at(moment)), Draft(folder), device="cpu")
        return folder, summary

    return run


def test_lists_are_those_that_were_measured(listed):
    _, folder, summary = listed
    assert summary["served_from_measured"] == 0
    kinds = {f["kind"] for f in AdaptedModel.open(folder).facts["files"]}
    assert kinds == {"pairs", "ranker", "list"}
    endings = {p.suffix for p in folder.rglob("*") if p.is_file()}
    assert endings <= {".json", ".safetensors", ".txt", ".parquet"}


def test_a_model_of_lists_that_is_fitted_on_a_cluster_is_the_same(fitted, listed):
    _, folder, summary = listed
    cluster = pretended()
    with on(cluster):
        other, again = fitted[1]()
    assert len(cluster.ray.asked) == len(AdaptedModel.open(folder).facts["files"])
    assert again == summary
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
    for name in names:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    assert kept._KEPT == {}, "nothing is held after"


def test_a_list_has_the_keys_of_both_ends_and_the_best_first(listed, recommended):
    shop, _, _ = listed
    folder, summary = recommended(shop)
    frame = pl.read_parquet(folder / FILE)
    assert frame.columns == ["id", "recommended sku", "prediction", "rank"]
    assert set(frame["recommended sku"]) <= {f"P{i}" for i in range(7)}
    each = frame.group_by("id", maintain_order=True).agg("rank", "prediction", "recommended sku")
    assert all(ranks == list(range(1, len(ranks) + 1)) for ranks in each["rank"].to_list())
    assert each["prediction"].list.eval(pl.element().is_sorted(descending=True)).list.all().all()
    assert each["recommended sku"].list.n_unique().eq(each["rank"].list.len()).all()
    assert summary["asked"] >= len(each)
    assert json.loads((folder / "why.json").read_text()) == []


def test_lists_are_scored_when_their_horizon_has_passed(listed, recommended):
    shop, _, _ = listed
    early, _ = recommended(shop, newest_of(shop) - 20 * DAY)
    late, _ = recommended(shop, newest_of(shop) - DAY)
    before, now = check(shop, "again", [late, early])
    assert before.scored > 5
    assert 0 <= before.value <= 1
    assert 0 <= before.constant <= 1
    assert before.metric == "map"
    assert now.scored == 0


def test_rows_after_the_date_change_no_list(listed, recommended, tmp_path):
    shop, _, _ = listed
    moment = newest_of(shop) - 10 * DAY
    truth = pl.read_parquet(recommended(shop, moment)[0] / FILE)
    shutil.copytree(shop.folder, tmp_path / "shop")
    times = shop.times("orders")
    for table, time in (("orders", "placed_at"), ("order_items", "orders_time")):
        path = tmp_path / "shop" / "db" / f"{table}.parquet"
        frame = pl.read_parquet(path)
        late = frame[time].cast(pl.Int64) >= moment
        fkey = {"orders": "customer_id", "order_items": "sku"}[table]
        other = frame[fkey].reverse()
        frame.with_columns(pl.when(late).then(other).otherwise(pl.col(fkey)).alias(
            fkey)).write_parquet(path)
    assert (times >= moment).any()
    found = pl.read_parquet(recommended(Database.open(tmp_path / "shop"), moment)[0] / FILE)
    assert found.equals(truth)
    assert np.isfinite(found["prediction"].to_numpy()).all()
