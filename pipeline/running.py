"""One run of the planned assets in this process, with progress, and what came of it."""

import contextlib
import logging
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pipeline.environment import Environment
from pipeline.home import HomeError
from pipeline.janitor import process_tags, settle
from pipeline.plan import Planned, plan
from resources.cluster import ClusterError, connected
from resources.tracking import TrackingResource
from rowgraph.artifacts import ArtifactError, DiskFullError, Key
from rowgraph.disk import free_text, is_full

FULL = DiskFullError.__name__


@dataclass(frozen=True)
class Failure:
    """An asset that failed, and why."""

    asset: str
    error: str


def run(environment: Environment, chosen: list[Planned], forced: set[tuple[str, ...]],
        progress: Any, tracked: bool = True,
        settings: Mapping[Key, Mapping[str, Any]] | None = None) -> list[Failure]:
    """Materialize assets in order.

    A failed asset stops what hangs on it; the rest goes on, and whatever is finished stays.

    Args:
        chosen: assets to materialize; their other upstreams must be finished.
        forced: keys to make again although they are finished.
        progress: hears what is made.
        settings: by key, what differs from the profile in this run alone.

    Returns:
        The failures, empty when all went well.

    Raises:
        ClusterError: the profile's engine is Ray, and no cluster can be had.
    """
    from pipeline.assembly import build_definitions

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    for chatty in ("alembic", "mlflow"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    job = build_definitions(environment, progress, tracked).resolve_implicit_global_asset_job_def()
    config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    changed = {key: {"force": True} for key in forced}
    for key, some in (settings or {}).items():
        changed[key] = {**changed.get(key, {}), **some}
    if changed:
        config["ops"] = {"__".join(key): {"config": dict(some)} for key, some in changed.items()}
    tracking = TrackingResource(home=str(environment.home), uri=environment.tracking_uri,
                                enabled=tracked)
    names = {"__".join(p.node.key): p.node.name for p in chosen}
    try:
        with (_notes(progress), _ended_as_interrupted(), _engine(environment),
              environment.instance() as instance):
            if running := settle(instance, tracking):
                progress.note(f"{', '.join(running)} is in progress; "
                              "waiting where it holds the device")
            result = job.execute_in_process(
                instance=instance, run_config=config, raise_on_error=False,
                asset_selection=[dg.AssetKey(list(p.node.key)) for p in chosen],
                tags={"rowgraph/profile": environment.profile.name, **process_tags()})
        failures = _failures(result, names)
    except (HomeError, ClusterError):
        raise
    except Exception as error:  # Dagster's own records may find no room
        if isinstance(error, ArtifactError) or not is_full(error, environment.home):
            raise
        failures = [Failure("run", f"{FULL}: {environment.home}: the disk is full "
                            f"({free_text(environment.home)}); free space or set ROWGRAPH_HOME "
                            "to a larger disk, then run again: what is finished is kept")]
    if any(failure.error.startswith(FULL) for failure in failures):
        progress.note(_room(environment))
    return failures


@contextlib.contextmanager
def _engine(environment: Environment) -> Iterator[None]:
    """One connection for all assets, so that the cluster's workers keep what they have loaded."""
    profile = environment.profile
    with (connected(profile.ray.address, environment.home) if profile.compute.engine == "ray"
          else contextlib.nullcontext()):
        yield


@contextlib.contextmanager
def _notes(progress: Any) -> Iterator[None]:
    """What RowGraph logs, such as what it waits for, as notes of the progress."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: progress.note(record.getMessage())
    logger = logging.getLogger("rowgraph")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """SIGTERM does as Ctrl-C does, between steps too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _room(environment: Environment) -> str:
    """How much room the rest of the plan takes."""
    from pipeline.costing import costs_of

    known = [e for e in costs_of(environment, plan(environment)).estimates.values() if e]
    stays = sum(e.disk.value for e in known)
    meanwhile = max((e.meanwhile.value for e in known), default=0)
    return (f"By `rowgraph plan`, what is left to make takes about {stays / 1e6:,.0f} MB and, "
            f"while it is made, {meanwhile / 1e6:,.0f} MB more; Dagster's and MLflow's records "
            "come on top.")


def _failures(result: dg.ExecuteInProcessResult, names: dict[str, str]) -> list[Failure]:
    found = []
    events = result.filter_events(lambda event: event.is_step_failure)
    for event in events:
        error = event.step_failure_data.error
        while error.cause is not None:
            error = error.cause
        message = re.sub(rf"^[\w.]*{error.cls_name}: ", "", error.message.strip())
        if error.cls_name == "DagsterExecutionInterruptedError":
            message = "interrupted; the next run continues from its last checkpoint"
        found.append(Failure(names.get(event.step_key, event.step_key),
                             f"{error.cls_name}: {message}"))
    if not result.success and not found:
        found.append(Failure("run", "did not finish; see the Dagster UI for its log"))
    return found


