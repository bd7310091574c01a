"""What every asset does around its one call into the science.

Settings from the Launchpad or the profile, the recipe, reuse of what is finished, one MLflow run,
progress, metadata for a reader and the content digest as data version.
"""

import resource
import time
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from assets.catalog import AssetNode
from resources.progress import ProgressResource
from resources.store import StoreResource
from resources.tracking import TrackingResource
from rowgraph.artifacts import Artifact, ArtifactError, Draft, recipe_of
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.settings import Section

GPU_POOL = "gpu"
Log = Callable[[int, Mapping[str, float]], None]
Make = Callable[[Draft, Any, Log], Mapping[str, Any]]

_SCALARS = {int: dg.Int, float: dg.Float, str: dg.String, bool: dg.Bool}


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


def launchpad_schema(section: Section) -> dict[str, dg.Field]:
    """The section as Dagster config: every field optional, pre-filled with the profile's value."""
    values = section.model_dump(mode="json")
    names = values
    if isinstance(section, DatabaseSettings):
        names = {**section.effective(), "knowledge": section.knowledge}
    hints = typing.get_type_hints(type(section))
    schema = {"force": dg.Field(bool, default_value=False, is_required=False,
                                description="Make it again even if it is finished.")}
    for name in names:
        schema[name] = dg.Field(_config_type(hints[name]), default_value=values[name],
                                is_required=False)
    return schema


def _config_type(hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return dg.Noneable(_config_type(next(a for a in args if a is not type(None))))
    if origin is dict:
        return dg.Permissive()
    if origin is typing.Annotated:
        return _config_type(args[0])
    if origin is tuple:
        return [_config_type(args[0])]
    if origin is typing.Literal:
        return dg.String
    if isinstance(hint, type) and issubclass(hint, Section):
        return dg.Permissive()
    return _SCALARS[hint]


def settings_of(context: dg.AssetExecutionContext, node: AssetNode) -> tuple[Any, bool]:
    """The effective settings section of this run, and whether `force` is set."""
    config = dict(context.op_execution_context.op_config or {})
    force = config.pop("force", False)
    settings = type(node.section).model_validate({**node.section.model_dump(), **config})
    return settings, force


def build(context: dg.AssetExecutionContext, node: AssetNode, inputs: Mapping[str, Artifact],
          make: Make, outside: Mapping[str, str] | None = None) -> dg.Output[Artifact]:
    """Make or reuse the artifact of an asset, tracked and described.

    Args:
        inputs: the upstream artifacts by input name.
        make: gets the draft, the settings and `log`; returns the summary.
        outside: fingerprints of data that no asset made.
    """
    store: StoreResource = context.resources.store
    tracking: TrackingResource = context.resources.tracking
    progress: ProgressResource = context.resources.progress
    settings, force = settings_of(context, node)
    versions = {**{n: a.data_version for n, a in inputs.items()}, **(outside or {})}
    effective = settings.effective()
    recipe = recipe_of(node.stage, node.revision, effective, versions)
    started = time.perf_counter()
    _reset_peak_memory()
    reusable = not force and store.open().usable(node.key, recipe) is not None
    if reusable:
        artifact, _ = store.open().build(node.key, node.revision, effective, versions, _never)
    else:
        progress.start(node.name)
        tags = {"asset": node.name, "profile": store.profile, "recipe": recipe,
                "code_version": context.assets_def.code_versions_by_key[context.asset_key] or "",
                "dagster_run_id": context.run_id}
        with tracking.run(node.name, effective, tags) as tracked:
            def log(step: int, metrics: Mapping[str, float]) -> None:
                tracked.log(step, metrics)
                progress.update(step, metrics)

            artifact, _ = store.open().build(
                node.key, node.revision, effective, versions,
                lambda draft: make(draft, settings, log), force=force,
                origin=lambda: {
                    "dagster_run_id": context.run_id, **tracked.origin,
                    "seconds": round(time.perf_counter() - started, 1),
                    "peak_mib": round(_peak_memory_mib())})
            tracked.finish(artifact)
    seconds = time.perf_counter() - started
    peak = _peak_memory_mib()
    progress.finish(node.name, reused=reusable, seconds=seconds, peak_mib=peak)
    return dg.Output(
        artifact,
        data_version=dg.DataVersion(artifact.data_version),
        metadata=_metadata(artifact, reusable, seconds, peak, tracking),
        tags=None if effective == node.section.effective() else {
            "dagster/code_version": f"launchpad-{recipe[:8]}"},
    )


def _never(draft: Draft) -> Mapping[str, Any]:
    raise ArtifactError(f"{draft.folder}: a finished artifact disappeared while it was being "
                        "reused; run again")


def _metadata(artifact: Artifact, reused: bool, seconds: float, peak: float,
              tracking: TrackingResource) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "recipe": artifact.recipe,
        "folder": dg.MetadataValue.path(str(artifact.folder)),
        "reused": reused,
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(peak, 1),
        "settings": dg.MetadataValue.json(artifact.manifest["settings"]),
    }
    for name, value in artifact.summary.items():
        simple = isinstance(value, (int, float, str, bool))
        metadata[name] = value if simple else _table_of(value) or dg.MetadataValue.json(value)
    if url := tracking.url(artifact.manifest["origin"]):
        metadata["mlflow_run"] = dg.MetadataValue.url(url)
    for figure in sorted((artifact.folder / "notes").glob("*.png")):
        metadata[f"figure_{figure.stem}"] = dg.MetadataValue.md(_inline(figure))
    return metadata


def _table_of(value: Any) -> dg.MetadataValue | None:
    """Facts by name (of a table, a database) as a table for people; None for anything else."""
    rows = list(value.values()) if isinstance(value, dict) else []
    if not rows or any(not isinstance(r, dict) or list(r) != list(rows[0]) for r in rows):
        return None
    if any(isinstance(cell, (dict, list)) for row in rows for cell in row.values()):
        return None
    return dg.MetadataValue.table(
        [dg.TableRecord({"name": name, **row}) for name, row in value.items()])


def _inline(figure: Path) -> str:
    import base64

    data = base64.b64encode(figure.read_bytes()).decode()
    return f"![{figure.stem}](data:image/png;base64,{data})"


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
