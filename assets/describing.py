"""What an asset's page says about what was made: from what, by which code, how good, how large."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.tables import score_table, table_metadata
from resources.provenance import code_in_words
from resources.tracked_facts import asset_page
from resources.tracking import TrackingResource
from rowgraph.artifacts import Artifact

CURVES = 6  # sparklines on a page; the plot has all


def metadata_of(artifact: Artifact, inputs: Mapping[str, Artifact], reused: bool, seconds: float,
                peak: float, tracking: TrackingResource) -> dict[str, Any]:
    """Metadata of a materialization.

    Args:
        inputs: the upstream artifacts by input name.
        reused: whether it was found finished.
        seconds: that this materialization took.
        peak: memory of its process, MiB.
    """
    notes = artifact.folder / "notes"
    metadata: dict[str, Any] = {}  # what a person looks for stands first: Dagster keeps the order
    for page in sorted(notes.glob("*.html")):
        metadata[f"{page.stem}_page"] = dg.MetadataValue.path(str(page))
    if url := tracking.url(artifact.manifest["origin"]):
        metadata["mlflow_run"] = dg.MetadataValue.url(url)
    metadata |= _curves(artifact.folder)
    for figure in sorted(notes.glob("*.png")):
        metadata[f"figure_{figure.stem}"] = dg.MetadataValue.md(_inline(figure))
    metadata |= {
        **_scores(artifact),
        **_made_from(artifact, inputs),
        **_made_by(artifact),
        "size_mib": round(artifact.size / 2**20, 2),
        "folder": dg.MetadataValue.path(str(artifact.folder)),
        "recipe": artifact.recipe,
        "reused": reused,
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(peak, 1),
        **table_metadata(artifact)}
    for name, value in artifact.summary.items():
        simple = isinstance(value, (int, float, str, bool))
        metadata.setdefault(name, value if simple else _table_of(value)
                            or dg.MetadataValue.json(value))
    return metadata | {"settings": dg.MetadataValue.json(artifact.manifest["settings"])}


def worth_of(checkpoint: Artifact, report: Artifact) -> dg.AssetObservation:
    """What a checkpoint turned out to be worth, for its own page: it was made long before."""
    from rowgraph.evaluation.scores import score_rows
    from rowgraph.tasks.kinds import PRIMARY

    rows = [row for row in score_rows(report) if row["variant"].startswith("bart")]
    return dg.AssetObservation(list(checkpoint.key), metadata={
        "of_data_version": checkpoint.data_version,
        "worth": score_table(rows, PRIMARY) or "no task asks for it",
        "report": dg.MetadataValue.asset(dg.AssetKey(list(report.key)))})


def _made_from(artifact: Artifact, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """The data versions that it was made from, and links to their pages: a table of Dagster's
    holds text alone."""
    rows = [{"asset": "/".join(up.key), "data version": up.data_version[:12], "recipe": up.recipe,
             "MiB": round(up.size / 2**20, 2)} for up in inputs.values()]
    rows += [{"asset": f"{name} (of no asset)", "data version": fingerprint[:12], "recipe": "",
              "MiB": 0.0}
             for name, fingerprint in artifact.manifest["inputs"].items() if name not in inputs]
    links = [f"[{name}]({asset_page('', name)})" for name in ("/".join(up.key)
                                                              for up in inputs.values())]
    found: dict[str, Any] = {
        "made_from": dg.MetadataValue.table([dg.TableRecord(row) for row in rows])}
    if links:
        found["made_from_pages"] = dg.MetadataValue.md(" · ".join(links))
    return found


def _made_by(artifact: Artifact) -> dict[str, Any]:
    """Code, libraries, device and run; what older artifacts did not record is left out."""
    origin = artifact.manifest["origin"]
    libraries = ", ".join(f"{n} {v}" for n, v in artifact.manifest["libraries"].items())
    found: dict[str, Any] = {"code": code_in_words(origin.get("code")), "libraries": libraries}
    if python := (origin.get("code") or {}).get("python"):
        found["libraries"] = f"Python {python}, {libraries}"
    if made_at := origin.get("made_at"):
        found["made_at"] = dg.MetadataValue.timestamp(datetime.fromisoformat(made_at))
    if run := origin.get("dagster_run_id"):
        found["made_by_run"] = dg.MetadataValue.dagster_run(run)
    if "seconds" in origin:
        found["made_in_seconds"] = origin["seconds"]
    if "device" in origin:
        found["device"] = origin["device"]
    return found


def _scores(artifact: Artifact) -> dict[str, Any]:
    from rowgraph.evaluation.scores import score_rows
    from rowgraph.tasks.kinds import PRIMARY

    table = score_table(score_rows(artifact), PRIMARY)
    return {} if table is None else {"results": table}


def _curves(folder: Path) -> dict[str, str]:
    """Losses of a training as text: `█▅▃▂▁ 6.43 → 6.02, 120 points`."""
    if not any((folder / name).exists() for name in ("curves.parquet", "curves.json")):
        return {}
    from rowgraph.figures import read_curves, sparkline

    lines: dict[str, list[float]] = {}
    for point in read_curves(folder):
        which = "".join(f"_{point[name]}" for name in ("end", "seed") if name in point)
        for name, value in point.items():
            if "loss" in name and value is not None:
                lines.setdefault(f"curve_{name}{which}", []).append(value)
    return {name: f"{sparkline(values)} {values[0]:.4g} → {values[-1]:.4g}, {len(values)} points"
            for name, values in list(lines.items())[:CURVES] if len(values) > 1}


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
