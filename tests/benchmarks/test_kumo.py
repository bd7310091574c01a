"""What kumo-engine is handed and how its answers come back; the engine itself is not needed."""

import argparse
import json
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import kumo, watching

FIT_ROWS = 500  # of 720 training and 200 validation rows


@pytest.fixture(scope="module")
def handed(world, tmp_path_factory):
    """The folder that an engine would read, and the keys it is told."""
    folder = tmp_path_factory.mktemp("kumo")
    return folder, kumo.hand_over(world.task, FIT_ROWS, folder)


def test_label_rows_go_over_just_before_their_moment_and_keep_their_split(world, handed):
    rows, task = pl.read_parquet(handed[0] / "rows" / "labels.parquet"), world.task
    times = rows["TIMESTAMP"].cast(pl.Int64).to_numpy()
    assert rows["SPLIT"].value_counts().sort("SPLIT")["count"].to_list() == [
        FIT_ROWS - len(task.val), len(task.val), len(task.test)]
    known = task.known.newest(FIT_ROWS)
    for mask, labels in ((rows["SPLIT"] < 2, known), (rows["SPLIT"] == 2, task.test)):
        mask = mask.to_numpy()
        assert (times[mask] == labels.times - kumo.SECOND).all()
        assert (rows["ENTITY1"].to_numpy()[mask] == labels.rows).all()
        assert (rows["TARGET1"].to_numpy()[mask] == labels.target).all()


def test_nothing_at_or_after_a_moment_shares_the_second_that_stands_for_it():
    moments = np.array([7_000_000, 7_000_001, 7_999_999, 8_000_000])
    assert kumo.just_before(moments).tolist() == [6_000_000, 6_000_000, 6_000_000, 7_000_000]
    assert (moments // kumo.SECOND > kumo.just_before(moments) // kumo.SECOND).all()


def test_fewer_rows_than_validation_has_leave_nothing_to_train_on(world):
    with pytest.raises(SystemExit, match="validation rows"):
        kumo.fitted_rows(world.task, len(world.task.val))


def test_every_row_goes_over_with_whole_keys_and_plain_text(world, handed):
    folder, tables = handed
    assert tables["results"] == {"pkey": None, "time_col": "date",
                                 "fkeys": {"raceId": "races", "driverId": "drivers"}}
    for name, table in world.database.tables.items():
        path = folder / "source" / f"{name}.parquet"
        schema, known = pq.read_schema(path), world.database.read(name)
        assert all(schema.field(key).type == pa.int64() for key in table.key_cols)
        assert not any(pa.types.is_large_string(field.type) for field in schema)
        assert pl.read_parquet(path).sort(pl.all()).equals(known.sort(pl.all()), null_equal=True)


def test_rows_go_over_in_another_order_so_that_the_first_are_like_all(world, handed):
    sent = pl.read_parquet(handed[0] / "source" / "results.parquet")["raceId"]
    assert not sent.equals(world.database.read("results")["raceId"])


def test_float_keys_become_whole_numbers_and_columns_without_values_stay_behind(lab, tmp_path):
    tables = lab.frames()
    tables["results"] = tables["results"].with_columns(
        pl.col("driverId").cast(pl.Float64).fill_null(float("nan")),
        nothing=pl.lit(None, pl.Float64))
    task = lab.build_world(tmp_path / "db", tables).task
    kumo.hand_over(task, FIT_ROWS, tmp_path / "handed")
    sent = pl.read_parquet(tmp_path / "handed" / "source" / "results.parquet")
    assert sent["driverId"].dtype == pl.Int64
    assert "nothing" not in sent.columns
    assert sent["driverId"].null_count() == lab.frames()["results"]["driverId"].null_count()


def answers(folder):
    """What an engine would say of the held-out rows: their place among them, shuffled."""
    rows = pl.read_parquet(folder / "rows" / "labels.parquet").filter(SPLIT=2)
    return rows.select(ENTITY="ENTITY1", TIMESTAMP=pl.col("TIMESTAMP").cast(pl.Datetime("ns")),
                       True_PROB=pl.int_range(pl.len()).cast(pl.Float32)).sample(
                           fraction=1, shuffle=True, seed=1)


def test_answers_come_back_in_the_order_of_the_test_rows(world, handed, tmp_path):
    answers(handed[0]).write_parquet(tmp_path / "answers.parquet")
    said = kumo.read_back(world.task, tmp_path / "answers.parquet")
    assert (said == np.arange(len(world.task.test))).all()


def test_an_answer_too_few_or_too_many_is_an_error(world, handed, tmp_path):
    said = answers(handed[0])
    for wrong in (said[1:], pl.concat([said, said[:1]]), pl.concat([said[1:], said[1:2]])):
        wrong.write_parquet(tmp_path / "answers.parquet")
        with pytest.raises(ValueError, match="one answer to each"):
            kumo.read_back(world.task, tmp_path / "answers.parquet")


def test_a_command_is_watched_with_its_children_and_ended_when_its_time_is_over(tmp_path):
    code = ("import subprocess, sys; x = b'x' * 200_000_000; print('here', flush=True); "
            "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])")
    facts = watching.watched([sys.executable, "-c", code], tmp_path / "log.txt", 1.5 / 60, 1)
    assert facts["status"] is None
    assert facts["seconds"] < 30
    assert facts["gb"] > 0.15
    assert (tmp_path / "log.txt").read_text().strip() == "here"


def test_a_command_that_ends_by_itself_is_not_late_though_its_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(watching.os, "killpg", lambda *_: None)
    code = "import time; time.sleep(2)"
    facts = watching.watched([sys.executable, "-c", code], tmp_path / "log.txt", 0, 1)
    assert facts["status"] == 0


def test_a_command_that_fails_says_so(tmp_path):
    code = "raise SystemExit(3)"
    facts = watching.watched([sys.executable, "-c", code], tmp_path / "log.txt", 1, 1)
    assert facts["status"] == 3


def test_an_engine_stands_in_the_table_without_a_profile(world, capsys):
    said = world.task.test.target * 0.5 + 0.2
    found = kumo.side_by_side(world.task, said, 0, [])
    kumo.report(world.task, {"prediction": said, "status": 0, "seconds": 7.0, "gb": 1.5}, found, 17)
    text = capsys.readouterr().out
    assert found["figures"][kumo.ENGINE]["mean"] == 1.0
    assert "not run in this profile" in text
    assert "nothing to compare yet" in text
    json.dumps(found)


def test_what_was_asked_before_is_not_asked_again(world, tmp_path, monkeypatch):
    asked = []

    def watched(command, log, minutes, threads):
        folder = tmp_path / "kept"
        asked.append(json.loads((folder / "request.json").read_text())["seed"])
        answers(folder).write_parquet(folder / "answers.parquet")
        (folder / "report.json").write_text("{}")
        return {"status": 0, "seconds": 1.0, "gb": 1.0}

    monkeypatch.setattr(kumo, "watched", watched)
    for seed in (0, 0, 1):
        args = argparse.Namespace(fit_rows=FIT_ROWS, mode="fast", seed=seed, epochs=None, threads=1,
                                  python="python", minutes=1.0)
        facts = kumo.ask(world.task, "PREDICT", args, tmp_path / "kept")
        assert (facts["prediction"] == np.arange(len(world.task.test))).all()
    assert asked == [0, 1]
