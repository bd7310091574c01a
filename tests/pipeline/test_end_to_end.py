"""The whole chain on two tiny databases: what is made, reused, planned, tracked and refused."""

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml

from assets.catalog import catalog
from assets.checks import HEALTH, ROWS_FIT
from pipeline.assembly import build_definitions
from pipeline.plan import plan
from pipeline.refresh import refresh
from resources.tracking import TrackingResource

SAGE_LR = "sage_weights: {learning_rate: 0.02}\n"
AFTER_SAGE = ["sage_weights", "downstream_metrics/tiny_league/wins",
              "downstream_metrics/tiny_league/score", "evaluation/tiny_league/wins",
              "evaluation/tiny_league/score", "row_map/tiny_league", "report"]


def results(world):
    report = next(p for p in plan(world.environment()) if p.node.stage == "report")
    return pl.read_parquet(report.artifact.path("results.parquet"))


def test_every_variant_and_regime_of_every_task_is_in_the_results(finished):
    rows = results(finished).filter(pl.col("source") == "measured")
    settings = finished.environment().profile.downstream_metrics
    for task, metric in (("wins", "roc_auc"), ("score", "mae")):
        found = set(rows.filter(pl.col("task") == task, pl.col("metric") == metric)
                    .select("variant", "regime").iter_rows())
        assert found >= {(v, r) for v in settings.variants for r in settings.regimes}
    assert rows["regime"].null_count() == 0
    assert (rows["ci_low"] <= rows["ci_high"]).all()


def test_filled_cells_of_every_database_are_in_the_report_with_their_regime(finished):
    made = {p.node.name: p.artifact for p in plan(finished.environment())}
    table = pl.read_parquet(made["report"].path("imputation.parquet"))
    assert dict(table.select("database", "regime").unique().iter_rows()) == {
        "tiny-shop": "corpus_split", "tiny-league": "frozen_db"}
    assert {"bart", "most_frequent", "median", "lightgbm"} == set(table["method"])
    assert (table["ci_low"] <= table["ci_high"]).all()
    page = made["report"].path("report.md").read_text()
    assert page.count("| tiny-league | frozen_db |") == 3 * 3  # kinds and methods
    corpus = pl.read_parquet(made["linearized_corpus"].path("corpus.parquet"))
    cells = pl.read_parquet(made["imputation_metrics/tiny_shop"].path("cells.parquet"))
    asked = cells.select("database", "table", "row").unique()
    assert set(asked.join(corpus, on=asked.columns)["split"]) == {"test"}
    assert asked.join(corpus, on=asked.columns).height == asked.height


def test_a_second_run_makes_nothing(world):
    assert world.due() == []
    failures, listener = world.run()
    assert (failures, listener.made, listener.reused) == ([], [], [])


def test_a_changed_learning_rate_plans_exactly_what_hangs_on_it_and_back_plans_nothing(world):
    assert sorted(world.due(SAGE_LR)) == sorted(AFTER_SAGE)
    assert world.due() == []


def test_there_and_back_again_computes_nothing(world):
    failures, listener = world.run("evaluation: {bootstrap: 51}\n")
    assert not failures
    assert sorted(listener.made) == [
        "evaluation/tiny_league/score", "evaluation/tiny_league/wins", "report"]
    failures, listener = world.run()
    assert not failures
    assert listener.made == []


def test_forced_assets_are_made_again_to_the_same_bytes(world):
    before = {p.node.name: p.artifact.data_version for p in plan(world.environment())}
    failures, listener = world.run(force=True)
    assert not failures
    assert len(listener.made) == len(before)
    after = {p.node.name: p.artifact.data_version for p in plan(world.environment())}
    assert after == before


def test_dagsters_records_agree_with_the_store(finished):
    with finished.environment().instance() as instance:
        for planned in plan(finished.environment()):
            key = dg.AssetKey(list(planned.node.key))
            event = instance.get_latest_materialization_event(key)
            tags = event.asset_materialization.tags
            assert tags["dagster/data_version"] == planned.artifact.data_version
            assert event.asset_materialization.metadata["recipe"].value == planned.artifact.recipe


