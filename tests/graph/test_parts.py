"""A part of a batch holds what its seeds see in the whole."""

import numpy as np
import pytest
import torch

from rowgraph.graph.parts import part_of
from rowgraph.graph.sampling import TemporalNeighborSampler


def trees(batch, hops):
    """Row by row what each seed sees: itself and, as often as drawn, its neighbours' trees."""
    neighbours = {}
    for (source, relation, destination), pairs in batch.edge_index.items():
        for up, down in pairs.T.tolist():
            neighbours.setdefault((destination, down), []).append((relation, source, up))

    def tree(table, node, depth):
        below = () if depth == 0 else sorted(
            (relation, tree(source, up, depth - 1))
            for relation, source, up in neighbours.get((table, node), []))
        return table, int(batch.n_id[table][node]), tuple(below)

    return [tree(batch.input_type, node, hops) for node in range(batch.num_seeds)]


@pytest.mark.parametrize("fan_out", [(3,), (3, 2), (2, 3, 1)], ids=str)
def test_parts_see_what_their_seeds_see_in_the_whole_batch(world, fan_out):
    sampler = TemporalNeighborSampler(world.graph, fan_out)
    rows = np.random.default_rng(1).permutation(world.graph.num_nodes["results"])[:50]
    whole = sampler.sample("results", rows, None, 5)
    expected = trees(whole, len(fan_out))
    found = []
    for edges in ((0, 17), (17, 17), (17, 49), (49, 50)):
        part, kept = part_of(whole, slice(*edges))
        assert torch.equal(part.input_id, whole.input_id[slice(*edges)])
        assert all(torch.equal(n_id, whole.n_id[t][kept[t]]) for t, n_id in part.n_id.items())
        assert all((pairs[1].diff() >= 0).all() for pairs in part.edge_index.values())
        found += trees(part, len(fan_out))
    assert found == expected
    assert len(part.n_id["results"]) < len(whole.n_id["results"])
