"""Estimates, against counts by brute force, a real model's own count and the paper's figures."""

import numpy as np
import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from rowgraph.adaptation.choosing import adapt
from rowgraph.adaptation.ground import FINAL, Ground, Trained
from rowgraph.adaptation.settings import JointSettings
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.costs.estimates import estimate
from rowgraph.costs.model_shape import BART_LARGE, ModelShape
from rowgraph.costs.random_world import random_graph
from rowgraph.costs.rates import Rates, Work, rates_path, read_rates, shapes_of, write_rates
from rowgraph.costs.sizes import DatabaseFacts, Facts, Figure, nodes_a_seed, weaker
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.language.reconstruction import sum_of_losses
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.profiles import STAGES, load_profile

PAPER = load_profile("paper")
SHAPE = ModelShape(vocabulary=300, d_model=32, ffn_dim=96, encoder_layers=3, decoder_layers=2,
                   heads=2, positions=64, dropout=0.1, attention_dropout=0.0)


def model_of(shape):
    return BartForConditionalGeneration(BartConfig(
        vocab_size=shape.vocabulary, d_model=shape.d_model, encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers, encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads, encoder_ffn_dim=shape.ffn_dim,
        decoder_ffn_dim=shape.ffn_dim, dropout=shape.dropout,
        attention_dropout=shape.attention_dropout, max_position_embeddings=shape.positions))


def expected_facts(profile=PAPER, tokens=128, shape=BART_LARGE):
    tokens = Figure(tokens, "assumed")
    return Facts({d.name: DatabaseFacts.expected(d.expected_rows, d.max_rows_per_table, tokens)
                  for d in profile.databases}, shape, tokens)


def test_a_sum_rests_on_the_weakest_of_its_parts():
    assert weaker("measured", "assumed", "expected") == "assumed"
    assert Figure(2) + 3 * Figure(4, "expected") == Figure(14, "expected")
    assert sum([Figure(1), Figure(2, "assumed")], Figure(0)) == Figure(3, "assumed")
    assert Figure(5).at_most(Figure(4, "expected")) == Figure(4, "expected")


def test_the_papers_embeddings_take_59_gb():
    facts = expected_facts()
    disk = [estimate("node_embeddings", PAPER, facts, d.name).disk
            for d in PAPER.by_role("pretrain")]
    total = sum(disk, Figure(0))
    assert total.value == pytest.approx(28_725_618 * 1024 * 2, rel=0.001)
    assert total.value == pytest.approx(59e9, rel=0.01)
    assert total.basis != "measured"


def test_the_papers_rows_are_those_of_table_1():
    rows = {d.name: d.expected_rows for d in PAPER.databases}
    assert rows.pop("rel-f1") == 97_606
    assert sum(rows.values()) == 28_725_618


def test_an_expectation_belongs_to_no_recipe():
    database = PAPER.databases[0]
    changed = database.model_copy(update={"expected_rows": 7})
    assert changed.effective() == database.effective()


def test_parameters_are_those_of_the_model():
    assert SHAPE.parameters == model_of(SHAPE).num_parameters()
    assert BART_LARGE.parameters == 406_291_456 + 3 * 1024  # as published, and the markers


@pytest.mark.parametrize(("attention_dropout", "half"), [(0.0, False), (0.1, False), (0.0, True)])
def test_activations_are_what_autograd_keeps(attention_dropout, half):
    shape = ModelShape(vocabulary=60, d_model=64, ffn_dim=256, encoder_layers=2, decoder_layers=2,
                       heads=4, positions=64, dropout=0.1, attention_dropout=attention_dropout)
    model, kept = model_of(shape), {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(5, 60, (8, 64), generator=torch.Generator().manual_seed(0))
    seen = torch.ones_like(ids)
    seen[0, -1] = 0
    inputs = {"input_ids": ids, "attention_mask": seen, "decoder_input_ids": ids, "labels": ids}
    with (torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t),
          torch.autocast("cpu", torch.bfloat16, enabled=half)):
        losses = sum_of_losses(model, inputs, 0.0)
    predicted = shape.activation_bytes(8, 64, half=half, quadratic=True)
    assert losses
    assert predicted == pytest.approx(sum(kept.values()), rel=0.25)


