"""MLflow runs end as their asset did, and MLflow being away is a warning unless strict."""

import json
import shutil

import polars as pl
import pytest

import resources.tracking
from resources.provenance import code_facts, user
from resources.tracked_facts import test_metrics as metrics_of
from resources.tracking import TrackingResource
from rowgraph.artifacts import ArtifactStore


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A home whose MLflow database is there already: making its schema takes seconds."""
    home = tmp_path_factory.mktemp("begun")
    assert TrackingResource(home=str(home)).client() is not None
    return home


@pytest.fixture(autouse=True)
def nothing_is_away(monkeypatch):
    monkeypatch.setattr(resources.tracking, "_away", set())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def tracking(begun, tmp_path):
    shutil.copytree(begun / "mlflow", tmp_path / "mlflow")
    return TrackingResource(home=str(tmp_path))


def only_run(tracking):
    client = tracking.client()
    experiment = client.get_experiment_by_name(tracking.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def test_a_run_that_fails_is_failed_and_the_error_passes_through(tracking):
    with pytest.raises(ZeroDivisionError), tracking.run("asset", {"rate": 0.1}, {}):
        raise ZeroDivisionError
    found = only_run(tracking)
    assert found.info.status == "FAILED"
    assert found.data.params == {"rate": "0.1"}


def test_a_run_that_is_interrupted_is_killed(tracking):
    with pytest.raises(KeyboardInterrupt), tracking.run("asset", {}, {}):
        raise KeyboardInterrupt
    assert only_run(tracking).info.status == "KILLED"


def test_a_run_that_is_interrupted_while_it_is_closed_is_closed(tracking):
    def once(*args):
        run.client.set_terminated = close
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), tracking.run("asset", {}, {}) as run:
        close, run.client.set_terminated = run.client.set_terminated, once
    assert only_run(tracking).info.status == "FINISHED"


def test_a_metric_that_is_not_a_number_is_left_out(tracking):
    with tracking.run("asset", {}, {"asset": "a"}) as run:
        run.log(1, {"loss": float("nan"), "rate": 3.0})
    found = only_run(tracking)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"rate": 3.0}
    assert found.data.tags["asset"] == "a"


def test_an_unreachable_server_is_said_once_and_without_its_password(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = TrackingResource(home=str(tmp_path), uri="http://me:secret@127.0.0.1:9")
    for _ in range(2):
        with away.run("asset", {}, {}) as run:
            run.log(1, {"loss": 1.0})
            assert run.run_id is None
    (record,) = caplog.records
    assert record.getMessage().startswith("MLflow at http://127.0.0.1:9 cannot be used")
    assert "unset MLFLOW_TRACKING_URI" in record.getMessage()
    assert "secret" not in caplog.text
    assert away.url({"mlflow_run_id": "a"}) == "http://127.0.0.1:9/#/experiments/0/runs/a"


def test_a_server_that_goes_away_does_not_stop_what_is_made(tracking, caplog):
    with tracking.run("asset", {}, {}) as run:
        def gone(*_, **__):
            raise ConnectionError("the database is locked")

        run.client.log_metric = gone
        run.log(1, {"loss": 1.0})
        run.log(2, {"loss": 0.5})
    (record,) = caplog.records
    assert "the database is locked" in record.getMessage()


def test_what_a_killed_process_left_running_is_closed_as_killed(tracking):
    with tracking.run("asset", {}, {"dagster_run_id": "over"}) as dead, \
            tracking.run("asset", {}, {"dagster_run_id": "alive"}) as alive:
        tracking.close(lambda run_id: run_id == "over")
        status = {r: tracking.client().get_run(r.run_id).info.status for r in (dead, alive)}
    assert status == {dead: "KILLED", alive: "RUNNING"}


def test_an_unreachable_server_is_an_error_when_strict(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = TrackingResource(home=str(tmp_path), uri="http://127.0.0.1:9", strict=True)
    with pytest.raises(RuntimeError, match="MLFLOW_TRACKING_URI"), away.run("asset", {}, {}):
        pass


def made(home, key, summary, files=(), origin=None, inputs=None):
    """A finished artifact with some files."""
    def write(draft):
        for name, frame in dict(files).items():
            frame.write_parquet(draft.path(name))
        return summary

    artifact, _ = ArtifactStore(home).build(key, 1, {"of": str(key)}, inputs or {}, write,
                                            origin=lambda: origin or {})
    return artifact


KNOWN = {"metric": "roc_auc", "n_test": 9, "results": {
    "frozen_db": {"trees": 0.6, "constant": 0.5}, "rolling": {"trees": 0.7, "constant": None}},
    "validation": {"frozen_db": {"trees": 0.8, "constant": 0.5},
                   "rolling": {"trees": 0.8, "constant": 0.5}}}


def metrics_table():
    """As an evaluation writes it."""
    known = {"database": "d", "task": "t", "metric": "roc_auc", "n_test": 9, "seeds": 2,
             "std": 0.01, "source": "measured"}
    return pl.DataFrame([{**known, "regime": regime, "variant": variant, "mean": mean,
                          "ci_low": mean - 0.1, "ci_high": mean + 0.1}
                         for regime, variant, mean in (("frozen_db", "trees", 0.6),
                                                       ("rolling", "trees", 0.7),
                                                       ("rolling", "network", 0.9))])


def test_a_run_says_who_made_it_with_which_code_from_what_and_where_to_look(tracking, tmp_path):
    bart = made(tmp_path, ("bart_checkpoint",), {}, origin={"mlflow_run_id": "b" * 32,
                                                            "mlflow_experiment_id": "1"})
    with tracking.run("node_embeddings/shop", {}, {"profile": "tiny", "dagster_run_id": "r1"},
                      {"bart_checkpoint": bart}, {"origin": "f" * 32}):
        pass
    found = only_run(tracking)
    tags = found.data.tags
    assert tags["mlflow.source.name"] == "rowgraph run --profile tiny --select node_embeddings/shop"
    assert tags["mlflow.user"] == user()
    assert tags.get("mlflow.source.git.commit") == code_facts()["commit"]
    assert tags["upstream.bart_checkpoint.data_version"] == bart.data_version
    assert tags["upstream.bart_checkpoint.mlflow_run_id"] == "b" * 32
    note = tags["mlflow.note.content"]
    assert "[node_embeddings/shop](http://127.0.0.1:3000/assets/node_embeddings/shop)" in note
    assert "(http://127.0.0.1:3000/runs/r1)" in note
    assert f"([run](#/experiments/1/runs/{'b' * 32}))" in note
    inputs = {i.dataset.name: i.dataset for i in found.inputs.dataset_inputs}
    assert inputs["bart_checkpoint"].digest == bart.data_version
    assert json.loads(inputs["bart_checkpoint"].source) == {"uri": str(bart.folder)}
    assert inputs["origin"].digest == "f" * 32


def test_runs_are_sorted_by_the_test_score_of_what_validation_chose(tracking, tmp_path):
    better = {**KNOWN, "results": {"frozen_db": {"rowgraph": 0.65}},
              "validation": {"frozen_db": {"rowgraph": 0.7}}}
    for stage, summary in (("baseline_metrics", KNOWN), ("rowgraph_metrics", better)):
        with tracking.run(stage, {}, {}) as run:
            run.finish(made(tmp_path, (stage, "d", "t"), summary))
    client = tracking.client()
    experiment = client.get_experiment_by_name(tracking.experiment)
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.test_roc_auc DESC"])
    assert [(r.info.run_name, r.data.metrics["test_roc_auc"]) for r in runs] == [
        ("rowgraph_metrics", 0.65), ("baseline_metrics", 0.6)]
    assert runs[1].data.tags["test.variant"] == "trees"
    assert runs[1].data.metrics["test.rolling.trees.roc_auc"] == 0.7
    assert "test.rolling.constant.roc_auc" not in runs[1].data.metrics


def test_an_evaluation_gives_intervals_to_the_runs_it_judged_and_once(tracking, tmp_path):
    with tracking.run("baseline_metrics", {}, {}) as run:
        origin = run.origin
    brought = pl.DataFrame({"variant": ["trees", "constant"]})
    judged = made(tmp_path, ("baseline_metrics", "d", "t"), KNOWN,
                  {"predictions.parquet": brought}, origin)
    untracked = made(tmp_path, ("rowgraph_metrics", "d", "t"), KNOWN)
    evaluation = made(tmp_path, ("evaluation", "d", "t"), {
        "metric": "roc_auc", "chosen": {"rolling": {"model": "network", "baseline": "trees"}}},
        {"metrics.parquet": metrics_table()})
    for _ in range(2):
        tracking.log_intervals(evaluation, {"baseline_metrics": judged, "source": untracked})
    metrics = only_run(tracking).data.metrics
    assert metrics["test.rolling.trees.roc_auc"] == 0.7
    assert metrics["test.rolling.trees.roc_auc.ci_low"] == pytest.approx(0.6)
    assert metrics["test.frozen_db.trees.roc_auc.ci_high"] == pytest.approx(0.7)
    assert not [name for name in metrics if "network" in name]
    history = tracking.client().get_metric_history(run.run_id, "test.rolling.trees.roc_auc")
    assert len(history) == 1


def test_a_run_that_somebody_deleted_is_passed_over(tracking, tmp_path):
    judged = made(tmp_path, ("baseline_metrics", "d", "t"), KNOWN,
                  {"predictions.parquet": pl.DataFrame({"variant": ["trees"]})},
                  {"mlflow_run_id": "0" * 32})
    evaluation = made(tmp_path, ("evaluation", "d", "t"), {},
                      {"metrics.parquet": metrics_table()})
    tracking.log_intervals(evaluation, {"baseline_metrics": judged})


def test_names_of_metrics_are_those_that_mlflow_takes():
    from mlflow.utils.validation import _validate_metric_name

    names = metrics_of([{"regime": "rolling", "variant": "peer (v2), ours", "metric": "map",
                           "mean": 0.5, "std": None, "ci_low": 0.4, "ci_high": float("nan")}])
    assert set(names.values()) == {0.5, 0.4}
    for name in names:
        _validate_metric_name(name)
