"""`rowgraph ui`: the Dagster UI and MLflow as two processes, started and stopped together."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import typer

from pipeline.environment import ROOT, Environment
from pipeline.janitor import settle
from resources.tracking import TrackingResource
from rowgraph.profiles import profile_names
from rowgraph.shipped import shipped

# MLflow shows runs here: no job runner, whose worker processes cost a core for many seconds.
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
PR_SET_PDEATHSIG = 1


def serve(environment: Environment, profile: str | None, port: int, mlflow_port: int) -> None:
    """Serve both on 127.0.0.1 until one of them ends or a signal comes.

    Args:
        profile: as it was given: a name, or the path of a file.
        port: of the Dagster UI.
        mlflow_port: of the MLflow UI, where MLflow is not a server elsewhere.

    Raises:
        ValueError: a port is taken.
    """
    server = (environment.tracking_uri or "").startswith("http")
    _check_port(port, "--port", "the Dagster UI")
    if not server:
        _check_port(mlflow_port, "--mlflow-port", "MLflow")
    config = environment.instance_config()
    tracking = TrackingResource(home=str(environment.home), uri=environment.tracking_uri)
    with environment.instance() as instance:
        settle(instance, tracking)
    bin_folder = Path(sys.executable).parent
    environ = {**os.environ, "DAGSTER_HOME": str(config.parent),
               "ROWGRAPH_HOME": str(environment.home), "ROWGRAPH_UI": f"http://127.0.0.1:{port}",
               "ROWGRAPH_MLFLOW_UI": f"http://127.0.0.1:{mlflow_port}",
               **LEAN,
               "ROWGRAPH_PROFILE": str(Path(profile).resolve()) if _is_file(profile)
               else environment.profile.name,
               "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    commands = [[bin_folder / "dagster", "dev", "-w", shipped("workspace.yaml"), "-h", "127.0.0.1",
                 "-p", str(port), "--log-level", "warning"]]
    if not server:
        environ["MLFLOW_BACKEND_STORE_URI"] = tracking.tracking_uri  # may hold a password
        commands.append([bin_folder / "mlflow", "server", "--host", "127.0.0.1", "--workers", "1",
                         "--port", str(mlflow_port)])
    typer.echo(f"Dagster  http://127.0.0.1:{port}\nMLflow   http://127.0.0.1:{mlflow_port}\n"
               "Ctrl-C stops both.")
    _supervise(commands, environ)


def _check_port(port: int, option: str, what: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"port {port} of 127.0.0.1 cannot be had for {what} "
                             f"({error.strerror}); stop what listens there, or pass "
                             f"{option} {port + 1}") from None


def _is_file(profile: str | None) -> bool:
    return profile is not None and profile not in profile_names() and Path(profile).is_file()


def _supervise(commands: list[list[Any]], environ: dict[str, str]) -> None:
    processes = [subprocess.Popen([str(c) for c in command], cwd=ROOT, env=environ,
                                  start_new_session=True, preexec_fn=_end_with_parent)
                 for command in commands]

    def stop(*_: object) -> None:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    while all(process.poll() is None for process in processes):
        time.sleep(0.3)
    stop()
    codes = [process.wait() for process in processes]
    if any(code not in (0, -signal.SIGINT, -signal.SIGTERM) for code in codes):
        raise typer.Exit(1)


def _end_with_parent() -> None:
    """Where the system can (Linux), a server ends when `rowgraph ui` is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
