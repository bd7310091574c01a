"""Own past: the same bytes however it was interrupted, and nobody served by what came later."""

import shutil

import polars as pl
import pytest
import torch

from rowgraph.artifacts import Draft
from rowgraph.forecasting import own_past, training
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.own_past import OwnPast, ends_of, train_on_own_past
from rowgraph.forecasting.questions import Questions
from rowgraph.forecasting.training import Past, Weights, train


@pytest.fixture(scope="module")
def trained(reading, world, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own past")
    ends = ends_of(world.database, [world.task], tiny.folds)
    summary = train_on_own_past(reading, ends, tiny, Draft(folder), device="cpu",
                                log=lambda *_: None)
    return OwnPast.open(folder), summary


def test_there_are_weights_for_every_cut_and_an_exam_gets_the_newest_that_had_ended(
        trained, world, lab):
    own, summary = trained
    assert set(own.ends) == {"early", "validation", "test"}
    assert own.end_for(lab.VAL) == "validation"
    assert own.end_for(lab.VAL - 1) == "early"
    assert own.end_for(lab.TEST + 10**12) == "test"
    assert own.end_for(own.ends["early"] - 1) is None
    assert not own.serves([own.ends["early"] - 1, lab.VAL])
    states = [own.weights(end, 0).state() for end in own.ends]
    assert any(not torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert set(summary["questions"]) >= {"exists", "rule_exists"}
    curves = pl.read_parquet(own.folder / "curves.parquet")
    assert set(curves["end"]) == set(own.ends)
    assert curves["loss"].is_finite().all()


def test_what_comes_after_an_end_changes_no_bit_of_its_weights(trained, reading_of, world, lab,
                                                               tiny, tmp_path):
    other = lab.build_world(tmp_path / "db", lab.corrupted(lab.frames(), start=lab.VAL))
    (tmp_path / "made").mkdir()
    train_on_own_past(reading_of(other.database), {"validation": lab.VAL}, tiny,
                      Draft(tmp_path / "made"), device="cpu", log=lambda *_: None)
    mine, theirs = (o.weights("validation", 0).state()
                    for o in (trained[0], OwnPast.open(tmp_path / "made")))
    assert all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_an_interrupted_training_continues_to_the_same_bytes(reader, world, lab, tiny, tmp_path,
                                                             monkeypatch):
    names = Names.of(reader)
    past = Past("rel-races", reader, names, Questions(reader, lab.VAL))

    def run(state):
        return train([past], Weights.fresh(tiny, 0, names), tiny, purpose=("a test",),
                     rotated=True, device=torch.device("cpu"), state=state, log=lambda *_: None)

    whole = run(None)
    loss = training._loss
    steps = []

    def interrupted(*arguments):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(training, "_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "state.pt")
    monkeypatch.setattr(training, "_loss", loss)
    resumed = run(tmp_path / "state.pt")
    one, two = whole.state(), resumed.state()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert whole.curve == resumed.curve


def test_trainings_that_an_interrupted_run_had_finished_are_found_again_to_the_same_bytes(
        trained, reading, world, tiny, tmp_path, monkeypatch):
    shutil.copytree(trained[0].folder / "state", tmp_path / "state")
    monkeypatch.setattr(own_past, "train", None)  # nothing is trained
    ends = ends_of(world.database, [world.task], tiny.folds)
    summary = train_on_own_past(reading, ends, tiny, Draft(tmp_path), device="cpu",
                                log=lambda *_: None)
    assert summary == trained[1]
    files = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {name: (trained[0].folder / name).read_bytes() for name in files}
    assert {name.name for name in files} >= {"examined.parquet", "curves.parquet", "weights.json"}


@pytest.mark.parametrize("precedents", [0, 3])
def test_own_past_goes_on_from_given_weights_and_leaves_them_as_they_are(
        reading, lab, tiny, tmp_path, precedents):
    start = Weights.fresh(tiny.model_copy(update={"precedents": precedents}), 7)
    given = {name: value.clone() for name, value in start.state().items()}
    slow = tiny.model_copy(update={"learning_rate": 1e-9, "weight_decay": 0.0})
    for name, first in (("fresh", None), ("continued", start)):
        (tmp_path / name).mkdir()
        train_on_own_past(reading, {"validation": lab.VAL}, slow, Draft(tmp_path / name),
                          start=first, device="cpu", log=lambda *_: None)
    states = {name: OwnPast.open(tmp_path / name).weights("validation", 0).state()
              for name in ("fresh", "continued")}
    for name, value in given.items():
        torch.testing.assert_close(states["continued"][name], value)
        assert torch.equal(start.state()[name], value)
    assert any(not torch.allclose(states["fresh"][name], value) for name, value in given.items()
               if name.startswith("encoder"))
    assert any(name.startswith("corrections") for name in states["continued"])


def test_training_lowers_the_loss(reader, lab, tiny):
    names = Names.of(reader)
    past = Past("rel-races", reader, names, Questions(reader, lab.VAL))
    settings = tiny.model_copy(update={"steps": 60, "learning_rate": 1e-2})
    weights = train([past], Weights.fresh(settings, 0, names), settings, purpose=("learns",),
                    rotated=False, device=torch.device("cpu"), log=lambda *_: None)
    losses = [point["loss"] for point in weights.curve]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_a_database_of_which_nothing_can_be_asked_has_no_weights(reading, tiny, tmp_path, lab):
    summary = train_on_own_past(reading, {"validation": int(lab.SEED_DATES[0]) - 10**9}, tiny,
                                Draft(tmp_path), device="cpu", log=lambda *_: None)
    assert summary["ends"] == {}
    assert not OwnPast.open(tmp_path).serves([lab.TEST])
    with pytest.raises(ValueError, match="can be asked about"):
        train([], Weights.fresh(tiny, 0), tiny, purpose=(), rotated=False,
              device=torch.device("cpu"), log=lambda *_: None)


def test_a_loss_that_is_no_number_is_an_error_with_the_next_move(reader, lab, tiny):
    names = Names.of(reader)
    past = Past("rel-races", reader, names, Questions(reader, lab.VAL))
    weights = Weights.fresh(tiny, 0, names)
    with torch.no_grad():
        weights.encoder.output.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="on rel-races is nan; lower the learning_rate"):
        train([past], weights, tiny, purpose=("nan",),
              rotated=False, device=torch.device("cpu"), log=lambda *_: None)
