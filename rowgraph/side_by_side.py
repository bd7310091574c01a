"""How many trainings are done side by side."""

from __future__ import annotations

import os

import torch

MOST = 16  # processes that are taken unasked; each takes about a gigabyte


def processes_of(workers: int | None, device: str | torch.device) -> int:
    """Trainings side by side: one on a GPU, else as many as `workers` says, or one a core."""
    if torch.device(device).type != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return workers or min(cores or 1, MOST)
