"""MLflow runs end as their asset did, and MLflow being away is a warning unless strict."""

import warnings

import pytest

from resources.tracking import TrackingResource


@pytest.fixture
def tracking(tmp_path):
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


def test_a_metric_that_is_not_a_number_is_left_out(tracking):
    with tracking.run("asset", {}, {"asset": "a"}) as run:
        run.log(1, {"loss": float("nan"), "rate": 3.0})
    found = only_run(tracking)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"rate": 3.0}
    assert found.data.tags["asset"] == "a"


def test_an_unreachable_server_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = TrackingResource(home=str(tmp_path), uri="http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="cannot be used"):
        assert away.client() is None
    with warnings.catch_warnings(), away.run("asset", {}, {}) as run:
        warnings.simplefilter("ignore")
        run.log(1, {"loss": 1.0})
        assert run.run_id is None


def test_an_unreachable_server_is_an_error_when_strict(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = TrackingResource(home=str(tmp_path), uri="http://127.0.0.1:9", strict=True)
    with pytest.raises(RuntimeError, match="MLFLOW_TRACKING_URI"), away.run("asset", {}, {}):
        pass
