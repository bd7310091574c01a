"""The tokenizer and the model that goes with it (Sections 4.2 and 4.3.1).

`<table>`, `<attr>` and `<value>` are "added to BART's tokenizer vocabulary as new tokens, and the
model's token embeddings are resized accordingly". A marker swallows the space before it, as BART's
own `<mask>` does, so that it costs one token. Models and tokenizers are plain `save_pretrained`
folders: anything that reads Hugging Face checkpoints reads these.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging
from transformers.utils.logging import is_progress_bar_enabled

from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.randomness import stable_seed, torch_generator
from rowgraph.rows.linearization import MARKERS

BART_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # the first four keep BART's ids 0 to 3


_AT_MARKERS = re.compile(rf"\s*(?:{'|'.join(MARKERS)})")


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be had; the message says what to pass instead."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with BART's special tokens and the three markers.

    Args:
        texts: linearized rows of the train split only; a held-back row must not shape the
            vocabulary.
        vocabulary: the most tokens it may have, markers included.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(_contents(texts), trainers.BpeTrainer(
        vocab_size=vocabulary - len(MARKERS), special_tokens=list(BART_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[
            (token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>",
        sep_token="</s>", unk_token="<unk>", pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True, normalized=False))
    add_markers(fast)
    return fast


def _contents(texts: Iterable[str]) -> Iterator[str]:
    """What stands between the markers, as the tokenizer will see it."""
    for text in texts:
        yield from (piece for piece in _AT_MARKERS.split(text) if piece)


def add_markers(tokenizer: PreTrainedTokenizerFast) -> int:
    """Add the markers that the tokenizer does not have yet; returns how many were new."""
    return tokenizer.add_tokens(
        [AddedToken(m, lstrip=True, special=True, normalized=False) for m in MARKERS
         if m not in tokenizer.get_added_vocab()], special_tokens=True)


def build_model(settings: BartCheckpointSettings,
                tokenizer: PreTrainedTokenizerFast) -> BartForConditionalGeneration:
    """A BART with fresh weights that depend on the seed alone.

    BART starts its 1,024-dimensional weights at a standard deviation of 0.02. A narrower model gets
    proportionally larger ones, so that a layer's output starts at the same scale; at 0.02 a width
    of 128 hardly attends and its token states soon become equal (docs/decisions/collapse.md).
    There is no dropout on attention weights, which would cost the fast kernel.
    """
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=settings.d_model,
        encoder_layers=settings.encoder_layers, decoder_layers=settings.decoder_layers,
        encoder_attention_heads=settings.heads, decoder_attention_heads=settings.heads,
        encoder_ffn_dim=settings.ffn_dim, decoder_ffn_dim=settings.ffn_dim,
        dropout=settings.dropout, attention_dropout=0.0,
        max_position_embeddings=settings.max_tokens,
        init_std=settings.initial_std or 0.02 * math.sqrt(1024 / settings.d_model),
        bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None)
    tokenizer.model_max_length = settings.max_tokens
    with seeded("bart_checkpoint", "weights", settings.seed):
        return BartForConditionalGeneration(config)


def load_pretrained(
    checkpoint: str, settings: BartCheckpointSettings,
) -> tuple[BartForConditionalGeneration, PreTrainedTokenizerFast]:
    """A pre-trained BART with the markers added once and its embeddings resized.

    New embeddings start at the mean of the old ones, with a little noise of their own that depends
    on the seed alone (the library's own resizing draws from a global generator).

    Args:
        checkpoint: a name on the Hugging Face hub or a local folder.

    Raises:
        CheckpointError: it cannot be had, or holds fewer positions than `max_tokens`.
    """
    local = Path(checkpoint).is_dir()
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=local)
        model = BartForConditionalGeneration.from_pretrained(
            checkpoint, local_files_only=local, dtype=torch.float32, weights_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"bart_checkpoint.checkpoint: '{checkpoint}' cannot be loaded ({_first_line(error)}). "
            "Pass a local folder that holds it, or use a profile with `checkpoint: null`, which "
            "trains a small BART from scratch.") from error
    positions = model.config.max_position_embeddings
    if settings.max_tokens > positions:
        raise CheckpointError(f"bart_checkpoint.max_tokens: {settings.max_tokens} is more than the "
                              f"{positions} positions of '{checkpoint}'; lower it")
    add_markers(tokenizer)
    tokenizer.model_max_length = settings.max_tokens
    old = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > old:
        with seeded("bart_checkpoint", "resize", settings.seed):
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        with torch.no_grad():
            weight = model.get_input_embeddings().weight
            noise = torch.randn(len(tokenizer) - old, weight.shape[1], generator=torch_generator(
                "bart_checkpoint", "new tokens", settings.seed))
            weight[old:] = weight[:old].mean(0) + model.config.init_std * noise
    return model, tokenizer


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Run a library that draws from PyTorch's global generator without being moved by it or it."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(stable_seed(*parts))
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing: progress leaves through `log`, faults as exceptions."""
    verbosity, bars = transformers_logging.get_verbosity(), is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
