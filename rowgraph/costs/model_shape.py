"""The shape of a BART, and what follows from it without loading one: parameters, activations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rowgraph.language.settings import BartCheckpointSettings

MARKERS = 3  # <table>, <attr> and <value>, which a pre-trained vocabulary has not (Section 4.2)


@dataclass(frozen=True)
class ModelShape:
    """Widths and depths of an encoder-decoder, in the words of its `config.json`.

    Args:
        vocabulary: tokens, markers among them.
        attention_dropout: above 0 a CPU computes attention the long way.
    """

    vocabulary: int
    d_model: int
    ffn_dim: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    positions: int
    dropout: float
    attention_dropout: float

    @classmethod
    def of(cls, settings: BartCheckpointSettings) -> ModelShape | None:
        """The shape that the settings ask for.

        Returns:
            None where they name a checkpoint that is not a folder and not `facebook/bart-large`:
            then its `config.json` would have to be looked up.
        """
        s = settings
        if s.checkpoint is None:
            return cls(s.vocabulary, s.d_model, s.ffn_dim, s.encoder_layers, s.decoder_layers,
                       s.heads, s.max_tokens, s.dropout, 0.0)
        if (path := Path(s.checkpoint) / "config.json").is_file():
            return cls.of_config(json.loads(path.read_text()), MARKERS)
        return BART_LARGE if s.checkpoint == "facebook/bart-large" else None

    @classmethod
    def of_config(cls, config: Mapping[str, Any], new_tokens: int = 0) -> ModelShape:
        """The shape that a checkpoint's `config.json` states, with tokens added."""
        return cls(config["vocab_size"] + new_tokens, config["d_model"], config["encoder_ffn_dim"],
                   config["encoder_layers"], config["decoder_layers"],
                   config["encoder_attention_heads"], config["max_position_embeddings"],
                   config.get("dropout", 0.1), config.get("attention_dropout", 0.0))

    def with_layers(self, layers: int) -> ModelShape:
        """The same widths with so many encoder layers and as many decoder layers."""
        return replace(self, encoder_layers=layers, decoder_layers=layers)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, in field order."""
        return asdict(self)

    @property
    def parameters(self) -> int:
        """Weights, those that input and output embedding share counted once.

        Token embedding; two position embeddings with BART's offset of 2 and their normalisations;
        attention is 4 (d² + d), of which a decoder layer has two; a layer normalisation is 2 d.
        """
        d, f = self.d_model, self.ffn_dim
        attention, feed_forward, norm = 4 * (d * d + d), 2 * d * f + f + d, 2 * d
        return (self.vocabulary * d + 2 * ((self.positions + 2) * d + norm)
                + self.encoder_layers * (attention + feed_forward + 2 * norm)
                + self.decoder_layers * (2 * attention + feed_forward + 3 * norm))

    def activation_bytes(self, rows: int, tokens: int, *, half: bool, quadratic: bool) -> int:
        """What a training step keeps between forward and backward, at its peak.

        Numbers a token, counted with `saved_tensors_hooks` (tests/costs counts them again): 10 d
        + 2 f in an encoder layer, 17 d + 2 f in a decoder layer, and a mask of as many numbers as
        tokens in either; around the layers 6 d; and the vocabulary three times, as logits, their
        logarithms and the gradient. Autocast to bfloat16 keeps some two thirds
        of the layers' bytes, the vocabulary stays fp32.

        Args:
            rows, tokens: of a device batch.
            half: autocast to bfloat16.
            quadratic: attention weights with dropout are kept: 2.75 numbers for every head and
                pair of tokens.
        """
        d, f = self.d_model, self.ffn_dim
        pairs = 2.75 * self.heads * tokens if quadratic and self.attention_dropout else 0.0
        layers = (self.encoder_layers * (10 * d + 2 * f + tokens + pairs)
                  + self.decoder_layers * (17 * d + 2 * f + tokens + 2 * pairs) + 6 * d)
        return round(4 * rows * tokens * (layers * (2 / 3 if half else 1) + 3 * self.vocabulary))


# config.json of facebook/bart-large as published; its vocabulary with the three markers.
BART_LARGE = ModelShape(vocabulary=50_265 + MARKERS, d_model=1024, ffn_dim=4096, encoder_layers=12,
                        decoder_layers=12, heads=16, positions=1024, dropout=0.1,
                        attention_dropout=0.1)
