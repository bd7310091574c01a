"""MLflow: one run per materialization, with settings, metrics, artifacts and links both ways.

Our own small resource, because the `dagster-mlflow` one shares a single run among all assets and
leaves failures FINISHED. MLflow being away, from the start or suddenly, is one warning, and what
is made is not tracked, unless `strict`.
"""

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from resources.interrupts import deferred
from resources.registry import files_of, forget_files, known_version, model_name, register
from resources.tracked_facts import dataset_inputs, run_tags, test_metrics
from resources.tracked_run import TrackedRun, log_figures, log_words, tolerant
from rowgraph.artifacts import Artifact
from rowgraph.evaluation.scores import score_rows, variants_of
from rowgraph.locks import held

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # its 7 take minutes
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
# Metrics of a second are written at once; without it a run's end waits up to a second for nothing.
GATHERED = {"MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS": "1"}
log = logging.getLogger("rowgraph.tracking")
_away: set[str] = set()  # servers that did not answer this process; they are not asked again


class TrackingError(RuntimeError):
    """MLflow cannot be used, and tracking is strict."""


def without_password(uri: str) -> str:
    """A URI that may be shown: without the user and password before its host."""
    return re.sub(r"//[^/@]*@", "//", uri)


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
            TrackingError: it cannot be reached and `strict` is set.
        """
        if not self.enabled or self.tracking_uri in _away:
            return None
        for name, value in {**QUIET, **PATIENCE, **GATHERED}.items():
            os.environ.setdefault(name, value)
        try:
            return self._connect()
        except Exception as error:
            self.lost(error)
            return None

    def lost(self, error: Exception) -> None:
        """MLflow failed: say so, and do not ask it again in this process.

        Raises:
            TrackingError: `strict` is set.
        """
        where = without_password(self.tracking_uri)
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if "Max retries exceeded" in why:
            why = "no answer"
        message = f"MLflow at {where} cannot be used: {why.replace(self.tracking_uri, where)}"
        move = "start it, or unset MLFLOW_TRACKING_URI" if self.uri else "stop what holds it"
        if self.strict:
            raise TrackingError(f"{message}; {move}, or set tracking.strict to false") from error
        if self.tracking_uri not in _away:
            _away.add(self.tracking_uri)
            log.warning("%s; what follows is made all the same, but not tracked: %s, before the "
                        "next run", message, move)

    def _connect(self) -> Any:
        from mlflow import MlflowClient

        logging.getLogger("mlflow.utils.async_logging").setLevel(logging.CRITICAL)
        folder = Path(self.home).resolve() / "mlflow"
        with held(folder / "schema.lock", "MLflow's schema"):  # the first use creates it
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
        run = TrackedRun(None, None)
        try:
            with deferred():
                run = self._begin(name, settings, tags, inputs or {}, outside or {})
            yield run
        except Exception:
            run.end("FAILED")
            raise
        except BaseException:
            run.end("KILLED")
            raise
        run.end("FINISHED")

    def _begin(self, name: str, settings: Mapping[str, Any], tags: Mapping[str, str],
               inputs: Mapping[str, Artifact], outside: Mapping[str, str]) -> TrackedRun:
        client = self.client()
        if client is None:
            return TrackedRun(None, None)
        run = None
        try:
            experiment = client.get_experiment_by_name(self.experiment)
            run = client.create_run(
                experiment.experiment_id, run_name=name,
                tags={**run_tags(name, tags, inputs, self.dagster_ui), **tags})
            if made_from := dataset_inputs(inputs, outside):
                client.log_inputs(run.info.run_id, made_from)
            log_words(client, run.info.run_id, "params", settings)
        except Exception as error:
            self.lost(error)
            return TrackedRun(None, None)
        except BaseException:
            if run is not None:
                client.set_terminated(run.info.run_id, "KILLED")
            raise
        return TrackedRun(client, run.info.run_id, experiment.experiment_id, self.lost,
                          lambda one: self._version(client, tags.get("profile", ""), one))

    @tolerant
    def close(self, over: Callable[[str], bool]) -> None:
        """Close as KILLED what a process left RUNNING when it was killed.

        Args:
            over: whether the Dagster run of an id has ended.
        """
        client = self.client()
        if client is None:
            return
        experiment = client.get_experiment_by_name(self.experiment)
        for run in client.search_runs([experiment.experiment_id],
                                      "attributes.status = 'RUNNING'"):
            if over(run.data.tags.get("dagster_run_id", "")):
                client.set_terminated(run.info.run_id, "KILLED")

    def url(self, origin: Mapping[str, str]) -> str | None:
        """The page of an artifact's run in the MLflow UI that `rowgraph ui` starts, or the
        server's; None where it was not tracked."""
        if not self.enabled or not origin.get("mlflow_run_id"):
            return None
        server = self.uri and self.uri.startswith("http")
        base = without_password(self.uri) if server else self.ui
        experiment = origin.get("mlflow_experiment_id", "0")
        return f"{base}/#/experiments/{experiment}/runs/{origin['mlflow_run_id']}"

    @tolerant
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

    def versions(self, profile: str, models: Mapping[str, Artifact]) -> dict[str, str]:
        """The versions of some trained models of a profile, each registered once a training, by
        the models' names; none where MLflow is away."""
        return self._versions(profile, models) or {}

    @tolerant
    def _versions(self, profile: str, models: Mapping[str, Artifact]) -> dict[str, str]:
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

    @tolerant
    def crown(self, profile: str, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Bring alias and tags of the model registry in line with what was decided.

        Args:
            records: by asset, as `resources.champions` keeps them.
        """
        client = self.client()
        if client is None:
            return
        for asset, record in records.items():
            self._crown(client, model_name(profile, tuple(asset.split("/"))), record)

    def _crown(self, client: Any, model: str, record: Mapping[str, Any]) -> None:
        champion, latest, decision = record["champion"], record["latest"], record["decision"]
        version = known_version(client, model, champion["training"], champion["recipe"])
        if version is None:
            log.warning("%s: the champion of run %s has no version, since MLflow was away then; "
                        "the alias stays where it is", model, champion["training"])
        else:
            client.set_registered_model_alias(model, "champion", version)
        judged = known_version(client, model, decision["training"], decision["recipe"])
        for tag in ("decision", "reason", "unchanged", "against") if judged else ():
            client.set_model_version_tag(model, judged, tag, str(decision[tag]).lower()
                                         if tag == "unchanged" else decision[tag] or "none")
        forget_files(Path(self.home), model, {champion["training"], latest["training"]})
