"""Trainings side by side: independent ones in processes of one thread each.

    python -m rowgraph.adaptation.workers FOLDER

`FOLDER` holds the ground as plain files (`lay_out`). A worker reads a training a line from its
standard input, leaves its result in the state folder as it would be left without workers, and
reports progress and ends as lines of JSON on its standard output. Each training has one thread in
any case, so that their number changes no byte. A worker ends when its input does, hence with the
process that started it, however that one ends. On a cluster the trainings are its pieces of work
(`rowgraph.side_by_side`), and what they log is heard when each is done.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from rowgraph.adaptation.ground import Ground, Trained, Training
from rowgraph.adaptation.layout import ground_of, lay_out
from rowgraph.adaptation.vectors import HELD_BYTES, held_bytes
from rowgraph.kept import kept
from rowgraph.progress import Log
from rowgraph.side_by_side import elsewhere, processes_of, side_by_side

FEW = 50_000  # label rows passed through a graph, all trainings together: not worth a process
WORD = "rowgraph adaptation "  # marks our lines among others


class Crew:
    """Does trainings and keeps what is done; a context, which ends its processes.

    Args:
        ground: of the task.
        state: folder of what is done; an interrupted stage finds it again.
        log: hears after each epoch of a training on the newest fold, and after each training.
        workers: as in `processes_of`. For vectors too large to be held in memory and for few
            label rows everything is done in this process.
    """

    def __init__(self, ground: Ground, state: Path, log: Log, workers: int | None = None):
        self.ground, self.state, self.log = ground, state, log
        self._most = processes_of(workers, ground.device)
        self._workers: list[_Worker] = []
        self._said: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self._finished = 0
        self._token: str | None = None  # of the ground that was laid out for a cluster
        # From a cluster: a file that a node wrote may be seen here only later.
        self._came: dict[Training, Trained] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 where: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end()

    def do(self, trainings: Sequence[Training]) -> dict[Training, Trained]:
        """The results of some trainings; those found in the state folder are not done again.

        Raises:
            ValueError: as `Ground.perform`.
            RuntimeError: a process ended without a word, for example for want of memory.
        """
        missing = [t for t in trainings
                   if t not in self._came and Trained.load(self.state / t.name) is None]
        missing.sort(key=lambda t: (t.fold, t.seed, t.candidate))  # one's inputs serve the next
        self._finished += len(trainings) - len(missing)
        if self._apart(missing):
            (self._on_cluster if elsewhere() else self._side_by_side)(missing)
        else:
            for training in missing:
                self.ground.perform(training, self.log).save(self.state / training.name)
                self._count()
        return {t: self._came.get(t) or Trained.load(self.state / t.name) for t in trainings}

    def _apart(self, missing: Sequence[Training]) -> bool:
        ground = self.ground
        if len(missing) < 2 or (self._most < 2 and not elsewhere()):
            return False
        largest = max(held_bytes(v.store, ground.graph) for v in ground.vectors.values())
        rows = sum(ground.fitted_rows(t.fold) * t.epochs for t in missing if "_gnn_" in t.variant)
        return largest <= HELD_BYTES and rows >= FEW

    def _side_by_side(self, missing: Sequence[Training]) -> None:
        waiting = list(reversed(missing))
        if not self._workers:
            folder = self.state / "ground"
            lay_out(self.ground, folder)
            self._workers = [_Worker(i, folder, self.state, self._said)
                             for i in range(min(self._most, len(missing)))]
        idle, busy = list(self._workers), set()
        while waiting or busy:
            while waiting and idle:
                idle[-1].begin(waiting.pop())
                busy.add(idle.pop())
            worker, said = self._said.get()
            if said is None:
                raise RuntimeError(worker.last_words())
            if "log" in said:
                self.log(*said["log"])
            elif "error" in said:
                raise _error(said["error"], said["message"])
            else:
                busy.remove(worker)
                idle.append(worker)
                self._count()

    def _on_cluster(self, missing: Sequence[Training]) -> None:
        folder = self.state.resolve() / "ground"
        if self._token is None:
            lay_out(self.ground, folder)
            self._token = uuid.uuid4().hex
        pieces = side_by_side(
            functools.partial(_one, folder, self._token, self.state.resolve()), missing,
            processes=1, device=self.ground.device)
        for training, (done, said) in zip(missing, pieces, strict=True):
            self._came[training] = done
            for words in said:
                self.log(*words)
            self._count()

    def _count(self) -> None:
        self._finished += 1
        self.log(self._finished, {"trainings": float(self._finished)})


class _Worker:
    """One process, seen from the one that started it."""

    def __init__(self, number: int, folder: Path, state: Path,
                 said: queue.Queue[tuple[_Worker, dict[str, Any] | None]]):
        self._words = folder / f"worker{number}.log"
        with open(self._words, "w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rowgraph.adaptation.workers", str(folder.resolve()),
                 str(state.resolve())],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                cwd=Path(__file__).resolve().parents[2], start_new_session=True)
        threading.Thread(target=self._listen, args=(said,), daemon=True).start()

    def begin(self, training: Training) -> None:
        """Hand over a training."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, which `_listen` reports
            self._process.stdin.write(json.dumps(vars(training)) + "\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Stop at once; what was saved is continued from."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def last_words(self) -> str:
        """Why there was no answer."""
        return (f"downstream_metrics: a training process ended with code {self._process.wait()} "
                f"and no answer; its last words were: {self._words.read_text().strip()[-600:]}. "
                "Run again to continue with the trainings that are missing, or set "
                "downstream_metrics.workers to 1")

    def _listen(self, said: queue.Queue[tuple[_Worker, dict[str, Any] | None]]) -> None:
        for line in self._process.stdout:
            if line.startswith(WORD):
                said.put((self, json.loads(line.removeprefix(WORD))))
        said.put((self, None))


def _one(folder: Path, token: str, state: Path,
         training: Training) -> tuple[Trained, list[tuple[Any, ...]]]:
    """One training in a worker of a cluster, and what it logged."""
    torch.set_num_threads(1)
    ground = kept(token, "ground", lambda: ground_of(folder))
    said: list[tuple[Any, ...]] = []
    done = ground.perform(training, lambda *words: said.append(words))
    done.save(state / training.name)
    return done, said


def _error(name: str, message: str) -> Exception:
    """The exception that a training died of."""
    return ValueError(message) if name == "ValueError" else RuntimeError(f"{name}: {message}")


def main(folder: Path, state: Path) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    orders: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    ground = ground_of(folder)

    def say(words: Mapping[str, Any]) -> None:
        print(WORD + json.dumps(words), flush=True)

    def log(*said: Any) -> None:
        say({"log": said})

    while True:
        facts = json.loads(orders.get())
        training = Training(**{**facts, "at": tuple((r, e) for r, e in facts["at"])})
        try:
            ground.perform(training, log).save(state / training.name)
        except Exception as error:
            say({"error": type(error).__name__, "message": str(error)})
            raise
        say({"done": training.name})


def _read(orders: queue.Queue[str]) -> None:
    """Pass on what is asked; the end of input is the end of whoever asked."""
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
