"""The sensor that runs what is out of date, in one run, and stops after a failure."""

import dagster as dg

from pipeline.environment import Environment
from pipeline.plan import plan
from pipeline.schedules import REFRESH
from rowgraph.randomness import digest
from rowgraph.shared_store import pull

NAME = "refresh_out_of_date"
TAG = "rowgraph/refresh"
BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def refresh_out_of_date(environment: Environment) -> dg.SensorDefinition:
    """Off by default: switched on, an edit of the profile or of a database starts a run."""

    @dg.sensor(name=NAME, job_name=REFRESH, minimum_interval_seconds=60,
               default_status=dg.DefaultSensorStatus.STOPPED,
               description="Runs exactly what `rowgraph plan` lists. Stops after a failure until "
               "settings or data change, or the sensor is switched off and on.")
    def _refresh(context: dg.SensorEvaluationContext):
        return refresh(context.instance, environment)

    return _refresh


def refresh(instance: dg.DagsterInstance,
            environment: Environment) -> dg.RunRequest | dg.SkipReason:
    """One tick: a run request for what is out of date, or the reason for none."""
    pull(environment.home, environment.profile.name)
    due = [p for p in plan(environment) if p.action != "current"]
    if not due:
        return dg.SkipReason("everything is up to date")
    if instance.get_runs_count(dg.RunsFilter(statuses=BUSY)):
        return dg.SkipReason("a run is in progress")
    wanted = digest([[p.node.name, p.why] for p in due])[:16]
    last = instance.get_runs(dg.RunsFilter(tags={TAG: wanted}), limit=1)
    if last and last[0].status == dg.DagsterRunStatus.FAILURE:
        return dg.SkipReason(f"run {last[0].run_id} failed on exactly this; fix its cause, then "
                             "launch it by hand or change the profile")
    return dg.RunRequest(asset_selection=[dg.AssetKey(list(p.node.key)) for p in due],
                         tags={TAG: wanted})
