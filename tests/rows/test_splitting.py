from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.rows.linearization import parse
from rowgraph.rows.sampling import table_sizes, write_sampled_rows
from rowgraph.rows.settings import LinearizedCorpusSettings
from rowgraph.rows.splitting import split_of, write_corpus

SETTINGS = LinearizedCorpusSettings()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30), st.data())
def test_a_rows_split_does_not_depend_on_the_rows_beside_it(rows, data):
    rows = np.array(rows)
    some = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1))
    together = split_of("db", "t", rows, SETTINGS)
    assert split_of("db", "t", rows[some], SETTINGS).tolist() == together[some].tolist()


@pytest.mark.parametrize(("split", "share"), [("train", 0.7), ("validation", 0.1), ("test", 0.2)])
def test_splits_have_the_papers_shares(split, share):
    found = (split_of("db", "t", np.arange(100_000), SETTINGS) == split).mean()
    assert abs(found - share) < 0.006  # four standard deviations


def test_tables_databases_and_seeds_are_split_independently():
    rows = np.arange(2_000)
    first = split_of("db", "t", rows, SETTINGS)
    for other in (split_of("db", "u", rows, SETTINGS), split_of("eb", "t", rows, SETTINGS),
                  split_of("db", "t", rows, LinearizedCorpusSettings(seed=1))):
        assert abs((first == other).mean() - (0.49 + 0.01 + 0.04)) < 0.06


@pytest.fixture
def sampled(world, tmp_path):
    (tmp_path / "rows").mkdir()
    write_sampled_rows(world, table_sizes([world]), 43, 0, tmp_path / "rows")
    return {"rel-tiny": tmp_path / "rows"}


def test_the_corpus_holds_each_sampled_row_once_without_its_keys(world, sampled, tmp_path):
    summary = write_corpus(sampled, SETTINGS, tmp_path)
    corpus = pl.read_parquet(tmp_path / "corpus.parquet")
    assert corpus.columns == ["text", "database", "table", "row", "split"]
    assert summary["rows"] == corpus.height == 43
    assert sum(summary["splits"].values()) == 43
    for text, _, table, row, _ in corpus.iter_rows():
        name, pairs = parse(text)
        assert name == table
        assert [a for a, _ in pairs] == world.attributes(table)
        cell = world.read(table)[world.attributes(table)[0]][row]
        assert pairs[0][1] == (cell or "")


def test_keys_become_text_where_they_are_asked_for(sampled, tmp_path):
    write_corpus(sampled, LinearizedCorpusSettings(keys=True), tmp_path)
    texts = pl.read_parquet(tmp_path / "corpus.parquet").filter(table="drivers")["text"]
    assert texts[0] == "<table> drivers <attr> driver_id <value> 0 <attr> name <value> Ada"


def test_texts_of_held_back_rows_that_training_spells_too_are_counted(tmp_path):
    frame = pl.DataFrame({"text": ["same"] * 500, "row": range(500)})
    frame.write_parquet(tmp_path / "t.parquet")
    (tmp_path / "schema.json").write_text(
        '{"tables": {"t": {"columns": ["text"], "keys": [], "row": "row"}}}')
    assert write_corpus({"db": tmp_path}, SETTINGS, tmp_path)["seen_in_train"] == 1.0