def test_settings_from_the_launchpad_are_used_and_marked_as_out_of_step(world):
    environment = world.environment()
    job = build_definitions(environment, tracked=False).resolve_implicit_global_asset_job_def()
    key = dg.AssetKey(["report"])
    with environment.instance() as instance:
        done = job.execute_in_process(
            instance=instance, asset_selection=[key],
            run_config={"ops": {"report": {"config": {"title": "By hand"}}}})
        assert done.success
        event = instance.get_latest_materialization_event(key)
        tags = instance.get_run_by_id(done.run_id).tags
    recipe = event.asset_materialization.metadata["recipe"].value
    folder = world.home / "artifacts/report" / recipe
    assert (folder / "report.md").read_text().startswith("# By hand")
    assert event.asset_materialization.tags["dagster/code_version"].startswith("launchpad-")
    assert tags["overridden/report"] == "title=By hand"


@pytest.mark.parametrize("stage", ["bart_checkpoint", "sage_weights", "forecast_weights"])
def test_a_trainings_page_has_the_loss_on_the_way_and_the_link_from_the_start(finished, stage):
    with finished.environment().instance() as instance:
        found = instance.fetch_observations(dg.AssetKey([stage]), limit=50).records
    first, second = (r.asset_observation.metadata for r in list(reversed(found))[:2])
    assert "mlflow_run" in first
    assert second["of"].value >= second["step"].value > 0
    assert any("loss" in name for name in second)


def test_each_materialization_has_one_mlflow_run_and_both_link_to_each_other(finished):
    tracking = TrackingResource(home=str(finished.home))
    client = tracking.client()
    experiment = client.get_experiment_by_name("rowgraph")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    nodes = catalog(finished.environment().profile)
    assert set(runs) == {n.name for n in nodes.values()}
    sage = runs["sage_weights"]
    assert sage.info.status == "FINISHED"
    assert sage.data.params["learning_rate"] == "0.01"
    assert any("loss" in name for name in sage.data.metrics)
    with finished.environment().instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["sage_weights"]))
    metadata = event.asset_materialization.metadata
    assert metadata["mlflow_run"].value.endswith(sage.info.run_id)
    assert sage.data.tags["dagster_run_id"] == event.run_id
    assert client.get_model_version_by_alias("rowgraph-tiny-sage_weights", "champion").run_id == (
        sage.info.run_id)


