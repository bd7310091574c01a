"""PyTorch, in float32 and rounded once, is the judge of every loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.encoding import kernels

STEP = 2 ** -7  # bfloat16 numbers are at most this part of themselves apart
sizes = st.integers(1, 40)


def numbers(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * scale).to(torch.bfloat16)


def empty(*shape: int) -> torch.Tensor:
    return torch.full(shape, torch.nan, dtype=torch.bfloat16)


@given(B=st.integers(1, 6), S=st.integers(1, 9), vocabulary=st.integers(1, 7),
       seed=st.integers(0, 999))
@settings(deadline=None)
def test_pairs_stand_for_each_token_at_its_position_once(B, S, vocabulary, seed):
    ids_BS = np.random.default_rng(seed).integers(0, vocabulary, (B, S))
    token, position = np.full(B * S, -9), np.full(B * S, -9)
    pair_BS = np.empty_like(ids_BS)
    P = kernels.distinct_pairs(ids_BS, vocabulary, token, position, pair_BS)
    assert np.array_equal(token[pair_BS], ids_BS)
    assert np.array_equal(position[pair_BS], np.broadcast_to(np.arange(S), (B, S)))
    pairs = list(zip(token[:P].tolist(), position[:P].tolist(), strict=True))
    assert len(set(pairs)) == P == len(np.unique(pair_BS))


@given(N=sizes, D=sizes, scale=st.sampled_from([1e-3, 1.0, 300.0]),
       offset=st.sampled_from([0.0, 50.0]), seed=st.integers(0, 99))
@settings(deadline=None)
def test_normalization_is_that_of_float32(N, D, scale, offset, seed):
    hidden = (numbers(seed, N, D, scale=scale).float() + offset).to(torch.bfloat16)
    weight, bias = numbers(seed + 1, D).float(), numbers(seed + 2, D).float()
    out = empty(N, D)
    kernels.normalize(kernels.bits(hidden), weight.numpy(), bias.numpy(), np.float32(1e-5),
                      kernels.bits(out))
    exact = torch.layer_norm(hidden.double(), (D,), weight.double(), bias.double(), 1e-5)
    torch.testing.assert_close(out.double(), exact, rtol=STEP / 2, atol=2e-3)


def test_nan_spoils_its_row_and_no_other():
    hidden = numbers(0, 3, 8)
    hidden[1, 5] = torch.nan
    out = empty(3, 8)
    ones = np.ones(8, dtype=np.float32)
    kernels.normalize(kernels.bits(hidden), ones, ones, np.float32(1e-5), kernels.bits(out))
    assert out.isnan().all(1).tolist() == [False, True, False]
    assert out.isnan().any(1).tolist() == [False, True, False]


@given(B=st.integers(1, 4), S=st.integers(1, 9), H=st.integers(1, 3), d=st.integers(1, 20),
       seed=st.integers(0, 99))
@settings(deadline=None)
def test_each_head_is_dealt_its_part(B, S, H, d, seed):
    qkv_P3Hd = numbers(seed, 5, 3, H, d)
    pair_BS = torch.randint(0, 5, (B, S), generator=torch.Generator().manual_seed(seed))
    out = empty(3, B, H, S, d)
    kernels.deal(kernels.bits(qkv_P3Hd), pair_BS.numpy(), kernels.bits(out))
    assert torch.equal(out, qkv_P3Hd[pair_BS].permute(2, 0, 3, 1, 4))


@given(R=sizes, S=sizes, scale=st.sampled_from([0.1, 3.0, 20.0]), seed=st.integers(0, 99))
@settings(deadline=None)
def test_exponentials_are_within_a_rounding(R, S, scale, seed):
    score, total = numbers(seed, R, S, scale=scale), np.full(R, np.nan, dtype=np.float32)
    exact = score.double().exp()
    kernels.exponentiate(kernels.bits(score), total)
    torch.testing.assert_close(score.double(), exact, rtol=STEP / 2 + 1.1e-4, atol=2 ** -125)
    torch.testing.assert_close(torch.from_numpy(total), score.float().sum(1))


@pytest.mark.parametrize("score", [-torch.inf, -1e30, 1e30, torch.inf])
def test_exponentials_of_far_scores_are_as_good_as_nothing_or_far(score):
    scores, total = torch.full((1, 1), score, dtype=torch.bfloat16), np.zeros(1, dtype=np.float32)
    kernels.exponentiate(kernels.bits(scores), total)
    assert total[0] == (2.0 ** 126 if score > 0 else 2.0 ** -126) == scores.item()


@given(B=st.integers(1, 4), S=st.integers(1, 9), H=st.integers(1, 3), d=st.integers(1, 20),
       seed=st.integers(0, 99))
@settings(deadline=None)
def test_heads_are_divided_by_their_totals_and_laid_side_by_side(B, S, H, d, seed):
    sums = numbers(seed, B, H, S, d)
    total = numbers(seed + 1, B, H, S).float().abs() + 0.1
    out = empty(B, S, H, d)
    kernels.average(kernels.bits(sums), total.numpy(), kernels.bits(out))
    exact = (sums.double() / total.double()[..., None]).transpose(1, 2)
    torch.testing.assert_close(out.double(), exact, rtol=STEP / 2 + 1e-6, atol=0)
