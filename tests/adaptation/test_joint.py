"""The language model trained with the graph network that reads it."""

import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from rowgraph.adaptation import ground as grounds
from rowgraph.adaptation.ground import FINAL, Ground, Training
from rowgraph.adaptation.joint.texts import RowTexts
from rowgraph.adaptation.joint.vectors import JointVectors
from rowgraph.adaptation.layout import ground_of as read_ground
from rowgraph.adaptation.layout import lay_out
from rowgraph.adaptation.running import run_task
from rowgraph.adaptation.settings import VARIANTS, DownstreamMetricsSettings, JointSettings
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.artifacts import Draft
from rowgraph.encoding.encoder import RowEncoder
from rowgraph.encoding.row_texts import row_texts
from rowgraph.encoding.settings import NodeEmbeddingsSettings

NAME = "bart_gnn_joint"
ALL = np.arange(5)


def same(a, b):
    return a.curve == b.curve and all(np.array_equal(a.raw[r], b.raw[r]) for r in b.raw)


@pytest.fixture
def seen(monkeypatch):
    """The row vectors of every joint training, as they are at its end."""
    found = []
    monkeypatch.setattr(grounds, "JointVectors",
                        lambda *a: found.append(JointVectors(*a)) or found[-1])
    return found


@pytest.fixture
def vectors_of(world, texts_of):
    def build(**changes):
        return JointVectors(texts_of(world.database), world.store, JointSettings(**changes),
                            ("test",), torch.device("cpu"))

    return build


@pytest.fixture(scope="module")
def encoded(world, speaker):
    """The vectors of some results by the checkpoint itself."""
    database = world.database
    encoder = RowEncoder.open(speaker, NodeEmbeddingsSettings(workers=1), "cpu")
    _, texts = next(row_texts(database, "results", database.attributes("results"), 100))
    return torch.from_numpy(encoder.encode_distinct(texts.to_list()).vectors)


def moved(before, after):
    """Names of the parameters that differ."""
    return {n for n, p in after.named_parameters() if not torch.equal(
        p, dict(before.named_parameters())[n])}


@pytest.mark.parametrize(("layers", "expected"), [(1, {"1"}), (2, {"0", "1"})])
def test_training_moves_the_last_layers_of_the_language_model_and_nothing_else(
        layers, expected, train, seen, texts_of, world):
    train(NAME, joint={"layers": layers})
    trained = seen[0].encoder.encoder
    changed = moved(texts_of(world.database).encoder("cpu"), trained)
    assert {name.split(".")[1] for name in changed} == expected
    assert all(name.startswith("layers.") for name in changed)
    assert {name.split(".", 2)[2] for name in changed} >= {
        "self_attn.v_proj.weight", "fc1.weight", "fc2.bias", "final_layer_norm.weight"}


def test_adapters_leave_every_weight_of_the_checkpoint_as_it_was(train, seen, texts_of, world):
    train(NAME, joint={"layers": 1, "rank": 2})
    trained = seen[0].encoder.encoder
    before = dict(texts_of(world.database).encoder("cpu").named_parameters())
    after = {n.replace("_proj.linear.", "_proj."): p for n, p in trained.named_parameters()}
    assert all(torch.equal(after[name], p) for name, p in before.items())
    adapters = {name for name in after if name not in before}
    assert len(adapters) == 2 * 4
    assert all(".1.self_attn." in name for name in adapters)
    assert all(after[name].abs().max() > 0 for name in adapters if name.endswith("up"))


@pytest.mark.parametrize("rank", [0, 2])
def test_before_the_first_step_vectors_are_those_of_the_checkpoint(rank, vectors_of, encoded):
    vectors = vectors_of(rank=rank)
    vectors.refresh()
    rows = np.array([30, 2, 2, 7])
    torch.testing.assert_close(vectors.gather("results", rows), encoded[rows])


def test_a_step_encodes_as_many_texts_as_are_set_and_leaves_the_others(vectors_of, world,
                                                                       encoded):
    vectors = vectors_of(texts=9)
    rows = {"results": np.arange(40), "drivers": np.array([-1, 3, 4]),
            "circuits": np.empty(0, np.int64)}
    vectors.draw(rows, 0)
    found = vectors.gather("results", rows["results"])
    fresh = ~(found == world.store.gather("results", rows["results"])).all(1)
    assert fresh.sum() == 7  # of nine, the drivers' two are all that there are
    torch.testing.assert_close(found[fresh], encoded[:40][fresh])
    gradient, = torch.autograd.grad(found.sum(), vectors.parameters()[0])
    assert gradient.abs().max() > 0
    vectors.draw(rows, 1)
    again = ~(vectors.gather("results", rows["results"]) == world.store.gather(
        "results", rows["results"])).all(1)
    assert again.sum() > 7  # what was drawn before keeps the vector that it had then
    assert (again | ~fresh).all()


