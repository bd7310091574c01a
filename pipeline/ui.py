"""`rowgraph ui`: the Dagster UI and MLflow as two processes, started and stopped together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import typer

from pipeline.environment import ROOT, Environment
from resources.tracking import TrackingResource
from rowgraph.profiles import profile_names


def serve(environment: Environment, profile: str | None, port: int, mlflow_port: int) -> None:
    """Serve both on 127.0.0.1 until one of them ends or a signal comes.

    Args:
        profile: as it was given: a name, or the path of a file.
        port: of the Dagster UI.
        mlflow_port: of the MLflow UI, where MLflow is not a server elsewhere.
    """
    config = environment.instance_config()
    tracking = TrackingResource(home=str(environment.home), uri=environment.tracking_uri)
    tracking.client()
    bin_folder = Path(sys.executable).parent
    environ = {**os.environ, "DAGSTER_HOME": str(config.parent),
               "ROWGRAPH_HOME": str(environment.home), "ROWGRAPH_UI": f"http://127.0.0.1:{port}",
               "MLFLOW_DISABLE_TELEMETRY": "true",
               "ROWGRAPH_PROFILE": str(Path(profile).resolve()) if _is_file(profile)
               else environment.profile.name,
               "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    commands = [[bin_folder / "dagster", "dev", "-w", ROOT / "workspace.yaml", "-h", "127.0.0.1",
                 "-p", str(port)]]
    if not (environment.tracking_uri or "").startswith("http"):
        commands.append([bin_folder / "mlflow", "server", "--backend-store-uri",
                         tracking.tracking_uri, "--host", "127.0.0.1", "--port",
                         str(mlflow_port)])
    typer.echo(f"Dagster  http://127.0.0.1:{port}\nMLflow   http://127.0.0.1:{mlflow_port}\n"
               "Ctrl-C stops both.")
    _supervise(commands, environ)


def _is_file(profile: str | None) -> bool:
    return profile is not None and profile not in profile_names() and Path(profile).is_file()


def _supervise(commands: list[list[Any]], environ: dict[str, str]) -> None:
    processes = [subprocess.Popen([str(c) for c in command], cwd=ROOT, env=environ,
                                  start_new_session=True) for command in commands]

    def stop(*_: object) -> None:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while all(process.poll() is None for process in processes):
        time.sleep(0.3)
    stop()
    codes = [process.wait() for process in processes]
    if any(code not in (0, -signal.SIGINT, -signal.SIGTERM) for code in codes):
        raise typer.Exit(1)
