"""From what an asset was made and what was made from it, on its page, in MLflow, in a terminal."""

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from typer.testing import CliRunner

from assets import build_assets
from assets.catalog import catalog
from pipeline.assembly import build_definitions
from pipeline.cli import app
from pipeline.lineage import lineage, print_lineage
from pipeline.plan import plan
from resources.provenance import code_facts
from resources.tracking import TrackingResource
from rowgraph.artifacts import ArtifactError
from rowgraph.profiles import SettingsError, load_profile


@pytest.fixture(scope="module")
def pages(finished):
    """The metadata of every asset's latest materialization, by name."""
    with finished.environment().instance() as instance:
        return {"/".join(key): instance.get_latest_materialization_event(
            dg.AssetKey(list(key))).asset_materialization.metadata
            for key in catalog(finished.environment().profile)}


@pytest.fixture(scope="module")
def made(finished):
    return {p.node.name: p for p in plan(finished.environment())}


def records(table):
    return [record.data for record in table.records]


def test_every_page_names_code_libraries_device_run_and_what_it_took(pages, made):
    for name, page in pages.items():
        origin = made[name].artifact.manifest["origin"]
        assert origin["code"] == code_facts()
        assert page["made_by_run"].value == origin["dagster_run_id"]
        assert page["code"].value.startswith((code_facts()["commit"] or "version")[:12])
        assert page["device"].value == "cpu"
        assert "torch" in page["libraries"].value
        assert page["made_in_seconds"].value == origin["seconds"]
        size = sum(p.stat().st_size for p in made[name].artifact.folder.rglob("*") if p.is_file()
                   and p.name != "manifest.json")
        assert page["size_mib"].value == pytest.approx(size / 2**20, abs=0.01)


def test_every_page_names_the_data_versions_it_was_made_from_with_links_to_their_pages(pages, made):
    for name, planned in made.items():
        shown = {r["asset"]: r["data version"] for r in records(pages[name]["made_from"])}
        ups = ["/".join(up) for up in planned.node.inputs.values()]
        for up in ups:
            assert made[up].artifact.data_version.startswith(shown[up])
            assert f"[{up}](/assets/{up})" in pages[name]["made_from_pages"].value
        assert set(shown) - set(ups) == ({"origin (of no asset)"} if not ups else set())


def test_tables_and_databases_show_columns_and_rows_in_dagsters_own_keys(pages):
    rows = {name: page["dagster/row_count"].value for name, page in pages.items()
            if "dagster/row_count" in page}
    assert rows["source/tiny_league"] == rows["node_embeddings/tiny_league"] == 630
    assert rows["linearized_corpus"] == rows["sampled_rows/tiny_shop"] == 200
    source = pages["source/tiny_league"]["dagster/column_schema"].schema
    assert {c.name: c.description for c in source.columns}["games.player_id"] == "refers to players"
    assert "dagster/row_count" not in pages["sage_weights"]


def test_the_reports_page_has_the_results_and_leads_to_its_html(pages):
    results = records(pages["report"]["results"])
    assert {r["variant"] for r in results} >= {"rowgraph", "bart_gnn_finetuned"}
    assert all("[" in r["frozen_db"] for r in results)
    assert Path(pages["report"]["report_page"].value).read_text().startswith("<!")


def test_a_checkpoints_page_says_what_it_turned_out_to_be_worth_and_nothing_gets_stale(finished):
    environment = finished.environment()
    with environment.instance() as instance:
        seen = instance.fetch_observations(dg.AssetKey("bart_checkpoint"), limit=1).records[0]
        metadata = seen.event_log_entry.asset_observation.metadata
        graph = build_definitions(environment).resolve_asset_graph()
        status = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        stale = [key for key in graph.materializable_asset_keys
                 if status.get_status(key) != StaleStatus.FRESH]
    assert {r["variant"] for r in records(metadata["worth"])} >= {"bart_head", "bart_gnn_frozen"}
    assert metadata["report"].value == dg.AssetKey("report")
    assert stale == []


def test_a_training_shows_its_curve_inline_and_its_plot_in_a_dialog(pages):
    page = pages["sage_weights"]
    assert "2 points" in page["curve_train_loss"].value
    assert len(page["figure_curves"].value) > 1000  # Dagster shows shorter Markdown inline


OWNED = "owners: [team:data, a@b.org]\ntags: {domain: sport}\n"


def test_owners_and_tags_are_on_every_asset_and_change_no_recipe(finished, tmp_path):
    assert finished.due(OWNED) == []
    path = tmp_path / "owned.yaml"
    path.write_text(f"extends: {finished.profile}\n{OWNED}")
    for definition in build_assets(load_profile(path)):
        (spec,) = definition.specs
        assert list(spec.owners) == ["team:data", "a@b.org"]
        assert spec.tags["domain"] == "sport"
        assert spec.kinds
        assert spec.code_version


