"""A Ray cluster: reached, and what it holds. Ray is an extra and imported when it is asked for."""

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rowgraph.side_by_side import Offer

ANSWER_SECONDS = 10  # that a cluster has to answer
SIGHT_SECONDS = 120  # that a node has to start a process and look into a folder
IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray
ROOT = Path(__file__).resolve().parent.parent


class ClusterError(ValueError):
    """A cluster that cannot be had; the message says the next move."""


def ray_installed() -> Any:
    """The package.

    Raises:
        ClusterError: it is not there.
    """
    try:
        import ray
    except ImportError:
        raise ClusterError("compute.engine is ray, and Ray is not installed; `pip install "
                           "'rowgraph[ray]'` here and on every node, or set compute.engine to "
                           "local") from None
    return ray


@contextlib.contextmanager
def connected(address: str, home: Path | None = None) -> Iterator[Any]:
    """The package, connected to a cluster; a connection that is there is used and left.

    Args:
        address: of `RaySettings`.
        home: that every node has to see under the same path; pieces read and write nothing else.

    Raises:
        ClusterError: Ray is not installed, no cluster answers, or a node sees another home.
    """
    ray = ray_installed()
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    if IN_A_JOB not in os.environ:  # which hands on what it was given
        options["runtime_env"] = {"env_vars": worker_environment()}
    try:
        _knock(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        first, *more = str(error).strip().splitlines() or [type(error).__name__]
        said = more[-1] if more and first.endswith(":") else first  # of a traceback, its error
        raise ClusterError(
            f"ray.address is {address} and no cluster answers there ({said[:160]}); start one "
            "with `ray start --head`, set ray.address to one that runs, or to local for this "
            "machine alone, or compute.engine to local") from None
    try:
        if home is not None:
            seen_by_all(ray, home)
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ray itself would wait for minutes where nothing listens."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()


def seen_by_all(ray: Any, folder: Path) -> None:
    """Ask each node that takes work whether it sees what is new in a folder. A node that does not
    answer is not judged.

    Raises:
        ClusterError: one does not, or cannot run RowGraph.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".seen-", dir=folder) as new:
        asked = {}
        for node in ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(num_cpus=0, scheduling_strategy=there)(_sees)
                asked[task.remote(Path(new))] = node["NodeManagerAddress"]
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=SIGHT_SECONDS)
        for answer in answered:
            try:
                seen = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                raise ClusterError(f"node {asked[answer]} of the Ray cluster cannot run RowGraph "
                                   f"({error.cause}); install the same there as here") from None
            except ray.exceptions.RayError:  # it has left
                continue
            if not seen:
                raise ClusterError(
                    f"node {asked[answer]} of the Ray cluster does not see what this machine has "
                    f"at {folder}; mount the folder there under the same path, or take the node "
                    "out of the cluster")


def _sees(folder: Path) -> bool:
    """Whether a folder is here."""
    return folder.is_dir()


def worker_environment() -> dict[str, str]:
    """What the processes of a cluster are told: where RowGraph lies, and who is asked for what."""
    told = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get(
        "PYTHONPATH", "")])]), "TOKENIZERS_PARALLELISM": "false"}
    return told | {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "ROWGRAPH_DATABASES")
                   if name in os.environ}


def offers_of(ray: Any) -> list[Offer]:
    """What the machines of a cluster that are alive hand out."""
    return [Offer(found.get("CPU", 0.0), found.get("GPU", 0.0), found.get("memory", 0.0))
            for node in ray.nodes() if node["Alive"] for found in [node["Resources"]]]
