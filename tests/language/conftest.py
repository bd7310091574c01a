"""A tiny corpus and a tiny BART over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from rowgraph.language.vocabulary import build_model, train_tokenizer
from rowgraph.rows.linearization import linearize
from rowgraph.rows.splitting import split_of
from rowgraph.settings import BartCheckpointSettings, LinearizedCorpusSettings

TINY = BartCheckpointSettings(
    checkpoint=None, vocabulary=400, d_model=16, encoder_layers=1, decoder_layers=1, heads=2,
    ffn_dim=32, max_tokens=48, epochs=2, effective_batch=8, device_batch=4, learning_rate=3e-3,
    decoder_word_drop=0.2, bag_of_tokens_weight=0.5, min_spread=0.0, min_effective_rank=1.0,
    health_rows=16, save_steps=2, precision="fp32")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def settings() -> BartCheckpointSettings:
    return TINY


@pytest.fixture(scope="session")
def corpus() -> pl.DataFrame:
    """60 rows of two tables: a missing cell, a cell that spells a marker, one that is too long."""
    split = LinearizedCorpusSettings(train=0.5, validation=0.2, test=0.3)
    parts = []
    for table, attributes in (("drivers", ["name", "code"]), ("races", ["year"])):
        rows = np.arange(40 if table == "drivers" else 20)
        cells = [[f"name {i % 9}" if i % 5 else None, "x" * 300 if i == 3 else "<value> y"]
                 if table == "drivers" else [1950 + i] for i in rows]
        parts.append(pl.DataFrame({
            "text": [linearize(table, attributes, c) for c in cells], "database": "rel-tiny",
            "table": table, "row": rows, "split": split_of("rel-tiny", table, rows, split)}))
    return pl.concat(parts)


@pytest.fixture(scope="session")
def corpus_parquet(corpus, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.parquet"
    corpus.write_parquet(path)
    return path


@pytest.fixture(scope="session")
def tokenizer(corpus, settings):
    return train_tokenizer(corpus.filter(split="train")["text"], settings.vocabulary)


@pytest.fixture(scope="session")
def checkpoint(tokenizer, settings, tmp_path_factory) -> Path:
    """A saved tiny BART with random weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    build_model(settings, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
