"""One run of the planned assets in this process, with progress, and what came of it."""

import logging
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pipeline.environment import Environment
from pipeline.janitor import process_tags, settle
from pipeline.plan import Planned
from rowgraph.artifacts import Key


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
    with environment.instance() as instance:
        if running := settle(instance):
            progress.note(f"{', '.join(running)} is in progress; waiting where it holds the device")
        result = job.execute_in_process(
            instance=instance, run_config=config, raise_on_error=False,
            asset_selection=[dg.AssetKey(list(p.node.key)) for p in chosen],
            tags={"rowgraph/profile": environment.profile.name, **process_tags()})
    return _failures(result, {"__".join(p.node.key): p.node.name for p in chosen})


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


