"""The audit finds what leaks, and says when it proves nothing."""

import dataclasses

import numpy as np
import pytest

from rowgraph.databases.database import Database
from rowgraph.databases.knowledge import Knowledge
from rowgraph.databases.settling import settle
from rowgraph.evaluation import audit, audited_paths
from rowgraph.evaluation.audit import Finding, audit_task, verdict
from rowgraph.evaluation.audited_paths import answers_of
from tests.worlds import shops
from tests.worlds.tickets import write_tickets

FOUND = Finding("db", "task", "rolling", "path", 5, 10, 0, 10, 3)


@pytest.fixture(scope="module")
def findings(world, tmp_path_factory):
    return list(audit_task(world.database, "driver-fails", tmp_path_factory.mktemp("audit") / "a"))


LABELS_ALONE = {"label history", "baseline, global_constant", "baseline, entity_mean",
                "baseline, entity_history"}


def test_past_cells_move_every_path_that_reads_cells_and_no_other(findings):
    for f in findings:
        assert (f.by_cells > 0) == (f.path not in LABELS_ALONE), f


def test_nothing_leaks_along_any_path_and_a_control_moves_each(findings):
    assert [f for f in findings if not f.passed] == []
    paths = {f.path for f in findings}
    assert {"sampler, latest", "sampler, uniform", "window features", "label history",
            "baseline, data_scientist", "baseline, lightgbm_entity", "baseline, entity_mean",
            "model, bart_gnn_finetuned", "model, bart_head", "filled cells",
            "cells, windows and known answers", "model, rowgraph", "model, rowgraph_untrained",
            "model, rowgraph_own_past", "model, rowgraph_trees", "model, rowgraph_finetuned",
            } <= paths
    assert {f.regime for f in findings} == {"frozen_db", "rolling"}
    assert verdict(findings).startswith("audit: 0 differences in ")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    database = write_tickets(folder / "rel-desk", rows=450)
    return dataclasses.replace(database, knowledge=settle(database, Knowledge())[0])


def moved(task, regime, folder, *worlds):
    """Of each world the paths whose answers are others than those of the world as it is, of all."""
    asked, moment = audit._asked(task, regime)
    truth, *others = (answers_of(make(asked, folder / "copy", moment), regime, folder / "made")
                      for make in (audit._as_it_is, *worlds))
    return [{path for path in truth if audit._different(truth[path], other[path])}
            for other in others]


def test_cells_written_after_their_row_move_nothing_before_and_something_after(desk, tmp_path):
    by_future, by_late = moved(audit.load_task(desk, "ticket-ends"), "frozen_db", tmp_path,
                               audit._future, audit._late_cells)
    assert by_future == set()
    assert {"window features", "baseline, data_scientist", "sampler, latest",
            "cells, windows and known answers", "model, rowgraph"} <= by_late
    assert "model, bart_head" not in by_late  # a text vector holds none of them


def test_a_text_that_holds_what_its_row_did_not_know_is_found(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(Database, "_late", lambda *_: {})
    (by_future,) = moved(audit.load_task(desk, "ticket-ends"), "rolling", tmp_path, audit._future)
    assert {"model, bart_gnn_finetuned", "model, bart_head"} <= by_future


def test_a_database_with_late_cells_is_audited_for_them_and_the_verdict_counts_them(
        desk, tmp_path, monkeypatch):
    worlds = []

    def answered(task, regime, folder):
        worlds.append(task.database.folder)
        return {"path": np.arange(4) + (len(worlds) == 5)}

    monkeypatch.setattr(audit, "answers_of", answered)
    (found,) = audit_task(desk, "ticket-ends", tmp_path / "a", regimes=("rolling",))
    assert (found.differences, found.by_cells, found.by_labels, found.by_late) == (0, 0, 0, 4)
    assert "cells written after their row but known by then 1 of 1" in verdict([found])


def test_a_sampler_that_looks_ahead_is_found(world, monkeypatch, tmp_path):
    def late(times, regime, cut):
        return np.asarray(times) + 10**15

    monkeypatch.setattr(audited_paths, "seen_before", late)
    task = audit.load_task(world.database, "driver-fails")
    asked, moment = audit._asked(task, "rolling")
    other = audit._future(asked, tmp_path / "other", moment)
    graphs = [audited_paths.build_entity_graph(t.database) for t in (asked, other)]
    one, two = (audited_paths._neighbours(t, g, "rolling") for t, g in zip((asked, other), graphs,
                                                                    strict=True))
    assert any(audit._different(one[path], two[path]) for path in one)


def test_the_last_line_names_leaks_and_what_proves_nothing():
    leak = dataclasses.replace(FOUND, path="leaky", differences=3)
    blind = dataclasses.replace(FOUND, path="blind", by_cells=0, by_labels=0)
    line = verdict([FOUND, leak, blind])
    assert line.startswith("audit: 3 differences in 30 values over 3 paths; past cells changed 2 "
                           "of them, past labels alone 0")
    assert "LEAKS: db/task rolling leaky" in line
    assert "proves nothing: db/task rolling blind" in line
    assert [f.passed for f in (FOUND, leak, blind)] == [True, False, False]


def test_more_or_fewer_values_count_as_differences():
    assert audit._different(np.arange(3), np.arange(5)) == 2
    assert audit._different(np.arange(4), np.array([0, 9, 2, 3])) == 1


def test_a_recommendation_is_audited_along_rowgraphs_own_path_too(tmp_path):
    task = shops.build(tmp_path / "db", shops.frames())
    found = list(audit_task(task.database, task.name, tmp_path / "a", regimes=("rolling",)))
    assert [f for f in found if not f.passed] == []
    own = {f.path: f for f in found}
    assert own["model, rowgraph"].by_cells > 0
    assert {"model, rowgraph_untrained", "model, rowgraph_own_past", "model, rowgraph_trees",
            "model, rowgraph_pretrained", "baseline, past_links"} <= own.keys()
