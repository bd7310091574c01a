"""The UI's servers: ports are tried first, MLflow is lean, both are on loopback only."""

import socket

import pytest

import pipeline.ui
from pipeline.environment import Environment
from pipeline.ui import serve
from rowgraph.profiles import load_profile


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
    serve(Environment(load_profile("demo"), tmp_path), None, free, free)
    ((commands, environ),) = started
    dagster, mlflow = ([str(word) for word in command] for command in commands)
    assert dagster[dagster.index("-h") + 1] == mlflow[mlflow.index("--host") + 1] == "127.0.0.1"
    assert mlflow[mlflow.index("--workers") + 1] == "1"
    assert environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
