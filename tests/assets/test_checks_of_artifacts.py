"""Checks that look at what was made: each passes on what is right and finds what is broken."""

import dataclasses
import shutil

import numpy as np
import polars as pl
import pytest

from assets import audits
from assets.audits import audit_passed, keep_verdict
from assets.corpus_checks import masking_rates, no_heldout_rows, splits_disjoint
from assets.graph_checks import edges_resolve, no_edge_from_the_future
from assets.score_checks import above_prior
from assets.vector_checks import row_counts_match, vectors_finite
from rowgraph.databases.database import NEVER, TIMELESS, Database
from rowgraph.databases.knowledge import Knowledge
from rowgraph.evaluation.audit import Finding
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.language import batching
from rowgraph.language.vocabulary import train_tokenizer
from rowgraph.tasks.predictions import Run, write_predictions
from tests.worlds.tickets import write_tickets

ROLES = {"shop": "pretrain", "league": "heldout"}


def corpus_of(path, *rows):
    pl.DataFrame(rows, schema=["database", "row", "split", "text"], orient="row").with_columns(
        pl.lit("orders").alias("table")).write_parquet(path)
    return path


def test_rows_of_a_heldout_or_unknown_database_in_the_corpus_are_an_error(tmp_path):
    sound = corpus_of(tmp_path / "a", ("shop", 0, "train", "x"), ("shop", 1, "test", "y"))
    assert no_heldout_rows(sound, ROLES).passed
    for stranger in ("league", "casino"):
        found = no_heldout_rows(corpus_of(tmp_path / "b", ("shop", 0, "train", "x"),
                                          (stranger, 1, "test", "y")), ROLES)
        assert not found.passed
        assert found.severity.name == "ERROR"
        assert f"{stranger} (1 rows" in found.description


def test_a_database_to_pre_train_on_that_is_not_in_the_corpus_is_named(tmp_path):
    corpus = corpus_of(tmp_path / "a", ("shop", 0, "train", "x"))
    found = no_heldout_rows(corpus, {**ROLES, "club": "pretrain"})
    assert not found.passed
    assert "no row of club" in found.description


def test_a_row_in_two_splits_is_named_and_equal_texts_of_two_rows_are_counted(tmp_path):
    rows = [("shop", 0, "train", "x"), ("shop", 1, "test", "x"), ("shop", 2, "test", "y")]
    sound = splits_disjoint(corpus_of(tmp_path / "a", *rows))
    assert sound.passed
    assert "50.0% of test texts" in sound.description
    found = splits_disjoint(corpus_of(tmp_path / "a", *rows, ("shop", 0, "validation", "x")))
    assert not found.passed
    assert "1 rows stand in two splits, the first is row 0 of shop.orders" in found.description


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory):
    """A corpus of 600 rows and a tokenizer for it."""
    folder = tmp_path_factory.mktemp("masks")
    texts = [f"<table> orders <attr> item <value> {['tea', 'rice'][i % 2]} <attr> price <value> {i}"
             for i in range(600)]
    corpus = corpus_of(folder / "corpus", *(("shop", i, "train", t) for i, t in enumerate(texts)))
    train_tokenizer(texts, 400).save_pretrained(folder / "checkpoint")
    return corpus, folder / "checkpoint"


def test_masks_are_drawn_as_often_as_the_settings_say(many_rows, settings):
    found = masking_rates(*many_rows, settings.effective())
    assert found.passed, found.description
    assert [r.data["units"] for r in found.metadata["by_kind"].records] == [600, 1200, 1200]
    none_of_tables = settings.model_copy(update={"mask_table": 0.0})
    assert masking_rates(*many_rows, none_of_tables.effective()).passed


def test_masks_that_are_drawn_otherwise_are_found(many_rows, settings, monkeypatch):
    drawn = batching.draw_masks
    monkeypatch.setattr(batching, "draw_masks", lambda units, keys, odds, *purpose: drawn(
        units, keys, (odds[0], odds[1], 0.6), *purpose))
    found = masking_rates(*many_rows, settings.effective())
    assert not found.passed
    assert "value is not within" in found.description
    monkeypatch.setattr(batching, "draw_masks", lambda units, keys, odds, *purpose: drawn(
        units, keys, odds, *purpose) & (units.row % 10 > 0))
    assert "60 rows lose nothing" in masking_rates(*many_rows, settings.effective()).description


