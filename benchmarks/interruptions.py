"""Every stage killed in the middle, and what came of it: a table of kills.

    python -m benchmarks.interruptions --folder .rowgraph/benchmarks/interruptions

The tiny world of the tests, with longer trainings and frequent savings. It runs once without a
break. Then, for each signal and each moment (a share of the stage's seconds in that run), it runs
again in a home of its own: real `rowgraph run` processes, each killed while it makes a stage that
none before was killed in, until everything is made. `terminate` is what the UI's button does: runs
of a real `rowgraph ui`, launched and terminated through its GraphQL. After each kill: which
processes are left after half a minute. At the end of a home: whether every data version is that of
the unbroken run, what MLflow says of each killed run, how many logged steps the next run did twice,
and which places in pools are held.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from pipeline.environment import ROOT, Environment
from pipeline.janitor import UNFINISHED
from pipeline.plan import Planned, plan
from tests.pipeline.conftest import PROFILE, write_league, write_shop

LONGER = """
databases:
  - {name: tiny-shop, role: pretrain}
  - {name: tiny-league, role: heldout, tasks: [wins]}
compute: {threads: 1}
bart_checkpoint: {epochs: 10, save_steps: 10}
sage_weights: {epochs: 20, save_seconds: 1}
forecast_weights: {steps: 40, save_steps: 10}
own_past_weights: {steps: 40, save_steps: 10}
adapted_model: {fit: true}
"""
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
MAIN = "from pipeline.cli import main; main()"
TERMINATE = "terminate"
GRACE = 30.0  # seconds in which a killed run's other processes may end
LAUNCH = """mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
END = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"


@dataclass
class Kill:
    """One kill of one stage and what came of it.

    Args:
        in_time: whether the stage was still being made when the signal came.
        left: processes left after `GRACE`.
        held: places in pools that are held at the end of the home.
        mlflow: status of the killed MLflow run; None where it had not begun.
        step: last logged step before the kill; None where the stage logs none.
        repeated: logged steps that the next run did again.
        lost: seconds that the killed and the finished attempt took together beyond the unbroken
            one; starting again and the machine's noise included.
        equal: whether the finished data version is that of the unbroken run.
    """

    stage: str
    signal: str
    moment: float
    in_time: bool
    left: int = 0
    held: int = 0
    mlflow: str | None = None
    step: int | None = None
    repeated: int | None = None
    lost: float | None = None
    equal: bool = False


@dataclass(frozen=True)
class Reference:
    """A run over a home: seconds and data version of every asset, in the order of the plan."""

    seconds: dict[str, float]
    versions: dict[str, str]

    @classmethod
    def of(cls, planned: list[Planned]) -> Reference:
        """What is finished, as its artifacts say it."""
        made = {p.node.name: p.artifact for p in planned if p.artifact}
        return cls({name: a.manifest["origin"]["seconds"] for name, a in made.items()},
                   {name: a.data_version for name, a in made.items()})


