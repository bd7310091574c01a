"""RDL sees the past only, is RelBench's model, and gives the same bytes again."""

import dataclasses
import functools

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch_frame", reason="RDL needs the extra: pip install 'rowgraph[rdl]'")

import torch
import torch_frame
from torch_geometric.nn import HeteroConv

from rowgraph.baselines.peers import rdl
from rowgraph.baselines.peers.rdl_frames import RowReader
from rowgraph.baselines.peers.rdl_model import RDLInputs, RDLModel
from rowgraph.evaluation.nonsense import write_nonsense
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Run


@pytest.fixture(scope="module")
def predict(small, tmp_path_factory):
    """Predictions of RDL in a world, asked about a task's label rows."""
    @functools.cache
    def run(world, task, settings=small):
        task = dataclasses.replace(task, database=world.database)
        answers = rdl.run_rdl(task, world.graph, settings, tmp_path_factory.mktemp("rdl"),
                              device="cpu", log=lambda *_: None)
        return {(r.regime, split): values for r, splits in answers.predictions.items()
                for split, values in splits.items()}

    return run


@pytest.mark.parametrize("at", [25, 28])  # the first test date, and one that is a race day
def test_cells_at_or_after_a_rolling_seed_change_no_bit(at, world, nonsense, predict, lab):
    time = int(lab.SEED_DATES[at])
    other = nonsense(start=time)
    before = predict(world, lab.upto(world.task, "test", time))
    after = predict(other, lab.upto(other.task, "test", time))
    for split in ("val", "test"):
        assert np.array_equal(before["rolling", split], after["rolling", split])


def test_cells_after_the_cut_change_no_bit_of_a_frozen_prediction(world, nonsense, predict, lab):
    other = nonsense(start=lab.TEST + 1)
    assert np.array_equal(predict(world, world.task)["frozen_db", "test"],
                          predict(other, other.task)["frozen_db", "test"])


def test_frozen_validation_sees_nothing_after_the_validation_cut(world, nonsense, predict, lab):
    assert np.array_equal(predict(world, world.task)["frozen_db", "val"],
                          predict(nonsense(start=lab.VAL + 1), world.task)["frozen_db", "val"])


def test_cells_before_the_seed_do_change_predictions(world, nonsense, predict, lab):
    """The control: the canary can sing."""
    before = predict(world, world.task)
    after = predict(nonsense(end=lab.TEST), world.task)
    for regime in ("frozen_db", "rolling"):
        assert not np.array_equal(before[regime, "test"], after[regime, "test"])


def test_test_labels_choose_and_fit_nothing(world, predict):
    test = dataclasses.replace(world.task.test, target=1 - world.task.test.target)
    before = predict(world, world.task)
    after = predict(world, dataclasses.replace(world.task, test=test))
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_types_and_statistics_come_from_rows_older_than_the_cut(world, nonsense, lab):
    mine = RowReader(world.database, 8).frames(lab.VAL)
    later = RowReader(nonsense(start=lab.VAL).database, 8).frames(lab.VAL)
    earlier = RowReader(nonsense(end=lab.VAL).database, 8).frames(lab.VAL)
    assert mine.kinds() == later.kinds()
    assert same(mine.statistics, later.statistics)
    assert not same(mine.statistics, earlier.statistics)


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return repr(one) == repr(other)


def test_hidden_columns_are_in_no_frame(world, lab):
    database = world.database.without([("results", "laps"), ("drivers", "name")])
    rows = RowReader(database, 8).frames(lab.VAL)
    names = {t: [n for group in kinds.values() for n in group]
             for t, kinds in rows.kinds().items()}
    assert "laps" not in names["results"]
    assert "name" not in names["drivers"]
    assert "failed" in names["results"]
    assert "height" in names["drivers"]


