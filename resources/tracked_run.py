"""One MLflow run: what is logged of a materialization."""

import functools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resources.interrupts import deferred
from resources.registry import MODELS
from resources.tracked_facts import scores
from rowgraph.artifacts import Artifact

LOGGED_BYTES = 8 * 2**20  # files larger than this stay in the store
AT_ONCE = 100  # parameters or tags that MLflow takes in one call


def tolerant(method: Callable) -> Callable:
    """A method whose failures are told to its object's `lost`: what is made goes on without."""
    @functools.wraps(method)
    def _method(self: Any, *args: Any, **named: Any) -> Any:
        try:
            with deferred():
                return method(self, *args, **named)
        except Exception as error:
            self.lost(error)

    return _method


class TrackedRun:
    """One MLflow run; does nothing when MLflow is away.

    Args:
        say: hears why MLflow failed; may raise.
        register: makes a version of a model of what was trained.
    """

    def __init__(self, client: Any, run_id: str | None, experiment_id: str | None = None,
                 say: Callable[[Exception], None] | None = None,
                 register: Callable[[Artifact], object] | None = None):
        self.client, self.run_id, self.experiment_id = client, run_id, experiment_id
        self.say, self.register = say, register

    def lost(self, error: Exception) -> None:
        """MLflow failed: go on without it."""
        self.client = None
        if self.say:
            self.say(error)

    @property
    def origin(self) -> dict[str, str]:
        """What an artifact records about the run that made it."""
        if self.run_id is None:
            return {}
        return {"mlflow_run_id": self.run_id, "mlflow_experiment_id": self.experiment_id or "0"}

    @tolerant
    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log finite metrics at a step."""
        if self.client is None:
            return
        for name, value in metrics.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                self.client.log_metric(self.run_id, name, float(value), step=int(step),
                                       synchronous=False)

    @tolerant
    def finish(self, artifact: Artifact) -> None:
        """Log the summary, the small files and, for a checkpoint, a registered model version."""
        if self.client is None:
            return
        flat = {f"summary.{k}": float(v) for k, v in artifact.summary.items()
                if isinstance(v, (int, float)) and math.isfinite(v)}
        metrics, tags = scores(artifact)
        self.log(0, flat)
        log_figures(self.client, self.run_id, metrics)
        log_words(self.client, self.run_id, "tags", {
            "data_version": artifact.data_version, "folder": str(artifact.folder), **tags})
        for name, facts in artifact.manifest["files"].items():
            small = facts["bytes"] <= LOGGED_BYTES
            if small and Path(name).suffix in {".json", ".png", ".md", ".html", ".yaml"}:
                self.client.log_artifact(self.run_id, str(artifact.folder / name))
        self.client.log_artifact(self.run_id, str(artifact.folder / "manifest.json"))
        if self.register and artifact.key[0] in MODELS:
            self.register(artifact)

    @tolerant
    def end(self, status: str) -> None:
        """Close it as FINISHED, FAILED or KILLED."""
        if self.client is None:
            return
        try:
            self.client.set_terminated(self.run_id, status)
        except Exception:
            raise
        except BaseException:  # interrupted while it is closed: close it all the same
            self.client.set_terminated(self.run_id, status)
            raise


def log_figures(client: Any, run_id: str, figures: Mapping[str, float]) -> None:
    """Log many metrics of one moment at once."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
    for start in range(0, len(metrics), 1000):  # MLflow takes no more in one call
        client.log_batch(run_id, metrics=metrics[start:start + 1000])


def log_words(client: Any, run_id: str, kind: str, words: Mapping[str, Any]) -> None:
    """Log `params` or `tags` in few calls: each is a transaction."""
    from mlflow.entities import Param, RunTag

    make = {"params": Param, "tags": RunTag}[kind]
    found = [make(name, str(value)) for name, value in words.items()]
    for start in range(0, len(found), AT_ONCE):
        client.log_batch(run_id, **{kind: found[start:start + AT_ONCE]})
