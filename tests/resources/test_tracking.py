"""MLflow runs end as their asset did, and MLflow being away is a warning unless strict."""

import pytest

import resources.tracking
from resources.tracking import TrackingResource


@pytest.fixture(autouse=True)
def nothing_is_away(monkeypatch):
    monkeypatch.setattr(resources.tracking, "_away", set())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def tracking(home, request):
    return TrackingResource(home=str(home), experiment=request.node.name)


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