@pytest.fixture
def folder(world, tmp_path):
    """A copy of the racing world's database, with its vectors in `store/`."""
    shutil.copytree(world.database.folder, tmp_path / "races")
    change(tmp_path / "races", "races", lambda v: v + np.arange(len(v))[:, None])
    return tmp_path / "races"


def change(folder, table, of):
    path = folder / "store" / f"{table}.npy"
    np.save(path, of(np.load(path)))


def test_vectors_that_are_no_use_are_named_by_table_and_row(folder):
    assert vectors_finite(folder / "store", folder, False).passed
    change(folder, "drivers", lambda v: np.where(np.arange(len(v))[:, None] == 7, np.nan, v))
    change(folder, "races", lambda v: v * (np.arange(len(v)) != 4)[:, None])
    change(folder, "results", lambda v: np.ones_like(v))
    found = vectors_finite(folder / "store", folder, False)
    assert not found.passed
    for said in ("drivers: 1 of 40 are not finite, row 7", "races: 1 of 30 are zero, row 4",
                 "results: all 512 are equal, their texts are not"):
        assert said in found.description
    assert "circuits" not in found.description


def test_equal_vectors_of_equal_texts_are_right(folder):
    path = folder / "db" / "circuits.parquet"
    pl.read_parquet(path).with_columns(country=pl.lit("a")).write_parquet(path)
    change(folder, "circuits", lambda v: np.ones_like(v))
    assert vectors_finite(folder / "store", folder, False).passed


def test_a_vector_too_few_is_seen(folder):
    assert row_counts_match(folder / "store", folder).passed
    change(folder, "races", lambda v: v[:-1])
    found = row_counts_match(folder / "store", folder)
    assert not found.passed
    assert found.description.startswith("races: 29 vectors, 30 rows")


def saved(graph, folder):
    folder.mkdir()
    graph.save(folder)
    return folder


def test_edges_are_those_of_the_keys(world, folder, tmp_path):
    sound = edges_resolve(saved(world.graph, tmp_path / "graph"), folder)
    assert sound.passed, sound.description
    assert set(sound.metadata["keys_that_name_no_row"].value) == {"results.driverId"}


def test_a_lost_edge_a_wrong_edge_and_another_number_of_rows_are_seen(world, folder, tmp_path):
    graph = saved(world.graph, tmp_path / "graph")
    path = folder / "db" / "races.parquet"
    races = pl.read_parquet(path)
    races.with_columns(circuitId=(pl.col("circuitId") + 1) % 5).write_parquet(path)
    assert "races.circuitId: row" in edges_resolve(graph, folder).description
    races.with_columns(circuitId=pl.when(pl.col("raceId") > 0).then("circuitId")).write_parquet(
        path)
    assert "races.circuitId: 29 keys, 30 edges" in edges_resolve(graph, folder).description
    races[:-1].write_parquet(path)
    assert not edges_resolve(graph, folder).passed


def test_no_neighbour_is_newer_than_its_seed_although_some_would_be(world, folder, tmp_path):
    found = no_edge_from_the_future(saved(world.graph, tmp_path / "graph"), folder)
    assert found.passed
    assert found.metadata["neighbours_with_a_time"].value > 500
    assert found.metadata["from_the_future_if_asked_without_times"].value > 500


def test_a_graph_that_takes_rows_for_older_than_they_are_is_found(world, folder, tmp_path):
    day = 86_400_000_000
    early = {t: np.where((at == NEVER) | (at == TIMELESS), at, at - 60 * day)
             for t, at in world.graph.times.items()}
    graph = saved(dataclasses.replace(world.graph, times=early), tmp_path / "graph")
    found = no_edge_from_the_future(graph, folder)
    assert not found.passed
    assert found.severity.name == "ERROR"


