"""Assets of a profile, resources, jobs, schedule and sensor, put together."""

from collections.abc import Iterable

import dagster as dg

from assets import build_assets, build_checks
from pipeline.environment import Environment
from pipeline.ray_steps import ray_executor_of
from pipeline.refresh import refresh_out_of_date
from pipeline.schedules import jobs, schedules
from resources.compute import ComputeResource
from resources.databases import DatabasesResource
from resources.progress import ProgressResource
from resources.store import HandleIOManager, StoreResource
from resources.tracking import TrackingResource

# A step's process starts from a server that has these loaded: about two seconds, not ten.
PRELOADED = ["torch", "torch_geometric", "transformers.models.bart.modeling_bart", "assets"]


def build_definitions(environment: Environment, progress: object | None = None,
                      tracked: bool = True,
                      sensors: Iterable[dg.SensorDefinition] = ()) -> dg.Definitions:
    """The definitions of a profile in a home.

    Args:
        progress: hears what is made; None is silent.
        tracked: whether MLflow runs are logged.
        sensors: further ones.
    """
    home, profile = str(environment.home), environment.profile
    executor = dg.multiprocess_executor.configured(
        {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": PRELOADED}}})
    if profile.compute.engine == "ray" and profile.ray.address != "local":
        executor = ray_executor_of(environment)
    return dg.Definitions(
        assets=build_assets(profile),
        asset_checks=build_checks(profile),
        jobs=jobs(profile),
        schedules=schedules(profile),
        sensors=[refresh_out_of_date(environment), *sensors],
        executor=executor,
        resources={
            "io_manager": HandleIOManager(home=home, profile=profile.name),
            "store": StoreResource(home=home, profile=profile.name),
            "databases": DatabasesResource(
                folder=str(environment.databases) if environment.databases else None,
                hub=environment.hub, profile_folders=list(profile.folders)),
            "compute": ComputeResource(home=home, device=profile.compute.device,
                                       threads=profile.compute.threads,
                                       processes=profile.compute.processes,
                                       engine=profile.compute.engine,
                                       ray_address=profile.ray.address,
                                       ray_workers=profile.ray.workers,
                                       ray_fewest=profile.ray.fewest),
            "tracking": TrackingResource(  # by the variable's name: the UI shows what is given here
                home=home, enabled=tracked, ui=environment.mlflow_ui, dagster_ui=environment.ui,
                uri=dg.EnvVar("MLFLOW_TRACKING_URI") if environment.tracking_uri else None),
            "progress": progress or ProgressResource(),
        },
    )
