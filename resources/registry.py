"""MLflow's model registry: versions of checkpoints."""

import contextlib
from pathlib import Path
from typing import Any

from rowgraph.artifacts import Artifact

MODELS = {"bart_checkpoint": "rowgraph-bart", "sage_weights": "rowgraph-sage"}


def register(client: Any, model: str, artifact: Artifact, run_id: str | None,
             folder: Path | None = None) -> str:
    """Register an artifact as a version of a model, once; returns the version.

    Args:
        folder: what the version points to; None is the artifact's own.
    """
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):
        client.create_registered_model(model)
    for known in client.search_model_versions(f"name='{model}'"):
        if known.tags.get("recipe") == artifact.recipe:
            return known.version
    source = (folder or artifact.folder).resolve().as_uri()
    version = client.create_model_version(model, source, run_id,
                                          tags={"recipe": artifact.recipe,
                                                "data_version": artifact.data_version})
    return version.version
