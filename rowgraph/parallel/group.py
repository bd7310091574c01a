"""The workers of one training, as each of them sees it.

Every worker knows the whole of each step and works on its own part; gradients and figures are means
over all that the step holds, so that the steps are those of one process, up to rounding. Of one
worker nothing is asked: every function here returns what it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")
PATIENCE = timedelta(hours=1)  # with a worker that lives and is not there yet


@dataclass(frozen=True)
class Group:
    """One worker's place among all.

    Args:
        rank: 0 to `size - 1`; worker 0 writes and reports.
        size: workers.
        device: where what they exchange lies, as torch names it.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @classmethod
    def joined(cls, device: str) -> Group:
        """The group that the launcher's environment describes; waits for the others."""
        if not dist.is_initialized():
            backend = "gloo" if torch.device(device).type == "cpu" else "nccl"
            dist.init_process_group(backend, timeout=PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def is_writer(self) -> bool:
        """Whether this worker writes files and reports."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This worker's share of `count` things in a row; empty where there are too few."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def wait(self) -> None:
        """Until every worker is here."""
        self.sums({"": 0.0})

    def first(self, value: T) -> T:
        """Worker 0's value."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, device=torch.device(self.device))
        return held[0]

    def sums(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Figures added up over all workers, which name the same ones in the same order."""
        if self.size == 1:
            return dict(figures)
        total = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return dict(zip(figures, total.tolist(), strict=True))

    def means(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Means over the `n` of this worker as means over those of all, and all their `n`."""
        if self.size == 1:
            return dict(figures)
        n = figures["n"]
        found = self.sums({k: v if k == "n" else n * v for k, v in figures.items()})
        return {k: v if k == "n" else v / max(found["n"], 1.0) for k, v in found.items()}

    def mean_gradients(self, parameters: Iterable[nn.Parameter], weight: float) -> None:
        """Replace this worker's gradients by the mean over all workers.

        A parameter that no worker has a gradient of keeps none, so that an optimizer passes over
        it as it would in one process.

        Args:
            parameters: the same ones in the same order in every worker.
            weight: over how many terms the loss was a mean here; 0 if it had no part in the step.
        """
        if self.size == 1:
            return
        parameters = list(parameters)
        facts = torch.tensor([weight, *(p.grad is not None for p in parameters)],
                             dtype=torch.float64, device=self.device)
        dist.all_reduce(facts)
        total, *having = facts.tolist()
        touched = [p for p, count in zip(parameters, having, strict=True) if count]
        if not touched:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten()
                          for p in touched])
        flat *= weight / max(total, 1.0)
        dist.all_reduce(flat)
        for p, mean in zip(touched, flat.split([p.numel() for p in touched]), strict=True):
            p.grad = mean.view_as(p)


ALONE = Group()
