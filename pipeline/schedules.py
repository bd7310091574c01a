"""Jobs that a person launches, and the schedule that re-trains."""

import dagster as dg

from assets.catalog import catalog
from resources.registry import MODELS
from rowgraph.profiles import Profile

EVERYTHING = "everything"
REFRESH = "refresh"
EVALUATE = "evaluate"
RETRAIN = "retrain"
SCORE = "score"
SCORED = ("source", "entity_graph", "cell_store", "predictions")  # nothing that trains
EVALUATED = ("evaluation", "transfer_metrics", "imputation_metrics", "report")


def jobs(profile: Profile) -> list:
    """`everything` materializes the profile, `refresh` what is out of date, `evaluate` the scores
    of what is trained; `retrain` trains its models anew; `score`, where models are kept, asks them
    about the newest rows."""
    return [
        *([dg.define_asset_job(SCORE, scored(profile), description="Asks every model that is kept "
                               "about the newest rows that were imported; nothing is trained.")]
          if scored(profile) else []),
        dg.define_asset_job(EVERYTHING, dg.AssetSelection.all(),
                            description=f"Every asset of the profile {profile.name}, in order; "
                            "what is finished is reused."),
        dg.define_asset_job(REFRESH, dg.AssetSelection.all(),
                            description="What the sensor refresh_out_of_date launches, for the "
                            "assets that are out of date alone; by hand it looks at all of them."),
        dg.define_asset_job(EVALUATE, evaluated(profile), description="Scores what is trained and "
                            "writes the report; trains nothing."),
        dg.define_asset_job(RETRAIN, dg.AssetSelection.all(), config=forced(profile),
                            description="Resolves the databases, trains every model of the "
                            "profile anew, measures it, and lets it be champion unless it is worse "
                            "than the one before. Imported databases are not imported again."),
    ]


def forced(profile: Profile) -> dict:
    """Run config that sets `force` on the trainings; without it a re-training with equal settings
    and data would find its result finished and do nothing."""
    return {"ops": {"__".join(key): {"config": {"force": True}}
                    for key, node in catalog(profile).items() if node.stage in MODELS}}


def evaluated(profile: Profile) -> list[dg.AssetKey]:
    """What scores models and shows the scores."""
    return [dg.AssetKey(list(key)) for key, node in catalog(profile).items()
            if node.stage in EVALUATED]


def scored(profile: Profile) -> list[dg.AssetKey]:
    """The predictions of a profile and what new rows make anew for them."""
    nodes = catalog(profile)
    asked = [node for node in nodes.values() if node.stage == "predictions"]
    wanted = {up for node in asked for up in node.inputs.values() if up[0] in SCORED}
    return [dg.AssetKey(list(key)) for key in (*sorted(wanted), *(n.key for n in asked))]


def schedules(profile: Profile) -> list[dg.ScheduleDefinition]:
    """Off until switched on."""
    return [retrain_weekly(profile), *([score_daily()] if scored(profile) else [])]


def score_daily() -> dg.ScheduleDefinition:
    """Every day at six, when switched on."""
    return dg.ScheduleDefinition(
        name="score_daily", job_name=SCORE, cron_schedule="0 6 * * *",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Predictions for today, every day at 06:00, of the rows that were imported "
        "last. Off until switched on.")


def retrain_weekly(profile: Profile) -> dg.ScheduleDefinition:
    """Sundays at three, when switched on."""
    return dg.ScheduleDefinition(
        name="retrain_weekly", job_name=RETRAIN, cron_schedule="0 3 * * 0",
        run_config=forced(profile), default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Trains every model of the profile anew each Sunday at 03:00, and keeps the "
        "better one as champion. Off until switched on.")
