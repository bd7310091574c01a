"""The device that trains and encodes: chosen and locked."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import dagster as dg


class ComputeError(RuntimeError):
    """A device that was asked for and cannot be had."""


class ComputeResource(dg.ConfigurableResource):
    """Device `auto`, `cpu` or `cuda:n`, the number of CPU threads, and of fine-tuning processes.

    One process at a time holds the device: the pool `gpu` orders steps within Dagster, and the
    lock below `home` also holds off a training that outlived its run.
    """

    home: str
    device: str = "auto"
    threads: int | None = None
    processes: int = 1

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

    @contextlib.contextmanager
    def session(self) -> Iterator[str]:
        """Hold the device; yields its name.

        Raises:
            ComputeError: another process holds it.
        """
        import torch

        device = self.resolve()
        if self.threads:
            torch.set_num_threads(self.threads)
        path = Path(self.home) / f"{device.replace(':', '')}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ComputeError(f"{device} is in use by another RowGraph process (it holds "
                                   f"{path}); wait for it or stop it, then run again") from None
            yield device