def test_a_gpu_does_not_keep_the_attention_of_every_pair():
    on_cpu, on_gpu = (estimate("bart_checkpoint", PAPER, expected_facts(), on_gpu=gpu).device.value
                      for gpu in (False, True))
    assert on_gpu < 80e9 < on_cpu


def test_training_work_is_tokens_of_every_epoch_with_a_third_for_validation():
    work = estimate("bart_checkpoint", PAPER, expected_facts(tokens=100)).work
    assert work.amount.value == pytest.approx(50 * 100_000 * 100 * (0.7 + 0.1 / 3))
    assert work.kind == "trained_tokens"


def test_rows_are_cut_at_max_tokens():
    short, long = (estimate("node_embeddings", PAPER, expected_facts(tokens=t), "rel-f1").work
                   for t in (1024, 5000))
    assert short.amount.value == long.amount.value == 97_606 * 1024


def test_equal_texts_are_encoded_once():
    facts = DatabaseFacts.expected(1000, None, Figure(10))
    seen = DatabaseFacts(**{**vars(facts), "distinct": Figure(30)})
    world = Facts({"rel-f1": seen}, BART_LARGE, Figure(10))
    assert estimate("node_embeddings", PAPER, world, "rel-f1").work.amount == Figure(300)


def test_seeds_count_every_node_of_every_epoch_unless_fewer_are_asked_for():
    nodes = 28_725_618
    work = estimate("sage_weights", PAPER, expected_facts()).work
    assert work.amount.value == pytest.approx(nodes * (20 * 0.9 + 0.1))
    few = PAPER.model_copy(update={
        "sage_weights": PAPER.sage_weights.model_copy(update={"seeds_per_epoch": 800})})
    work = estimate("sage_weights", few, expected_facts()).work
    assert work.amount.value == pytest.approx(6 * (20 * 900 + 100))


def test_a_neighbourhood_has_about_the_nodes_that_the_sampler_draws():
    graph = random_graph(40_000)
    fan_out = (20, 10)
    for table, entity in (("parents", True), ("ones", False)):
        batch = TemporalNeighborSampler(graph, fan_out).sample(
            table, np.arange(200), np.full(200, 2**60), 0)  # a tree for each seed
        drawn = sum(len(n) for n in batch.n_id.values()) / 200
        assert nodes_a_seed(1.46, fan_out, entity) == pytest.approx(drawn, rel=0.5)


@pytest.mark.parametrize("stage", ["source", *STAGES])
def test_every_stage_has_an_estimate(stage):
    database = "rel-hm" if stage == "sampled_rows" else "rel-f1"
    assert estimate(stage, PAPER, expected_facts(), database, "driver-dnf") is not None


def test_what_a_small_database_cannot_give_to_the_corpus_the_others_do():
    facts = expected_facts()
    tiny = DatabaseFacts.expected(100, None, facts.tokens_a_row)
    facts = Facts({**facts.databases, "rel-hm": tiny}, facts.shape, facts.tokens_a_row)
    small, large = (estimate("sampled_rows", PAPER, facts, name).disk.value
                    for name in ("rel-hm", "rel-stack"))
    assert large / small == pytest.approx(99_900 / 5 / 100)


def test_an_unknown_stage_or_database_has_none():
    facts = expected_facts()
    assert estimate("nonsense", PAPER, facts) is None
    nothing = Facts({**facts.databases, "rel-hm": None}, None, facts.tokens_a_row)
    for stage, database in (("source", "rel-hm"), ("sage_weights", None),
                            ("bart_checkpoint", None), ("node_embeddings", "rel-f1")):
        assert estimate(stage, PAPER, nothing, database) is None