@pytest.fixture(scope="module")
def sampled(world, lab):
    """A model and the inputs of some seeds, one of whose rows is not older than its seed."""
    rows = RowReader(world.database, 8).frames(lab.VAL)
    torch.manual_seed(0)
    model = RDLModel(rows, world.graph, 8, 2, 1).eval()
    seeds, times = np.array([0, 1, 1, 7, 8, 9]), lab.SEED_DATES[[3, 22, 24, 24, 24, 24]]
    batch = TemporalNeighborSampler(world.graph, (3, 2)).sample("drivers", seeds, times, 0)
    unseen = np.asarray(world.graph.times["drivers"])[seeds] >= times
    return model, RDLInputs.of(batch, rows, world.graph, times, unseen)


def test_the_model_is_relbenchs_own_at_the_seeds(sampled):
    model, inputs = sampled
    x = {model.names[t]: v for t, v in model.gnn_inputs(inputs).items()}
    edges = {model.edges[e]: v for e, v in inputs.batch.edge_index.items()}
    assert isinstance(model.gnn.convs[0], HeteroConv)
    expected = model.head(model.gnn(x, edges)[model.names["drivers"]][:6])
    torch.testing.assert_close(model(inputs), expected)


def test_a_row_of_several_trees_is_encoded_as_if_it_were_many(sampled):
    model, inputs = sampled
    n_id, place = inputs.batch.n_id["races"], inputs.place["races"]
    assert len(inputs.frames["races"]) < len(n_id)  # shared by trees
    repeated = inputs.frames["races"][place]
    assert isinstance(repeated, torch_frame.TensorFrame)
    name = model.names["races"]
    torch.testing.assert_close(
        model.encoder({name: inputs.frames["races"]})[name][place],
        model.encoder({name: repeated})[name])


def test_an_entity_row_that_is_not_older_than_its_seed_says_nothing(sampled):
    model, inputs = sampled
    own = model.gnn_inputs(inputs)["drivers"]
    assert inputs.unseen.tolist() == [True, True, True, False, False, False]
    assert torch.equal(own[:6].abs().sum(1) == 0, inputs.unseen)


def test_equal_settings_give_equal_bytes_and_an_interrupted_run_goes_on_to_them(world, small,
                                                                                tmp_path):
    def run(folder):
        folder.mkdir(exist_ok=True)
        return rdl.run_rdl(world.task, world.graph, small, folder, device="cpu",
                           log=lambda *_: None).predictions

    first = run(tmp_path / "a")
    state = tmp_path / "b"
    run(state)
    for path in state.glob("rdl-final-*.json"):
        path.unlink()  # as if it had stopped before the last training was whole
    torch.rand(1)  # another place in the global generator
    again = run(state)
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[r][s], again[r][s]) for r in first for s in first[r])


def test_trainings_side_by_side_give_the_same_bytes(world, small, tmp_path, monkeypatch):
    found = []
    for name, workers, few in (("alone", 1, 0), ("beside", 2, 0)):
        monkeypatch.setattr(rdl, "FEW", few)
        (tmp_path / name).mkdir()
        settings = small.model_copy(update={"workers": workers, "seeds": (0, 1)})
        found.append(rdl.run_rdl(world.task, world.graph, settings, tmp_path / name,
                                 device="cpu", log=lambda *_: None).predictions)
    assert all(np.array_equal(found[0][r][s], found[1][r][s]) for r in found[0]
               for s in found[0][r])


def test_the_number_of_epochs_is_what_is_best_in_the_mean_over_folds(world, small, tmp_path):
    settings = small.model_copy(update={"folds": 2, "seeds": (0, 1)})
    answers = rdl.run_rdl(world.task, world.graph, settings, tmp_path, device="cpu",
                          log=lambda *_: None)
    assert len(answers.scores) == 2 * 2 * 2  # folds, epochs, regimes: seeds are averaged
    for regime, chosen in answers.chosen.items():
        means = [np.mean([s.value for s in answers.scores if (s.regime, s.step) == (regime, e)])
                 for e in (1, 2)]
        assert chosen.step == 1 + int(np.argmax(means))
        assert answers.facts["epochs"][regime] == chosen.step
    trained = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert len(trained) == 1 + 2 + 2  # the older fold with one seed, the newest and the final fit
    best = answers.chosen["rolling"].step - 1
    newest = [s.value for s in answers.scores if s.regime == "rolling"
              and s.fold == answers.facts["folds"][-1]]
    mine = [measure("roc_auc", world.task.val.target,
                    answers.predictions[Run("rolling", "rdl", seed)]["val"],
                    world.task.train.target) for seed in (0, 1)]
    assert newest[best] == pytest.approx(np.mean(mine))


