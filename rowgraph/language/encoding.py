"""Texts to vectors: "mean-pooling of the last hidden states of the tokens" (Section 4.3.1).

Only the encoder runs. Every token that the encoder attends to counts, `<s>`, `</s>` and the markers
among them; padding does not (docs/decisions/pooling.md). Equal texts have equal vectors, so each
distinct one is encoded once, next to texts of its own length so that little is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers import AutoTokenizer, BartForConditionalGeneration, PreTrainedTokenizerFast

from rowgraph.language.vocabulary import quiet
from rowgraph.settings import NodeEmbeddingsSettings

Log = Callable[[int, dict[str, float]], None]


class RowEncoder:
    """The encoder of a checkpoint, ready to encode.

    Args:
        model, tokenizer: of the checkpoint; the model's weights are not changed.
        settings: precision and the tokens of a batch, padding included.
        device: as PyTorch names it.
    """

    def __init__(self, model: BartForConditionalGeneration, tokenizer: PreTrainedTokenizerFast,
                 settings: NodeEmbeddingsSettings, device: str):
        self.tokenizer, self.settings, self.device = tokenizer, settings, torch.device(device)
        self.dim: int = model.config.d_model
        self.max_tokens = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        self.encoder = model.get_encoder().to(self.device).eval()

    @classmethod
    def open(cls, checkpoint_folder: Path, settings: NodeEmbeddingsSettings,
             device: str) -> RowEncoder:
        """Load a `save_pretrained` folder."""
        dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        with quiet():
            model = BartForConditionalGeneration.from_pretrained(
                checkpoint_folder, local_files_only=True, use_safetensors=True, dtype=dtype)
            tokenizer = AutoTokenizer.from_pretrained(checkpoint_folder, local_files_only=True)
        return cls(model, tokenizer, settings, device)

    @torch.inference_mode()
    def encode_distinct(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts, none of which is looked up among the others.

        Returns:
            float32 [len(texts), dim].
        """
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens,
                             return_attention_mask=False, return_token_type_ids=False,
                             verbose=False)["input_ids"]
        vectors = np.empty((len(ids), self.dim), dtype=np.float32)
        lengths = np.array([len(i) for i in ids], dtype=np.int64)
        for places in batches_by_length(lengths, self.settings.batch_tokens):
            longest = int(lengths[places[0]])
            batch = np.full((len(places), longest), self.tokenizer.pad_token_id, dtype=np.int64)
            for b, place in enumerate(places):
                batch[b, :lengths[place]] = ids[place]
            vectors[places] = self._pooled(torch.from_numpy(batch),
                                           torch.from_numpy(lengths[places])).cpu().numpy()
        return vectors

    def _pooled(self, ids_BS: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
        ids_BS, length_B = ids_BS.to(self.device), length_B.to(self.device)
        real_BS = torch.arange(ids_BS.shape[1], device=self.device) < length_B[:, None]
        padded = int(length_B.min()) < ids_BS.shape[1]
        mask_BS = real_BS.long() if padded else None
        hidden_BSD = self.encoder(input_ids=ids_BS, attention_mask=mask_BS).last_hidden_state
        return mean_pool(hidden_BSD.float(), real_BS)


def mean_pool(hidden_BSD: torch.Tensor, real_BS: torch.Tensor) -> torch.Tensor:
    """The mean over the real tokens of each row, [B, D]."""
    weight_BS1 = real_BS.to(hidden_BSD.dtype)[:, :, None]
    return (hidden_BSD * weight_BS1).sum(1) / weight_BS1.sum(1)


def batches_by_length(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Places of texts, longest first, such that no batch exceeds its tokens, padding included.

    A batch ends early where its shortest text would be padded by more than an eighth.
    """
    order = np.argsort(-lengths, kind="stable")
    sorted_lengths = lengths[order]
    first = 0
    while first < len(order):
        longest = int(sorted_lengths[first])
        last = first + max(1, batch_tokens // longest)
        alike = np.searchsorted(-sorted_lengths, -(longest - longest // 8), side="right")
        last = min(last, int(alike), len(order))
        yield order[first:last]
        first = last


def encode(texts: Sequence[str], checkpoint_folder: Path, settings: NodeEmbeddingsSettings, *,
           device: str, log: Log, shard: int = 50_000) -> np.ndarray:
    """Vectors of texts, each distinct one encoded once.

    Args:
        texts: linearized rows.
        checkpoint_folder: a `save_pretrained` folder, model and tokenizer.
        log: called after each shard with the number of distinct texts done.
        shard: distinct texts that are tokenized at a time.

    Returns:
        float32 [len(texts), dim].
    """
    encoder = RowEncoder.open(checkpoint_folder, settings, device)
    distinct, code = distinct_texts(texts)
    vectors = np.empty((len(distinct), encoder.dim), dtype=np.float32)
    for first in range(0, len(distinct), shard):
        part = distinct.slice(first, shard).to_pylist()
        vectors[first:first + len(part)] = encoder.encode_distinct(part)
        log(first + len(part), {"encoded_texts": first + len(part)})
    return vectors[code]


def distinct_texts(texts: Sequence[str] | pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The distinct texts in order of first appearance, and the place of each text among them."""
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    coded = array.dictionary_encode()
    return coded.dictionary, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
