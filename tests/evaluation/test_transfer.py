"""What pre-training is worth is measured against no pre-training, all else equal."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

from rowgraph.artifacts import Draft
from rowgraph.evaluation import transfer
from rowgraph.evaluation.settings import TransferMetricsSettings
from rowgraph.evaluation.transfer import (
    NONE,
    SCRATCH,
    Pretrained,
    Reached,
    best_on_validation,
    few_labels,
    run_transfer,
    transfer_rows,
)


@pytest.fixture
def settings(lab) -> TransferMetricsSettings:
    shared_fields = TransferMetricsSettings.model_fields.keys() - {"variants"}
    values = lab.SETTINGS.model_dump(include=shared_fields)
    return TransferMetricsSettings(**{**values, "epochs": 1, "shares": (0.3, 1.0),
                                      "variants": ("bart_gnn_finetuned",)})


@pytest.fixture
def run(world, shared, lab, settings):
    projected = {**shared, "projection.weight": torch.zeros(lab.SAGE.hidden, lab.DIM),
                 "projection.bias": torch.zeros(lab.SAGE.hidden)}
    trained = {"sage_weights": Pretrained(shared, lab.SAGE),
               "one_for_all": Pretrained(projected, lab.SAGE)}

    def run(folder, log=lambda *_: None):
        folder.mkdir(exist_ok=True)
        return run_transfer(world.task, world.graph, world.store, trained, settings,
                            Draft(folder), device="cpu", log=log)

    return run


def test_every_pretraining_share_and_regime_has_a_row_and_none_has_no_gain(run, tmp_path):
    summary = run(tmp_path)
    rows = pl.read_parquet(tmp_path / "transfer.parquet")
    assert set(rows.select("pretraining", "variant", "share", "regime").iter_rows()) == {
        (p, v, s, r) for p, v in ((NONE, "scratch"), ("sage_weights", "finetuned"),
                                  ("one_for_all", "finetuned"))
        for s in (0.3, 1.0) for r in ("frozen_db", "rolling")}
    assert rows.filter(pretraining=NONE)["gain"].null_count() == 4
    assert rows.filter(pl.col("pretraining") != NONE)["gain"].null_count() == 0
    assert set(summary["best_on_validation"]) == {"frozen_db 0.3", "rolling 0.3", "frozen_db 1",
                                                  "rolling 1"}


def test_an_interrupted_run_does_not_repeat_finished_trainings(run, tmp_path, monkeypatch):
    run(tmp_path / "whole")
    train, calls = transfer.train, []

    def counted(*args, **named):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return train(*args, **named)

    monkeypatch.setattr(transfer, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped")
    run(tmp_path / "stopped")
    assert len(calls) == 1 + 2 * 2 * 3  # one was begun twice
    assert (tmp_path / "stopped" / "transfer.parquet").read_bytes() == (
        tmp_path / "whole" / "transfer.parquet").read_bytes()


def test_shares_are_nested_and_come_round_until_they_are_as_many_as_all(world):
    labels, task = world.task.train, world.task
    keys = [{(int(r), int(t)) for r, t in zip(few.rows, few.times, strict=True)}
            for few in (few_labels(labels, s, task, 7) for s in (0.1, 0.4, 1.0))]
    assert keys[0] < keys[1] < keys[2]
    assert len(keys[0]) == round(0.1 * len(labels))
    few = few_labels(labels, 0.1, task, 7)
    assert len(few) == len(labels)
    times_round = np.unique(np.stack([few.rows, few.times]), axis=1, return_counts=True)[1]
    assert times_round.max() - times_round.min() <= 1
    other = few_labels(labels, 0.1, task, 8)
    assert not np.array_equal(few.rows, other.rows) or not np.array_equal(few.times, other.times)
    whole = few_labels(labels, 1.0, task, 7)
    assert np.array_equal(whole.rows, labels.rows)


def reached(test: float, validation: float) -> Reached:
    return Reached({"rolling": test}, {"rolling": validation})


@pytest.mark.parametrize("binary", [True, False])
def test_a_gain_is_positive_where_pretraining_is_better_whatever_the_metric(
        world, regression_world, binary):
    task = world.task if binary else dataclasses.replace(
        regression_world.task, test=world.task.test)
    better = "sage_weights", "bart_gnn_finetuned", 1.0
    sign = 1 if binary else -1  # an error is lower where it is better
    rows = transfer_rows(task, {
        (NONE, SCRATCH, 1.0): [reached(sign * 0.5, sign * 0.5) for _ in (0, 1)],
        better: [reached(sign * 0.8, sign * 0.7), reached(sign * 0.5, sign * 0.6)]}, 50)
    row = rows.filter(pretraining="sage_weights").row(0, named=True)
    assert row["gain"] > 0
    assert row["wins"] == 1
    assert row["validation_gain"] == pytest.approx(0.15)
    assert row["labels"] == 50
    assert "sage_weights finetuned: test gain +" in best_on_validation(rows)["rolling 1"]


def test_a_task_that_hides_a_column_is_refused_before_a_vector_of_it_is_read(
        world, shared, lab, settings, tmp_path):
    without = world.database.without([("results", "failed")])
    hides = dataclasses.replace(world.task, database=without)
    with pytest.raises(ValueError, match=r"must not see results\.failed; leave the task out"):
        run_transfer(hides, world.graph, None, {"sage_weights": Pretrained(shared, lab.SAGE)},
                     settings, Draft(tmp_path), device="cpu", log=lambda *_: None)