def test_other_seeds_give_other_answers(world, small, tmp_path):
    found = rdl.run_rdl(world.task, world.graph, small.model_copy(update={"seeds": (0, 1)}),
                        tmp_path, device="cpu", log=lambda *_: None).predictions
    assert not np.array_equal(found[Run("rolling", "rdl", 0)]["test"],
                              found[Run("rolling", "rdl", 1)]["test"])


def test_it_learns_what_older_rows_say(world, small, predict):
    results = world.database.read("results", ["driverId", "failed"])
    driver, failed = results["driverId"].to_numpy(), results["failed"].to_numpy()
    times = world.database.times("results")

    def often(labels):
        return dataclasses.replace(labels, target=np.array([
            failed[(driver == row) & (times < time)].sum() > 6
            for row, time in zip(labels.rows, labels.times, strict=True)], dtype=np.float64))

    task = dataclasses.replace(world.task, **{s: often(world.task.labels(s))
                                              for s in ("train", "val", "test")})
    settings = small.model_copy(update={"epochs": 4, "batch": 64, "train_rows": None,
                                        "fan_out": (-1,), "regimes": ("rolling",)})
    found = predict(world, task, settings)
    assert measure("roc_auc", task.test.target, found["rolling", "test"], task.test.target) > 0.9


def test_every_kind_of_task_is_answered_in_its_own_form(world, regression_world, multiclass,
                                                        predict):
    task = multiclass(world.task)
    classes = predict(world, task)["rolling", "test"]
    assert classes.shape == (len(task.test), 3)
    assert np.allclose(classes.sum(1), 1)
    values = predict(regression_world, regression_world.task)["rolling", "test"]
    low, high = np.percentile(regression_world.task.known.target, (2, 98))
    assert values.min() >= low
    assert values.max() <= high
    chances = predict(world, world.task)["frozen_db", "test"]
    assert ((chances > 0) & (chances < 1)).all()


def test_a_cell_to_fill_in_is_told_by_its_rows_other_cells(world, autocomplete, small, tmp_path):
    task = autocomplete(world)
    other = write_nonsense(world.database, tmp_path / "other", start=int(task.test.times.min()))
    graph, found = world.graph, []
    for i, database in enumerate((task.database, other.without([("results", "laps")]))):
        (tmp_path / str(i)).mkdir()
        answers = rdl.run_rdl(dataclasses.replace(task, database=database), graph, small,
                              tmp_path / str(i), device="cpu", log=lambda *_: None)
        found.append(answers.predictions[Run("frozen_db", "rdl", 0)])
    assert np.array_equal(found[0]["val"], found[1]["val"])
    assert not np.array_equal(found[0]["test"], found[1]["test"])  # own cells of test rows differ


def test_the_target_of_a_cell_to_fill_in_reaches_nothing(world, autocomplete, small, tmp_path,
                                                         lab):
    task, tables = autocomplete(world), lab.frames()
    tables["results"] = tables["results"].with_columns(laps=100 - pl.col("laps"))
    other = lab.build_world(tmp_path / "db", tables)
    found = []
    for i, database in enumerate((task.database, autocomplete(other).database)):
        (tmp_path / str(i)).mkdir()
        found.append(rdl.run_rdl(dataclasses.replace(task, database=database), world.graph, small,
                                 tmp_path / str(i), device="cpu",
                                 log=lambda *_: None).predictions)
    assert all(np.array_equal(found[0][r][s], found[1][r][s]) for r in found[0]
               for s in found[0][r])


def test_a_training_that_diverges_is_named(world, small, tmp_path):
    with pytest.raises(ValueError, match=r"diverged .* peer_metrics\.learning_rate"):
        rdl.run_rdl(world.task, world.graph, small.model_copy(update={"learning_rate": 1e30}),
                    tmp_path, device="cpu", log=lambda *_: None)
