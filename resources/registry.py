"""MLflow's model registry: a registered model a profile and asset, a version a training.

A version has files of its own below `<home>/models`, hard links where the disk can: a training that
is made again replaces the artifact's folder, and must not replace what an older version points to.
"""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from rowgraph.artifacts import Artifact, Key

# The stages whose artifacts are models; a schedule trains them anew.
MODELS = ("bart_checkpoint", "sage_weights", "forecast_weights", "own_past_weights",
          "adapted_model")


def model_name(profile: str, key: Key) -> str:
    """Of the registered model: `rowgraph-<profile>-<stage>`, with database or seed where there are
    several; of a kept model `rowgraph-<profile>-<db>-<task>`, without the database where the
    profile has its name.

    >>> from resources.registry import model_name
    >>> model_name("demo", ("bart_checkpoint",))
    'rowgraph-demo-bart_checkpoint'
    >>> model_name("shop", ("adapted_model", "shop", "churn"))
    'rowgraph-shop-churn'
    """
    parts = key[1:] if key[0] == "adapted_model" else key
    twice = parts[0] == profile.replace("-", "_")
    return "-".join(("rowgraph", profile, *(parts[1:] if twice else parts)))


def training_of(artifact: Artifact) -> str:
    """Which training made it: the Dagster run; equal settings and data trained twice are two."""
    origin = artifact.manifest["origin"]
    return origin.get("dagster_run_id") or artifact.data_version


def known_version(client: Any, model: str, training: str, recipe: str) -> str | None:
    """The version of a training, or None."""
    for known in client.search_model_versions(f"name='{model}'"):
        if (known.tags.get("training"), known.tags.get("recipe")) == (training, recipe):
            return str(known.version)
    return None


def register(client: Any, model: str, profile: str, artifact: Artifact, folder: Path) -> str:
    """Register a training as a version of a model, once; returns the version.

    Args:
        folder: what the version points to.
    """
    from mlflow.exceptions import MlflowException

    training = training_of(artifact)
    if version := known_version(client, model, training, artifact.recipe):
        return version
    with contextlib.suppress(MlflowException):
        client.create_registered_model(model)
    version = client.create_model_version(
        model, folder.resolve().as_uri(), artifact.manifest["origin"].get("mlflow_run_id"),
        tags={"recipe": artifact.recipe, "data_version": artifact.data_version,
              "profile": profile, "training": training})
    return str(version.version)


def files_of(home: Path, model: str, artifact: Artifact) -> Path:
    """A folder with the files of a training that later trainings leave alone."""
    folder = home / "models" / model / training_of(artifact)
    if not folder.exists():
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(artifact.folder, part, copy_function=_link)
        part.rename(folder)
    return folder


def forget_files(home: Path, model: str, keep: set[str]) -> None:
    """Remove the files of all trainings of a model but some."""
    for folder in (home / "models" / model).glob("*"):
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
