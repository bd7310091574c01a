"""BART's encoder for inference in bfloat16 on a processor: the library's numbers in fewer passes.

A narrow encoder's time goes by halves: one in matrix products, one in between them. This forward
pass leaves out most of the second half. Query, key and value are one product, with the query's
scale in its weights; in the first layer they are worked out once for each distinct token at each
position, since rows of a table are alike. Weights lie in oneDNN's own order, and bias, GELU and
residual are added where a product leaves its result. Attention is two batched products with
exponentials between them, since PyTorch's fused kernel is slow where heads are small. The rest is
compiled loops (`rowgraph.encoding.kernels`). `make bench-encode` has the gain.

Such scores are bfloat16, and the exponential is taken without subtracting a row's maximum first.
Neither matters until scores are large, when a score lacks digits, or overflows in the end. The
totals of rows show it, and that batch's attention goes through PyTorch's kernel, which keeps
scores in fp32.

Shapes: B texts, S tokens of each, N = B * S, D width, H heads, d = D / H, P distinct pairs of token
and position, or N where each token has a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers.models.bart.modeling_bart import BartEncoder, BartEncoderLayer

from rowgraph.encoding import kernels

BATCH_TOKENS = 2_048  # of one call: more leave the processor's cache, fewer are not worth a call
# Scores are large where a row's total of exponentials is beyond e**32 or its inverse: from 32 on,
# neighbouring bfloat16 scores are a quarter apart. Below, rounding them costs cosines nothing that
# shows (.999648 for .999655 with scores up to 24), since queries and keys are rounded as well.
FAR = 8e13
NATIVE = ("avx512_bf16", "amx_bf16")  # where oneDNN's kernels compute in bfloat16


def fused(encoder: nn.Module) -> FusedEncoder | None:
    """The encoder's fused forward pass, or None where there is none: see `FusedEncoder`."""
    if not (type(encoder) is BartEncoder and encoder.config.activation_function == "gelu"
            and encoder.device.type == "cpu" and encoder.dtype == torch.bfloat16
            and torch.backends.mkldnn.is_available()
            and hasattr(torch.ops.mkldnn, "_linear_pointwise")
            and any(torch.cpu.get_capabilities().get(name) for name in NATIVE)):
        return None
    return FusedEncoder(encoder)


