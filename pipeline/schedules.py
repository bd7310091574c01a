"""Jobs that a person launches, and the schedule that re-trains."""

import dagster as dg

from assets.catalog import catalog
from rowgraph.profiles import Profile

TRAINED = ("bart_checkpoint", "sage_weights")
EVERYTHING = "everything"
RETRAIN = "retrain"


def jobs(profile: Profile) -> list:
    """`everything` materializes the profile; `retrain` makes the two checkpoints anew."""
    return [
        dg.define_asset_job(EVERYTHING, dg.AssetSelection.all(),
                            description=f"Every asset of the profile {profile.name}, in order; "
                            "what is finished is reused."),
        dg.define_asset_job(RETRAIN, dg.AssetSelection.all(), config=forced(profile),
                            description="Re-trains BART and SAGE on the databases as they are "
                            "now, then refreshes what hangs on them."),
    ]


def forced(profile: Profile) -> dict:
    """Run config that sets `force` on the two trainings; without it a re-training with equal
    settings and data would find its result finished and do nothing."""
    return {"ops": {"__".join(key): {"config": {"force": True}}
                    for key, node in catalog(profile).items() if node.stage in TRAINED}}


def retrain_weekly(profile: Profile) -> dg.ScheduleDefinition:
    """Sundays at three, when switched on."""
    return dg.ScheduleDefinition(
        name="retrain_weekly", job_name=RETRAIN, cron_schedule="0 3 * * 0",
        run_config=forced(profile), default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Re-trains both checkpoints every Sunday at 03:00. Off until switched on.")
