"""The UI's servers: ports are tried first, MLflow is lean, both are on loopback only."""

import socket

import pytest

import pipeline.ui
from pipeline.assembly import build_definitions
from pipeline.environment import Environment
from pipeline.ui import serve
from rowgraph.profiles import load_profile

DATABASE = "postgresql://me:secret@127.0.0.1/mlflow"


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("option", ["--port", "--mlflow-port"])
def test_a_port_that_is_taken_is_named_with_its_option_before_anything_starts(
        tmp_path, taken, free, option):
    ports = (taken, free) if option == "--port" else (free, taken)
    home = tmp_path / "home"
    with pytest.raises(ValueError, match=f"^port {taken} .*pass {option} {taken + 1}$"):
        serve(Environment(load_profile("demo"), home), None, *ports)
    assert not home.exists()


def test_mlflow_starts_with_one_worker_and_no_jobs_and_both_listen_on_loopback_only(
        tmp_path, free, monkeypatch):
    started = []
    monkeypatch.setattr(pipeline.ui, "_supervise", lambda *what: started.append(what))
    monkeypatch.setattr(pipeline.ui, "settle", lambda *_: [])
    serve(Environment(load_profile("demo"), tmp_path, tracking_uri=DATABASE), None, free, free)
    ((commands, environ),) = started
    dagster, mlflow = ([str(word) for word in command] for command in commands)
    assert dagster[dagster.index("-h") + 1] == mlflow[mlflow.index("--host") + 1] == "127.0.0.1"
    assert mlflow[mlflow.index("--workers") + 1] == "1"
    assert environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environ["MLFLOW_BACKEND_STORE_URI"] == DATABASE
    assert "secret" not in " ".join(mlflow)


def test_the_definitions_that_the_ui_shows_hold_no_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DATABASE)
    environment = Environment(load_profile("demo"), tmp_path, tracking_uri=DATABASE)
    resources = build_definitions(environment).resources
    assert "secret" not in str(resources["tracking"])
    assert resources["tracking"].process_config_and_initialize().tracking_uri == DATABASE
