"""Texts to vectors: "mean-pooling of the last hidden states of the tokens" (Section 4.3.1).

Only the encoder runs. Every token that the encoder attends to counts, `<s>`, `</s>` and the markers
among them; padding does not (docs/decisions/fine-tuning.md). Equal texts have equal vectors, so
each distinct one is encoded once. What makes it fast (`make bench-encode` has the share of each):
batches of equal length, hence hardly any padding and no attention mask; batches small enough for a
processor's cache; one thread for each batch, which wastes nothing on waiting for the others, where
a thread pool inside each matrix product would; each distinct cell tokenized once; bfloat16 where
the processor has it, with a forward pass made for it (`rowgraph.encoding.inference`).

Shapes: B texts of a batch, S its longest text in tokens, D width, N texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoTokenizer, BartForConditionalGeneration, PreTrainedTokenizerFast

from rowgraph.encoding import inference
from rowgraph.encoding.precision import usable_precision
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.language.vocabulary import CheckpointError, quiet
from rowgraph.progress import Log
from rowgraph.rows.linearization import ATTRIBUTE
from rowgraph.threads import cores

TOKENIZED_AT_A_TIME = 256  # texts: enough to be worth a task, few enough to share among threads


@dataclass(frozen=True)
class Encoded:
    """Vectors of texts.

    Args:
        vectors: float32 [N, D].
        truncated: bool [N], texts of which only the first `max_tokens` tokens were read.
    """

    vectors: np.ndarray
    truncated: np.ndarray


class RowEncoder:
    """The encoder of a checkpoint, ready to encode.

    Args:
        model, tokenizer: of the checkpoint; the model's weights are not changed.
        settings: precision, threads and the tokens of a batch, padding included.
        device: as PyTorch names it.

    Raises:
        CheckpointError: the tokenizer has tokens that the model has no embedding of.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rowgraph.encoding.encoder import RowEncoder
        >>> from rowgraph.encoding.settings import NodeEmbeddingsSettings
        >>> from rowgraph.example import write_example, write_example_vectors
        >>> folder = tempfile.mkdtemp()
        >>> store = write_example_vectors(write_example(folder), folder)
        >>> encoder = RowEncoder.open(Path(folder) / "checkpoint", NodeEmbeddingsSettings(), "cpu")
        >>> found = encoder.encode_distinct(["<table> books <attr> title <value> Emma"])
        >>> found.vectors.shape, found.truncated.tolist()
        ((1, 16), [False])
    """

    def __init__(self, model: BartForConditionalGeneration, tokenizer: PreTrainedTokenizerFast,
                 settings: NodeEmbeddingsSettings, device: str):
        if len(tokenizer) > model.config.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {len(tokenizer)} tokens, the model embeds "
                f"{model.config.vocab_size}: they are not of one checkpoint; make bart_checkpoint "
                "again, or resize the model's embeddings before saving both")
        self.tokenizer, self.settings, self.device = tokenizer, settings, torch.device(device)
        self.dim = cast(int, model.config.d_model)
        self.max_tokens = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        self.encoder = model.get_encoder().to(self.device).eval()
        self.fused = inference.fused(self.encoder)
        self.batch_tokens = (min(settings.batch_tokens, inference.BATCH_TOKENS) if self.fused
                             else settings.batch_tokens)
        self.precision = "bf16" if model.dtype == torch.bfloat16 else "fp32"
        self.workers = (settings.workers or cores()) if self.device.type == "cpu" else 0
        # Threads live as long as the encoder: each new one claims memory that is never given back.
        self._pool = ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads,
                                        initargs=(1,)) if self.workers else None

    @classmethod
    def open(cls, checkpoint_folder: Path, settings: NodeEmbeddingsSettings,
             device: str) -> RowEncoder:
        """Load a `save_pretrained` folder."""
        with quiet():
            model = BartForConditionalGeneration.from_pretrained(
                checkpoint_folder, local_files_only=True, use_safetensors=True,
                dtype=torch.bfloat16 if usable_precision(settings.precision, device) == "bf16"
                else torch.float32, attn_implementation="sdpa")
            tokenizer = AutoTokenizer.from_pretrained(checkpoint_folder, local_files_only=True)
        return cls(model, cast(PreTrainedTokenizerFast, tokenizer), settings, device)

    def encode_distinct(self, texts: Sequence[str]) -> Encoded:
        """Vectors of texts, none of which is looked up among the others."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        whole = self._tokenized(texts)
        length_N = np.array([len(row) for row in whole], dtype=np.int64)
        ids, cut_N = self._cut(whole), np.minimum(length_N, self.max_tokens)

        def encode_batch(places: np.ndarray) -> None:
            batch_BS, real_BS = padded([ids[p] for p in places], self.tokenizer.pad_token_id)
            vectors[places] = self._pooled(batch_BS, real_BS).cpu().numpy()

        self._map(encode_batch, batches_by_length(cut_N, self.batch_tokens))
        return Encoded(vectors, length_N > self.max_tokens)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int64 by text: what is read of it, at most `max_tokens`, `<s>` and `</s>` included."""
        return self._cut(self._tokenized(texts))

    def _cut(self, ids: list[np.ndarray]) -> list[np.ndarray]:
        """`</s>` stays."""
        most = self.max_tokens
        return [row if len(row) <= most else np.append(row[:most - 1], row[-1]) for row in ids]

    def _map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """The function's values, worked out side by side; PyTorch's number of threads stays."""
        if self._pool is None:
            return [function(item) for item in items]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # inside an operation: the cores are taken by batches
        try:
            return list(self._pool.map(function, items))
        finally:
            torch.set_num_threads(threads)

    def _tokenized(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Whole texts, `<s>` and `</s>` included; each distinct cell goes to the tokenizer once."""
        backend = self.tokenizer.backend_tokenizer
        if not splits_at_attributes(backend):
            return self._tokens(texts, specials=True)
        marker = backend.token_to_id(ATTRIBUTE)
        assert marker is not None  # it is among the added tokens
        alone = backend.encode(ATTRIBUTE).ids
        place = alone.index(marker)
        start, end = np.array(alone[:place], np.int64), np.array(alone[place + 1:], np.int64)
        number_of: dict[str, int] = {}
        numbers = [[number_of.setdefault(part, len(number_of)) for part in _parts(text)]
                   for text in texts]
        ids = self._tokens(list(number_of), specials=False)
        return [np.concatenate([start, *(ids[n] for n in row), end]) for row in numbers]

    def _tokens(self, texts: Sequence[str], *, specials: bool) -> list[np.ndarray]:
        """Without the character offsets that the library's own call works out."""
        def tokenize(piece: Sequence[str]) -> list[np.ndarray]:
            rows = self.tokenizer.backend_tokenizer.encode_batch_fast(
                list(piece), add_special_tokens=specials)
            return [np.array(row.ids, dtype=np.int64) for row in rows]

        pieces = [texts[first:first + TOKENIZED_AT_A_TIME]
                  for first in range(0, len(texts), TOKENIZED_AT_A_TIME)]
        return [row for part in self._map(tokenize, pieces) for row in part]

    @torch.inference_mode()
    def _pooled(self, ids_BS: torch.Tensor, real_BS: torch.Tensor) -> torch.Tensor:
        """float32 [B, D]: the mean over each text's tokens."""
        whole = bool(real_BS.all())
        ids_BS, real_BS = ids_BS.to(self.device), real_BS.to(self.device)
        if whole:
            S = ids_BS.shape[1]
            return self._hidden(ids_BS, None).sum(1, dtype=torch.float32) / S
        return mean_pool(self._hidden(ids_BS, real_BS).float(), real_BS)

    def _hidden(self, ids_BS: torch.Tensor, real_BS: torch.Tensor | None) -> torch.Tensor:
        """Last hidden states, [B, S, D]."""
        if self.fused:
            return self.fused(ids_BS, real_BS)
        mask_BS = None if real_BS is None else real_BS.long()
        return self.encoder(input_ids=ids_BS, attention_mask=mask_BS).last_hidden_state


