"""Workers on the nodes of a Ray cluster, by Ray Train.

The controller that starts the workers, and starts them anew when one is lost, runs as a task of the
cluster: so a driver that is not a part of it can start and end a training, and one that dies takes
its training along.
"""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util import placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup

from rowgraph.parallel.group import PATIENCE
from rowgraph.parallel.launch import RESTARTS, Launch
from rowgraph.parallel.worker import work

OBJECTS = 100 * 2**20  # bytes of the object store of a cluster of our own, which hardly needs one


class RayTrain:
    """Workers of a cluster.

    Args:
        order: of the worker, below a folder that every node sees.
        launch: address, number of workers, and whether each needs a GPU.
        fewest: with how many it may go on.

    Raises:
        ValueError: the cluster has fewer cores or GPUs than workers are needed.
    """

    def __init__(self, order: Path, launch: Launch, fewest: int | None):
        self._ours = not ray.is_initialized()
        if self._ours:
            connect(launch.ray_address, launch.processes)
        _enough_for(launch, fewest or launch.processes)
        environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        workers = launch.processes if fewest is None else (fewest, launch.processes)
        self._fit = _fit.options(runtime_env={"env_vars": environment}).remote(
            str(order), workers, launch.gpus, environment)
        self._error = ""

    def running(self) -> bool:
        """Whether the controller is at work."""
        if not ray.wait([self._fit], timeout=0)[0]:
            return True
        try:
            ray.get(self._fit)
        except Exception as error:
            self._error = str(error)
        self._leave()
        return False

    def stop(self) -> None:
        """End controller and workers."""
        ray.cancel(self._fit, force=True)
        self._leave()

    def last_words(self) -> str:
        """Why the controller gave up."""
        return self._error

    def _leave(self) -> None:
        if self._ours:
            ray.shutdown()


def connect(address: str, processes: int) -> None:
    """Join a cluster, or start one of this machine for the time being (`local`).

    Raises:
        ValueError: nobody answers at the address.
    """
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        settings |= {"num_cpus": max(processes, os.cpu_count() or 1),
                     "include_dashboard": False, "object_store_memory": OBJECTS}
    try:
        ray.init(address, **settings)
    except ConnectionError as error:
        raise ValueError(f"no Ray cluster answers at '{address}' ({error}); start one with "
                         "`ray start --head`, or set the address to local") from None


def _enough_for(launch: Launch, workers: int) -> None:
    """Ray would wait for ever."""
    kind = "GPU" if launch.gpus else "CPU"
    if (held := int(ray.cluster_resources().get(kind, 0))) < workers:
        raise ValueError(f"compute.processes is {launch.processes}, each with a {kind}, and the "
                         f"Ray cluster has {held}: add machines, or set compute.processes to "
                         f"{max(held, 1)}")


class _Gloo(TorchConfig().backend_cls):
    """Workers meet at the addresses by which their nodes know each other. Gloo alone would take
    what a machine's own name stands for, which often is 127.0.0.1."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Before the process group is made."""
        worker_group.execute(_meet_where_ray_does)
        super().on_start(worker_group, backend_config)


class _Meeting(TorchConfig):
    @property
    def backend_cls(self) -> type[_Gloo]:
        return _Gloo


def _meet_where_ray_does() -> None:
    here = ray.get_runtime_context().get_node_id()
    address = next(n["NodeManagerAddress"] for n in ray.nodes() if n["NodeID"] == here)
    for interface, addresses in psutil.net_if_addrs().items():
        if address in {found.address for found in addresses}:
            os.putenv("GLOO_SOCKET_IFNAME", interface)  # which Gloo reads and Python does not


@ray.remote(num_cpus=0, max_retries=0)
def _fit(order: str, workers: int | tuple[int, int], gpus: bool, environment: dict) -> None:
    folder = Path(order).with_suffix(".ray")
    shutil.rmtree(folder, ignore_errors=True)
    before = set(placement_group_table())
    try:
        TorchTrainer(
            _work, train_loop_config={"order": order},
            torch_config=_Meeting(timeout_s=int(PATIENCE / timedelta(seconds=1))),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
            run_config=RunConfig(
                name="run", storage_path=str(folder), worker_runtime_env={"env_vars": environment},
                failure_config=FailureConfig(max_failures=RESTARTS),
                logging_config=LoggingConfig(log_level="WARNING"))).fit()
    finally:
        _give_back(before)


def _give_back(before: set[str]) -> None:
    """Places of workers that could not be connected stay taken (Ray 2.60); the next training of
    this job would wait for them."""
    job = ray.get_runtime_context().get_job_id()
    for identity, found in placement_group_table().items():
        if identity.endswith(job) and identity not in before and found["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(identity))))


def _work(config: dict[str, str]) -> None:
    work(Path(config["order"]), str(get_device()))
