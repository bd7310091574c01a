import itertools

import torch

from rowgraph.forecasting.aggregation import aggregate


def some(seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(20, 6, generator=generator, requires_grad=True)
    sizes = torch.randint(1, 5, (9,), generator=generator)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    sources = torch.randint(0, 20, (int(starts[-1]),), generator=generator)
    return vectors, sources, starts


def plain(vectors, sources, starts):
    return torch.stack([torch.cat([vectors[s].mean(0), vectors[s][0], vectors[s].amax(0),
                                   vectors[s].amin(0)])
                        for s in (sources[a:b] for a, b in itertools.pairwise(starts))])


def test_mean_newest_and_extremes_are_those_of_each_segment():
    vectors, sources, starts = some()
    torch.testing.assert_close(aggregate(vectors, sources, starts),
                               plain(vectors, sources, starts))


def test_the_compiled_gradient_is_that_of_the_plain_operations():
    vectors, sources, starts = some(1)
    weight = torch.randn(len(starts) - 1, 24, generator=torch.Generator().manual_seed(2))
    (aggregate(vectors, sources, starts) * weight).sum().backward()
    other = vectors.detach().clone().requires_grad_()
    (plain(other, sources, starts) * weight).sum().backward()
    torch.testing.assert_close(vectors.grad, other.grad)


def test_the_operations_of_other_devices_give_the_same(monkeypatch):
    vectors, sources, starts = some(3)
    expected = aggregate(vectors, sources, starts)
    monkeypatch.setattr("rowgraph.forecasting.aggregation.COMPILED", "none")
    torch.testing.assert_close(aggregate(vectors, sources, starts), expected)
