from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.artifacts import Draft
from rowgraph.databases.database import Database
from rowgraph.embeddings import (
    EmbeddingError,
    EmbeddingStore,
    OverlaidEmbeddings,
    RandomTwin,
)
from rowgraph.encoding.encoder import Encoded, RowEncoder, encode
from rowgraph.encoding.row_texts import first_rows
from rowgraph.encoding.row_vectors import without_hidden, write_embeddings
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.language.vocabulary import build_model, train_tokenizer
from rowgraph.rows.linearization import linearize_frame
from rowgraph.side_by_side import on

SETTINGS = NodeEmbeddingsSettings(dtype="float32")
TINY = BartCheckpointSettings(checkpoint=None, vocabulary=300, d_model=16, encoder_layers=1,
                              heads=2, ffn_dim=32, max_tokens=32)


class Interrupted(BaseException):
    pass


def silent(step, metrics, of=None):
    pass


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Database:
    """Results with repeated texts, drivers with distinct ones, an empty and a keys-only table."""
    folder = tmp_path_factory.mktemp("world") / "rel-tiny"
    (folder / "db").mkdir(parents=True)
    tables = {"drivers": {"pkey": "id"}, "results": {"fkeys": {"driver": "drivers"}},
              "empty": {}, "links": {"fkeys": {"driver": "drivers"}}}
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "rel-tiny", "val_timestamp": "2020-01-01", "test_timestamp": "2021-01-01",
        "tables": tables}))
    frames = {
        "drivers": pl.DataFrame({"id": range(9), "name": [f"driver {i}" for i in range(9)]}),
        "results": pl.DataFrame({"driver": [i % 9 for i in range(50)],
                                 "points": [i * i % 7 if i % 4 else None for i in range(50)]}),
        "empty": pl.DataFrame({"a": []}, schema={"a": pl.String}),
        "links": pl.DataFrame({"driver": [1, 2, 3]})}
    for table, frame in frames.items():
        frame.write_parquet(folder / "db" / f"{table}.parquet")
    return Database.open(folder)


