"""Encoding and fine-tuning with a language model of random weights.

Operations are counted in matrix products alone, two for each multiplication: those of the real
tokens, not of padding; a backward pass is twice a forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import torch
from transformers import BartForConditionalGeneration, PreTrainedTokenizerFast

from benchmarks.on_device.measuring import (
    DATABASE,
    Enough,
    Row,
    Sizes,
    Steps,
    attempted,
    mean_seconds,
)
from rowgraph.artifacts import Draft
from rowgraph.costs.model_shape import ModelShape
from rowgraph.costs.throughput import config_of
from rowgraph.encoding.encoder import RowEncoder
from rowgraph.encoding.precision import usable_precision
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.forecasting.synthetic import WORDS
from rowgraph.language.batching import MaskedRows, tokenize_rows
from rowgraph.language.fine_tuning import fine_tune
from rowgraph.language.vocabulary import seeded, train_tokenizer
from rowgraph.randomness import generator
from rowgraph.rows.linearization import linearize_frame


def random_texts(rows: int, columns: int, what: str) -> list[str]:
    """Rows of a made-up table of words, whole and other numbers, as the language model sees
    them; one cell in ten is missing."""
    draw = generator("benchmarks.device", what)
    words = np.array(WORDS)
    cells: dict[str, list] = {}
    for column in range(columns):
        kind = column % 3
        values = (words[draw.integers(len(words), size=rows)] if kind == 0
                  else draw.integers(0, 5_000, rows) if kind == 1
                  else np.round(draw.random(rows) * 100, 2)).tolist()
        gone = draw.random(rows) < 0.1
        cells[f"{WORDS[column % len(WORDS)]}_{column}"] = [
            None if g else v for g, v in zip(gone, values, strict=True)]
    frame = pl.DataFrame(cells)
    return linearize_frame("records", frame, frame.columns).to_list()


def rows_of_length(tokens: int, tokenizer: PreTrainedTokenizerFast) -> int:
    """Columns of a made-up table whose rows have about so many tokens."""
    few = [len(ids) for ids in tokenizer(
        random_texts(32, 12, "length"), verbose=False)["input_ids"]]
    return max(1, round(tokens * 12 / float(np.mean(few))))


def random_language(sizes: Sizes) -> tuple[BartForConditionalGeneration, PreTrainedTokenizerFast]:
    """A model of random weights, and a tokenizer of made-up rows."""
    texts = random_texts(sizes.vocabulary // 8, 60, "tokenizer")
    tokenizer = train_tokenizer(texts, sizes.vocabulary)
    tokenizer.model_max_length = sizes.shape.positions
    with seeded("benchmarks.device"):
        return BartForConditionalGeneration(config_of(sizes.shape)).eval(), tokenizer


def encoder_operations(shape: ModelShape, tokens: np.ndarray) -> float:
    """Of a forward pass of the encoder over rows of so many tokens: `2 (4 d² + 2 d f)` a token and
    layer, and `4 d` for each pair of tokens."""
    weights = 4 * shape.d_model**2 + 2 * shape.d_model * shape.ffn_dim
    return float(shape.encoder_layers * (
        2 * weights * tokens + 4 * shape.d_model * tokens.astype(float)**2).sum())


def training_operations(shape: ModelShape, seen: np.ndarray, targets: np.ndarray) -> float:
    """Of forward and backward pass over rows of which the encoder sees and the decoder writes so
    many tokens; a decoder layer attends twice, once to the encoder's tokens."""
    d, long, wide = shape.d_model, targets.astype(float), seen.astype(float)
    layer = (2 * (6 * d * d + 2 * d * shape.ffn_dim) * long + 2 * 2 * d * d * wide
             + 4 * d * (long**2 + long * wide))
    head = 2 * d * shape.vocabulary * long
    return 3 * (encoder_operations(shape, seen)
                + float((shape.decoder_layers * layer + head).sum()))


