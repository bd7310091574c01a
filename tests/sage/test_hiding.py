from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import torch

from rowgraph.artifacts import Draft
from rowgraph.encoding.encoder import Encoded
from rowgraph.sage.hiding import hiding_of
from rowgraph.sage.masked_texts import MaskedTexts
from rowgraph.sage.model import HeteroGraphSAGE
from rowgraph.sage.pretraining import load_shared, pretrain
from rowgraph.sage.seeds import PretrainingError
from rowgraph.sage.settings import SageWeightsSettings

SETTINGS = SageWeightsSettings(hidden=8, fan_out=(3, 2), batch=16, epochs=1, learning_rate=0.02)


class TinyDatabase:
    """Two tables in memory, with what `MaskedTexts` asks of a database."""

    name = "rel-a"
    frames: ClassVar = {"people": pl.DataFrame({
        "name": ["Ann", None, "a <attr> b <value> c", "", "Eve"], "age": [31, None, 7, 8, 9],
        "note": ["x <mask> y", None, "<", "<value", "ok"]}),
        "bare": pl.DataFrame({"id": [0, 1]})}

    def attributes(self, table):
        return [c for c in self.frames[table].columns if c != "id"]

    def read(self, table, columns):
        return self.frames[table] if columns is None else self.frames[table].select(columns)


class LengthEncoder:
    """A text's vector says how long it is and how often it holds `<mask>`."""

    dim = 2

    def encode_distinct(self, texts):
        return Encoded(np.array([[len(t), t.count("<mask>")] for t in texts], dtype=np.float32),
                       np.zeros(len(texts), dtype=bool))


@pytest.fixture
def texts() -> MaskedTexts:
    return MaskedTexts(TinyDatabase(), LengthEncoder())


def test_each_real_cell_is_masked_as_a_whole_and_empty_ones_never(texts):
    found = texts.texts("people", np.array([0, 1, 2, 3]), 1.0, "a draw")
    assert found == [
        "<table> people <attr> name <value> <mask> <attr> age <value> <mask> "
        "<attr> note <value> <mask>",
        "<table> people <attr> name <value> <attr> age <value> <attr> note <value>",
        "<table> people <attr> name <value> <mask> <attr> age <value> <mask> "
        "<attr> note <value> <mask>",
        "<table> people <attr> name <value> <attr> age <value> <mask> <attr> note <value> <mask>"]


def test_a_row_with_values_loses_at_least_one_and_a_table_without_columns_nothing(texts):
    found = texts.texts("people", np.arange(5), 1e-9, "a draw")
    assert [text.count(" <mask>") for text in found] == [1, 0, 1, 1, 1]
    assert texts.texts("bare", np.arange(2), 1.0, "a draw") == ["<table> bare"] * 2


def test_masks_depend_on_row_and_draw_and_not_on_the_batch_around(texts):
    rows = np.array([4, 0, 2])
    whole = texts.texts("people", np.arange(5), 0.5, "a draw")
    assert texts.texts("people", rows, 0.5, "a draw") == [whole[r] for r in rows]
    assert any(texts.texts("people", np.arange(5), 0.5, f"draw {i}") != whole for i in range(5))


def test_cells_are_masked_with_the_given_probability():
    class Large(TinyDatabase):
        frames: ClassVar = {"t": pl.DataFrame({c: np.arange(4_000) for c in "abcde"})}

    found = MaskedTexts(Large(), LengthEncoder()).texts("t", np.arange(4_000), 0.5, "a draw")
    share = sum(text.count("<mask>") for text in found) / 20_000
    assert share == pytest.approx(0.5 + 0.5**5 / 5, abs=0.01)  # none lost becomes one


def test_what_each_objective_shows_and_asks(texts):
    truth = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    rows = np.arange(5)

    def hidden(**changed):
        hiding = hiding_of(SETTINGS.model_copy(update=changed), {"rel-a": texts})
        return hiding("rel-a", "people", rows, truth, "a draw")

    shown, mask = hidden(objective="dimensions", mask_probability=0.5)
    assert torch.equal(shown, truth.masked_fill(mask, 0.0))
    shown, mask = hidden(objective="rows")
    assert not shown.any()
    assert mask.all()
    shown, mask = hidden(objective="cells", mask_probability=1.0)
    assert shown[:, 1].tolist() == [3, 0, 3, 2, 3]
    assert mask.all()


def test_cells_without_texts_are_refused_by_name():
    with pytest.raises(PretrainingError, match="masked texts of rel-b"):
        hiding_of(SETTINGS.model_copy(update={"objective": "cells"}), {"rel-b": None})


@pytest.mark.parametrize("changed", [
    {"objective": "rows", "target": "deviation"}, {"projections": "shared"},
    {"objective": "rows", "projections": "shared", "mask_probability": 1.0},
    {"precision": "bf16"}], ids=str)
def test_every_setting_trains_tests_and_hands_over_its_shared_layers(
        make_database, tmp_path, changed):
    settings = SETTINGS.model_copy(update=changed)
    (tmp_path / "a").mkdir()
    summary = pretrain([make_database("rel-a", 1), make_database("rel-b", 2)], settings,
                       Draft(tmp_path / "a"), device="cpu", log=lambda *_: None)
    use = pl.read_parquet(tmp_path / "a" / "graph_use.parquet")
    assert use["database"].to_list() == ["rel-a", "rel-b"]
    assert sum(use["nodes"]) == summary["test_nodes"]
    shared = load_shared(tmp_path / "a")
    assert ("projection.weight" in shared) == (settings.projections == "shared")
    HeteroGraphSAGE(12, ["t"], 8, 2, "mean").load_shared(shared)