@pytest.fixture(scope="module")
def checkpoint(world, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    texts = linearize_frame("drivers", world.read("drivers"), ["name"])
    tokenizer = train_tokenizer(texts, TINY.vocabulary)
    build_model(TINY, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write(world, checkpoint, folder: Path, log=silent, **over) -> dict:
    folder.mkdir(exist_ok=True)
    settings = SETTINGS.model_copy(update=over)
    return write_embeddings(world, checkpoint, settings, Draft(folder), device="cpu", log=log,
                            shard=3)


@pytest.fixture(scope="module")
def written(world, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "draft"
    return folder, write(world, checkpoint, folder)


def num_rows(world) -> dict[str, int]:
    return {t: world.num_rows(t) for t in world.tables}


def test_vector_i_is_the_vector_of_row_i(world, checkpoint, written):
    store = EmbeddingStore.open(written[0], num_rows(world))
    for table in world.tables:
        texts = linearize_frame(table, world.read(table), world.attributes(table)).to_list()
        expected = encode(texts, RowEncoder.open(checkpoint, SETTINGS, "cpu"), log=silent)
        found = store.gather(table, np.arange(store.num_rows(table)))
        torch.testing.assert_close(found, torch.from_numpy(expected), atol=2e-6, rtol=0)


def test_rows_come_in_the_order_asked_for_as_float32(written):
    store = EmbeddingStore.open(written[0])
    whole = store.gather("results", np.arange(50))
    rows = torch.tensor([7, 0, 7, 49])
    assert store.gather("results", rows).dtype == torch.float32
    assert torch.equal(store.gather("results", rows), whole[rows])
    assert torch.equal(store.gather("results", rows.numpy()), whole[rows])
    assert store.gather("results", np.array([], dtype=np.int64)).shape == (0, store.dim)


def test_the_summary_counts_rows_and_distinct_texts(written):
    assert written[1]["tables"] == {
        "drivers": {"rows": 9, "distinct": 9, "truncated": 0.0},
        "results": {"rows": 50, "distinct": 5, "truncated": 0.0},
        "empty": {"rows": 0, "distinct": 0, "truncated": 0.0},
        "links": {"rows": 3, "distinct": 1, "truncated": 0.0}}


def test_rows_too_wide_for_the_model_are_counted_with_their_repeats(checkpoint, tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "rel-tiny", "val_timestamp": "2020-01-01", "test_timestamp": "2021-01-01",
        "tables": {"notes": {}}}))
    pl.DataFrame({"text": ["x" * 200, "short", "x" * 200, "y"]}).write_parquet(
        tmp_path / "db/notes.parquet")
    summary = write(Database.open(tmp_path), checkpoint, tmp_path / "draft")
    assert summary["tables"]["notes"] == {"rows": 4, "distinct": 3, "truncated": 0.5}


def test_a_table_read_in_pieces_is_the_table_read_whole(world):
    for table in world.tables:
        pieces = list(world.read_chunks(table, rows=7))
        assert [first for first, _ in pieces] == list(range(0, world.num_rows(table), 7))
        if pieces:
            assert pl.concat([frame for _, frame in pieces]).equals(world.read(table))


@given(st.lists(st.text(max_size=2), max_size=30), st.integers(1, 7))
def test_the_first_row_of_a_text_is_where_an_equal_one_stands_first(texts, shard):
    shards = [(i, pl.Series(texts[i:i + shard], dtype=pl.String))
              for i in range(0, len(texts), shard)]
    assert first_rows(shards).tolist() == [texts.index(t) for t in texts]


def test_rows_of_the_future_do_not_move_the_range(tmp_path, checkpoint):
    def ranges(future: str) -> np.ndarray:
        folder = tmp_path / future
        (folder / "db").mkdir(parents=True)
        (folder / "manifest.yaml").write_text(yaml.safe_dump({
            "name": "rel-tiny", "val_timestamp": "2020-01-01", "test_timestamp": "2021-01-01",
            "tables": {"notes": {"time_col": "date"}}}))
        dates = np.array(["2019-01-01", "2019-06-01", "2020-01-01"], dtype="datetime64[us]")
        pl.DataFrame({"date": dates, "text": ["old", "older", future]}).write_parquet(
            folder / "db/notes.parquet")
        draft = Draft(folder / "draft")
        draft.folder.mkdir()
        write_embeddings(Database.open(folder), checkpoint, SETTINGS, draft, device="cpu",
                         log=silent)
        return np.load(draft.folder / "range.npy")

    np.testing.assert_array_equal(ranges("driver driver driver"), ranges("7 7 7 7 7 7"))


def test_the_range_of_timeless_tables_is_that_of_all_vectors(written):
    store = EmbeddingStore.open(written[0])
    every = np.concatenate([store.gather(t, np.arange(store.num_rows(t))) for t in store.tables])
    np.testing.assert_array_equal(store.range, [every.min(0), every.max(0)])


def test_vectors_are_kept_in_the_chosen_dtype(world, checkpoint, written, tmp_path):
    write(world, checkpoint, tmp_path / "draft", dtype="float16")
    half = np.load(tmp_path / "draft" / "drivers.npy")
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, np.load(written[0] / "drivers.npy").astype(np.float16))


@pytest.mark.parametrize("stop_at", [3, 9, 13])
def test_an_interrupted_writing_continues_and_ends_with_the_same_bytes(
        world, checkpoint, written, tmp_path, stop_at, monkeypatch):
    def stop(step, metrics, of=None):
        if metrics["encoded_texts"] == stop_at:
            raise Interrupted

    with pytest.raises(Interrupted):
        write(world, checkpoint, tmp_path / "draft", stop)
    encoded = []
    inner = RowEncoder.encode_distinct
    monkeypatch.setattr(RowEncoder, "encode_distinct",
                        lambda self, texts: encoded.extend(texts) or inner(self, texts))
    assert write(world, checkpoint, tmp_path / "draft") == written[1]
    assert len(encoded) == 9 + 5 + 1 - stop_at
    for path in written[0].glob("*.*"):
        assert (tmp_path / "draft" / path.name).read_bytes() == path.read_bytes(), path.name


def test_keys_become_text_where_the_corpus_had_them(world, checkpoint, written, tmp_path):
    (tmp_path / "draft").mkdir()
    attributes = {t: world.attributes(t, keys=True) for t in world.tables}
    summary = write_embeddings(world, checkpoint, SETTINGS, Draft(tmp_path / "draft"),
                               device="cpu", log=silent, attributes=attributes)
    assert summary["tables"]["links"] == {"rows": 3, "distinct": 3, "truncated": 0.0}


@pytest.mark.parametrize(("table", "count", "found"), [
    ("drivers", 10, r"\(9, 16\)"), ("pitstops", 4, "no vectors")])