@pytest.mark.parametrize(("line", "says"), [
    ("owners: [somebody]", r"owners.0.*an owner is an e-mail address, or a team as `team:data`"),
    ("tags: {domain: two words}", r"tags.domain.*up to 63 letters")])
def test_owners_and_tags_that_dagster_would_not_take_are_refused(finished, tmp_path, line, says):
    path = tmp_path / "owned.yaml"
    path.write_text(f"extends: {finished.profile}\n{line}\n")
    with pytest.raises(SettingsError, match=says):
        load_profile(path)


def test_mlflow_runs_sort_by_test_score_and_carry_the_intervals_of_the_evaluation(finished, made):
    client = TrackingResource(home=str(finished.home)).client()
    experiment = client.get_experiment_by_name("rowgraph")
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.test_roc_auc DESC"])
    scored = {r.info.run_name: r.data.metrics for r in runs if "test_roc_auc" in r.data.metrics}
    assert set(scored) == {f"{stage}/tiny_league/wins" for stage in (
        "evaluation", "rowgraph_metrics", "downstream_metrics", "baseline_metrics")}
    judged = scored["evaluation/tiny_league/wins"]
    for stage, variant in (("rowgraph_metrics", "rowgraph_trees"),
                           ("downstream_metrics", "bart_head"),
                           ("baseline_metrics", "entity_history")):
        name = f"test.rolling.{variant}.roc_auc"
        for part in (name, f"{name}.ci_low", f"{name}.ci_high"):
            assert scored[f"{stage}/tiny_league/wins"][part] == pytest.approx(judged[part])
    run = next(r for r in runs if r.info.run_name == "sage_weights")
    assert {i.dataset.digest for i in run.inputs.dataset_inputs} == set(
        made["sage_weights"].artifact.manifest["inputs"].values())


def test_the_chain_reaches_the_sources_and_their_fingerprints(finished, made):
    found = lineage(finished.environment(), "evaluation/tiny-league/wins")
    upstream = {up["asset"]: up for up in found["upstream"]}
    assert set(upstream) >= {"source/tiny_league", "source/tiny_shop", "bart_checkpoint",
                             "linearized_corpus", "forecast_weights"}
    assert "report" not in upstream
    source = upstream["source/tiny_shop"]
    assert source["inputs"]["origin"]["data_version"] == (
        made["source/tiny_shop"].artifact.manifest["inputs"]["origin"])
    assert [(s["regime"], s["variant"]) for s in found["scores"]] == [
        ("frozen_db", "rowgraph"), ("rolling", "rowgraph")]
    assert found["settings_changed"] == {"bootstrap": {"value": 50, "default": 1000}}
    assert [down["asset"] for down in found["downstream"]] == ["report"]


def test_what_was_made_from_a_checkpoint_comes_with_its_score(finished):
    found = lineage(finished.environment(), "bart_checkpoint")
    downstream = {down["asset"]: down for down in found["downstream"]}
    assert set(downstream) >= {"node_embeddings/tiny_league", "sage_weights", "report"}
    assert not {"linearized_corpus", "own_past_weights/tiny_league",
                "rowgraph_metrics/tiny_league/wins"} & set(downstream)
    assert downstream["evaluation/tiny_league/wins"]["scores"][0]["metric"] == "roc_auc"
    assert all(down["latest"] for down in downstream.values())


def test_lineage_prints_the_chain_and_says_what_was_deleted_since(world, capsys):
    corpus = next((world.home / "artifacts/linearized_corpus").glob("*/manifest.json"))
    corpus.unlink()
    content = lineage(world.environment(), "bart_checkpoint")
    assert content["inputs"]["linearized_corpus"]["recipe"] is None
    print_lineage(content)
    out = capsys.readouterr().out
    assert "deleted since" in out
    assert content["data_version"] in out
    assert "sage_weights" in out


@pytest.mark.parametrize(("name", "says"), [
    ("bart", "did you mean bart_checkpoint"),
    ("source", "it has source/tiny_shop, source/tiny_league"),
    ("../../etc", "has no asset '../../etc'")])
def test_an_unknown_asset_is_named_with_the_next_move(finished, name, says):
    with pytest.raises(ValueError, match="rowgraph plan --json") as error:
        lineage(finished.environment(), name)
    assert says in str(error.value)


def test_an_asset_that_is_not_made_yet_says_how_to_make_it(world):
    (world.home / "handles/tiny/report.json").unlink()
    with pytest.raises(ArtifactError, match=r"rowgraph run -p .* --select report"):
        lineage(world.environment(), "report")


def test_lineage_on_the_command_line_is_json_where_asked(finished):
    done = CliRunner().invoke(
        app, ["lineage", "sage_weights", "--json", "-p", str(finished.profile)],
        env={"ROWGRAPH_HOME": str(finished.home)})
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["asset"] == "sage_weights"