def splits_at_attributes(backend: Tokenizer) -> bool:
    """Whether a text's tokens are those of its parts, cut after each `<attr>`.

    They are where `<attr>` is cut out before anything else looks at the text, and where what
    follows it is treated as the start of a text is.
    """
    markers = [token for token in backend.get_added_tokens_decoder().values()
               if token.content == ATTRIBUTE]
    return (all(not (token.normalized or token.rstrip or token.single_word) for token in markers)
            and bool(markers) and backend.normalizer is None
            and isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel))


def _parts(text: str) -> list[str]:
    """A text cut after each `<attr>`, which takes the space before it along."""
    *parts, last = text.split(ATTRIBUTE)
    return [part + ATTRIBUTE for part in parts] + [last]


def padded(ids: Sequence[np.ndarray], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts as one batch: int64 [B, S], their tokens and `pad` after them, and bool [B, S], which
    of them are tokens."""
    length_B = np.array([len(row) for row in ids])
    real_BS = np.arange(length_B.max()) < length_B[:, None]
    ids_BS = np.full(real_BS.shape, pad, dtype=np.int64)
    ids_BS[real_BS] = np.concatenate(ids)
    return torch.from_numpy(ids_BS), torch.from_numpy(real_BS)


def mean_pool(hidden_BSD: torch.Tensor, real_BS: torch.Tensor) -> torch.Tensor:
    """The mean over the real tokens of each row, [B, D]."""
    weight_BS1 = real_BS.to(hidden_BSD.dtype)[:, :, None]
    return (hidden_BSD * weight_BS1).sum(1) / weight_BS1.sum(1)


def batches_by_length(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Places of texts, longest first, such that no batch exceeds its tokens, padding included.

    A batch that is at least half full ends where the next text is shorter, so most need no
    padding; any ends where its shortest text would be padded by more than an eighth.
    """
    order = np.argsort(-lengths, kind="stable")
    sorted_lengths = lengths[order]
    first = 0
    while first < len(order):
        longest = int(sorted_lengths[first])
        most = first + max(1, batch_tokens // longest)
        alike = int(np.searchsorted(-sorted_lengths, -(longest - longest // 8), side="right"))
        equal = int(np.searchsorted(-sorted_lengths, -longest, side="right"))
        last = min(most, equal if 2 * (equal - first) * longest >= batch_tokens else alike)
        yield order[first:last]
        first = last


def encode(texts: Sequence[str], encoder: RowEncoder, *, log: Log,
           shard: int = 50_000) -> np.ndarray:
    """Vectors of texts, each distinct one encoded once.

    Args:
        texts: linearized rows.
        log: called after each shard with the number of distinct texts done.
        shard: distinct texts that are tokenized at a time.

    Returns:
        float32 [len(texts), dim].
    """
    coded = pa.array(texts, pa.large_string()).dictionary_encode()
    distinct = coded.dictionary
    vectors = np.empty((len(distinct), encoder.dim), dtype=np.float32)
    for first in range(0, len(distinct), shard):
        part = distinct.slice(first, shard).to_pylist()
        vectors[first:first + len(part)] = encoder.encode_distinct(part).vectors
        log(first + len(part), {"encoded_texts": first + len(part)})
    return vectors[coded.indices.to_numpy(zero_copy_only=False)]
