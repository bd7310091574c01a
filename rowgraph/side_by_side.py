"""Independent pieces of work, done side by side: in processes of this machine, or on a Ray cluster.

A piece is a function's only argument; both can be pickled, and whatever is worth keeping the
function leaves in a folder that every process sees. So it does not matter who does which piece, nor
how often: a piece that dies with its worker is done again elsewhere, from what it had kept.

Where nothing else is said it is this machine; `with on(cluster):` says otherwise for what is called
within, as `joblib.parallel_config` would. No result depends on it.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import joblib

from rowgraph.threads import cores

if TYPE_CHECKING:
    import torch

MOST = 16  # processes that are taken unasked; each takes about a gigabyte
RETRIES = 3  # of a piece whose worker was lost
GPU_SHARE = 0.9  # of a GPU that a piece takes; who waits for it needs a little of one too
AHEAD = 2  # pieces of a place in a cluster that are handed out: one in work, one waiting

# Of an idle one that ended; the death of one at work is an error.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)

Piece = TypeVar("Piece")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Offer:
    """What one machine of a cluster has: cores, GPUs and bytes that can be asked for."""

    cpus: float
    gpus: float
    memory: float


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process is connected to.

    Args:
        ray: the package.
        offers: of its machines.
        workers: pieces in work at once; None is as many as it holds.
    """

    ray: Any
    offers: Sequence[Offer]
    workers: int | None = None

    def places(self, gpu: bool, gigabytes: float, cpus: float = 1) -> int:
        """How many pieces it holds at once, of so many cores each.

        Raises:
            RuntimeError: not one.
        """
        found = sum(int(min([offer.cpus / cpus, offer.memory / (gigabytes * 1e9)]
                            + [offer.gpus] * gpu)) for offer in self.offers)
        if not found:
            cores = "a core" if cpus == 1 else f"{cpus:g} cores"
            raise RuntimeError(
                f"no machine of the Ray cluster has {cores}, {gigabytes:.1f} GB"
                f"{' and a GPU' * gpu} for a piece of this work; it has {self.described()}. Add a "
                "larger one, or set compute.engine to local")
        return found if self.workers is None else min(found, self.workers)

    def cores_for(self, threads: int, gpu: bool, gigabytes: float) -> float:
        """The cores that a piece of so many threads asks for: no more than the smallest machine
        has that holds it otherwise, and of a piece on a GPU no more than one GPU's share."""
        able = [max(1, offer.cpus // offer.gpus) if gpu else offer.cpus for offer in self.offers
                if offer.cpus >= 1 and offer.gpus >= gpu and offer.memory >= gigabytes * 1e9]
        return min([float(threads), *able])

    def described(self) -> str:
        """Its machines in words."""
        return "; ".join(f"{o.cpus:g} CPUs, {o.gpus:g} GPUs, {o.memory / 1e9:.1f} GB"
                         for o in self.offers) or "no machine"


_CLUSTER: ContextVar[Cluster | None] = ContextVar("cluster", default=None)


@contextlib.contextmanager
def on(cluster: Cluster | None) -> Iterator[None]:
    """Within, pieces are done on a cluster; None is this machine."""
    token = _CLUSTER.set(cluster)
    try:
        yield
    finally:
        _CLUSTER.reset(token)


def elsewhere() -> bool:
    """Whether pieces are done on a cluster."""
    return _CLUSTER.get() is not None


def processes_of(workers: int | None, device: str | torch.device) -> int:
    """Trainings side by side on this machine: one on a GPU, else as many as `workers` says, or one
    a core."""
    if str(device) != "cpu":
        return 1
    return workers or min(cores(), MOST)


def side_by_side(function: Callable[[Piece], Result], pieces: Sequence[Piece], *, processes: int,
                 device: str | torch.device, gigabytes: float = 1.0,
                 threads: int | None = None,
                 plain: Callable[[Piece], bool] = lambda _: False) -> Iterator[Result]:
    """The function's values, in the order of the pieces, each as soon as those before it are there.

    Args:
        processes: on this machine (`processes_of`); one is this process itself.
        device: `cuda` pieces take a GPU of the cluster each.
        gigabytes: of memory, what a piece is known to take in a cluster.
        threads: with which torch computes a piece in a cluster, and for which it takes cores there;
            None leaves it to the piece, and takes one core.
        plain: of which pieces one core of a cluster is enough, without a GPU or `threads`.

    Raises:
        RuntimeError: the cluster has no place for a piece, or workers that did it were lost again
            and again. Whatever the function raises is raised here.
    """
    cluster = _CLUSTER.get()
    if cluster is not None:
        usual, little = _Asks(str(device) != "cpu", threads), _Asks(False, None)
        yield from _on_cluster(cluster, function, pieces, gigabytes,
                               [little if plain(piece) else usual for piece in pieces])
    elif min(processes, len(pieces)) < 2:
        yield from (here(function, piece) for piece in pieces)
    else:
        # As many workers whatever there is to do: joblib ends those that are too many, and what
        # they have loaded with them.
        yield from joblib.Parallel(processes, return_as="generator")(
            joblib.delayed(function)(piece) for piece in pieces)


def here(function: Callable[[Piece], Result], piece: Piece) -> Result:
    """A piece in this process, whose number of threads stays."""
    import torch

    threads = torch.get_num_threads()
    try:
        return function(piece)
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Asks:
    """What a piece asks of a cluster, beside memory."""

    gpu: bool
    threads: int | None


class _Queue:
    """Pieces that ask for the same: the places of those that wait, and how many are handed out."""

    def __init__(self, cluster: Cluster, asks: _Asks, gigabytes: float):
        self.threads = asks.threads
        self.waiting: deque[int] = deque()
        self.running = 0
        cpus = cluster.cores_for(asks.threads or 1, asks.gpu, gigabytes)
        places = cluster.places(asks.gpu, gigabytes, cpus)
        self.most = places if cluster.workers else AHEAD * places
        self.task = cluster.ray.remote(
            num_cpus=cpus, num_gpus=GPU_SHARE * asks.gpu, memory=int(gigabytes * 1e9),
            max_calls=0, max_retries=RETRIES, scheduling_strategy="SPREAD")(_call)


def _on_cluster(cluster: Cluster, function: Callable[[Piece], Result], pieces: Sequence[Piece],
                gigabytes: float, asked: Sequence[_Asks]) -> Iterator[Result]:
    """Pieces as Ray tasks. Worker processes stay, with what the function keeps in them.

    Once something is wrong no more are handed out. Those at work end by themselves and keep what
    they have: a task that is cancelled in the moment in which it ends takes this process along
    (Ray 2.60, "Tried to complete task that was not pending").
    """
    queues = {asks: _Queue(cluster, asks, gigabytes) for asks in dict.fromkeys(asked)}
    for place, asks in enumerate(asked):
        queues[asks].waiting.append(place)
    ray, running, found = cluster.ray, {}, {}
    shared = ray.put(function) if pieces else None
    for number in range(len(pieces)):
        while number not in found:
            for queue in queues.values():
                while (queue.waiting and queue.running < queue.most
                       and len(running) < (cluster.workers or math.inf)):
                    place = queue.waiting.popleft()
                    running[queue.task.remote(shared, queue.threads, pieces[place])] = place
                    queue.running += 1
            done, _ = ray.wait(list(running), num_returns=1)
            place = running.pop(done[0])
            queues[asked[place]].running -= 1
            found[place] = _value(ray, done[0])
        yield found.pop(number)


def _call(function: Callable[[Piece], Result], threads: int | None, piece: Piece) -> Result:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return function(piece)


def _value(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RuntimeError(f"a piece of work was lost with its worker {RETRIES + 1} times "
                           f"({type(error).__name__}: {said[:200]}); run again to continue with "
                           "what is missing, or add machines with more memory") from None
