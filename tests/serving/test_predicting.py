"""A list of today, of next week, and what came of it."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.databases.database import Database
from rowgraph.evaluation.nonsense import write_nonsense
from rowgraph.serving.asking import newest_of
from rowgraph.serving.checking import check
from rowgraph.serving.fitting import fit_adapted
from rowgraph.serving.predicting import FILE, export, predict
from rowgraph.serving.settings import PredictionsSettings
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.metrics import measure
from tests.serving.conftest import DAY, FEATURES, at


@pytest.fixture(scope="session")
def model(shop, hybrid_ground, hybrid_ran, features_of, silent, tmp_path_factory):
    """The folder of a saved model of the shop's question."""
    task = load_task(shop, "again")
    ground = hybrid_ground(task)
    metrics, _, _ = hybrid_ran(task, ground)
    draft = Draft(tmp_path_factory.mktemp("model"))
    fit_adapted(ground, features_of(task), FEATURES, metrics, draft, log=silent)
    return draft.folder


@pytest.fixture(scope="session")
def predicted(model, reading_of, tmp_path_factory):
    """Predicts with the shop's model from any database: its folder and summary."""
    def run(database, moment=None, **settings):
        folder = tmp_path_factory.mktemp("predictions")
        summary = predict(model, reading_of(database), "again", PredictionsSettings(
            at=None if moment is None else at(moment), **settings), Draft(folder), device="cpu")
        return folder, summary

    return run


@pytest.fixture(scope="session")
def today(shop, predicted):
    return predicted(shop)


def test_the_list_has_the_keys_of_the_source_and_the_highest_first(shop, today):
    folder, summary = today
    frame = pl.read_parquet(folder / FILE)
    assert frame.columns == ["id", "prediction", "spread", "rank"]
    assert set(map(str, frame["id"])) <= set(map(str, pl.read_parquet(
        shop.folder / "keys" / "customers.parquet")["id"]))
    assert frame["rank"].to_list() == list(range(1, len(frame) + 1))
    assert frame["prediction"].is_sorted(descending=True)
    assert frame["prediction"].is_between(0, 1).all()
    assert summary["asked"] == len(frame)
    assert summary["first"]["1"]["id"] == str(frame["id"][0])


def test_reasons_are_words_with_what_they_add_and_the_newest_rows(today):
    folder, _ = today
    why = json.loads((folder / "why.json").read_text())
    assert [one["rank"] for one in why] == list(range(1, 11))
    assert all(len(one["because"]) <= 3 and all(set(r) == {"said", "adds", "feature"}
                                                for r in one["because"]) for one in why)
    assert all(row.startswith("orders of 2023-") for one in why for row in one["rows"])
    assert any(one["because"] for one in why)


def test_what_comes_after_the_date_changes_no_bit_and_what_came_before_does(
        shop, predicted, tmp_path):
    moment = newest_of(shop) - 10 * DAY
    folder, _ = predicted(shop, moment)
    truth = pl.read_parquet(folder / FILE)
    found = {}
    spans = {"future": {"start": moment}, "past": {"start": moment - 20 * DAY, "end": moment}}
    for name, span in spans.items():
        write_nonsense(shop, tmp_path / name, **span)
        for part in ("tasks", "keys"):
            shutil.copytree(shop.folder / part, tmp_path / name / part)
        shop.knowledge.write(tmp_path / name)
        folder, _ = predicted(Database.open(tmp_path / name), moment)
        found[name] = pl.read_parquet(folder / FILE)
    assert found["future"].equals(truth)
    assert not found["past"].equals(truth)


def test_predictions_are_scored_when_their_horizon_has_passed(shop, predicted):
    moment = newest_of(shop) - 20 * DAY
    folder, _ = predicted(shop, moment)
    open_, _ = predicted(shop, newest_of(shop) - DAY)
    early, late = check(shop, "again", [open_, folder])
    frame = pl.read_parquet(folder / FILE)
    times, who = shop.times("orders"), shop.keys("orders", "customer_id")
    keys = pl.read_parquet(shop.folder / "keys" / "customers.parquet")
    row = {str(k): r for r, k in keys.iter_rows()}
    ordered = set(who[(times > moment) & (times <= moment + 14 * DAY)].tolist())
    target = np.array([float(row[str(k)] in ordered) for k in frame["id"]])
    assert early.scored == early.asked == len(frame)
    assert early.value == pytest.approx(measure("roc_auc", target, frame["prediction"].to_numpy(),
                                                target))
    assert early.constant == pytest.approx(0.5)
    assert early.observed == pytest.approx(target.mean())
    assert late.scored == 0
    assert "its horizon ends on" in late.why


def test_a_list_is_written_by_the_ending_of_its_name(today, tmp_path):
    frame = pl.read_parquet(today[0] / FILE)
    export(frame, tmp_path / "new" / "list.csv")
    assert pl.read_csv(tmp_path / "new" / "list.csv")["rank"].to_list() == frame["rank"].to_list()
    export(frame, tmp_path / "list.parquet")
    assert pl.read_parquet(tmp_path / "list.parquet").equals(frame)
    with pytest.raises(ValueError, match=r"\.parquet or \.csv"):
        export(frame, tmp_path / "list.xlsx")


def test_a_database_that_lost_a_table_is_refused_and_one_that_lost_little_is_not(
        shop, predicted, model, tmp_path):
    columns = pl.read_parquet(model / "columns.parquet")
    assert len(columns) > 20
    shutil.copytree(shop.folder, tmp_path / "shop")
    path = tmp_path / "shop" / "db" / "orders.parquet"
    pl.read_parquet(path).drop("total").write_parquet(path)
    with pytest.raises(ValueError, match="does not offer any more"):
        predicted(Database.open(tmp_path / "shop"))


@pytest.mark.parametrize("wrong", ["tomorrow", "today", "now", "2026-13-01", "", "NaT"])
def test_a_date_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="is no date"):
        PredictionsSettings(at=wrong)


def test_a_date_without_a_zone_is_utc():
    day = np.datetime64("2026-11-27", "us").astype(int)
    assert PredictionsSettings(at="2026-11-27").moment == day
    assert PredictionsSettings(at="2026-11-27T02:00+02:00").moment == day
    assert PredictionsSettings(at="2026-11-27T00:00:00.000001").moment == day + 1
