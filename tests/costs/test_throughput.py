"""Measuring, with a clock that tells made-up times: no test looks at the wall's."""

from itertools import count

import numpy as np
import pytest
import torch

from rowgraph.costs.estimates import estimate
from rowgraph.costs.model_shape import BART_LARGE, ModelShape
from rowgraph.costs.random_world import RandomVectors, random_graph
from rowgraph.costs.sizes import DatabaseFacts, Facts, Figure
from rowgraph.costs.throughput import ThroughputError, extrapolated, measure_rates
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.profiles import load_profile


@pytest.fixture
def tiny():
    demo = load_profile("demo")
    return demo.model_copy(update={
        "node_embeddings": demo.node_embeddings.model_copy(
            update={"batch_tokens": 256, "workers": 1}),
        "sage_weights": demo.sage_weights.model_copy(
            update={"hidden": 8, "batch": 16, "fan_out": (3, 2)}),
        "downstream_metrics": demo.downstream_metrics.model_copy(
            update={"batch": 16, "fan_out": (3, 2), "head_hidden": 4})})


SHAPE = ModelShape(vocabulary=300, d_model=16, ffn_dim=32, encoder_layers=2, decoder_layers=1,
                   heads=2, positions=64, dropout=0.1, attention_dropout=0.0)


def ticking(seconds=1.0):
    ticks = count()
    return lambda: next(ticks) * seconds


def test_extrapolation_is_exact_where_every_layer_takes_the_same():
    def train(layers):
        return 0.7 + 0.3 * layers

    def encode(layers):
        return 0.05 + 0.02 * layers

    measured = [(train(n), encode(n)) for n in (1, 2)]
    assert extrapolated(measured, BART_LARGE) == pytest.approx((train(12), encode(12)))


def test_a_disturbed_measurement_is_refused():
    with pytest.raises(ThroughputError, match="run it again"):
        extrapolated([(1.0, 1.0), (0.9, 1.1)], BART_LARGE)


def test_a_small_model_is_measured_in_full_and_every_kind_of_work_has_a_rate(tiny, tmp_path):
    notes = []
    rates = measure_rates(tiny, SHAPE, 32, tmp_path, device="cpu", clock=ticking(),
                          note=notes.append, date="2020-02-02")
    assert notes[0] == "language model of 2 + 1 layers"
    assert rates.header["date"] == "2020-02-02"
    assert rates.header["tokens_a_row"] == 32
    facts = DatabaseFacts.expected(100, None, Figure(32))
    world = Facts({d.name: facts for d in tiny.databases}, SHAPE, Figure(32))
    for stage in ("bart_checkpoint", "node_embeddings", "sage_weights", "downstream_metrics",
                  "imputation_metrics"):
        work = estimate(stage, tiny, world, "rel-baseball", "player-all-star").work
        assert rates.hours(work).value > 0


def test_a_clock_at_half_the_speed_halves_the_rates(tiny, tmp_path):
    fast, slow = (measure_rates(tiny, SHAPE, 32, tmp_path / name, device="cpu",
                                clock=ticking(seconds), note=lambda what: None)
                  for name, seconds in (("fast", 1.0), ("slow", 2.0)) if
                  (tmp_path / name).mkdir() is None)
    for kind, rate in fast.per_second.items():
        assert slow.per_second[kind] == pytest.approx(rate / 2)


def test_a_large_model_is_measured_with_one_and_two_layers(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("rowgraph.costs.throughput.REAL_BELOW", 0)
    notes, widths = [], SHAPE.with_layers(7)
    ticks = iter(np.cumsum(np.arange(10_000)) * 1.0)  # every reading later than the last
    rates = measure_rates(tiny, widths, 32, tmp_path, device="cpu", clock=lambda: next(ticks),
                          note=notes.append)
    assert notes[0] == "language model of 1 + 1 and 2 + 2 layers"
    assert "extrapolated to 7 + 7" in rates.how["trained_tokens"]


def test_the_random_graph_is_a_graph_of_about_the_asked_size_and_the_papers_density():
    graph = random_graph(4_000)
    assert isinstance(graph, EntityGraph)  # whose constructor checks times, ranges and order
    nodes = sum(graph.num_nodes.values())
    assert nodes == pytest.approx(4_000, rel=0.05)
    assert graph.num_edges / 2 / nodes == pytest.approx(1.4, rel=0.1)


def test_random_vectors_repeat_beyond_the_block_that_is_there():
    vectors = RandomVectors(random_graph(400), dim=4, block=50)
    assert vectors.gather("ones", np.array([3, 53])).equal(
        vectors.gather("ones", torch.tensor([3, 3])))
    assert vectors.gather("ones", np.array([1])).dtype == torch.float32


def test_measuring_leaves_the_global_generator_alone(tiny, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    measure_rates(tiny, SHAPE, 16, tmp_path, device="cpu", clock=ticking(),
                  note=lambda what: None)
    assert torch.equal(torch.rand(1), expected)
