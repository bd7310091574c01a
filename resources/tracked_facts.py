"""What an MLflow run says beside its settings: who, which code, made from what, worth what."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from resources.provenance import code_facts, user
from rowgraph.artifacts import Artifact
from rowgraph.evaluation.scores import headlines, score_rows

CHECKPOINTS = ("bart_checkpoint", "sage_weights", "sage_sweep", "forecast_weights",
               "own_past_weights", "adapted_model")
NOT_IN_NAMES = re.compile(r"[^\w\-./ ]")  # of MLflow's metrics


def run_tags(name: str, tags: Mapping[str, str], inputs: Mapping[str, Artifact],
             pages: str) -> dict[str, str]:
    """MLflow's own tags of a run, and the checkpoints that it starts from.

    Args:
        name: of the asset.
        tags: of the run, with `profile` and `dagster_run_id`.
        inputs: the upstream artifacts by input name.
        pages: the address of the Dagster UI.
    """
    code, profile = code_facts(), tags.get("profile", "")
    found = {
        "mlflow.user": user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"rowgraph run --profile {profile} --select {name}",
        "mlflow.source.git.commit": code["commit"],
        "mlflow.source.git.dirty": None if code["dirty"] is None else str(code["dirty"]).lower(),
        "mlflow.note.content": _note(name, tags, inputs, pages)}
    for upstream, artifact in inputs.items():
        if artifact.key[0] in CHECKPOINTS:
            found[f"upstream.{upstream}.data_version"] = artifact.data_version
            found[f"upstream.{upstream}.mlflow_run_id"] = artifact.manifest["origin"].get(
                "mlflow_run_id")
    return {tag: value for tag, value in found.items() if value}


def _note(name: str, tags: Mapping[str, str], inputs: Mapping[str, Artifact], pages: str) -> str:
    """Where to go from the run's page, as Markdown."""
    lines = [f"Asset [{name}]({asset_page(pages, name)}) of the profile "
             f"{tags.get('profile', '')}, made in this "
             f"[Dagster run]({pages}/runs/{tags.get('dagster_run_id', '')})."]
    if inputs:
        lines.append(f"Made from {', '.join(_linked(a, pages) for a in inputs.values())}.")
    return "\n\n".join(lines)


def _linked(artifact: Artifact, pages: str) -> str:
    name, origin = "/".join(artifact.key), artifact.manifest["origin"]
    link = f"[{name}]({asset_page(pages, name)})"
    if run := origin.get("mlflow_run_id"):
        link += f" ([run](#/experiments/{origin.get('mlflow_experiment_id', '0')}/runs/{run}))"
    return link


def asset_page(pages: str, name: str) -> str:
    """The address of an asset's page in the Dagster UI; `pages` may be empty for a link in it."""
    return f"{pages}/assets/{name}"


def dataset_inputs(inputs: Mapping[str, Artifact], outside: Mapping[str, str]) -> list[Any]:
    """What a run is made from as MLflow datasets: the asset's name, its data version as digest,
    its folder as source; data that no asset made by its fingerprint."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = [("/".join(a.key), a.data_version, str(a.folder), name) for name, a in inputs.items()]
    found += [(name, fingerprint, "", name) for name, fingerprint in outside.items()]
    return [DatasetInput(Dataset(name, digest[:36], "local", json.dumps({"uri": uri})),
                         [InputTag("mlflow.data.context", context)])
            for name, digest, uri, context in found]


def test_metrics(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Score rows (`rowgraph.evaluation.scores`) as MLflow metrics.

    `test.<regime>.<variant>.<metric>`, and `.std`, `.ci_low` and `.ci_high` of it where they are
    known.
    """
    found = {}
    for row in rows:
        name = NOT_IN_NAMES.sub("_", f"test.{row['regime']}.{row['variant']}.{row['metric']}")
        found |= {name: row["mean"], **{f"{name}.{part}": row[part]
                                        for part in ("std", "ci_low", "ci_high")}}
    return {name: float(value) for name, value in found.items()
            if value is not None and math.isfinite(value)}


def scores(artifact: Artifact) -> tuple[dict[str, float], dict[str, str]]:
    """What an artifact was worth as metrics and tags of its run; nothing where it has no scores.

    Beside every figure one to sort runs by, `test_<metric>`: that of `frozen_db` where that regime
    was measured, as leaderboards have it; the tags say whose it is.
    """
    if artifact.key[0] == "report":  # its figures are of many tasks, and of other runs
        return {}, {}
    metrics, tags = test_metrics(score_rows(artifact)), {}
    for row in sorted(headlines(artifact), key=lambda row: row["regime"] != "frozen_db")[:1]:
        metrics[f"test_{row['metric']}"] = float(row["mean"])
        tags = {"test.regime": row["regime"], "test.variant": row["variant"]}
    return metrics, tags
