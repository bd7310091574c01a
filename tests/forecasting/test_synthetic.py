"""Synthetic databases: sound, different from each other, the same on any day, and worth asking."""

import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.forecasting.pretraining import load_forecast_weights, pretrain_on_forecasts
from rowgraph.forecasting.questions import Questions
from rowgraph.forecasting.settings import ForecastWeightsSettings
from rowgraph.forecasting.synthetic import write_synthetic
from rowgraph.graph.entity_graph import build_entity_graph

TINY = ForecastWeightsSettings(steps=6, width=8, output=8, batch=16, questions=4, fan_out=(3, 2),
                               synthetic=2, save_steps=2)


@pytest.mark.parametrize("number", range(8))
def test_a_synthetic_database_passes_every_check_and_can_be_asked(number, tmp_path, reading_of):
    write_synthetic(tmp_path / "db", number)
    assert not check_database(tmp_path / "db").problems
    database = Database.open(tmp_path / "db")
    assert build_entity_graph(database).num_edges > 200
    assert Questions(reading_of(database).reader((3, 2)), database.test_timestamp)


def test_equal_numbers_give_equal_databases_and_others_do_not(tmp_path):
    for name, number in (("one", 3), ("same", 3), ("other", 4)):
        write_synthetic(tmp_path / name, number)
    one, same, other = (Database.open(tmp_path / n) for n in ("one", "same", "other"))
    assert one.tables == same.tables != other.tables
    for table in one.tables:
        assert one.read(table).equals(same.read(table))


def test_pre_training_over_databases_can_be_loaded_and_repeats_itself(reading, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        summary = pretrain_on_forecasts({"rel-races": reading}, TINY, Draft(tmp_path / name),
                                        device="cpu", log=lambda *_: None)
    assert (tmp_path / "one" / "weights.safetensors").read_bytes() == (
        tmp_path / "two" / "weights.safetensors").read_bytes()
    assert load_forecast_weights(tmp_path / "one").corrections is None
    assert set(summary["questions"]) == {"rel-races"}
    examined = pl.read_parquet(tmp_path / "one" / "examined.parquet")
    assert {"exists", "rule_exists", "mean", "rule_mean"} <= set(examined["score"])
