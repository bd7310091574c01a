"""What every asset does around its one call into the science.

Settings from the Launchpad or the profile, the recipe, reuse of what is finished, one MLflow run,
progress, metadata for a reader and the content digest as data version.
"""

import resource
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.catalog import AssetNode
from assets.describing import metadata_of
from assets.launchpad import launchpad_schema, settings_of
from assets.reporting import Reporting, explained
from resources.interrupts import heeded
from resources.progress import ProgressResource
from resources.provenance import code_facts
from resources.store import StoreResource
from resources.tracking import TrackingResource
from rowgraph.artifacts import Artifact, ArtifactError, Draft, recipe_of
from rowgraph.progress import Log

GPU_POOL = "gpu"
Make = Callable[[Draft, Any, Log], Mapping[str, Any]]


def spec(node: AssetNode, code_version: str, description: str, **extra: Any) -> dict[str, Any]:
    """Arguments of `@dg.asset` that every asset shares."""
    return {
        "key": list(node.key),
        "group_name": node.stage,
        "description": description,
        "code_version": code_version,
        "config_schema": launchpad_schema(node.section),
        "ins": {name: dg.AssetIn(list(up)) for name, up in node.inputs.items()},
        **extra,
    }


@explained()
def build(context: dg.AssetExecutionContext, node: AssetNode, inputs: Mapping[str, Artifact],
          make: Make, outside: Mapping[str, str] | None = None,
          again: bool = False) -> dg.Output[Artifact]:
    """Make or reuse the artifact of an asset, tracked and described.

    Args:
        inputs: the upstream artifacts by input name.
        make: gets the draft, the settings and `log`; returns the summary.
        outside: fingerprints of data that no asset made.
        again: make it even if it is finished, as `force` does.
    """
    store: StoreResource = context.resources.store
    tracking: TrackingResource = context.resources.tracking
    progress: ProgressResource = context.resources.progress
    settings, force = settings_of(context, node)
    force = force or again
    versions = {**{n: a.data_version for n, a in inputs.items()}, **(outside or {})}
    effective, usual = settings.effective(), node.section.effective()
    changed = {name: value for name, value in effective.items() if value != usual[name]}
    if changed:
        context.instance.add_run_tags(context.run_id, {
            f"overridden/{node.name}": ", ".join(f"{k}={v}" for k, v in changed.items())})
    recipe = recipe_of(node.stage, node.revision, effective, versions)
    started = time.perf_counter()
    _reset_peak_memory()
    reusable = not force and store.open().here(node.key, recipe) is not None
    if reusable:
        artifact, _ = store.open().build(node.key, node.revision, effective, versions, _never)
    else:
        tags = {"asset": node.name, "profile": store.profile, "recipe": recipe,
                "code_version": context.assets_def.code_versions_by_key[context.asset_key] or "",
                "dagster_run_id": context.run_id}
        with heeded(), tracking.run(
                node.name, effective, tags, inputs, outside) as tracked, Reporting(
                context, node.name, tracked, progress, tracking.url(tracked.origin)) as log:
            artifact, _ = store.open().build(
                node.key, node.revision, effective, versions,
                lambda draft: make(draft, settings, log), force=force,
                origin=lambda: {
                    "dagster_run_id": context.run_id, **tracked.origin, **_circumstances(context),
                    "seconds": round(time.perf_counter() - started, 1),
                    "peak_mib": round(_peak_memory_mib())})
            tracked.finish(artifact)
    seconds = time.perf_counter() - started
    peak = _peak_memory_mib()
    progress.finish(node.name, reused=reusable, seconds=seconds, peak_mib=peak)
    return dg.Output(
        artifact,
        data_version=dg.DataVersion(artifact.data_version),
        metadata=metadata_of(artifact, inputs, reusable, seconds, peak, tracking),
        tags={"dagster/code_version": f"launchpad-{recipe[:8]}"} if changed else None,
    )


def _circumstances(context: dg.AssetExecutionContext) -> dict[str, Any]:
    """When, with which code and on which device; part of no recipe and no content."""
    compute = getattr(context.resources, "compute", None)
    return {"made_at": datetime.now(UTC).isoformat(timespec="seconds"), "code": code_facts(),
            "device": compute.described() if compute else "cpu"}


def _never(draft: Draft) -> Mapping[str, Any]:
    raise ArtifactError(f"{draft.folder}: a finished artifact disappeared while it was being "
                        "reused; run again")


def _reset_peak_memory() -> None:
    try:  # Linux: a 5 resets the high-water mark of this process
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory_mib() -> float:
    """The high-water mark of resident memory since the last reset (or of the process), MiB."""
    try:
        status = Path("/proc/self/status").read_text()
        line = next(row for row in status.splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
