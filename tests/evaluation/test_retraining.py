"""A training is compared with the one before on the validation rows that both were asked about."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from rowgraph.databases.database import Database
from rowgraph.databases.keys import keys_of
from rowgraph.evaluation.retraining import Measured, compare_trainings, judged_by, reason_of
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.predictions import Run, write_predictions
from tests.pipeline.conftest import write_league

SETTINGS = EvaluationSettings(bootstrap=100)
LABELS = {"label_share": 1.0, "label_draw": 0}


@pytest.fixture
def league(tmp_path):
    """A league that was imported: its players have codes of their own."""
    folder = tmp_path / "tiny-league"
    write_league(folder)
    path = folder / "db/players.parquet"
    players = pl.concat([pl.read_parquet(path), pl.DataFrame({"player_id": [30], "name": ["new"]})])
    players.write_parquet(path)
    write_keys(folder, 100 - np.arange(31))
    return folder


def write_keys(folder, codes):
    (folder / "keys").mkdir(exist_ok=True)
    pl.DataFrame({"player_id": np.arange(len(codes)), "code": codes}).write_parquet(
        folder / "keys/players.parquet")


def measured(source, folder, strength, task="wins", variant="rowgraph"):
    """Predictions that know so much of the label; noise is the entity's own."""
    asked = load_task(Database.open(source), task)
    keys = keys_of(asked.database, "players", np.arange(31))["code"].to_numpy()
    noise = np.random.default_rng(0).random((101, 500))

    def said(labels):
        entity = keys[labels.rows]
        month = labels.times // 2_000_000_000_000 % 500
        drawn = noise[entity, month]
        return strength * labels.target + (1 - abs(strength)) * drawn + (strength < 0)

    folder.mkdir()
    write_predictions(asked, {Run("rolling", variant, seed): {
        split: np.clip(said(asked.labels(split)), 0, 1) if task == "wins" else
        said(asked.labels(split)) for split in ("val", "test")} for seed in (0, 1)},
        folder / "predictions.parquet")
    (folder / "manifest.json").write_text(json.dumps({"settings": LABELS}))
    return {f"tiny_league/{task}": Measured(task, variant, source, folder)}


def grown(league, folder):
    """The same league imported again: players in another order, a third of the validation rows
    gone."""
    shutil.copytree(league, folder)
    order = np.random.default_rng(3).permutation(31)  # new row -> old row
    write_keys(folder, (100 - np.arange(31))[order])
    for path in (folder / "tasks/wins").glob("*.parquet"):
        labels = pl.read_parquet(path)
        labels.with_columns(player_id=pl.Series(np.argsort(order)[labels["player_id"]])).filter(
            pl.int_range(pl.len()) % 3 > 0).write_parquet(path)
    return folder


def test_rows_are_found_again_by_key_and_time_where_the_database_has_grown(league, tmp_path):
    later = grown(league, tmp_path / "later" / "tiny-league")
    before = load_task(Database.open(league), "wins")
    now = load_task(Database.open(later), "wins")
    assert not np.array_equal(before.val.rows[:10], now.val.rows[:10])
    frame = compare_trainings(measured(league, tmp_path / "old", 0.4),
                              measured(later, tmp_path / "new", 0.4), SETTINGS)
    row = frame.row(0, named=True)
    assert row["rows"] == len(now.val) < len(before.val)
    assert row["old"] == row["new"]
    assert (row["difference"], row["verdict"]) == (0, "level")


@pytest.mark.parametrize(("old", "new", "moves", "says"), [
    (0.8, 0.1, False, "worse beyond its interval: tiny_league/wins under rolling, roc_auc"),
    (0.1, 0.8, True, "not worse beyond its interval in 1 comparison, better in 1"),
    (0.3, 0.31, True, "not worse beyond its interval in 1 comparison, better in 0")])
def test_only_what_is_worse_beyond_its_interval_may_not_be_champion(old, new, moves, says, league,
                                                                    tmp_path):
    frame = compare_trainings(measured(league, tmp_path / "old", old),
                              measured(league, tmp_path / "new", new), SETTINGS)
    found, reason = reason_of(frame)
    assert found is moves
    assert reason.startswith(says)
    assert frame["ci_low"][0] <= frame["difference"][0] <= frame["ci_high"][0]


def test_an_error_that_grows_is_worse(league, tmp_path):
    frame = compare_trainings(measured(league, tmp_path / "old", 0.9, "score"),
                              measured(league, tmp_path / "new", 0.2, "score"), SETTINGS)
    assert frame["metric"][0] == "mae"
    assert frame["new"][0] > frame["old"][0]
    assert frame["difference"][0] < 0
    assert not reason_of(frame)[0]


def drop_predictions(league, old):
    shutil.rmtree(old)


def drop_keys(league, old):
    shutil.rmtree(league / "keys")


def drop_label(league, old):
    path = league / "tasks/wins/val.parquet"
    pl.read_parquet(path).head(10).write_parquet(path)


@pytest.mark.parametrize(("break_it", "says"), [
    (drop_predictions, "the champion's predictions are gone"),
    (drop_keys, "keys of players were {'player_id': Int64} and are {'code': Int64}"),
    (drop_label, "the champion's predictions cannot be read")])
def test_what_cannot_be_compared_says_why(break_it, says, league, tmp_path):
    later = tmp_path / "later" / "tiny-league"
    shutil.copytree(league, later)
    old, new = measured(league, tmp_path / "old", 0.4), measured(later, tmp_path / "new", 0.4)
    break_it(league, tmp_path / "old")
    frame = compare_trainings(old, new, SETTINGS)
    assert says in frame["why"][0]
    moves, reason = reason_of(frame)
    assert moves
    assert reason.startswith("nothing to compare with: tiny_league/wins: ")
    assert compare_trainings({}, new, SETTINGS)["why"][0] == "the champion was not asked about it"


@pytest.mark.parametrize(("change", "says"), [
    (pl.col("timestamp").dt.offset_by("1d"), "no validation row in common with the champion"),
    ((1 - pl.col("target")).alias("target"), "100% of the labels of equal keys and times differ")])
def test_label_rows_that_are_no_longer_the_same_are_not_compared(change, says, league, tmp_path):
    old = measured(league, tmp_path / "old", 0.4)
    later = tmp_path / "later" / "tiny-league"
    shutil.copytree(league, later)
    path = later / "tasks/wins/val.parquet"
    pl.read_parquet(path).with_columns(change).write_parquet(path)
    frame = compare_trainings(old, measured(later, tmp_path / "new", 0.4), SETTINGS)
    assert says in frame["why"][0]


def test_a_model_is_judged_by_the_first_variant_that_hangs_on_it():
    settings = {"variants": ["bart_gnn_static", "random_head", "bart_head", "bart_gnn_frozen"]}
    assert judged_by("bart_checkpoint", settings) == "bart_head"
    assert judged_by("sage_weights", settings) == "bart_gnn_frozen"
    assert judged_by("sage_weights", {"variants": ["bart_gnn_scratch", "bart_head"]}) is None
    assert judged_by("own_past_weights", {}) == "rowgraph"
