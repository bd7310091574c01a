"""One worker of a training, whoever started it: its place is in the environment.

    torchrun --nproc-per-node 4 -m rowgraph.parallel.worker ORDER.json

`ORDER.json` names the training, its inputs and settings, the draft folder and the device. Worker 0
writes progress, as lines of JSON, and the summary beside the order. An error that would come again
is an answer too; any other ends the worker, and its launcher starts all of them anew from what was
saved last.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import torch

from rowgraph.artifacts import Draft, write_json
from rowgraph.parallel.group import Group
from rowgraph.parallel.trainings import train

ATTACHED = "--attached"  # the worker ends once its standard input does


def work(order: Path, gpu: str) -> None:
    """Do this worker's part of an order.

    Args:
        gpu: which is this worker's, as torch names it, where the order is one for GPUs.
    """
    answer = answer_of(order)
    if answer.exists():  # started anew after an error that would come again
        return
    facts = json.loads(order.read_text())
    if facts["threads"]:
        torch.set_num_threads(facts["threads"])
    device = facts["device"]
    if device != "cpu":
        device = gpu
        torch.cuda.set_device(device)
    group = Group.joined(device)
    with open(progress_of(order), "a") as lines:

        def log(*said: Any) -> None:
            if group.is_writer:
                lines.write(json.dumps(said) + "\n")
                lines.flush()

        try:
            found = {"summary": train(facts["stage"], facts["inputs"], facts["settings"],
                                      Draft(Path(facts["draft"])), device=device, log=log,
                                      group=group)}
        except tuple(expected().values()) as error:
            name = next(n for n, c in expected().items() if isinstance(error, c))
            found = {"error": name, "message": str(error)}
    if group.is_writer or "error" in found:
        mine = answer.with_suffix(f".{group.rank}")
        write_json(mine, found)
        mine.replace(answer)


def expected() -> dict[str, type[Exception]]:
    """Errors of settings and data, by name, the general one last: trying again does not help."""
    from rowgraph.language.health import CollapseError
    from rowgraph.language.vocabulary import CheckpointError
    from rowgraph.sage.seeds import PretrainingError

    return {c.__name__: c for c in (CollapseError, CheckpointError, PretrainingError, ValueError)}


def answer_of(order: Path) -> Path:
    """Where the summary or the error of an order is written."""
    return order.with_suffix(".answer.json")


def progress_of(order: Path) -> Path:
    """Where worker 0 writes what its training says."""
    return order.with_suffix(".progress")


def _end_with_starter() -> None:
    """End this process once the one that holds the other end of its input is gone."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    if sys.argv[2:] == [ATTACHED]:
        threading.Thread(target=_end_with_starter, daemon=True).start()
    work(Path(sys.argv[1]), f"cuda:{torch.distributed.get_node_local_rank(0)}")