def encoding(sizes: Sizes, device: str, scratch: Path) -> Iterator[Row]:
    """`RowEncoder` over rows of each length, from text to vectors in memory."""
    model, tokenizer = random_language(sizes)
    native = usable_precision("bf16", device) == "bf16"
    cuda = torch.device(device).type == "cuda"
    for tokens, count in zip(sizes.tokens, sizes.encoded, strict=True):
        texts = random_texts(count, rows_of_length(tokens, tokenizer), f"{tokens} tokens")
        for batch in sizes.batches:
            for precision in ["bf16"] * native + ["tf32"] * cuda + ["fp32"]:
                if precision == "bf16" or batch == sizes.batches[0]:
                    yield attempted(
                        f"{precision}, rows of {tokens}, {batch:,} a batch", device,
                        lambda p=precision, b=batch, t=texts: encoded(
                            model, tokenizer, t, p, b, sizes, device))


def encoded(model: BartForConditionalGeneration, tokenizer: PreTrainedTokenizerFast,
            texts: list[str], precision: str, batch: int, sizes: Sizes, device: str) -> Row:
    """One precision, one length."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    half = precision == "bf16"
    encoder = RowEncoder(model.to(torch.bfloat16 if half else torch.float32), tokenizer,
                         NodeEmbeddingsSettings(precision="bf16" if half else "fp32",
                                                batch_tokens=batch), device)
    length = np.array([len(ids) for ids in encoder._tokenized(texts)])
    spent = sizes.seconds / 2
    each = mean_seconds(lambda: encoder.encode_distinct(texts), spent, device)
    tokenizing = mean_seconds(lambda: encoder._tokenized(texts), spent / 8, "cpu")
    return {"tokens_a_row": float(length.mean()), "rows_s": len(texts) / each,
            "tokens_s": float(length.sum()) / each,
            "tflops": encoder_operations(sizes.shape, length) / each / 1e12,
            "tokenizing": tokenizing / each}


def fine_tuning(sizes: Sizes, device: str, scratch: Path) -> Iterator[Row]:
    """`fine_tune` from a checkpoint of random weights, interrupted after some steps."""
    model, tokenizer = random_language(sizes)
    model.save_pretrained(scratch / "checkpoint")
    tokenizer.save_pretrained(scratch / "checkpoint")
    del model
    for tokens, batches in zip(sizes.tokens, sizes.device_batches, strict=True):
        columns = rows_of_length(tokens, tokenizer)
        for batch in batches:
            yield attempted(
                f"rows of {tokens}, {batch} on the device", device,
                lambda c=columns, b=batch: fine_tuned(c, b, tokenizer, sizes, device, scratch))


def fine_tuned(columns: int, device_batch: int, tokenizer: PreTrainedTokenizerFast, sizes: Sizes,
               device: str, scratch: Path) -> Row:
    """One length, one device batch."""
    settings = sizes.profile().bart_checkpoint.model_copy(update={
        "checkpoint": str(scratch / "checkpoint"), "epochs": 1, "device_batch": device_batch})
    batch = settings.effective_batch
    splits = ["train"] * (sizes.steps * batch) + ["validation"] * 8 + ["test"] * 8
    corpus = pl.DataFrame({
        "text": random_texts(len(splits), columns, "corpus"), "database": DATABASE,
        "table": "records", "row": np.arange(len(splits)), "split": splits})
    folder = scratch / f"fine_tuning_{columns}_{device_batch}"
    folder.mkdir()
    corpus.write_parquet(folder / "corpus.parquet")
    steps = Steps(sizes.steps, sizes.seconds, "train_loss")
    with suppress(Enough):
        fine_tune(folder / "corpus.parquet", settings, Draft(folder), device=device, log=steps.log)
    rows = tokenize_rows(corpus.filter(split="train"), tokenizer, settings.max_tokens)
    masked = MaskedRows(rows, "train", settings, mask_token=tokenizer.mask_token_id,
                        pad_token=tokenizer.pad_token_id, start_token=tokenizer.eos_token_id)
    seen, targets = np.diff(masked.input_offsets), np.diff(rows.offsets)
    share = batch / len(rows) / steps.each()
    return {"tokens_a_row": float(targets.mean()), "rows_s": batch / steps.each(),
            "tokens_s": float(targets.sum()) * share,
            "tflops": training_operations(sizes.shape, seen, targets) * share / 1e12,
            "step_s": steps.each(), "steps": len(steps.ended) - 1,
            "precision": usable_precision(settings.precision, device)}