def test_vectors_of_another_database_are_refused(written, table, count, found):
    with pytest.raises(EmbeddingError, match=rf"{table} has {count} rows, found.*{found}"):
        EmbeddingStore.open(written[0], {table: count})


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "float32"), (1e6, "float16")])
def test_vectors_that_are_not_numbers_are_refused_with_their_row(
        world, checkpoint, tmp_path, monkeypatch, value, dtype):
    def broken(self, texts):
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        vectors[["driver 4" in t for t in texts]] = value
        return Encoded(vectors, np.zeros(len(texts), dtype=bool))

    monkeypatch.setattr(RowEncoder, "encode_distinct", broken)
    with pytest.raises(EmbeddingError, match=rf"drivers.*row 4 .*{dtype}"):
        write(world, checkpoint, tmp_path / "draft", dtype=dtype)


class Wide:
    """A store of which only size and range matter."""

    dim, tables = 64, ("a", "b")
    range = np.stack([np.linspace(-3, 1, 64), np.linspace(-2, 9, 64)]).astype(np.float32)

    def num_rows(self, table: str) -> int:
        return 20_000


def test_the_twin_gives_a_row_the_same_vector_whenever_asked(written):
    twin = RandomTwin(EmbeddingStore.open(written[0]), seed=0)
    whole = twin.gather("results", np.arange(50))
    rows = torch.tensor([7, 0, 7, 49])
    assert torch.equal(twin.gather("results", rows), whole[rows])
    assert whole.dtype == torch.float32
    assert (twin.dim, twin.num_rows("results")) == (16, 50)


def test_the_twin_is_uniform_over_the_range_of_each_dimension():
    twin = RandomTwin(Wide(), seed=0)
    vectors = twin.gather("a", np.arange(20_000)).numpy()
    unit = (vectors - Wide.range[0]) / (Wide.range[1] - Wide.range[0])
    assert unit.min() >= 0
    assert unit.max() <= 1
    counts = np.stack([np.histogram(u, 10, (0, 1))[0] for u in unit.T])
    statistic = ((counts - 2_000) ** 2 / 2_000).sum(1)  # chi-squared, 9 degrees of freedom
    assert statistic.max() < 40
    assert 7 < statistic.mean() < 11


def test_the_twins_numbers_do_not_hang_together():
    unit = RandomTwin(Wide(), seed=0)._uniform("a", np.arange(20_000))
    of_dimensions = np.corrcoef(unit.T) - np.eye(64)
    assert np.abs(of_dimensions).max() < 0.04
    assert abs(np.corrcoef(unit[:-1].ravel(), unit[1:].ravel())[0, 1]) < 0.005
    assert abs(np.corrcoef(unit[:, :-1].ravel(), unit[:, 1:].ravel())[0, 1]) < 0.005
    assert len(np.unique(unit, axis=0)) == 20_000


def test_seeds_and_tables_have_twins_of_their_own():
    rows = np.arange(5_000)
    one = RandomTwin(Wide(), seed=0)._uniform("a", rows).ravel()
    for other in (RandomTwin(Wide(), seed=0)._uniform("b", rows),
                  RandomTwin(Wide(), seed=1)._uniform("a", rows)):
        assert abs(np.corrcoef(one, other.ravel())[0, 1]) < 0.01


def test_the_twin_refuses_rows_that_are_not_there(written):
    twin = RandomTwin(EmbeddingStore.open(written[0]), seed=0)
    with pytest.raises(IndexError, match=r"drivers.*it has 9"):
        twin.gather("drivers", np.array([9]))


def test_a_store_says_what_it_is(written):
    facts = json.loads((written[0] / "store.json").read_text())
    assert (facts["database"], facts["dim"], facts["dtype"]) == ("rel-tiny", 16, "float32")


@pytest.fixture(scope="module")
def hiding(world) -> Database:
    """The same database for a task that must not see a result's points."""
    return world.without([("results", "points"), ("links", "driver")])


def hidden(store, hiding, checkpoint, folder, keys=False):
    return without_hidden(store, hiding, checkpoint, SETTINGS, folder, keys=keys, device="cpu",
                          log=silent)


