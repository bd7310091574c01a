"""MLflow: one run per materialization, with settings, metrics, artifacts and links both ways.

Our own small resource, because the `dagster-mlflow` one shares a single run among all assets and
leaves failures FINISHED. MLflow being away is a warning unless `strict`.
"""

import contextlib
import fcntl
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from resources.registry import (
    MODELS,
    files_of,
    forget_files,
    known_version,
    model_name,
    register,
)
from rowgraph.artifacts import Artifact

LOGGED_BYTES = 8 * 2**20  # files larger than this stay in the store


class TrackedRun:
    """One MLflow run; does nothing when MLflow is away."""

    def __init__(self, client: Any, run_id: str | None, experiment_id: str | None = None,
                 register: Callable[[Artifact], object] | None = None):
        self.client, self.run_id, self.experiment_id = client, run_id, experiment_id
        self.register = register

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
        self.log(0, flat)
        self.client.set_tag(self.run_id, "data_version", artifact.data_version)
        self.client.set_tag(self.run_id, "folder", str(artifact.folder))
        for name, facts in artifact.manifest["files"].items():
            small = facts["bytes"] <= LOGGED_BYTES
            if small and Path(name).suffix in {".json", ".png", ".md", ".html", ".yaml"}:
                self.client.log_artifact(self.run_id, str(artifact.folder / name))
        self.client.log_artifact(self.run_id, str(artifact.folder / "manifest.json"))
        if self.register and artifact.key[0] in MODELS:
            self.register(artifact)


class TrackingResource(dg.ConfigurableResource):
    """Where runs are logged: `uri` (MLFLOW_TRACKING_URI) or SQLite below `home`."""

    home: str
    uri: str | None = None
    experiment: str = "rowgraph"
    strict: bool = False
    enabled: bool = True
    ui: str = "http://127.0.0.1:5000"

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
            ) -> Iterator[TrackedRun]:
        """A run that ends FINISHED, FAILED on an error, or KILLED on an interruption."""
        client = self.client()
        if client is None:
            yield TrackedRun(None, None)
            return
        experiment = client.get_experiment_by_name(self.experiment)
        run = client.create_run(experiment.experiment_id, run_name=name, tags=dict(tags))
        for key, value in settings.items():
            client.log_param(run.info.run_id, key, value)
        try:
            yield TrackedRun(client, run.info.run_id, experiment.experiment_id,
                             lambda one: self._version(client, tags.get("profile", ""), one))
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

    def versions(self, profile: str, models: Mapping[str, Artifact]) -> dict[str, str]:
        """The versions of some trained models of a profile, each registered once a training, by
        the models' names; none where MLflow is away."""
        client = self.client()
        return {} if client is None else {
            name: self._version(client, profile, model) for name, model in models.items()}

    def _version(self, client: Any, profile: str, artifact: Artifact) -> str:
        name = model_name(profile, artifact.key)
        files = files_of(Path(self.home), name, artifact)
        if artifact.key[0] != "adapted_model":
            return register(client, name, profile, artifact, files)
        from resources.served_lists import save_served

        served = files / "served"
        if not (served / "MLmodel").exists():
            save_served(served, Path(self.home), profile, artifact.key[1], files)
        return register(client, name, profile, artifact, served)

    def serve(self, artifact: Artifact, profile: str) -> str | None:
        """Register what `mlflow models serve` needs to answer keys with predictions of a kept
        model; returns its URI, None where MLflow is away."""
        name = model_name(profile, artifact.key)
        version = self.versions(profile, {name: artifact}).get(name)
        return version and f"models:/{name}/{version}"

    def crown(self, profile: str, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Bring alias and tags of the model registry in line with what was decided.

        Args:
            records: by asset, as `resources.champions` keeps them.
        """
        client = self.client()
        if client is None:
            return
        from mlflow.exceptions import MlflowException

        try:
            for asset, record in records.items():
                self._crown(client, model_name(profile, tuple(asset.split("/"))), record)
        except MlflowException as error:
            if self.strict:
                raise
            warnings.warn(f"MLflow could not be told who is champion: {error}; the next report "
                          "tells it", stacklevel=2)

    def _crown(self, client: Any, model: str, record: Mapping[str, Any]) -> None:
        champion, latest, decision = record["champion"], record["latest"], record["decision"]
        version = known_version(client, model, champion["training"], champion["recipe"])
        if version is None:
            warnings.warn(f"{model}: the champion of run {champion['training']} has no version, "
                          "since MLflow was away then; the alias stays where it is", stacklevel=2)
        else:
            client.set_registered_model_alias(model, "champion", version)
        judged = known_version(client, model, decision["training"], decision["recipe"])
        for tag in ("decision", "reason", "unchanged", "against") if judged else ():
            client.set_model_version_tag(model, judged, tag, str(decision[tag]).lower()
                                         if tag == "unchanged" else decision[tag] or "none")
        forget_files(Path(self.home), model, {champion["training"], latest["training"]})
