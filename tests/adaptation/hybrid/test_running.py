"""RowGraph's own model: every kind of task, every part, choices without test labels."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.hybrid.running import NAME, VARIANTS, run_rowgraph
from rowgraph.adaptation.hybrid.wide_sheets import WideSheets
from rowgraph.adaptation.shallow import ALL, RANKS, VECTORS, Picks
from rowgraph.artifacts import Draft
from rowgraph.features.store import WindowFeatures
from rowgraph.tasks.label_tables import LabelTable

KINDS = ["world", "regression_world", "multiclass", "autocomplete"]


def task_of(request, name):
    found = request.getfixturevalue(name)
    return getattr(found, "task", found)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_task_is_answered_by_every_part_and_the_blend(name, request, hybrid_ran):
    task = task_of(request, name)
    folder, predictions, summary = hybrid_ran(task)
    variants = {run.variant for run in predictions}
    gone = {"rowgraph_zero_shot"} if name in ("multiclass", "autocomplete") else set()
    assert variants == {NAME, *VARIANTS.values()} - gone
    assert {run.regime for run in predictions} == {"frozen_db", "rolling"}
    assert all(np.isfinite(splits[s]).all() for splits in predictions.values()
               for s in ("val", "test"))
    mixtures = pl.read_parquet(folder / "mixtures.parquet")
    for _, part in mixtures.group_by("regime"):
        np.testing.assert_allclose(part["weight"].sum(), 1)
        assert ("history" in part["part"].to_list()) == (not task.autocomplete)
    assert set(summary["mixture"]) == {"frozen_db", "rolling"}
    tried = pl.read_parquet(folder / "choices.parquet").filter(model="trees")["candidate"]
    # Trees may do without vectors, and be told where a row stands among those of its date.
    assert {label.split(" rows,")[0].rsplit(",", 1)[0] for label in tried} == (
        {"all features and vectors", "all features"} if task.autocomplete else
        {"all features and vectors", "all features and ranks", "all features, ranks and vectors"})


def test_the_blend_is_the_weighted_mean_of_its_parts(world, hybrid_ran):
    folder, predictions, _ = hybrid_ran(world.task, parts=("untrained", "own_past"), beside=())
    frame = pl.read_parquet(folder / "mixtures.parquet")
    weights = {(m["regime"], m["part"]): m["weight"]
               for m in frame.iter_rows(named=True)}
    for regime in ("frozen_db", "rolling"):
        by_name = {run.variant: splits["test"] for run, splits in predictions.items()
                   if run.regime == regime and run.seed == 0}
        expected = sum(weights[regime, part] * by_name[VARIANTS[part]]
                       for part in ("untrained", "own_past"))
        np.testing.assert_allclose(by_name[NAME], expected)


def test_what_the_blend_was_found_on_is_kept(world, hybrid_ran):
    folder, _, summary = hybrid_ran(world.task, parts=("untrained", "history"), beside=())
    frame = pl.read_parquet(folder / "fold_answers.parquet")
    assert set(frame["part"]) == {"untrained", "history"}
    assert frame["fold"].unique(maintain_order=True).to_list() == summary["folds"]
    assert frame["answer"].is_between(0, 1).all()
    of_val = frame.filter(part="history", regime="rolling", fold=summary["folds"][-1])
    labels = world.task.val.take(np.isin(world.task.val.times, of_val["time"].cast(pl.Int64)))
    assert of_val["target"].to_list() == labels.target.tolist()


def test_test_labels_choose_nothing_and_equal_settings_give_equal_bytes(world, hybrid_ground,
                                                                        hybrid_ran):
    task = world.task
    ground = hybrid_ground(task)
    folder, _, _ = hybrid_ran(task, ground)
    other = dataclasses.replace(task, test=LabelTable(task.test.rows, task.test.times,
                                                      1 - task.test.target))
    again, _, _ = hybrid_ran(other, dataclasses.replace(ground, task=other, token="other"))
    same, _, _ = hybrid_ran(task, dataclasses.replace(ground, token="same"))
    assert (folder / "choices.parquet").read_bytes() == (again / "choices.parquet").read_bytes()
    assert (folder / "mixtures.parquet").read_bytes() == (again / "mixtures.parquet").read_bytes()
    assert (folder / "predictions.parquet").read_bytes() == (
        same / "predictions.parquet").read_bytes()


def test_an_interrupted_stage_does_no_finished_training_again(world, hybrid_ground, features_of,
                                                              tmp_path, monkeypatch):
    from rowgraph.adaptation.hybrid import finetuning

    ground = hybrid_ground(world.task, parts=("finetuned",), beside=())
    done = []
    run = finetuning._Training.run

    def counted(self):
        done.append(self.job)
        if len(done) == 3:
            raise KeyboardInterrupt
        return run(self)

    monkeypatch.setattr(finetuning._Training, "run", counted)
    with pytest.raises(KeyboardInterrupt):
        run_rowgraph(ground, features_of(world.task), Draft(tmp_path), log=lambda *_: None)
    run_rowgraph(ground, features_of(world.task), Draft(tmp_path), log=lambda *_: None)
    assert len(set(done)) == len(done) - 1  # the interrupted one alone


def test_folds_of_one_class_choose_the_plainest_of_every_part(world, hybrid_ran):
    task = world.task
    val = task.val.take(np.flatnonzero(task.val.target == 0)[:20])
    folder, predictions, summary = hybrid_ran(dataclasses.replace(task, val=val), folds=1)
    choices = pl.read_parquet(folder / "choices.parquet")
    assert choices["value"].is_null().all()
    assert set(choices.filter("chosen")["model"]) == set(choices["model"])
    assert all(np.isfinite(splits["test"]).all() for splits in predictions.values())
    assert summary["chosen"]["rolling"]["trees"]["folds"] is None


def test_without_weights_of_other_databases_the_parts_do_without(world, hybrid_ground, hybrid_ran):
    ground = dataclasses.replace(hybrid_ground(world.task, beside=()), forecast=None)
    _, predictions, _ = hybrid_ran(world.task, ground)
    assert "rowgraph_pretrained" not in {run.variant for run in predictions}
    assert NAME in {run.variant for run in predictions}


def test_vectors_are_neither_ranked_nor_looked_at_before_they_are_asked_for(world, hybrid_ground,
                                                                            features_of):
    task = world.task
    ground = hybrid_ground(task)
    sheets = WideSheets(task, WindowFeatures.open(features_of(task)), ground.vectors(), "own_past")
    exam = Exams.of(task, ground.settings).folds[0]
    picks = Picks(task, sheets)
    assert not sheets.vector[picks.best(ALL, exam, False, 5, numbers=True)].any()
    assert not sheets.vector[picks.columns(RANKS)].any()
    assert sheets.vector[picks.columns(VECTORS)].sum() == ground.vectors().settings.output