def test_a_graph_that_takes_keys_for_older_than_they_are_is_found(tmp_path):
    folder = write_tickets(tmp_path / "desk", rows=300).folder
    (folder / "knowledge.yaml").write_text("tickets: {columns: {next_step: {known_at: ended}}}")
    database = Database.open(folder)
    told, untold = (saved(build_entity_graph(d), tmp_path / name) for name, d in (
        ("told", database), ("untold", database.knowing(Knowledge()))))
    assert no_edge_from_the_future(told, folder).passed
    assert not no_edge_from_the_future(untold, folder).passed


def scores_of(world, tmp_path, **strength):
    """Folders of predictions: the truth, drowned in noise; and one number for all."""
    task, rng = world.task, np.random.default_rng(0)

    def answers(strength):
        return {split: np.clip(0.5 + strength * (task.labels(split).target - 0.5)
                               + rng.normal(0, 0.05, len(task.labels(split))), 0, 1)
                for split in ("val", "test")}

    constant = {split: np.full(len(task.labels(split)), 0.5) for split in ("val", "test")}
    stages = {"rowgraph_metrics": {Run("rolling", n, 0): answers(s) for n, s in strength.items()},
              "baseline_metrics": {Run("rolling", "global_constant", 0): constant}}
    folders = {}
    for stage, predictions in stages.items():
        folders[stage] = tmp_path / stage
        folders[stage].mkdir()
        write_predictions(task, predictions, folders[stage] / "predictions.parquet")
    return folders


def test_a_model_is_compared_with_one_answer_for_all(world, tmp_path):
    folders = scores_of(world, tmp_path, rowgraph=0.2, upside_down=-0.2, noise=0.0)
    settings = EvaluationSettings(bootstrap=100).effective()

    def check(model, some=folders):
        return above_prior(world.database.folder, "driver-fails", some,
                           {"rolling": {"model": model, "baseline": None}}, settings)

    assert check("rowgraph").passed
    assert "rolling: `rowgraph` is ahead of `global_constant`" in check("rowgraph").description
    assert check("noise").passed  # not worse, beyond the interval
    assert not check("upside_down").passed
    alone = check("rowgraph", {"rowgraph_metrics": folders["rowgraph_metrics"]})
    assert not alone.passed
    assert "rolling: not compared" in alone.description


FOUND = Finding("shop", "churn", "rolling", "model", 5, 10, 0, 10, 3)
KEY = ("evaluation", "shop", "churn")


def test_a_task_that_nobody_audited_has_no_verdict(tmp_path):
    assert audit_passed(tmp_path, KEY, "v1", "shop/churn") is None


def test_a_verdict_counts_for_the_data_and_the_code_that_it_is_about(tmp_path, monkeypatch):
    keep_verdict(tmp_path, KEY, "v1", [FOUND], "audit: fine")
    kept = audit_passed(tmp_path, KEY, "v1", "shop/churn")
    assert (kept.passed, kept.description) == (True, "audit: fine")
    other = audit_passed(tmp_path, KEY, "v2", "shop/churn")
    assert not other.passed
    assert "of other data" in other.description
    assert "rowgraph audit --select shop/churn" in other.description
    keep_verdict(tmp_path, KEY, "v2", [FOUND], "audit: fine too")
    assert audit_passed(tmp_path, KEY, "v1", "shop/churn").passed
    monkeypatch.setattr(audits, "code_digest", lambda: "edited")
    edited = audit_passed(tmp_path, KEY, "v1", "shop/churn")
    assert not edited.passed
    assert "the code has changed" in edited.description


def test_a_leak_is_an_error(tmp_path):
    leak = dataclasses.replace(FOUND, differences=1)
    keep_verdict(tmp_path, KEY, "v1", [FOUND, leak], "audit: LEAKS")
    found = audit_passed(tmp_path, KEY, "v1", "shop/churn")
    assert (found.passed, found.severity.name) == (False, "ERROR")


def test_the_digest_of_the_code_follows_its_files(tmp_path, monkeypatch):
    import rowgraph

    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(rowgraph, "__file__", str(tmp_path / "__init__.py"))
    before = audits.code_digest()
    (tmp_path / "more.py").write_text("x = 1\n")
    assert audits.code_digest() != before
