"""What `rowgraph audit` found stands on the page of the task's evaluation."""

import dagster as dg
import pytest
import typer

from assets.audits import keep_verdict
from pipeline.assembly import build_definitions
from pipeline.auditing import audit_profile
from rowgraph.evaluation.audit import Finding

WINS = ("evaluation", "tiny_league", "wins")


def checks(environment):
    """Every check of a profile with its last result, None where there is none."""
    keys = build_definitions(environment).resolve_asset_graph().asset_check_keys
    with environment.instance() as instance:
        found = {}
        for key in keys:
            records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
            found["/".join(key.asset_key.path), key.name] = next(
                (r.evaluation for r in records
                 if isinstance(r.evaluation, dg.AssetCheckEvaluation)), None)
    return found


def test_every_check_of_a_finished_profile_passes_and_nobody_has_audited_it(finished):
    found = checks(finished.environment())
    audits = {key for key in found if key[1] == "audit_passed"}
    assert {key[0] for key in audits} == {
        "evaluation/tiny_league/wins", "evaluation/tiny_league/score"}
    assert {found[key] for key in audits} == {None}
    names = {name for _, name in found}
    assert {"no_heldout_rows", "splits_disjoint", "masking_rates", "rows_fit_max_tokens",
            "vectors_finite", "row_counts_match", "edges_resolve", "no_edge_from_the_future",
            "above_prior", "embeddings_spread"} <= names
    failed = {key: e and e.description for key, e in found.items()
              if key not in audits and not (e and e.passed)}
    assert failed == {}


def test_an_audit_shows_on_the_page_of_the_evaluation_until_the_data_change(world, monkeypatch):
    found = Finding("tiny-league", "wins", "rolling", "model", 5, 10, 0, 10, 3)
    monkeypatch.setattr("rowgraph.evaluation.audit.audit_task", lambda *_, **__: iter([found]))
    environment = world.environment()
    audit_profile(environment, ["tiny-league/wins"], as_json=True)
    shown = checks(environment)["/".join(WINS), "audit_passed"]
    assert shown.passed
    assert shown.description.startswith("audit: 0 differences in 10 values")
    world.run(select=["/".join(WINS)], force=True)
    assert checks(environment)["/".join(WINS), "audit_passed"].passed
    (world.home / "audits/tiny_league/wins").rename(world.home / "audits/before")
    keep_verdict(world.home, WINS, "other data", [found], "audit: fine")
    world.run(select=["/".join(WINS)], force=True)
    assert "of other data" in checks(environment)["/".join(WINS), "audit_passed"].description


def test_a_leak_that_an_audit_finds_is_an_error_on_that_page(world, monkeypatch):
    leak = Finding("tiny-league", "wins", "rolling", "model", 5, 10, 2, 10, 3)
    monkeypatch.setattr("rowgraph.evaluation.audit.audit_task", lambda *_, **__: iter([leak]))
    with pytest.raises(typer.Exit):
        audit_profile(world.environment(), ["tiny-league/wins"], as_json=True)
    shown = checks(world.environment())["/".join(WINS), "audit_passed"]
    assert not shown.passed
    assert shown.severity == dg.AssetCheckSeverity.ERROR
    assert "LEAKS: tiny-league/wins rolling model" in shown.description


def test_an_audit_is_read_in_80_columns_and_says_which_database_task_and_regime(
        world, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    found = [Finding("tiny-league", "wins", regime, "a_path_of_a_long_name", 5, 12_345, 0, 678, 9,
                     1_011) for regime in ("frozen_db", "rolling")]
    monkeypatch.setattr("rowgraph.evaluation.audit.audit_task", lambda *_, **__: iter(found))
    audit_profile(world.environment(), ["tiny-league/wins"], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("tiny-league/wins")] == [
        "tiny-league/wins, frozen_db", "tiny-league/wins, rolling"]
    assert [line.split() for line in lines if "1,011" in line] == [
        ["a_path_of_a_long_name", "5", "12,345", "0", "678", "9", "1,011"]] * 2
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1].startswith("audit: 0 differences in 24,690 values")
