"""What is handed to Kumo Relational is the past, and only published weights give a figure."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("sdm", reason="Kumo Relational needs the extra: pip install 'rowgraph[kumo]'")

import torch
from sdm.models import KumoRelational

from rowgraph.baselines.peers import kumo
from rowgraph.baselines.peers.kumo_tables import EXAMPLE, ROW, KumoRows

FAN_OUT = (3, 2, 1)


def handed(world, task, labels, before, draw=0):
    """Everything the library gets of some label rows, as data frames by name."""
    rows = KumoRows(dataclasses.replace(task, database=world.database.without(
        task.database.hidden)), world.graph, FAN_OUT)
    asked, related = rows.shown(labels, before, draw)
    return {name: table.to_arrow().to_pandas()
            for name, table in {"": asked, **related.tables}.items()}


def seeds(world, lab, at=28):
    """Label rows at some times, as of one of them: a few see less than their own time allows."""
    labels = world.task.test.take(np.flatnonzero(world.task.test.times >= lab.SEED_DATES[26]))
    return labels, np.minimum(labels.times, lab.SEED_DATES[at])


def test_no_row_at_or_after_a_seed_is_handed_over(world, lab):
    labels, before = seeds(world, lab)
    tables = handed(world, world.task, labels, before)
    assert set(tables) == {"", "drivers", "results", "races", "circuits"}
    for name, table in tables.items():
        if name:
            row, example = (table[c].to_numpy() for c in (ROW, EXAMPLE))
            own = (row == labels.rows[example]) if name == "drivers" else np.zeros(len(row), bool)
            times = np.asarray(world.graph.times[name])[row]
            assert (own | (times < before[example])).all()


def test_each_label_row_finds_its_own_row_and_a_tree_of_its_own(world, lab):
    labels, before = seeds(world, lab)
    own = handed(world, world.task, labels, before)["drivers"]
    first = own.iloc[:len(labels)]
    assert np.array_equal(first[ROW], labels.rows)
    assert np.array_equal(first[EXAMPLE], np.arange(len(labels)))
    assert not own.duplicated([ROW, EXAMPLE]).any()


def test_an_entity_row_that_is_not_older_than_its_seed_is_empty(world, lab):
    labels, before = seeds(world, lab)
    own = handed(world, world.task, labels, before)["drivers"].iloc[:len(labels)]
    late = np.asarray(world.graph.times["drivers"])[labels.rows] >= before
    cells = own.drop(columns=[ROW, EXAMPLE])
    assert late.any()
    assert cells[late].isna().all(axis=None)
    assert cells[~late].notna().any(axis=1).all()


@pytest.mark.parametrize("at", [26, 28])
def test_cells_at_or_after_a_seed_change_nothing_that_is_handed_over(at, world, nonsense, lab):
    time = int(lab.SEED_DATES[at])
    labels, before = seeds(world, lab, at)
    mine = handed(world, world.task, labels, before)
    theirs = handed(nonsense(start=time), world.task, labels, before)
    assert mine.keys() == theirs.keys()
    assert all(mine[name].equals(theirs[name]) for name in mine)


def test_cells_before_the_seed_do_change_what_is_handed_over(world, nonsense, lab):
    """The control: the canary can sing."""
    labels, before = seeds(world, lab)
    mine = handed(world, world.task, labels, before)
    theirs = handed(nonsense(end=lab.TEST), world.task, labels, before)
    assert not mine["results"].equals(theirs["results"])


def test_no_target_and_no_hidden_column_is_handed_over(world, autocomplete):
    task = autocomplete(world)
    labels = task.test.take(np.arange(20))
    tables = handed(world, task, labels, labels.times)
    assert list(tables[""]) == ["time", ROW, EXAMPLE]
    assert "column:laps" not in tables["results"]
    # The row to fill in is there with its other cells, although it is as new as its seed.
    own = tables["results"].iloc[:20]
    assert own["column:failed"].notna().all()
    assert np.array_equal(own[ROW], labels.rows)


@pytest.fixture(scope="module")
def guesser():
    """The model with random weights, which no product code path can reach."""
    torch.manual_seed(0)
    return {task: KumoRelational(task=task, pretrained=False) for task in kumo.FILES}


def answer(guesser, world, task, settings, seed=0, rows=12):
    asked = task.test.take(np.arange(rows))
    return kumo.predict_in_context(
        guesser["regression" if task.task_type == "regression" else "classification"],
        KumoRows(task, world.graph, settings.kumo_fan_out),
        task.train.newest(settings.kumo_context), {"rolling": (asked, asked.times)}, settings,
        seed)["rolling"]


def test_every_kind_of_task_is_answered_in_its_own_form(guesser, world, regression_world,
                                                        multiclass, small):
    task = multiclass(world.task)
    classes = answer(guesser, world, task, small)
    assert classes.shape == (12, 3)
    assert np.allclose(classes.sum(1), 1, atol=1e-4)
    chances = answer(guesser, world, world.task, small)
    assert chances.shape == (12,)
    assert ((chances > 0) & (chances < 1)).all()
    values = answer(guesser, regression_world, regression_world.task, small)
    assert values.shape == (12,)
    assert np.isfinite(values).all()


def test_a_class_that_no_example_has_is_given_no_chance(guesser, world, multiclass, small):
    task = multiclass(world.task)
    keep = np.flatnonzero(task.train.target < 2)
    found = answer(guesser, world, dataclasses.replace(task, train=task.train.take(keep)), small)
    assert (found[:, 2] == 0).all()


def test_equal_settings_give_equal_bytes_whatever_is_asked_beside(guesser, world, small):
    first = answer(guesser, world, world.task, small)
    torch.rand(1)  # another place in the global generator
    assert np.array_equal(first, answer(guesser, world, world.task, small))
    alone = answer(guesser, world, world.task, small.model_copy(update={"batch": 5}))
    assert np.allclose(first, alone, atol=1e-5)


def test_the_weights_of_a_file_are_the_models_weights(guesser, world, tmp_path):
    path = tmp_path / "classifier.pt"
    state = guesser["classification"].models["classification"].state_dict()
    torch.save(state, path)
    assert kumo.weights_path(str(tmp_path), path.name) == path
    loaded = kumo.load_model(path, world.task, "cpu").models["classification"].state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize("broken", ["one missing", "another model's", "no tensors"])
def test_a_file_that_is_not_the_models_weights_is_refused(broken, guesser, world, tmp_path):
    state = dict(guesser["classification"].models["classification"].state_dict())
    if broken == "one missing":
        state.popitem()
    elif broken == "another model's":
        state = dict(guesser["regression"].models["regression"].state_dict())
    path = tmp_path / "classifier.pt"
    if broken == "no tensors":
        path.write_bytes(b"not a checkpoint")
    else:
        torch.save(state, path)
    with pytest.raises(ValueError, match=r"expected the weights .* peer_metrics\.kumo_weights"):
        kumo.load_model(path, world.task, "cpu")


@pytest.mark.parametrize("where", ["{folder}", "{folder}/none", "nobody/nothing@v0"])
def test_without_published_weights_there_is_a_reason_and_no_figure(where, world, small, tmp_path):
    settings = small.model_copy(update={"kumo_weights": where.format(folder=tmp_path)})
    answers = kumo.run_kumo(world.task, world.graph, settings, tmp_path, device="cpu",
                            log=lambda *_: None)
    assert answers.predictions == {}
    assert set(answers.unavailable) == {"frozen_db", "rolling"}
    assert all(reason.startswith("weights not available")
               for reason in answers.unavailable.values())


def test_with_weights_every_row_of_validation_and_test_is_answered(guesser, world, small,
                                                                   tmp_path):
    torch.save(guesser["classification"].models["classification"].state_dict(),
               tmp_path / "classifier.pt")
    few = {s: world.task.labels(s).take(np.arange(0, 200, 20)) for s in ("val", "test")}
    task = dataclasses.replace(world.task, **few)
    settings = small.model_copy(update={"kumo_weights": str(tmp_path), "kumo_context": 20})
    answers = kumo.run_kumo(task, world.graph, settings, tmp_path, device="cpu",
                            log=lambda *_: None)
    assert {run.regime for run in answers.predictions} == {"frozen_db", "rolling"}
    assert all(len(splits[s]) == 10 for splits in answers.predictions.values()
               for s in ("val", "test"))
    again = kumo.run_kumo(task, world.graph, settings, tmp_path, device="cpu",
                          log=lambda *_: None)
    assert all(np.array_equal(answers.predictions[r][s], again.predictions[r][s])
               for r in answers.predictions for s in ("val", "test"))
