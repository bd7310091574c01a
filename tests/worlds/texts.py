"""A tiny corpus and a tiny BART over it; an attic whose cells can be filled in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import yaml

from rowgraph.databases.database import Database
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.language.vocabulary import build_model, train_tokenizer
from rowgraph.rows.linearization import linearize
from rowgraph.rows.settings import LinearizedCorpusSettings
from rowgraph.rows.splitting import split_of

TINY = BartCheckpointSettings(
    checkpoint=None, vocabulary=400, d_model=16, encoder_layers=1, decoder_layers=1, heads=2,
    ffn_dim=32, max_tokens=48, epochs=2, effective_batch=8, device_batch=4, learning_rate=3e-3,
    decoder_word_drop=0.2, bag_of_tokens_weight=0.5, min_spread=0.0, min_effective_rank=1.0,
    health_rows=16, save_steps=2, precision="fp32")


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


CUT = np.datetime64("2020-10-01", "us")
ROWS, TOKENS = 160, 96
ATTRIBUTES = {"finds": ["date", "shape", "colour", "price", "grams", "broken", "state", "nothing",
                        "word", "story", "end"],
              "shelves": ["name", "width"]}


def frames() -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(3)
    dates = np.sort(np.datetime64("2020-01-01", "us")
                    + rng.integers(0, 420, ROWS) * np.timedelta64(1, "D")).astype(object)
    dates[::17] = None  # never visible
    shape = rng.choice(["ring", "cup", "box"], ROWS)
    price = rng.normal(9, 3, ROWS).round(2)
    price[::13], price[5] = np.nan, np.inf
    word = np.array(["<value> x" if i % 4 else " " for i in range(ROWS)], dtype=object)
    word[::5] = "y"
    finds = pl.DataFrame({
        "shelf_id": rng.integers(0, 40, ROWS), "date": pl.Series(dates.tolist(), dtype=pl.Datetime),
        "shape": pl.Series(shape, dtype=pl.Categorical),
        "colour": [{"ring": "gold", "cup": "white", "box": "brown"}[s] for s in shape],
        "price": price, "grams": rng.integers(1, 90, ROWS).astype(np.int32),
        "broken": rng.random(ROWS) < 0.3, "state": ["old"] * ROWS,
        "nothing": pl.Series([None] * ROWS, dtype=pl.String), "word": word,
        "story": ["so long a story " * 60 if i % 2 else "short" for i in range(ROWS)],
        "end": rng.integers(0, 9, ROWS)})
    shelves = pl.DataFrame({"shelf_id": np.arange(120), "name": [f"shelf {i % 7}" for i in
                                                                   range(120)],
                            "width": [float(i % 5) if i % 6 else None for i in range(120)]})
    return {"finds": finds, "shelves": shelves}


def write_attic(folder, tables: dict[str, pl.DataFrame]) -> Database:
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "attic", "manifest_version": 1, "val_timestamp": "2020-08-01",
        "test_timestamp": "2020-10-01", "tables": {
            "finds": {"pkey": None, "time_col": "date", "fkeys": {"shelf_id": "shelves"}},
            "shelves": {"pkey": "shelf_id", "time_col": None, "fkeys": {}}}}))
    for name, frame in tables.items():
        frame.write_parquet(folder / "db" / f"{name}.parquet")
    return Database.open(folder)


@pytest.fixture(scope="session")
def attic(tmp_path_factory) -> Database:
    return write_attic(tmp_path_factory.mktemp("attic") / "attic", frames())


@pytest.fixture(scope="session")
def corpus_of_attic(tmp_path_factory):
    """Every row, three quarters of them for training, and a row of another database."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.parquet"
    parts = [pl.DataFrame({"database": "attic", "table": t, "row": np.arange(n), "split": [
        "test" if i % 4 == 0 else "train" for i in range(n)]})
        for t, n in (("finds", ROWS), ("shelves", 120))]
    other = parts[0][:1].with_columns(database=pl.lit("elsewhere"))
    pl.concat([*parts, other])[::-1].write_parquet(path)
    return path


@pytest.fixture(scope="session")
def attics() -> SimpleNamespace:
    """What an attic is made of and how: files here cannot be imported by name."""
    return SimpleNamespace(frames=frames, write=write_attic, CUT=CUT, ROWS=ROWS, TOKENS=TOKENS,
                           ATTRIBUTES=ATTRIBUTES)