class FusedEncoder:
    """A BART encoder's weights, arranged for inference; they are not to change afterwards.

    Args:
        encoder: in bfloat16 on a processor that has it, with GELU between its layers.
    """

    def __init__(self, encoder: BartEncoder):
        tokens, positions = encoder.embed_tokens, encoder.embed_positions
        self.token_VD = tokens.weight.detach() * getattr(tokens, "embed_scale", 1.0)
        self.position_SD = positions.weight.detach()[positions.offset:]
        self.norm = _Norm.of(encoder.layernorm_embedding)
        self.layers = [_Layer.of(layer)
                       for layer in cast(Iterable[BartEncoderLayer], encoder.layers)]

    @torch.inference_mode()
    def __call__(self, ids_BS: torch.Tensor, real_BS: torch.Tensor | None = None) -> torch.Tensor:
        """Last hidden states, bfloat16 [B, S, D].

        Args:
            ids_BS: tokens.
            real_BS: bool, false where they are padding, the states of which mean nothing.
        """
        B, S = ids_BS.shape
        hidden_PD, pair_BS = self._start(ids_BS)
        own_BS = torch.arange(B * S).view(B, S)
        for layer in self.layers:
            hidden_PD, pair_BS = layer(hidden_PD, pair_BS, real_BS), own_BS
        return hidden_PD.view(B, S, -1)

    def _start(self, ids_BS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What enters the first layer, once for each distinct pair, and each token's pair."""
        N = ids_BS.numel()
        token, position, pair = (torch.empty(N, dtype=torch.long) for _ in range(3))
        pair_BS = pair.view(ids_BS.shape)
        P = kernels.distinct_pairs(ids_BS.numpy(), len(self.token_VD), token.numpy(),
                                   position.numpy(), pair_BS.numpy())
        hidden_PD = self.token_VD.index_select(0, token[:P])
        hidden_PD += self.position_SD.index_select(0, position[:P])
        return self.norm(hidden_PD), pair_BS


@dataclass(frozen=True)
class _Norm:
    """Layer normalization; weight and bias are float32 [D]."""

    weight: np.ndarray
    bias: np.ndarray
    eps: np.float32

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> _Norm:
        weight, bias = (x.detach().float().numpy() for x in (norm.weight, norm.bias))
        return cls(weight, bias, np.float32(norm.eps))

    def __call__(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        out_ND = torch.empty_like(hidden_ND)
        kernels.normalize(kernels.bits(hidden_ND), self.weight, self.bias, self.eps,
                          kernels.bits(out_ND))
        return out_ND


class _Linear:
    """A linear map and what is done to its result, in one kernel."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor):
        self.bias = bias.detach()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), BATCH_TOKENS)

    def __call__(self, x_ND: torch.Tensor, after: str = "none") -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x_ND, self.weight, self.bias, after, [], "none")

    def plus(self, x_ND: torch.Tensor, residual_ND: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise.binary(x_ND, residual_ND, self.weight, self.bias,
                                                         "add")


@dataclass(frozen=True)
class _Layer:
    """One layer: attention and two linear maps, normalized after each residual."""

    heads: int
    qkv: _Linear
    attended: _Linear
    first_norm: _Norm
    wide: _Linear
    narrow: _Linear
    last_norm: _Norm

    @classmethod
    def of(cls, layer: BartEncoderLayer) -> _Layer:
        attention = layer.self_attn
        scales = (attention.scaling, 1.0, 1.0)
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        weight, bias = (torch.cat([getattr(projection, name).float() * scale
                                   for projection, scale in zip(projections, scales, strict=True)])
                        .to(torch.bfloat16) for name in ("weight", "bias"))
        linears = [_Linear(module.weight, module.bias)
                   for module in (attention.out_proj, layer.fc1, layer.fc2)]
        return cls(attention.num_heads, _Linear(weight, bias), linears[0],
                   _Norm.of(layer.self_attn_layer_norm), linears[1], linears[2],
                   _Norm.of(layer.final_layer_norm))

    def __call__(self, hidden_PD: torch.Tensor, pair_BS: torch.Tensor,
                 real_BS: torch.Tensor | None) -> torch.Tensor:
        attended_ND = self._attention(self.qkv(hidden_PD), pair_BS, real_BS)
        hidden_ND = hidden_PD.index_select(0, pair_BS.view(-1))
        hidden_ND = self.first_norm(self.attended.plus(attended_ND, hidden_ND))
        return self.last_norm(self.narrow.plus(self.wide(hidden_ND, "gelu"), hidden_ND))

    def _attention(self, qkv_P3D: torch.Tensor, pair_BS: torch.Tensor,
                   real_BS: torch.Tensor | None) -> torch.Tensor:
        (B, S), H = pair_BS.shape, self.heads
        qkv_P3Hd = qkv_P3D.view(len(qkv_P3D), 3, H, -1)
        qkv = qkv_P3Hd.new_empty(3, B, H, S, qkv_P3Hd.shape[-1])
        kernels.deal(kernels.bits(qkv_P3Hd), pair_BS.numpy(), kernels.bits(qkv))
        q, k, v = qkv.flatten(1, 2)  # [B * H, S, d]
        score = torch.bmm(q, k.transpose(1, 2))
        if real_BS is not None:
            score.view(B, H, S, S).masked_fill_(~real_BS[:, None, None], -torch.inf)
        total_BHS = np.empty((B, H, S), dtype=np.float32)
        kernels.exponentiate(kernels.bits(score).reshape(-1, S), total_BHS.reshape(-1))
        if total_BHS.min() < 1 / FAR or total_BHS.max() > FAR:
            mask = None if real_BS is None else real_BS[:, None, None]
            mixed_BHSd = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2],
                                                                 attn_mask=mask, scale=1.0)
            return mixed_BHSd.transpose(1, 2).reshape(B * S, -1)
        sum_BHSd = torch.bmm(score, v).view(B, H, S, -1)
        out_BSHd = torch.empty(B, S, H, sum_BHSd.shape[-1], dtype=v.dtype)
        kernels.average(kernels.bits(sum_BHSd), total_BHS, kernels.bits(out_BSHd))
        return out_BSHd.view(B * S, -1)