def test_answers_are_the_vectors_of_the_model_as_it_is(vectors_of):
    vectors = vectors_of()
    vectors.refresh()
    before = vectors.gather("results", ALL)
    vectors.draw({"results": ALL}, 0)
    with torch.no_grad():
        for parameter in vectors.parameters():
            parameter += 0.1
    vectors.refresh()
    after = vectors.gather("results", ALL)
    assert not torch.equal(before, after)
    assert torch.equal(after, vectors.gather("results", ALL))


def test_it_is_the_sequential_variant_where_the_language_model_does_not_learn(
        train, ground_of, world, shared, lab, texts_of):
    """The same fresh weights, order and neighbours; all that differs is what BART learns."""
    texts = texts_of(world.database)
    vectors = JointVectors(texts, world.store, JointSettings(), ("x",), torch.device("cpu"))
    vectors.refresh()

    class Checkpoint:
        dim, tables, range = lab.DIM, world.store.tables, world.store.range
        num_rows = staticmethod(world.store.num_rows)

        def gather(self, table, rows):
            with torch.no_grad():
                return vectors.gather(table, rows)

    given = {0: BartVectors(Checkpoint(), shared, lab.SAGE, texts)}
    still, sequential = (train(name, vectors=given, joint={"learning_rate": 1e-30})
                         for name in (NAME, "bart_gnn_finetuned"))
    for regime, values in sequential.raw.items():
        np.testing.assert_allclose(still.raw[regime], values, atol=1e-5)
    assert not np.allclose(train(NAME, vectors=given, joint={"learning_rate": 0.1}).raw["rolling"],
                           sequential.raw["rolling"], atol=1e-3)


def test_equal_inputs_give_equal_bits_and_another_seed_does_not(train):
    first = train(NAME)
    assert same(first, train(NAME))
    assert not same(first, train(NAME, seed=1))


def test_answers_after_an_epoch_are_those_of_a_training_that_ends_there(train):
    longer = train(NAME, fold=FINAL, at=(("frozen_db", 1), ("rolling", 2)))
    alone = train(NAME, fold=FINAL, at=(("frozen_db", 1),), epochs=1)
    assert np.array_equal(longer.raw["frozen_db"], alone.raw["frozen_db"])


def test_the_checkpoint_on_disk_is_left_as_it_is(train, speaker):
    """What was learnt from a held-out row stays in its task's own training."""
    before = {path.name: path.read_bytes() for path in speaker.iterdir()}
    train(NAME)
    assert {path.name: path.read_bytes() for path in speaker.iterdir()} == before


def test_an_interrupted_stage_continues_to_the_same_bytes(tmp_path, world, shared, lab, texts_of):
    given = {0: BartVectors(world.store, shared, lab.SAGE, texts_of(world.database))}
    settings = lab.SETTINGS.model_copy(update={"variants": (NAME,), "epochs": 1, "folds": 1,
                                               "train_rows": 200})

    def run(folder, log):
        folder.mkdir(exist_ok=True)
        run_task(world.task, world.graph, given, settings, Draft(folder), device="cpu", log=log)

    class Stop(Exception):
        pass

    def stop(step, metrics, of=None):
        if "trainings" in metrics and step == 2:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "a", stop)
    for name in ("a", "b"):
        run(tmp_path / name, lambda *_: None)
    for file in ("predictions.parquet", "choices.parquet", "curves.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_another_process_does_the_same_training(train, ground_of, tmp_path):
    ground = ground_of(variants=(NAME,))
    lay_out(ground, tmp_path / "ground")
    there = read_ground(tmp_path / "ground")
    training = Training(NAME, 0, 0, 0, len(ground.folds) - 1, 1, (("rolling", 0),))
    assert same(there.perform(training, lambda *_: None),
                ground.perform(training, lambda *_: None))


def test_columns_that_a_task_must_not_see_stand_in_no_text(autocomplete_world, speaker):
    where = autocomplete_world()
    shown, whole = (RowTexts.of(d, speaker, keys=False) for d in (
        where.database, dataclasses.replace(where.database, hidden=frozenset())))
    rows = np.arange(where.database.num_rows("results"))
    assert (shown.tables["results"].lengths(rows) < whole.tables["results"].lengths(rows)).all()
    assert np.array_equal(shown.tables["races"].ids, whole.tables["races"].ids)


def test_it_is_trained_where_a_profile_names_it_alone():
    assert NAME in VARIANTS
    assert NAME not in DownstreamMetricsSettings().variants
    with pytest.raises(ValidationError, match="greater than 0"):
        JointSettings(layers=0)


def test_more_layers_than_there_are_and_missing_texts_are_named(vectors_of, world, shared, lab):
    with pytest.raises(ValueError, match=r"joint\.layers is 3, but .* has 2"):
        vectors_of(layers=3)
    settings = lab.SETTINGS.model_copy(update={"variants": (NAME,)})
    with pytest.raises(ValueError, match="bart_gnn_joint trains the language model"):
        Ground(world.task, world.graph, {0: BartVectors(world.store, shared, lab.SAGE)}, settings,
               "cpu")
