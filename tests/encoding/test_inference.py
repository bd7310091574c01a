from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BartConfig, BartModel

from rowgraph.encoding import inference

NATIVE = any(torch.cpu.get_capabilities().get(name) for name in inference.NATIVE)
needs_bfloat16 = pytest.mark.skipif(not NATIVE, reason="this processor has no native bfloat16")


def encoder(*, layers: int = 2, heads: int = 2, head: int = 8, ffn: int = 48, scale: bool = False,
            activation: str = "gelu", seed: int = 0, std: float = 0.2):
    """A small encoder in fp32, none of whose biases and normalizations are trivial."""
    config = BartConfig(vocab_size=60, d_model=heads * head, encoder_layers=layers,
                        decoder_layers=1, encoder_attention_heads=heads,
                        decoder_attention_heads=heads, encoder_ffn_dim=ffn,
                        max_position_embeddings=24, scale_embedding=scale,
                        activation_function=activation, attn_implementation="sdpa")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = BartModel(config).get_encoder().eval()
        for name, parameter in found.named_parameters():
            mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            torch.nn.init.normal_(parameter, mean, std)
    return found


def ids_and_lengths(seed: int, B: int, S: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids_BS = torch.randint(3, 60, (B, S), generator=generator)
    lengths_B = torch.randint(1, S + 1, (B,), generator=generator)
    lengths_B[0] = S
    return ids_BS, torch.arange(S) < lengths_B[:, None]


@torch.inference_mode()
def distances(plain, ids_BS, real_BS) -> tuple[float, float]:
    """Mean distance from fp32 of the fused pass in bfloat16, and of the library's."""
    mask = None if real_BS is None else real_BS.long()
    exact = plain(input_ids=ids_BS, attention_mask=mask).last_hidden_state
    half = plain.to(torch.bfloat16)
    library = half(input_ids=ids_BS, attention_mask=mask).last_hidden_state
    fused = inference.fused(half)(ids_BS, real_BS)
    assert fused.dtype == torch.bfloat16
    assert fused.shape == library.shape
    real = torch.ones_like(ids_BS, dtype=torch.bool) if real_BS is None else real_BS
    return tuple(float((found.float() - exact).abs()[real].mean()) for found in (fused, library))


@needs_bfloat16
@given(layers=st.integers(1, 3), heads=st.sampled_from([1, 2, 3]),
       head=st.sampled_from([4, 8, 20]), ffn=st.sampled_from([16, 40]), scale=st.booleans(),
       padded=st.booleans(), B=st.integers(1, 5), S=st.integers(1, 24), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_it_is_as_near_to_fp32_as_the_librarys_pass_is(layers, heads, head, ffn, scale, padded, B,
                                                       S, seed):
    plain = encoder(layers=layers, heads=heads, head=head, ffn=ffn, scale=scale, seed=seed)
    ids_BS, real_BS = ids_and_lengths(seed, B, S)
    fused, library = distances(plain, ids_BS, real_BS if padded else None)
    assert fused < 2 * library + 0.005


@needs_bfloat16
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("score", [-360, -60, -20, 20, 60, 360])
def test_large_scores_stay_as_near_to_fp32_as_the_librarys(padded, score):
    plain = encoder(layers=1)
    attention = plain.layers[0].self_attn
    with torch.no_grad():
        attention.q_proj.bias.fill_(math.copysign(abs(score) ** 0.5, score) * 8 ** -0.25)
        attention.k_proj.bias.fill_(abs(score) ** 0.5 * 8 ** -0.25)
    ids_BS, real_BS = ids_and_lengths(1, 3, 9)
    fused, library = distances(plain, ids_BS, real_BS if padded else None)
    assert fused < 2 * library + 0.02


@needs_bfloat16
def test_padding_changes_no_other_text():
    half = encoder().to(torch.bfloat16)
    ids_BS, real_BS = ids_and_lengths(0, 4, 12)
    found = inference.fused(half)(ids_BS, real_BS)
    other = inference.fused(half)(torch.where(real_BS, ids_BS, 1), real_BS)
    assert torch.equal(found[real_BS], other[real_BS])


@needs_bfloat16
def test_only_what_it_knows_is_fused(monkeypatch):
    half = encoder().to(torch.bfloat16)
    assert inference.fused(half) is not None
    assert inference.fused(encoder()) is None
    assert inference.fused(encoder(activation="relu").to(torch.bfloat16)) is None
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert inference.fused(half) is None
