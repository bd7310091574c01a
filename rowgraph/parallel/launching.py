"""Starting the workers of a training, and hearing from them.

Two launchers start the same worker (`rowgraph.parallel.worker`): `torchrun` on this machine, and
Ray Train on a cluster. Both start all workers anew when one dies; the training then goes on from
what it saved last.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rowgraph.artifacts import Draft, write_json
from rowgraph.parallel.group import ALONE
from rowgraph.parallel.launch import RESTARTS, Launch
from rowgraph.parallel.trainings import train
from rowgraph.parallel.worker import ATTACHED, answer_of, expected, progress_of
from rowgraph.progress import Log
from rowgraph.settings import Section

EVERY = 0.1  # seconds between two looks


class Workers(Protocol):
    """Workers that were started."""

    def running(self) -> bool:
        """Whether any is still at work, or will be started anew."""

    def stop(self) -> None:
        """End them now."""

    def last_words(self) -> str:
        """What they said when they ended without an answer."""


def launched(stage: str, inputs: Mapping[str, Any], settings: Section, draft: Draft, *,
             device: str, log: Log, launch: Launch) -> dict[str, Any]:
    """Train a stage, in this process or by workers that share its steps.

    Args:
        stage, inputs: of `rowgraph.parallel.trainings.train`.
        draft: where workers write; what an interrupted training continues from lies in its state.
        device: `cpu`, or `cuda`: of several workers each takes its own GPU.

    Returns:
        The summary.

    Raises:
        Exception: as the training, by the same class where the error is one of settings or data.
        RuntimeError: the workers ended without a word, for example for want of memory.
    """
    said = settings.model_dump(mode="json")
    if launch.processes == 1 and launch.ray_address is None:
        return train(stage, inputs, said, draft, device=device, log=log, group=ALONE)
    order = write_order(stage, inputs, said, draft, device, launch.threads)
    workers = _start(order, stage, launch)
    try:
        _follow(workers, progress_of(order), log)
    except BaseException:
        workers.stop()  # what was saved is continued from
        raise
    if not answer_of(order).exists():
        raise RuntimeError(f"{stage}: the {launch.processes} workers ended without an answer; the "
                           f"last words were: {workers.last_words()[-600:]}. Run again to continue "
                           "from what was saved last, or set compute.processes to 1")
    found = json.loads(answer_of(order).read_text())
    if "error" in found:
        raise expected()[found["error"]](found["message"])
    return found["summary"]


def write_order(stage: str, inputs: Mapping[str, Any], settings: Mapping[str, Any], draft: Draft,
                device: str, threads: int | None = None) -> Path:
    """The file that tells workers what to do; what others said of an older one is gone."""
    order = (draft.state / "order.json").resolve()
    answer_of(order).unlink(missing_ok=True)
    progress_of(order).write_text("")
    write_json(order, {"stage": stage, "inputs": dict(inputs), "settings": settings,
                       "draft": str(draft.folder.resolve()), "device": device, "threads": threads})
    return order


def _start(order: Path, stage: str, launch: Launch) -> Workers:
    if launch.ray_address is None:
        return Torchrun(order, launch.processes)
    try:
        from rowgraph.parallel.ray_train import RayTrain
    except ModuleNotFoundError as error:
        raise ValueError(f"workers by Ray need its extra ({error.name} is missing): "
                         "pip install '.[ray]', or leave the address of a cluster out") from None

    # The rows of a step of BART can be shared among divisors of their number alone.
    return RayTrain(order, launch, None if stage == "bart_checkpoint" else launch.fewest)


def _follow(workers: Workers, progress: Path, log: Log) -> None:
    """Pass on what worker 0 says until the workers have ended."""
    with open(progress) as lines:
        rest, running = "", True
        while running:
            running = workers.running()  # before the last look, so that nothing is missed
            *whole, rest = (rest + lines.read()).split("\n")
            for line in whole:
                log(*json.loads(line))
            if running:
                time.sleep(EVERY)


class Torchrun:
    """Workers on this machine."""

    def __init__(self, order: Path, processes: int):
        self._words = order.with_suffix(".log")
        with open(self._words, "w") as words:
            self._launcher = subprocess.Popen(
                # Workers started anew would find the addresses of the dead in the launcher's store.
                ["env", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1", sys.executable,
                 "-m", "torch.distributed.run", "--standalone",
                 "--nproc-per-node", str(processes), "--max-restarts", str(RESTARTS),
                 "-m", "rowgraph.parallel.worker", str(order), ATTACHED],
                stdin=subprocess.PIPE, stdout=words, stderr=words,
                cwd=Path(__file__).resolve().parents[2], start_new_session=True)

    def running(self) -> bool:
        """Whether the launcher lives."""
        return self._launcher.poll() is None

    def stop(self) -> None:
        """Kill the launcher; workers, which have sessions of their own, end with their input."""
        self._launcher.stdin.close()
        os.killpg(self._launcher.pid, signal.SIGKILL)
        self._launcher.wait()

    def last_words(self) -> str:
        """The end of what they wrote."""
        return f"code {self._launcher.returncode}, {self._words.read_text().strip()}"