class World:
    """One home, and the processes that work on it."""

    def __init__(self, folder: Path, name: str):
        self.home, self.profile = folder / name, folder / "longer.yaml"
        self.environ = {
            **os.environ, "ROWGRAPH_HOME": str(self.home), "HF_HUB_OFFLINE": "1",
            "ROWGRAPH_DATABASES": str(folder / "databases"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        self.environ.pop("MLFLOW_TRACKING_URI", None)
        self.log = folder / f"{name}.log"

    def start(self, *arguments: str) -> subprocess.Popen:
        """A `rowgraph` process."""
        with open(self.log, "a") as log:
            return subprocess.Popen(
                [sys.executable, "-c", MAIN, *arguments, "--profile", self.profile],
                cwd=ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True)

    def planned(self) -> list[Planned]:
        """The plan as it is now."""
        os.environ.update({k: self.environ[k] for k in ("ROWGRAPH_HOME", "ROWGRAPH_DATABASES")})
        return plan(Environment.read(str(self.profile)))

    def draft(self, asset: str) -> bool:
        """Whether an asset is being made."""
        return any((self.home / "artifacts" / asset).glob("*.draft"))

    def left(self) -> list[psutil.Process]:
        """Processes that work on this home, but those of its UI."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("ROWGRAPH_HOME") == str(self.home)
            except (psutil.Error, OSError):
                continue
            if mine and process.status() != psutil.STATUS_ZOMBIE and not self._serves(process):
                found.append(process)
        return found

    @staticmethod
    def _serves(process: psutil.Process) -> bool:
        """Whether a process is one of the UI's servers, and not a run's."""
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            return True
        servers = (f"{MAIN} ui", "dagster dev", "code-server start", "api grpc", "mlflow",
                   "dagster_webserver", "dagster._daemon", "resource_tracker")
        return any(server in command for server in servers)

    def left_in_dagster(self) -> tuple[int, int]:
        """Runs that have not ended, and runs that hold a place in a pool or wait for one."""
        with Environment.read(str(self.profile)).instance() as instance:
            return (len(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))),
                    len(instance.event_log_storage.get_concurrency_run_ids()))

    def tracked(self, asset: str) -> list[tuple[str, int | None, int | None]]:
        """MLflow runs of an asset in order: status, first and last logged step."""
        with sqlite3.connect(self.home / "mlflow/mlflow.db") as database:
            return database.execute(
                "select r.status, min(m.step), max(m.step) from runs r left join "
                "metrics m on m.run_uuid = r.run_uuid and m.key not like 'summary.%' where r.name "
                "= ? group by r.run_uuid order by r.start_time", [asset]).fetchall()


class Ui:
    """Runs of a `rowgraph ui`, through its GraphQL."""

    def __init__(self, world: World):
        self.world, self.port = world, _free_port()
        self.process = world.start("ui", "--port", str(self.port), "--mlflow-port",
                                   str(_free_port()))
        try:
            _wait(self._ready, 300, "the UI to answer")
        except SystemExit:
            self.stop()
            raise

    def _ready(self) -> bool:
        try:
            found = self.ask("{ repositoriesOrError { __typename ... on RepositoryConnection "
                             "{ nodes { name } } } }")
            return bool(found["repositoriesOrError"].get("nodes"))
        except OSError:
            return False

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the UI's server answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", headers={"Content-Type": "application/json"},
            data=json.dumps({"query": query, "variables": variables}).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def launch(self, asset: str) -> str:
        """Launch a run of one asset; returns its id."""
        found = self.ask(LAUNCH, params={
            "mode": "default", "runConfigData": {}, "selector": {
                "repositoryLocationName": "rowgraph", "repositoryName": "__repository__",
                "jobName": "__ASSET_JOB", "assetSelection": [{"path": asset.split("/")}]}})
        return found["launchPipelineExecution"]["run"]["runId"]

    def over(self, run: str) -> bool:
        """Whether a run has ended."""
        found = self.ask("query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }",
                         id=run)
        return found["runOrError"]["status"] in ("SUCCESS", "FAILURE", "CANCELED")

    def stop(self) -> None:
        """Stop the UI."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def in_terminal(world: World, reference: Reference, name: str, moment: float) -> list[Kill]:
    """One pass over a home: `rowgraph run` is killed once in every stage, until all is made."""
    kills: list[Kill] = []
    process = world.start("run")
    while True:
        begun = _begun(world, reference, {k.stage for k in kills}, process)
        if begun is None:
            break
        time.sleep(moment * reference.seconds[begun])
        kills.append(Kill(begun, name, moment, world.draft(begun)))
        process.send_signal(SIGNALS[name])
        process.wait()
        _count_left(world, kills[-1])
        process = world.start("run")
    if process.wait():
        raise SystemExit(f"the last run of {world.home} failed; see {world.log}")
    return kills


def _begun(world: World, reference: Reference, seen: set[str],
           process: subprocess.Popen) -> str | None:
    """The next asset of a stage that was not killed yet, once it is being made; None where the
    process ends before that."""
    stages = {asset.partition("/")[0] for asset in seen}
    while process.poll() is None:
        for asset in reference.seconds:
            if asset.partition("/")[0] not in stages and world.draft(asset):
                return asset
        time.sleep(0.05)
    return None


def in_ui(world: World, reference: Reference, name: str, moment: float) -> list[Kill]:
    """One pass over a home: a run of the UI for each asset; the first of a stage is terminated."""
    kills: list[Kill] = []
    ui = Ui(world)
    try:
        for asset in reference.seconds:
            if asset.partition("/")[0] not in {k.stage.partition("/")[0] for k in kills}:
                run = ui.launch(asset)
                _wait(lambda asset=asset, run=run: world.draft(asset) or ui.over(run), 120,
                      f"{asset} to begin")
                if ui.over(run):  # too short to be killed
                    continue
                time.sleep(moment * reference.seconds[asset])
                kills.append(Kill(asset, name, moment, world.draft(asset)))
                ui.ask(END, id=run)
                _wait(lambda run=run: ui.over(run), 60, f"the run of {asset} to be terminated")
                _count_left(world, kills[-1])
            run = ui.launch(asset)
            _wait(lambda run=run: ui.over(run), 600, asset)
    finally:
        ui.stop()
    return kills


def judge(world: World, reference: Reference, kills: list[Kill]) -> None:
    """What each kill left behind, once all is made; says what is wrong with the home."""
    found = Reference.of(world.planned())
    for kill in kills:
        kill.equal = found.versions.get(kill.stage) == reference.versions[kill.stage]
        whole = reference.seconds[kill.stage]
        if kill.in_time:
            kill.lost = round(kill.moment * whole + found.seconds[kill.stage] - whole, 1)
        tracked = world.tracked(kill.stage)
        if len(tracked) > 1:
            (kill.mlflow, _, kill.step), (_, first, _) = tracked[-2], tracked[-1]
            if kill.step is not None and first is not None:
                kill.repeated = max(0, kill.step - first + 1)
    wrong = [a for a, version in reference.versions.items() if found.versions.get(a) != version]
    unfinished, held = world.left_in_dagster()
    print(f"{kills[0].signal} at {kills[0].moment:g}: {len(kills)} kills; other data versions: "
          f"{', '.join(wrong) or 'none'}; unfinished runs {unfinished}, places held {held}",
          flush=True)
    for kill in kills:
        kill.held = held


def _count_left(world: World, kill: Kill) -> None:
    deadline = time.monotonic() + GRACE
    while (left := world.left()) and time.monotonic() < deadline:
        time.sleep(0.2)
    kill.left = len(left)
    for process in left:
        print(f"left by {kill.stage}, {kill.signal}: {process}", flush=True)


def _wait(done: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def print_kills(kills: list[Kill]) -> None:
    """The table, a line a kill."""
    print(f"{'asset':36}{'signal':10}{'at':>5}  {'in time':8}{'equal':6}{'left':>5}{'held':>5}  "
          f"{'MLflow':10}{'step':>6}{'again':>6}{'lost s':>8}")
    for k in kills:
        print(f"{k.stage:36}{k.signal:10}{k.moment:5g}  {'yes' if k.in_time else 'no':8}"
              f"{'yes' if k.equal else 'NO':6}{k.left:5}{k.held:5}  {k.mlflow or '-':10}"
              f"{'-' if k.step is None else k.step:>6}"
              f"{'-' if k.repeated is None else k.repeated:>6}"
              f"{'-' if k.lost is None else k.lost:>8}", flush=True)


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".rowgraph/benchmarks/interruptions"))
    parser.add_argument("--signals", nargs="+", default=[*SIGNALS, TERMINATE],
                        choices=[*SIGNALS, TERMINATE])
    parser.add_argument("--moments", nargs="+", type=float, default=[0.3, 0.8])
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not (folder / "databases").exists():
        write_shop(folder / "databases/tiny-shop")
        write_league(folder / "databases/tiny-league")
    (folder / "tiny.yaml").write_text(PROFILE)
    (folder / "longer.yaml").write_text(f"extends: tiny.yaml\n{LONGER}")
    unbroken = World(folder, "unbroken")
    if unbroken.start("run").wait():
        raise SystemExit(f"the unbroken run failed; see {unbroken.log}")
    reference = Reference.of(unbroken.planned())
    kills: list[Kill] = []
    for name in options.signals:
        for moment in options.moments:
            world = World(folder, f"{name}-{moment:g}")
            shutil.rmtree(world.home, ignore_errors=True)
            found = (in_ui if name == TERMINATE else in_terminal)(world, reference, name, moment)
            judge(world, reference, found)
            print_kills(found)
            kills += found
    good = [k for k in kills if k.equal and not k.left and not k.held
            and k.mlflow in (None, "KILLED")]
    print(json.dumps({
        "kills": len(kills), "in_time": sum(k.in_time for k in kills), "good": len(good),
        "equal": sum(k.equal for k in kills), "processes_left": sum(k.left for k in kills),
        "slots_held": sum(k.held for k in kills),
        "mlflow_killed": sum(k.mlflow == "KILLED" for k in kills),
        "mlflow_other": sum(k.mlflow not in (None, "KILLED") for k in kills),
        "most_steps_again": max((k.repeated or 0 for k in kills), default=0),
        "most_seconds_lost": max((k.lost or 0 for k in kills), default=0),
        "not_good": [asdict(k) for k in kills if k not in good]}))


if __name__ == "__main__":
    main()
