"""`rowgraph doctor`: whether this machine can do what a profile asks for."""

import contextlib
import importlib.metadata
import importlib.util
import platform
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pipeline.costing import costs_of, machine
from pipeline.door import problems_of
from pipeline.environment import Environment
from pipeline.home import make_home
from pipeline.plan import Planned, plan
from pipeline.printing import totals_of
from resources.compute import ComputeError, ComputeResource
from resources.provenance import code_facts, code_in_words
from resources.tracking import TrackingResource, without_password
from rowgraph.artifacts import ArtifactError
from rowgraph.databases.resolving import find_here
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.disk import free_bytes

LIBRARIES = ("torch", "transformers", "torch-geometric", "dagster", "mlflow", "relbench", "duckdb",
             "pyarrow", "polars", "lightgbm", "numba", "numpy", "pandas")
EXTRAS = {"ray": "ray", "s3": "s3fs", "postgresql": "psycopg", "mysql": "pymysql"}
NEWEST_TESTED = (3, 11)
CGROUP = Path("/sys/fs/cgroup")  # where Linux shows the limits of a container
GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: in a word or two.
        found: what is there.
        state: `fine`; `note`: something may not be possible; `wrong`: the profile cannot run.
        move: what to do about it.
    """

    what: str
    found: str
    state: str = "fine"
    move: str = ""

    def as_dict(self) -> dict[str, str]:
        """For a program."""
        return asdict(self)


def examine(environment: Environment, ports: dict[str, int]) -> Iterator[Finding]:
    """Look at versions, device, memory, disk, ports, tracking, extras and databases, in order.

    Args:
        ports: of 127.0.0.1 that `rowgraph ui` wants, by what is served there.
    """
    code = code_facts()
    yield Finding("rowgraph", f"{code['version']}, {code_in_words(code)}")
    yield _python()
    yield Finding("libraries", ", ".join(map(_version, LIBRARIES)))
    yield _device(environment)
    yield from _room(environment)
    for what, port in ports.items():
        yield _port(what, port)
    yield _mlflow(environment)
    yield from _extras(environment)
    yield from _databases(environment)


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] > NEWEST_TESTED:
        return Finding("Python", found, "note", "every change is tested on 3.11; the "
                       "whole suite has passed on 3.12 and 3.13")
    return Finding("Python", found)


def _version(library: str) -> str:
    try:
        return f"{library} {importlib.metadata.version(library)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{library} missing"


def _device(environment: Environment) -> Finding:
    wanted, facts = environment.profile.compute, machine()
    compute = ComputeResource(home=str(environment.home), device=wanted.device,
                              threads=wanted.threads)
    try:
        found = f"{compute.described()}, {facts['cores']} CPU cores ({facts['cpu']})"
    except ComputeError as error:
        return Finding("device", str(error), "wrong", "mend compute.device in the profile")
    if facts["gpus"] and compute.resolve() == "cpu" and wanted.device == "auto":
        return Finding("device", f"{found}; torch does not see {', '.join(facts['gpus'])}", "note",
                       "install the CUDA build of torch: README, \"Install\"")
    return Finding("device", found)


def _room(environment: Environment) -> Iterator[Finding]:
    """Memory and disk, beside what the profile takes."""
    total, available = memory()
    try:
        make_home(environment.home)
    except ArtifactError as error:
        yield Finding("home", str(error), "wrong")
        return
    free = free_bytes(environment.home)
    totals = totals_of(costs_of(environment, plan(environment)))
    needed, disk = totals["memory_bytes"].value, totals["disk_bytes"].value
    yield _beside("memory", f"{total / GB:.1f} GB, {available / GB:.1f} free", total, needed,
                  "make batches smaller: `rowgraph plan` names the assets")
    yield _beside("home", f"{environment.home}, {free / GB:.1f} GB free", free, disk,
                  "free space, or set ROWGRAPH_HOME to a larger disk")


def memory(cgroup: Path = CGROUP) -> tuple[float, float]:
    """Bytes that this process may use, and of them those that are free: of the machine, or of its
    container (cgroups of version 2 or 1)."""
    found = psutil.virtual_memory()
    for limit, used in (("memory.max", "memory.current"),
                        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        with contextlib.suppress(OSError, ValueError):  # no such file, or `max`
            most = int((cgroup / limit).read_text())
            if most < found.total:
                left = most - int((cgroup / used).read_text())
                return most, max(0, min(left, found.available))
    return found.total, found.available


def _beside(what: str, found: str, have: float, need: float, move: str) -> Finding:
    if need == 0:
        return Finding(what, f"{found}; nothing is to be run")
    found = f"{found}; what is to be run takes some {need / GB:.1f}"
    return Finding(what, found, "wrong", move) if need > have else Finding(what, found)


def _port(what: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding(f"port {port}", f"cannot be had for {what} ({error.strerror})", "note",
                           "stop what listens there, or give `rowgraph ui` another")
    return Finding(f"port {port}", f"free, for {what}")


def _mlflow(environment: Environment) -> Finding:
    tracking = TrackingResource(home=str(environment.home), uri=environment.tracking_uri)
    where = without_password(tracking.tracking_uri)
    if tracking.client() is None:
        return Finding("MLflow", f"{where} does not answer", "note", "what is made is not tracked "
                       "until it does; start it, or unset MLFLOW_TRACKING_URI")
    return Finding("MLflow", where)


def _extras(environment: Environment) -> Iterator[Finding]:
    """Optional parts, those first that the profile asks for and that are not there."""
    from rowgraph.baselines.peers.running import EXTRAS as OF_PEERS

    known = {**EXTRAS, **{extra.name: extra.module for extra in OF_PEERS.values()}}
    there = {extra for extra, module in known.items() if importlib.util.find_spec(module)}
    asked = {OF_PEERS[peer].name for peer in environment.profile.peer_metrics.peers}
    for extra in sorted(asked - there):
        yield Finding(f"extra {extra}", "not installed; its rows will say so", "note",
                      f"pip install 'rowgraph[{extra}]'")
    absent = sorted(known.keys() - there)
    yield Finding("extras", f"{', '.join(sorted(there)) or 'none'}"
                  + (f"; not installed: {', '.join(absent)}" if absent else ""))


def _databases(environment: Environment) -> Iterator[Finding]:
    """What forbids their use; those that only the hub can have; else where they are."""
    planned = plan(environment)
    problems = problems_of(environment, planned, values=False)
    yield from (Finding("databases", p, "wrong", "see `rowgraph databases`") for p in problems)
    missing = [] if problems else [d.name for d in environment.profile.databases if _missing(
        environment, planned, d)]
    for name in missing:
        found = f"{name} is not here; only the Hugging Face Hub can have it"
        if environment.hub:
            yield Finding("databases", found, "note", "it is downloaded when it is needed")
        else:
            yield Finding("databases", f"{found}, and HF_HUB_OFFLINE is set", "wrong",
                          "unset that, or put the folder into ROWGRAPH_DATABASES")
    if not problems and not missing:
        names = ", ".join(d.name for d in environment.profile.databases)
        yield Finding("databases", f"{names}: here, or built from packages that are")


def _missing(environment: Environment, planned: list[Planned], database: DatabaseSettings) -> bool:
    made = any(p.artifact for p in planned
               if p.node.stage == "source" and p.node.database == database)
    return not made and find_here(database.name, folders=environment.databases,
                                  entities=database.entities) is None
