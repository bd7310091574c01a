"""Filling in cells: who may learn from what, and how answers are scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.imputation.answers import USUAL
from rowgraph.imputation.cells import (
    is_there,
    read_values,
    split_table,
    values_of,
    write_values,
)
from rowgraph.imputation.filling import CellFiller, Filling
from rowgraph.imputation.guesses import Attributes, lightgbm_guesses, most_frequent, spread
from rowgraph.imputation.metrics import (
    answer_column,
    ask_column,
    guess_column,
    run_imputation,
)
from rowgraph.imputation.settings import ImputationMetricsSettings
from rowgraph.kept import forget
from rowgraph.language.vocabulary import build_model, train_tokenizer
from rowgraph.rows.linearization import linearize_frame
from rowgraph.side_by_side import on
from tests.pretended_ray import pretended

SETTINGS = ImputationMetricsSettings(rows_per_column=12, min_rows=6, fit_rows=80, trees=8,
                                     classes=5, max_new_tokens=4, bootstrap=40)
@pytest.fixture(scope="module")
def checkpoint(settings, tmp_path_factory, attics):
    """A saved BART with random weights that has seen this attic's words and reads 96 tokens."""
    texts = [text for name, frame in attics.frames().items()
             for text in linearize_frame(name, frame, attics.ATTRIBUTES[name])]
    settings = settings.model_copy(update={"max_tokens": attics.TOKENS})
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    folder = tmp_path_factory.mktemp("checkpoint")
    build_model(settings, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def fill_in(database, checkpoint, folder, corpus=None, settings=SETTINGS):
    folder.mkdir()
    summary = run_imputation(database, corpus, checkpoint, settings, Draft(folder), keys=False,
                             device="cpu", log=lambda step, metrics, of=None: None)
    return summary, {p.stem: pl.read_parquet(p) for p in folder.glob("*.parquet")}


@pytest.fixture(scope="module")
def filled(attic, checkpoint, tmp_path_factory):
    """The held-out attic filled in once: summary and tables."""
    return fill_in(attic, checkpoint, tmp_path_factory.mktemp("filled") / "draft")


@pytest.fixture(scope="module")
def filler(checkpoint) -> CellFiller:
    return CellFiller.open(checkpoint, max_new_tokens=4, batch=8, device="cpu")


# Who may learn from what


def test_scored_cells_reach_no_answer(attic, checkpoint, filled, tmp_path, attics):
    tables = attics.frames()
    late = pl.Series(tables["finds"]["date"].to_numpy() >= attics.CUT)
    pokes = {"shape": pl.lit("box", pl.Categorical), "price": pl.lit(1e6),
             "grams": pl.lit(77, pl.Int32), "broken": pl.col("broken").not_()}
    for column, poke in pokes.items():
        there = pl.col(column).is_not_null()
        if column == "price":
            there = pl.col(column).is_finite()
        poked = tables["finds"].with_columns(
            pl.when(late & there).then(poke).otherwise(pl.col(column)).alias(column))
        database = attics.write(tmp_path / column / "attic", {**tables, "finds": poked})
        _, found = fill_in(database, checkpoint, tmp_path / column / "draft")
        chosen = pl.col("column") == column
        before, after = (t["cells"].filter(chosen) for t in (filled[1], found))
        assert before["truth"].to_list() != after["truth"].to_list()
        assert before.select("row", "method", "said").equals(after.select("row", "method", "said"))


def test_other_rows_on_the_scored_side_reach_no_answer(checkpoint, filled, tmp_path, attics):
    row = filled[1]["cells"].filter(table="finds")["row"][0]
    tables = attics.frames()
    late = tables["finds"]["date"].to_numpy() >= attics.CUT
    others = pl.Series(late & (np.arange(attics.ROWS) != row))
    poked = tables["finds"].with_columns(
        pl.when(others).then(pl.lit("never seen")).otherwise(pl.col("colour")).alias("colour"),
        pl.when(others).then(pl.lit(5, pl.Int32)).otherwise(pl.col("grams")).alias("grams"))
    database = attics.write(tmp_path / "attic", {**tables, "finds": poked})
    _, found = fill_in(database, checkpoint, tmp_path / "draft")
    before, after = (t["cells"].filter(table="finds", row=row) for t in (filled[1], found))
    assert before.height
    assert before.equals(after)


def test_the_rows_that_are_fitted_on_do_reach_the_baselines(checkpoint, filled, tmp_path, attics):
    tables = attics.frames()
    early = pl.Series(tables["finds"]["date"].to_numpy() < attics.CUT)
    poked = tables["finds"].with_columns(
        grams=pl.when(early).then(pl.col("grams") + 9).otherwise(pl.col("grams")))
    database = attics.write(tmp_path / "attic", {**tables, "finds": poked})
    _, found = fill_in(database, checkpoint, tmp_path / "draft")
    before, after = (t["cells"].filter(column="grams") for t in (filled[1], found))
    for method in ("median", "lightgbm"):
        assert before.filter(method=method)["said"].to_list() != (
            after.filter(method=method)["said"].to_list())
    assert before.filter(method="bart")["said"].to_list() == (
        after.filter(method="bart")["said"].to_list())


def test_a_baseline_sees_the_rows_other_attributes_alone(attic):
    table = split_table(attic, "finds", None, False, 1000, 0)
    attributes = Attributes.fit(table)
    assert "shelf_id" not in attributes.columns
    full, _ = attributes.without("none of them")
    less, _ = attributes.without("price")
    assert less.shape[1] == full.shape[1] - 1
    price = attributes.columns["price"]
    assert not any(np.array_equal(price, c, equal_nan=True) for c in less.T)


def test_a_tree_finds_what_another_attribute_decides(filled):
    scores = filled[1]["metrics"].filter(table="finds", column="colour")
    by_method = dict(scores.select("method", "mean").iter_rows())
    assert by_method["lightgbm"] == 1
    assert by_method["most_frequent"] < 0.8


def test_a_row_without_other_attributes_gets_the_usual_value():
    nothing = Attributes({"x": np.zeros(5)}, frozenset())
    options = {"trees": 5, "classes": 5, "seed": 0}
    for known, usual in ((np.array([1.0, 2.0, 9.0]), 2.0),
                         (np.array(["b", "a", "b"], dtype=object), "b")):
        found = lightgbm_guesses(nothing, "x", np.arange(3), known, np.array([3, 4]), **options)
        assert found.tolist() == [usual, usual]


def test_ties_of_the_most_frequent_value_are_broken_by_the_alphabet():
    assert most_frequent(np.array(["b", "a", "b", "a", "c"], dtype=object), 2).tolist() == [
        "a", "b"]


# How answers are scored


def test_the_scores_are_those_that_the_answers_give_by_hand(attic, filled):
    tables = {t: split_table(attic, t, None, False, SETTINGS.fit_rows, 0) for t in attic.tables}
    for (name, column, kind, method), cells in filled[1]["cells"].group_by(
            "table", "column", "kind", "method"):
        found = filled[1]["metrics"].filter(table=name, column=column, method=method).row(
            0, named=True)
        known = values_of(tables[name].fitted[column])
        known = known[is_there(known)]
        if kind == "text":
            expected = np.mean([t.strip() == s for t, s in
                                cells.select("truth", "said").iter_rows()])
        else:
            said = read_values(cells["said"], kind)
            said[cells["unparsable"].fill_null(False).to_numpy()] = np.median(known)
            deviation = np.mean(np.abs(known - np.median(known)))
            expected = np.mean(np.abs(said - read_values(cells["truth"], kind))) / deviation
            assert found["spread"] == pytest.approx(deviation)
        assert found["mean"] == pytest.approx(expected, rel=1e-5, abs=1e-3 if kind == "time" else 0)
        assert found["mean"] == pytest.approx(cells["score"].mean())
        assert found["ci_low"] <= found["mean"] <= found["ci_high"]
        assert (found["n_fit"], found["n_test"]) == (len(known), cells.height)


def test_every_kind_is_the_mean_over_its_columns_and_counts_who_beats_the_usual_value(filled):
    _, tables = filled
    for row in tables["kinds"].iter_rows(named=True):
        mine = tables["metrics"].filter(kind=row["kind"], method=row["method"])
        assert row["columns"] == mine.height
        assert row["mean"] == pytest.approx(mine["mean"].mean())
        assert row["ci_low"] <= row["mean"] <= row["ci_high"]
        usual = tables["metrics"].filter(kind=row["kind"], method=USUAL[row["kind"]])
        gain = (mine["mean"] - usual["mean"]) * (1 if row["higher_is_better"] else -1)
        expected = None if row["method"] == USUAL[row["kind"]] else (gain > 0).sum()
        assert row["better"] == expected


def test_the_median_errs_by_one_spread_over_the_fitting_rows():
    values = np.array([1.0, 2.0, 2.0, 30.0])
    assert np.mean(np.abs(values - np.median(values))) / spread(values) == 1


def test_an_answer_that_is_no_number_or_does_not_end_counts_as_the_median(attic, filler):
    table = split_table(attic, "finds", None, False, 1000, 0)
    asked = ask_column(table, "grams", filler, SETTINGS)
    fillings = [Filling("7", True)] * len(asked.truth)
    fillings[:3] = Filling("seven", True), Filling("7", False), Filling("", True)
    found = answer_column(asked, guess_column(asked, Attributes.fit(table), SETTINGS), fillings)
    assert found["bart"].unparsable.tolist() == [True] * 3 + [False] * (len(asked.truth) - 3)
    np.testing.assert_array_equal(found["bart"].score[:3], found["median"].score[:3])
    np.testing.assert_allclose(found["bart"].score[3:],
                               np.abs(7 - asked.truth[3:]) / spread(asked.known))
    assert found["bart"].said[:2] == ["seven", "7"]


def test_the_true_answer_is_right_whatever_the_cell_spells(attic, filler):
    table = split_table(attic, "finds", None, False, 1000, 0)
    for column in ("word", "colour", "broken", "grams", "date"):
        asked = ask_column(table, column, filler, SETTINGS)
        truth = table.asked[column][asked.asked]
        texts = asked.truth if asked.kind == "text" else write_values(asked.truth, asked.kind)
        guesses = guess_column(asked, Attributes.fit(table), SETTINGS)
        found = answer_column(asked, guesses, [Filling(t, True) for t in texts])["bart"]
        np.testing.assert_allclose(found.score, asked.kind == "text", atol=1e-6)
        assert truth.null_count() == 0
        if column == "word":
            assert "<value> x" in found.said


def test_an_interrupted_filling_goes_on_behind_its_last_batch_and_column_to_the_same_answers(
        attic, checkpoint, filled, tmp_path):
    draft = Draft(tmp_path / "draft")
    draft.folder.mkdir()
    steps = []

    def fill(until, batch):
        def log(step, metrics, of=None):
            steps.append((next(iter(metrics)), step))
            if until and metrics.get(until[0], 0) >= until[1]:
                raise KeyboardInterrupt
        run_imputation(attic, None, checkpoint, SETTINGS.model_copy(update={"batch": batch}), draft,
                       keys=False, device="cpu", log=log)

    for batch, until in ((4, ("filled_cells", 20)), (8, ("scored_columns", 2))):
        with pytest.raises(KeyboardInterrupt):
            fill(until, batch)
    with open(draft.state / "guessed.jsonl", "ab") as journal:
        journal.write(b"[1.5, ")
    fill(None, 8)
    assert len(set(steps)) == len(steps)
    for name, table in filled[1].items():
        assert pl.read_parquet(draft.folder / f"{name}.parquet").equals(table)


def test_every_column_is_scored_or_skipped_with_the_reason(filled, attics):
    summary, tables = filled
    scored = set(tables["metrics"].select("table", "column").iter_rows())
    skipped = set(tables["skipped"].select("table", "column").iter_rows())
    assert not scored & skipped
    assert scored | skipped == {(t, c) for t, columns in attics.ATTRIBUTES.items() for c in columns}
    reasons = summary["skipped"]
    assert reasons["finds.state"] == "one value in all fitting rows"
    assert reasons["finds.nothing"] == "0 cells to ask, min_rows is 6"


def test_cells_beyond_the_tokens_read_are_counted_not_asked(attic, checkpoint, tmp_path, attics):
    tables = attics.frames()
    tables["finds"] = tables["finds"].select("shelf_id", "date", "story", "end")
    database = attics.write(tmp_path / "attic", tables)
    settings = SETTINGS.model_copy(update={"min_rows": 1, "rows_per_column": 200})
    _, found = fill_in(database, checkpoint, tmp_path / "draft", settings=settings)
    late = np.flatnonzero(tables["finds"]["date"].to_numpy() >= attics.CUT)
    end = found["metrics"].filter(column="end", method="bart").row(0, named=True)
    assert (end["n_test"], end["cut_off"]) == ((late % 2 == 0).sum(), (late % 2 == 1).sum())
    assert set(found["cells"].filter(column="end")["row"]) == set(late[late % 2 == 0].tolist())
    strict = settings.model_copy(update={"min_rows": int(end["n_test"]) + 1})
    summary, _ = fill_in(database, checkpoint, tmp_path / "strict", settings=strict)
    assert summary["skipped"]["finds.end"] == (
        f"{end['cut_off']} of {len(late)} cells lie beyond the 96 tokens that are read, min_rows "
        f"is {strict.min_rows}")


def test_the_regime_says_how_the_rows_were_split(attic, checkpoint, corpus_of_attic, filled,
                                                 tmp_path):
    summary, tables = fill_in(attic, checkpoint, tmp_path / "draft", corpus_of_attic)
    for found, regime in ((tables, "corpus_split"), (filled[1], "frozen_db")):
        for name in ("metrics", "kinds", "cells", "skipped"):
            assert found[name]["regime"].unique().to_list() == [regime]
    assert summary["regime"] == "corpus_split"
    assert (tables["cells"]["row"] % 4 == 0).all()


def test_equal_runs_give_equal_bytes_whatever_the_batch(attic, checkpoint, filled, tmp_path):
    summary, tables = fill_in(attic, checkpoint, tmp_path / "draft",
                              settings=SETTINGS.model_copy(update={"batch": 1}))
    assert summary == filled[0]
    for name, table in tables.items():
        assert table.equals(filled[1][name]), name


def test_on_a_cluster_the_same_is_written_into_the_same_cells(attic, checkpoint, filled, tmp_path):
    cluster = pretended()
    with on(cluster):
        summary, tables = fill_in(attic, checkpoint, tmp_path / "draft")
    forget()
    assert len(cluster.ray.asked) > 10, "a batch is a piece"
    assert summary == filled[0]
    for name, table in tables.items():
        assert table.equals(filled[1][name]), name


def test_a_database_in_which_nothing_can_be_asked_leaves_empty_tables(
        attic, checkpoint, tmp_path, attics):
    tables = {n: f[:3] for n, f in attics.frames().items()}
    tables["finds"] = tables["finds"].with_columns(shelf_id=pl.lit(0, pl.Int64))
    summary, found = fill_in(attics.write(tmp_path / "attic", tables), checkpoint,
                             tmp_path / "draft")
    assert (summary["columns"], summary["results"]) == (0, {})
    assert found["metrics"].height == found["cells"].height == found["kinds"].height == 0
    assert found["skipped"].height == sum(map(len, attics.ATTRIBUTES.values()))


def test_a_blank_hides_the_asked_value_from_bart(attic, filler):
    table = split_table(attic, "finds", None, False, 1000, 0)
    asked = ask_column(table, "grams", filler, SETTINGS)
    poked = replace(table, asked=table.asked.with_columns(grams=pl.lit(77, pl.Int32)))
    assert ask_column(poked, "grams", filler, SETTINGS).blanks == asked.blanks


def test_more_rows_to_score_than_are_drawn_are_refused():
    with pytest.raises(ValueError, match=r"min_rows must not exceed rows_per_column \(5\)"):
        ImputationMetricsSettings(rows_per_column=5, min_rows=6)