def test_no_artifact_holds_a_pickle(finished):
    files = [p for p in (finished.home / "artifacts").rglob("*") if p.is_file()]
    assert files
    assert not [p for p in files if p.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin"}]


def test_the_sensor_asks_for_exactly_what_is_out_of_date(world):
    with world.environment().instance() as instance:
        assert isinstance(refresh(instance, world.environment()), dg.SkipReason)
        world.profile.write_text(f"{world.profile.read_text()}report: {{title: edited}}\n")
        request = refresh(instance, world.environment())
        assert [k.path for k in request.asset_selection] == [["report"]]


def test_the_sensor_stops_after_a_failure_until_something_changes(world):
    world.profile.write_text(f"{world.profile.read_text()}report: {{title: edited}}\n")
    with world.environment().instance() as instance:
        request = refresh(instance, world.environment())
        run = instance.create_run_for_job(nothing, tags=request.tags)
        instance.report_run_failed(run)
        again = refresh(instance, world.environment())
        assert isinstance(again, dg.SkipReason)
        assert run.run_id in again.skip_message
        world.profile.write_text(world.profile.read_text().replace("edited", "edited anew"))
        assert isinstance(refresh(instance, world.environment()), dg.RunRequest)


@dg.job
def nothing():
    """A job without steps."""


def test_a_damaged_artifact_is_planned_and_made_again(world):
    graph = next((world.home / "artifacts/entity_graph/tiny_shop").glob("*/graph.json"))
    graph.unlink()
    assert "entity_graph/tiny_shop" in world.due()
    failures, listener = world.run()
    assert not failures
    assert listener.made == ["entity_graph/tiny_shop"]
    assert world.due() == []


def change_manifest(folder: Path, change) -> None:
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    change(manifest)
    path.write_text(yaml.safe_dump(manifest))


def name_missing_column(folder):
    change_manifest(folder, lambda m: m["tables"]["games"].update(time_col="when"))


def dangle_key(folder):
    path = folder / "db/games.parquet"
    pl.read_parquet(path).with_columns(
        player_id=pl.when(pl.int_range(pl.len()) == 5).then(999).otherwise("player_id")
    ).write_parquet(path)


def truncate_parquet(folder):
    path = folder / "db/games.parquet"
    path.write_bytes(path.read_bytes()[:200])


def remove_database(folder):
    (folder / "manifest.yaml").unlink()


@pytest.mark.parametrize(("break_it", "says"), [
    (name_missing_column, ["games", "when"]),
    (dangle_key, ["games", "player_id", "999"]),
    (truncate_parquet, ["games.parquet"]),
])
def test_bad_input_is_named_and_loses_nothing_already_built(world, break_it, says):
    kept = sorted((world.home / "artifacts").glob("*/**/manifest.json"))
    break_it(world.databases / "tiny-league")
    failures, listener = world.run()
    assert [f.asset for f in failures] == ["source/tiny_league"]
    for word in says:
        assert word in failures[0].error
    assert listener.made == []
    assert sorted((world.home / "artifacts").glob("*/**/manifest.json")) == kept


def test_a_database_that_cannot_be_resolved_says_where_it_was_looked_for(world):
    remove_database(world.databases / "tiny-league")
    failures, _ = world.run(force=True, select=["source/tiny_league"])
    assert "tiny-league" in failures[0].error
    assert "ROWGRAPH_DATABASES" in failures[0].error


def test_one_failure_does_not_stop_what_does_not_hang_on_it(world):
    truncate_parquet(world.databases / "tiny-league")
    failures, listener = world.run("sampled_rows: {rows: 150}\n")
    assert [f.asset for f in failures] == ["source/tiny_league"]
    assert "bart_checkpoint" in listener.made
    assert "sage_weights" in listener.made
    assert "report" not in listener.made


def test_an_interrupted_asset_is_planned_as_such(world):
    recipe = next((world.home / "artifacts/sage_weights").glob("*/manifest.json")).parent
    recipe.rename(recipe.with_name(recipe.name + ".draft"))
    (recipe.with_name(recipe.name + ".draft") / "manifest.json").unlink()
    why = {p.node.name: p.why for p in plan(world.environment()) if p.action == "run"}
    assert why["sage_weights"].startswith("interrupted")


def test_the_manifest_of_every_artifact_names_its_settings_and_inputs(finished):
    for planned in plan(finished.environment()):
        manifest = json.loads((planned.artifact.folder / "manifest.json").read_text())
        assert manifest["settings"] == planned.node.section.effective()
        assert set(manifest["inputs"]) >= set(planned.node.inputs)
        planned.artifact.verify()


def test_health_and_cut_rows_are_shown_as_checks_of_their_assets(finished):
    expected = {("bart_checkpoint",): [*HEALTH, *ROWS_FIT],
                ("node_embeddings", "tiny_league"): list(ROWS_FIT)}
    with finished.environment().instance() as instance:
        for key, names in expected.items():
            for name in names:
                record, = instance.event_log_storage.get_asset_check_execution_history(
                    dg.AssetCheckKey(dg.AssetKey(list(key)), name), limit=1)
                evaluation = record.event.dagster_event.event_specific_data
                assert evaluation.passed, (key, name, evaluation.description)