def test_a_local_checkpoint_says_its_own_shape(tmp_path):
    model_of(SHAPE).config.save_pretrained(tmp_path)
    found = ModelShape.of(BartCheckpointSettings(checkpoint=str(tmp_path)))
    assert found == ModelShape(**{**SHAPE.as_dict(), "vocabulary": 303})
    assert ModelShape.of(BartCheckpointSettings(checkpoint="someone/else")) is None


def test_hours_are_work_over_the_rate():
    rates, work = Rates({"trained_seeds": 50.0}, {}, {}), Figure(360_000, "expected")
    assert rates.hours(Work(work, "trained_seeds")) == Figure(2.0, "expected")
    assert rates.hours(Work(Figure(1), "encoded_tokens")) is None


def test_rates_are_found_again_only_for_the_same_machine_and_shapes(tmp_path):
    machine, shapes = {"cpu": "one", "cores": 2, "gpus": []}, shapes_of(PAPER, BART_LARGE)
    path = rates_path(tmp_path, machine, shapes)
    rates = Rates({"trained_tokens": 3.5}, {"trained_tokens": "so"}, {"device": "cpu"})
    write_rates(path, rates, machine, shapes)
    assert read_rates(path) == rates
    assert rates_path(tmp_path, {**machine, "cores": 4}, shapes) != path
    assert rates_path(tmp_path, machine, shapes_of(PAPER, SHAPE)) != path
    path.write_text("{")
    assert read_rates(path) is None


def test_the_work_of_adaptation_is_that_of_the_trainings_that_are_done(world, shared, lab):
    demo = load_profile("demo")
    settings = demo.downstream_metrics.model_copy(update={
        "folds": 1, "candidates": (), "train_rows": None, "fan_out": lab.SAGE.fan_out})
    profile = demo.model_copy(update={"downstream_metrics": settings, "task_settings": {}})
    labels = {s: len(world.task.labels(s)) for s in ("train", "val", "test")}
    facts = DatabaseFacts(*(Figure(100),) * 7, labels={"player-all-star": labels})
    work = estimate("downstream_metrics", profile,
                    Facts({"rel-baseball": facts}, SHAPE, Figure(32)), "rel-baseball",
                    "player-all-star").work
    ground = Ground(world.task, world.graph, {0: BartVectors(world.store, shared, lab.SAGE)},
                    settings, "cpu")
    rows = 0

    def do(trainings):
        nonlocal rows
        found = {}
        for t in trainings:
            asked = ground.asked(t).values()
            times = 1 if t.fold == FINAL else t.epochs
            if "_gnn_" in t.variant:
                rows += len(ground.fit(t).labels) * settings.epochs
                rows += sum(len(view.labels) for view in asked) * times
            shape = () if t.fold == FINAL else (t.epochs,)
            found[t] = Trained({r: np.random.default_rng(0).random((*shape, len(v.labels)))
                                for r, v in ground.asked(t).items()}, [])
        return found

    adapt(ground, do)
    assert work.amount.value == rows


def test_a_variant_that_trains_the_language_model_encodes_texts_besides():
    demo = load_profile("demo")
    facts = Facts({"rel-baseball": DatabaseFacts.expected(5000, None, Figure(32))}, SHAPE,
                  Figure(32))

    def also(**changes):
        settings = demo.downstream_metrics.model_copy(update=changes)
        profile = demo.model_copy(update={"downstream_metrics": settings, "task_settings": {}})
        return estimate("downstream_metrics", profile, facts, "rel-baseball",
                        "player-all-star").also

    names = demo.downstream_metrics.variants
    assert also() is None
    few, many = (also(variants=(*names, "bart_gnn_joint"), joint=JointSettings(texts=n))
                 for n in (100, 200))
    assert few.kind == "encoded_tokens"
    assert few.amount.value < many.amount.value < 2 * few.amount.value
