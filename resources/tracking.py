"""MLflow: one run per materialization, with settings, metrics, artifacts and links both ways.

Our own small resource, because the `dagster-mlflow` one shares a single run among all assets and
leaves failures FINISHED. MLflow being away is a warning unless `strict`.
"""

import contextlib
import fcntl
import math
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from resources.registry import MODELS, register
from resources.tracked_facts import dataset_inputs, run_tags, scores, test_metrics
from rowgraph.artifacts import Artifact
from rowgraph.evaluation.scores import score_rows, variants_of

LOGGED_BYTES = 8 * 2**20  # files larger than this stay in the store


class TrackedRun:
    """One MLflow run; does nothing when MLflow is away."""

    def __init__(self, client: Any, run_id: str | None, experiment_id: str | None = None):
        self.client, self.run_id, self.experiment_id = client, run_id, experiment_id

    @property
    def origin(self) -> dict[str, str]:
        """What an artifact records about the run that made it."""
        if self.run_id is None:
            return {}
        return {"mlflow_run_id": self.run_id, "mlflow_experiment_id": self.experiment_id or "0"}

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log finite metrics at a step."""
        if self.client is None:
            return
        for name, value in metrics.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                self.client.log_metric(self.run_id, name, float(value), step=int(step),
                                       synchronous=False)

    def finish(self, artifact: Artifact) -> None:
        """Log the summary, the small files and, for a checkpoint, a registered model version."""
        if self.client is None:
            return
        flat = {f"summary.{k}": float(v) for k, v in artifact.summary.items()
                if isinstance(v, (int, float)) and math.isfinite(v)}
        metrics, tags = scores(artifact)
        self.log(0, flat)
        log_figures(self.client, self.run_id, metrics)
        for tag, value in {"data_version": artifact.data_version, "folder": str(artifact.folder),
                           **tags}.items():
            self.client.set_tag(self.run_id, tag, value)
        for name, facts in artifact.manifest["files"].items():
            small = facts["bytes"] <= LOGGED_BYTES
            if small and Path(name).suffix in {".json", ".png", ".md", ".html", ".yaml"}:
                self.client.log_artifact(self.run_id, str(artifact.folder / name))
        self.client.log_artifact(self.run_id, str(artifact.folder / "manifest.json"))
        if model := MODELS.get(artifact.key[0]):
            register(self.client, model, artifact, self.run_id)


def log_figures(client: Any, run_id: str, figures: Mapping[str, float]) -> None:
    """Log many metrics of one moment at once."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
    for start in range(0, len(metrics), 1000):  # MLflow takes no more in one call
        client.log_batch(run_id, metrics=metrics[start:start + 1000])


