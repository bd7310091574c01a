"""The schedule trains every model anew, and says what came of it."""

import dagster as dg

from assets.catalog import catalog
from pipeline.assembly import build_definitions
from pipeline.schedules import forced
from resources.registry import MODELS, model_name
from resources.tracking import TrackingResource

RETRAINED = ("bart_checkpoint", "sage_weights", "forecast_weights", "own_past_weights/tiny_league")


def test_a_re_training_of_unchanged_data_gives_new_versions_and_says_so_everywhere(world):
    environment = world.environment()
    repository = build_definitions(environment).get_repository_def()
    schedule = repository.get_schedule_def("retrain_weekly")
    with environment.instance() as instance:
        with dg.build_schedule_context(instance=instance) as context:
            request, = schedule.evaluate_tick(context).run_requests
        done = repository.get_job(schedule.job_name).execute_in_process(
            instance=instance, run_config={**request.run_config, "loggers": {
                "console": {"config": {"log_level": "CRITICAL"}}}})
        event = instance.get_latest_materialization_event(dg.AssetKey(["report"]))
    assert done.success
    client = TrackingResource(home=str(world.home)).client()
    for asset in RETRAINED:
        name = model_name("tiny", tuple(asset.split("/")))
        first, second = sorted(client.search_model_versions(f"name='{name}'"),
                               key=lambda v: int(v.version))
        assert first.tags["data_version"] == second.tags["data_version"]
        assert client.get_model_version_by_alias(name, "champion").version == first.version
        assert second.tags["unchanged"] == "true"
        assert second.tags["reason"].startswith("trained again on unchanged data")
    table = event.asset_materialization.metadata["retraining"]
    shown = {r.data["model"]: r.data for r in table.records}
    assert set(shown) == set(RETRAINED)
    assert {r["decision"] for r in shown.values()} == {"stays"}
    page, = world.home.glob("artifacts/report/*/notes/report.html")
    assert page.read_text().count("trained again on unchanged data") == len(RETRAINED)


def test_every_trained_stage_of_the_profile_is_forced(finished):
    profile = finished.environment().profile
    wanted = {"__".join(key) for key in catalog(profile) if key[0] in MODELS}
    assert set(forced(profile)["ops"]) == wanted == {n.replace("/", "__") for n in RETRAINED}
