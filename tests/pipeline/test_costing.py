"""Estimates against the bytes of a finished home."""

from dataclasses import replace

import pytest

from pipeline.costing import costs_of
from pipeline.plan import plan
from pipeline.printing import plan_content, plan_notes
from rowgraph.costs import estimates as formulas


def estimates_of_finished(world):
    """Every finished asset as if it were still to be made."""
    planned = plan(world.environment())
    costs = costs_of(world.environment(), [replace(p, action="run") for p in planned])
    sizes = {p.node.name: sum(f["bytes"] for n, f in p.artifact.manifest["files"].items()
                              if not n.startswith("notes/")) for p in planned}
    return costs, sizes


def test_predicted_arrays_are_those_on_disk_but_for_their_headers_and_facts(finished):
    costs, sizes = estimates_of_finished(finished)
    for database in ("tiny_shop", "tiny_league"):
        for stage, beside in (("node_embeddings", 1_000), ("entity_graph", 1_500)):
            predicted = costs.estimates[f"{stage}/{database}"].disk
            assert predicted.basis == "measured"
            assert sizes[f"{stage}/{database}"] == pytest.approx(predicted.value, abs=beside)


@pytest.mark.parametrize(("asset", "factor"), [
    ("source/tiny_shop", 1.5), ("bart_checkpoint", 2), ("sage_weights", 2.5),
    ("downstream_metrics/tiny_league/wins", 4), ("linearized_corpus", 4)])
def test_other_predictions_of_disk_lie_within_a_factor(finished, asset, factor):
    costs, sizes = estimates_of_finished(finished)
    assert 1 / factor < costs.estimates[asset].disk.value / sizes[asset] < factor


def test_a_finished_home_gives_tokens_and_distinct_texts(finished):
    costs, _ = estimates_of_finished(finished)
    tokens = costs.facts.tokens_a_row
    assert tokens.basis == "measured"
    assert 5 < tokens.value < 48  # max_tokens of the tiny profile
    league = costs.facts.databases["tiny-league"]
    assert league.distinct.value < league.rows.value == 630


def test_another_tokenizer_makes_tokens_an_assumption_again(world):
    environment = world.environment("bart_checkpoint: {vocabulary: 410}")
    assert costs_of(environment, plan(environment)).facts.tokens_a_row.basis == "assumed"


def test_a_cap_is_felt_before_the_source_is_made(world):
    environment = world.environment(
        "databases:\n"
        "  - {name: tiny-shop, role: pretrain, max_rows_per_table: 60}\n"
        "  - {name: tiny-league, role: heldout, tasks: [wins, score]}\n")
    shop = costs_of(environment, plan(environment)).facts.databases["tiny-shop"]
    assert (shop.rows.value, shop.rows.basis) == (40 + 60, "measured")
    assert shop.edges.value == pytest.approx(60)
    assert shop.edges.basis == "expected"


def test_a_database_of_which_nothing_is_known_leaves_gaps_and_a_next_move(world):
    environment = world.environment(
        "databases:\n"
        "  - {name: rel-far, role: pretrain}\n"
        "  - {name: tiny-league, role: heldout, tasks: [wins]}\n")
    planned = plan(environment)
    costs = costs_of(environment, planned)
    assert costs.estimates["source/rel_far"] is None
    assert costs.estimates["sage_weights"] is None
    assert any("expected_rows" in note and "rel-far" in note
               for note in plan_notes(environment, costs))
    content = plan_content(environment, planned, costs)
    assert content["rows"]["rel-far"] is None


def test_a_stage_without_a_formula_is_blank(world, monkeypatch):
    monkeypatch.delitem(formulas._FORMULAS, "report")
    environment = world.environment("report: {title: another}")
    planned = plan(environment)
    costs = costs_of(environment, planned)
    content = plan_content(environment, planned, costs)
    assert [r["disk_bytes"] for r in content["run"] if r["asset"] == "report"] == [None]