def _tag(client: Any, run_id: str, name: str) -> str | None:
    """A tag of a run, empty where it has none; None where somebody has deleted the run."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).data.tags.get(name, "")
    except MlflowException:
        return None


class TrackingResource(dg.ConfigurableResource):
    """Where runs are logged: `uri` (MLFLOW_TRACKING_URI) or SQLite below `home`."""

    home: str
    uri: str | None = None
    experiment: str = "rowgraph"
    strict: bool = False
    enabled: bool = True
    ui: str = "http://127.0.0.1:5000"
    dagster_ui: str = "http://127.0.0.1:3000"

    @property
    def tracking_uri(self) -> str:
        """The URI in force."""
        return self.uri or f"sqlite:///{Path(self.home).resolve()}/mlflow/mlflow.db"

    def client(self) -> Any:
        """An `MlflowClient`, or None where tracking is off or cannot be reached.

        Raises:
            RuntimeError: it cannot be reached and `strict` is set.
        """
        if not self.enabled:
            return None
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its 7 take minutes
        try:
            return self._connect()
        except Exception as error:
            message = f"MLflow at {self.tracking_uri} cannot be used: {error}"
            if self.strict:
                raise RuntimeError(f"{message}; start it, unset MLFLOW_TRACKING_URI, or set "
                                   "tracking.strict to false") from error
            warnings.warn(f"{message}; this run is not tracked", stacklevel=2)
            return None

    def _connect(self) -> Any:
        from mlflow import MlflowClient

        folder = Path(self.home).resolve() / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "schema.lock", "w") as lock:  # the first use creates the schema
            fcntl.flock(lock, fcntl.LOCK_EX)
            client = MlflowClient(tracking_uri=self.tracking_uri)
            if client.get_experiment_by_name(self.experiment) is None:
                local = None if self.uri else (folder / "artifacts").as_uri()
                client.create_experiment(self.experiment, artifact_location=local)
        return client

    @contextlib.contextmanager
    def run(self, name: str, settings: Mapping[str, Any], tags: Mapping[str, str],
            inputs: Mapping[str, Artifact] | None = None,
            outside: Mapping[str, str] | None = None) -> Iterator[TrackedRun]:
        """A run that ends FINISHED, FAILED on an error, or KILLED on an interruption.

        Args:
            name: of the asset.
            inputs: the upstream artifacts by input name.
            outside: fingerprints of data that no asset made.
        """
        inputs = inputs or {}
        client = self.client()
        if client is None:
            yield TrackedRun(None, None)
            return
        experiment = client.get_experiment_by_name(self.experiment)
        run = client.create_run(
            experiment.experiment_id, run_name=name,
            tags={**run_tags(name, tags, inputs, self.dagster_ui), **tags})
        if made_from := dataset_inputs(inputs, outside or {}):
            client.log_inputs(run.info.run_id, made_from)
        for key, value in settings.items():
            client.log_param(run.info.run_id, key, value)
        try:
            yield TrackedRun(client, run.info.run_id, experiment.experiment_id)
        except Exception:
            client.set_terminated(run.info.run_id, "FAILED")
            raise
        except BaseException:
            client.set_terminated(run.info.run_id, "KILLED")
            raise
        client.set_terminated(run.info.run_id, "FINISHED")

    def url(self, origin: Mapping[str, str]) -> str | None:
        """The page of an artifact's run in the MLflow UI that `rowgraph ui` starts, or the
        server's; None where it was not tracked."""
        if not self.enabled or not origin.get("mlflow_run_id"):
            return None
        base = self.uri if self.uri and self.uri.startswith("http") else self.ui
        experiment = origin.get("mlflow_experiment_id", "0")
        return f"{base}/#/experiments/{experiment}/runs/{origin['mlflow_run_id']}"

    def log_intervals(self, evaluation: Artifact, inputs: Mapping[str, Artifact]) -> None:
        """Give the runs whose predictions were evaluated their figures with intervals, once.

        Args:
            inputs: of the evaluation.
        """
        tag = "evaluation", evaluation.data_version
        runs = {a.manifest["origin"].get("mlflow_run_id"): a for a in inputs.values()}
        client = self.client() if any(runs) else None
        if client is None:
            return
        for run_id, artifact in runs.items():
            if run_id is None or _tag(client, run_id, tag[0]) in (tag[1], None):
                continue
            brought = variants_of(artifact)
            figures = test_metrics(r for r in score_rows(evaluation) if r["variant"] in brought)
            if figures:
                log_figures(client, run_id, figures)
                client.set_tag(run_id, *tag)

    def serve(self, artifact: Artifact, profile: str) -> str | None:
        """Register what `mlflow models serve` needs to answer keys with predictions of a kept
        model; returns its URI, None where MLflow is away."""
        client = self.client()
        if client is None:
            return None
        from resources.served_lists import save_served

        _, database, task = artifact.key
        folder = Path(self.home) / "mlflow" / "served" / database / task / artifact.recipe
        if not (folder / "MLmodel").exists():
            save_served(folder, Path(self.home), profile, database, artifact.folder)
        name = f"rowgraph-{database}-{task}"
        version = register(client, name, artifact, artifact.manifest["origin"].get(
            "mlflow_run_id") or None, folder)
        return f"models:/{name}/{version}"

    def crown(self, checkpoints: Mapping[str, Artifact]) -> None:
        """Give the model versions behind the latest report the alias `champion`."""
        client = self.client()
        if client is None:
            return
        for stage, artifact in checkpoints.items():
            version = register(client, MODELS[stage], artifact,
                               artifact.manifest["origin"].get("mlflow_run_id") or None)
            client.set_registered_model_alias(MODELS[stage], "champion", version)
