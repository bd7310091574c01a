"""A BART encoder whose last layers are trained with whatever reads its vectors.

Layers below the trained ones give no gradient, so nothing of them is kept for the way back: they
are computed anew for each text, at a third of what a trained layer costs.

Shapes: B texts, S tokens of the longest, D width, R rank.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.bart.modeling_bart import BartEncoder

from rowgraph.encoding.encoder import mean_pool

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")  # of an attention


class AdaptedEncoder(nn.Module):
    """A copy of an encoder, in fp32, of which the last layers can be trained.

    It starts as the encoder that it copies: adapters add nothing at first. Dropout of the
    language model stays off, in training too, so that a text has one vector at a time.

    Args:
        encoder: of a checkpoint; it is left as it is.
        layers: how many of its last layers are trained.
        rank: 0 trains all of their weights; above, adapters of this rank on the projections of
            their attention, and nothing else.
        generator: draws the adapters.

    Raises:
        ValueError: the encoder has fewer layers.
    """

    def __init__(self, encoder: BartEncoder, layers: int, rank: int, generator: torch.Generator):
        super().__init__()
        if layers > len(encoder.layers):
            raise ValueError(f"joint.layers is {layers}, but the language model's encoder has "
                             f"{len(encoder.layers)}; set it to at most that many")
        self.encoder = copy.deepcopy(encoder).float().eval().requires_grad_(False)
        for layer in self.encoder.layers[len(encoder.layers) - layers:]:
            if rank == 0:
                layer.requires_grad_(True)
                continue
            attention = layer.self_attn
            for name in PROJECTIONS:
                adapted = LowRank(getattr(attention, name), rank, generator)
                setattr(attention, name, adapted.to(encoder.device))

    def forward(self, ids_BS: Tensor, real_BS: Tensor) -> Tensor:
        """float32 [B, D]: the mean of the last hidden states over each text's tokens.

        Args:
            ids_BS: int64, tokens.
            real_BS: bool, false where they are padding.
        """
        hidden_BSD = self.encoder(input_ids=ids_BS,
                                  attention_mask=real_BS.long()).last_hidden_state
        return mean_pool(hidden_BSD, real_BS)

    def trained(self) -> list[nn.Parameter]:
        """What an optimizer is given."""
        return [p for p in self.parameters() if p.requires_grad]

    def train(self, mode: bool = True) -> AdaptedEncoder:
        """Stays as it is: see the class."""
        return self


class LowRank(nn.Module):
    """x -> W x + b + B A x, with W and b fixed, A [R, in] drawn and B [out, R] zero at first.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022), Section 4.1; its
    scale of the product is left to the learning rate.
    """

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator):
        super().__init__()
        self.linear = linear
        drawn = torch.randn(rank, linear.in_features, generator=generator)
        self.down = nn.Parameter(drawn / linear.in_features ** 0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """float32 [..., out] of [..., in]."""
        return self.linear(x) + functional.linear(functional.linear(x, self.down), self.up)
