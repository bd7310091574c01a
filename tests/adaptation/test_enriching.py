"""The quick network against `HeteroGraphSAGE`, which is the judge."""

import numpy as np
import pytest
import torch

from rowgraph.adaptation.enriching import EnrichingSAGE
from rowgraph.adaptation.neighbourhoods import SILENT, Neighbourhoods
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.sage.model import HeteroGraphSAGE, ModelError


@pytest.fixture(scope="module")
def sample(world):
    def sample(fan_out, strategy="latest", table="drivers", count=60, seed=0):
        random = np.random.default_rng(seed)
        rows = random.integers(0, world.graph.num_nodes[table], count)
        before = random.choice(world.task.known.times, count)
        sampler = TemporalNeighborSampler(world.graph, fan_out, strategy)
        return sampler.sample(table, rows, before, seed)

    return sample


def both(world, batch, silent, reduce, layers):
    """Outputs and gradients of the two networks with equal weights."""
    found = []
    for kind in (HeteroGraphSAGE, EnrichingSAGE):
        model = kind(world.store.dim, world.graph.node_types, 6, layers, reduce,
                     torch.Generator().manual_seed(3))
        if kind is EnrichingSAGE:
            near = Neighbourhoods.of(batch, silent)
            out = model(near.vectors(world.store, torch.device("cpu")), near)
        else:
            x = {t: world.store.gather(t, n) for t, n in batch.n_id.items()}
            x[batch.input_type][:len(silent)][torch.from_numpy(silent)] = 0.0
            out = model(x, batch)
        (out * torch.linspace(-1, 2, out.numel()).reshape(out.shape)).sum().backward()
        found.append((out, {n: p.grad for n, p in model.named_parameters()}))
    return found


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("fan_out", [(3,), (5, 3), (2, 3, 2)])
@pytest.mark.parametrize("table", ["drivers", "results", "races"])
def test_the_quick_network_is_the_same_function_with_the_same_gradients(
        table, fan_out, reduce, sample, world):
    batch = sample(fan_out, table=table)
    silent = np.random.default_rng(1).random(60) < 0.2
    (expected, their), (found, mine) = both(world, batch, silent, reduce, len(fan_out))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    for name, gradient in their.items():
        if gradient is None:
            assert mine[name] is None or not mine[name].any(), name
        else:
            torch.testing.assert_close(mine[name], gradient, atol=2e-3, rtol=2e-4, msg=name)


def test_a_seed_alone_and_seeds_without_any_neighbour_are_no_special_case(world):
    batch = TemporalNeighborSampler(world.graph, (3, 2), "latest").sample(
        "drivers", np.array([4]), np.array([0]), 0)
    (expected, _), (found, _) = both(world, batch, np.array([False]), "mean", 2)
    torch.testing.assert_close(found, expected)


def test_rows_are_counted_once_and_a_silent_seed_is_none_of_them(sample):
    batch = sample((3, 2))
    near = Neighbourhoods.of(batch, np.arange(60) == 7)
    assert near.rows["drivers"][0] == SILENT
    for rows in near.rows.values():
        assert (np.diff(rows) > 0).all()
    own = near.rows["drivers"][near.own["drivers"].numpy()]
    assert own[7] == SILENT
    assert (np.delete(own, 7) == np.delete(batch.n_id["drivers"][:60].numpy(), 7)).all()


def test_a_batch_of_other_depth_is_refused(sample, world):
    near = Neighbourhoods.of(sample((3, 2)), np.zeros(60, dtype=bool))
    model = EnrichingSAGE(world.store.dim, world.graph.node_types, 6, 1, "mean")
    with pytest.raises(ModelError, match="2 hops, expected 1"):
        model(near.vectors(world.store, torch.device("cpu")), near)
