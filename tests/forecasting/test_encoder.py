import numpy as np
import pytest
import torch

from rowgraph.forecasting.encoder import Corrections, EncoderShape, untrained
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.training import rotation

SHAPE = EncoderShape(width=8, output=16, dropout=0.5)


@pytest.fixture(scope="module")
def names(reader):
    return Names.of(reader)


@pytest.fixture(scope="module")
def encoded(reader, names, world, batch_of):
    def encode(seed=0, labels=None, corrections=None, by=names):
        batch = batch_of(reader, world.task.test if labels is None else labels)
        with torch.no_grad():
            return untrained(SHAPE, seed)(batch, by, corrections)

    return encode


def test_equal_seeds_give_equal_vectors_and_others_do_not(encoded):
    assert torch.equal(encoded(), encoded())
    assert not torch.equal(encoded(), encoded(seed=1))
    assert encoded().shape[1] == SHAPE.output
    assert torch.isfinite(encoded()).all()


def test_a_seeds_vector_does_not_depend_on_the_seeds_around_it(encoded, world):
    whole, part = encoded(), encoded(labels=world.task.test.take(torch.arange(5, 9).numpy()))
    torch.testing.assert_close(whole[5:9], part, atol=1e-5, rtol=1e-4)


def test_corrections_change_nothing_at_first_and_what_they_have_not_met_never(encoded, names):
    corrections = Corrections(names.keys, SHAPE.width)
    assert torch.equal(encoded(corrections=corrections), encoded())
    strange = Corrections({kind: tuple(f"elsewhere {key}" for key in keys)
                           for kind, keys in names.keys.items()}, SHAPE.width)
    met = Corrections(dict(reversed(list((kind, keys[::-1]) for kind, keys in
                                         names.keys.items()))), SHAPE.width)
    with torch.no_grad():
        for parameter in [*strange.parameters(), *met.parameters()]:
            parameter.add_(1.0)
    assert torch.equal(encoded(corrections=strange), encoded())
    assert not torch.equal(encoded(corrections=met), encoded())


def test_turned_names_make_other_weights_of_the_same_length(encoded, names):
    turn = rotation(np.random.default_rng(0))
    torch.testing.assert_close(turn @ turn.T, torch.eye(len(turn)))
    turned = names.rotated(turn)
    assert not torch.equal(encoded(by=turned), encoded())
    torch.testing.assert_close(turned.tables.norm(dim=1), names.tables.norm(dim=1))
