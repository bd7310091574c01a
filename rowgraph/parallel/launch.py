"""How a training is to be shared."""

from __future__ import annotations

from dataclasses import dataclass

RESTARTS = 3  # of all workers, because one died


@dataclass(frozen=True)
class Launch:
    """How many workers, and who starts them.

    Args:
        processes: workers: one for each GPU, or as many as the cores should be shared by.
        ray_address: of a Ray cluster, as `ray.init` takes it (`auto`, `local`, `ray://…`), whose
            nodes see the home under the same path; None is `torchrun`, here.
        gpus: whether each worker gets a GPU of the cluster.
        threads: of each worker on a CPU; None leaves it to the launcher, which gives one.
        fewest: with how many workers Ray may begin, or go on after a loss, while no more can be
            had; None waits for all of them.
    """

    processes: int = 1
    ray_address: str | None = None
    gpus: bool = False
    threads: int | None = None
    fewest: int | None = None
