"""The device that trains and encodes: chosen and locked."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from resources.cluster import connected, offers_of
from rowgraph import side_by_side
from rowgraph.locks import held
from rowgraph.parallel.launch import Launch
from rowgraph.side_by_side import Cluster
from rowgraph.threads import cores


class ComputeError(RuntimeError):
    """A device that was asked for and cannot be had."""


class ComputeResource(dg.ConfigurableResource):
    """Device `auto`, `cpu` or `cuda:n`, the number of CPU threads, and of training processes.

    One process at a time holds the device, by a lock below `home` that the operating system frees
    when its holder is gone; others wait. The pool `gpu` only orders the runs of the UI, so that
    they wait where a person sees it.
    """

    home: str
    device: str = "auto"
    threads: int | None = None
    processes: int = 1
    engine: str = "local"  # or ray, at `ray_address`, with so many pieces of work at once
    ray_address: str = "auto"
    ray_workers: int | None = None
    ray_fewest: int | None = None  # workers with which a training may go on

    def resolve(self) -> str:
        """The device's torch name.

        Raises:
            ComputeError: CUDA is asked for and absent, or the name is unknown.
        """
        import torch

        if self.device == "auto":
            return "cuda:0" if torch.cuda.is_available() else "cpu"
        if self.device != "cpu" and not self.device.startswith("cuda"):
            raise ComputeError(f"compute.device is '{self.device}'; expected auto, cpu or cuda:n")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise ComputeError(f"compute.device is '{self.device}' but torch sees no CUDA device; "
                               "set it to auto or cpu, or install the CUDA build of torch")
        return self.device

    def described(self) -> str:
        """The device as people know it: `cpu`, or `cuda:0 (NVIDIA H100)`."""
        import torch

        device = self.resolve()
        return device if device == "cpu" else f"{device} ({torch.cuda.get_device_name(device)})"

    def launch(self, device: str) -> Launch:
        """How a training on a device is to be shared: among processes of this machine, or of the
        cluster. One process is this one."""
        shared = self.engine == "ray" and self.processes > 1
        return Launch(self.processes, self.ray_address if shared else None, device != "cpu",
                      self.threads, self.ray_fewest if shared else None)

    @contextlib.contextmanager
    def session(self) -> Iterator[str]:
        """Hold the device, once no other process does; yields its name.

        A step whose run is killed ends as if it had been interrupted: it saves and lets go.

        With `engine: ray`, independent pieces of what is done within go to the cluster, and Ray
        hands out its devices: no lock is held.

        Raises:
            LockError: the file system has no locks.
            ClusterError: no cluster can be had, or one of its nodes sees another home.
        """
        import torch

        device = self.resolve()
        # Left alone, PyTorch takes every core of the host, whatever its container may use.
        torch.set_num_threads(self.threads or min(torch.get_num_threads(), cores()))
        if (parent := multiprocessing.parent_process()) is not None:
            threading.Thread(target=_follow, args=(parent,), daemon=True).start()
        if self.engine == "ray":
            with connected(self.ray_address, Path(self.home)) as ray, side_by_side.on(
                    Cluster(ray, offers_of(ray), self.ray_workers)):
                yield device
            return
        with held(Path(self.home) / f"{device.replace(':', '')}.lock", f"the device {device}"):
            yield device


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    """Interrupt this process once the one that started it is gone."""
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
