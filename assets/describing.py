"""What an asset's page says about what was made: metadata for a reader."""

from pathlib import Path
from typing import Any

import dagster as dg

from resources.tracking import TrackingResource
from rowgraph.artifacts import Artifact


def metadata_of(artifact: Artifact, reused: bool, seconds: float, peak: float,
                tracking: TrackingResource) -> dict[str, Any]:
    """Metadata of a materialization.

    Args:
        reused: whether it was found finished.
        seconds: that this materialization took.
        peak: memory of its process, MiB.
    """
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