def test_only_tables_whose_texts_hold_a_hidden_column_are_encoded_anew(
        world, hiding, checkpoint, written, tmp_path):
    store = EmbeddingStore.open(written[0])
    found = hidden(store, hiding, checkpoint, tmp_path)
    assert isinstance(found, OverlaidEmbeddings)
    assert found.over.tables == ("results",)  # a key stands in no text
    rows = np.arange(3)
    for table in ("drivers", "links"):
        assert torch.equal(found.gather(table, rows), store.gather(table, rows))
    texts = linearize_frame("results", hiding.read("results"), hiding.attributes("results"))
    expected = encode(texts.to_list(), RowEncoder.open(checkpoint, SETTINGS, "cpu"), log=silent)
    torch.testing.assert_close(found.gather("results", np.arange(50)), torch.from_numpy(expected))
    assert (found.dim, found.num_rows("results"), found.tables) == (16, 50, store.tables)


def test_where_keys_are_text_a_hidden_key_is_too(world, hiding, checkpoint, written, tmp_path):
    store = EmbeddingStore.open(written[0])
    assert set(hidden(store, hiding, checkpoint, tmp_path, keys=True).over.tables) == {"results",
                                                                                       "links"}


def test_where_no_text_changes_the_store_serves_as_it_is(world, checkpoint, written, tmp_path):
    store = EmbeddingStore.open(written[0])
    found = hidden(store, world.without([("links", "driver")]), checkpoint, tmp_path)
    assert found is store
    assert not list(tmp_path.iterdir())


def test_neither_vectors_nor_twin_of_a_task_know_a_hidden_cell(world, hiding, checkpoint, written,
                                                               tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(world.folder, folder)
    results = world.read("results").with_columns(points=pl.int_range(pl.len()) % 11)
    results.write_parquet(folder / "db" / "results.parquet")
    other = Database.open(folder)
    write(other, checkpoint, tmp_path / "vectors")
    base = EmbeddingStore.open(tmp_path / "vectors")
    one = hidden(EmbeddingStore.open(written[0]), hiding, checkpoint, tmp_path / "one")
    two = hidden(base, other.without(hiding.hidden), checkpoint, tmp_path / "two")
    rows = np.arange(50)
    assert not torch.equal(one.base.gather("results", rows), base.gather("results", rows))
    assert torch.equal(one.gather("results", rows), two.gather("results", rows))
    for table in world.tables:
        few = np.arange(min(3, one.num_rows(table)))
        assert torch.equal(RandomTwin(one, 0).gather(table, few),
                           RandomTwin(two, 0).gather(table, few))


def test_a_second_call_finds_the_vectors_of_the_first(hiding, checkpoint, written, tmp_path,
                                                      monkeypatch):
    store = EmbeddingStore.open(written[0])
    first = hidden(store, hiding, checkpoint, tmp_path)
    monkeypatch.setattr(RowEncoder, "open", None)
    second = hidden(store, hiding, checkpoint, tmp_path)
    assert torch.equal(first.gather("results", np.arange(50)),
                       second.gather("results", np.arange(50)))


def test_vectors_that_do_not_fit_are_not_laid_over_each_other(world, checkpoint, written, tmp_path):
    other = Database.open(world.folder)
    fewer = dataclasses.replace(other, tables={"drivers": other.tables["drivers"]})
    write(fewer, checkpoint, tmp_path / "fewer")
    with pytest.raises(EmbeddingError, match=r"tables .*'results'.* have other rows"):
        OverlaidEmbeddings(EmbeddingStore.open(tmp_path / "fewer"), EmbeddingStore.open(written[0]))


def test_a_cluster_writes_the_same_bytes_and_encodes_no_finished_shard_again(
        world, checkpoint, written, cluster, tmp_path):
    draft, last = tmp_path / "draft", list(world.tables)[-1]
    found = draft / "state" / "shards" / f"{last}.0.npz"
    found.parent.mkdir(parents=True)
    found.write_bytes(b"no vectors")
    with on(cluster):
        with pytest.raises(ValueError, match="pickled"):  # read, hence not encoded
            write(world, checkpoint, draft)
        found.unlink()
        finished = {path: path.stat().st_mtime_ns for path in draft.glob("*.npy")}
        assert len(finished) == len(world.tables) - 1
        assert write(world, checkpoint, draft) == written[1]
    assert finished.items() <= {p: p.stat().st_mtime_ns for p in draft.glob("*.npy")}.items()
    for name in [*(f"{table}.npy" for table in world.tables), "range.npy", "store.json"]:
        assert (draft / name).read_bytes() == (written[0] / name).read_bytes()
