"""Where assets run on a Ray cluster: what each asks for, by the plan's own estimates, and whether a
machine of the cluster has it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.costing import Costs
from pipeline.environment import Environment
from resources.cluster import ClusterError, connected, offers_of
from rowgraph.costs.world import LIGHT
from rowgraph.side_by_side import GPU_SHARE, Cluster, Offer

COMPUTING = ("node_embeddings", "own_past_weights", "rowgraph_metrics", "downstream_metrics",
             "peer_metrics", "adapted_model",
             "imputation_metrics")  # in pieces, on a GPU where there is one
SPREAD = (*COMPUTING, "baseline_metrics")  # stages whose pieces go to every machine
SHARED = ("bart_checkpoint", "sage_weights", "sage_sweep", "forecast_weights")  # by Ray Train
TRAINING = (*COMPUTING, *SHARED, "transfer_metrics")  # that compute on a GPU
NOWHERE = "nowhere"


@dataclass(frozen=True)
class Ask:
    """What a machine must hand out to the process of an asset.

    Args:
        cpus: a core; 0 where it only waits for its pieces.
        gpus: one; a small share where it leaves the rest to its pieces.
        memory: bytes; for a cluster's bookkeeping, of the host.
        spread: whether its pieces, or workers, go to every machine.
    """

    cpus: float
    gpus: float
    memory: int
    spread: bool

    def fits(self, offer: Offer) -> bool:
        """Whether a machine has it."""
        return (offer.cpus >= self.cpus and offer.gpus >= self.gpus
                and offer.memory >= self.memory)

    def described(self) -> str:
        """In words."""
        found = [f"{self.gpus:.2g} GPU"] * (self.gpus > 0) + [f"{self.memory / 1e9:.1f} GB"]
        return ", ".join([f"{self.cpus:g} core"] * (self.cpus > 0) + found)


def asks_of(costs: Costs, processes: int = 1) -> dict[str, Ask]:
    """What each asset that runs asks for; without an estimate, what a light process takes.

    Args:
        costs: as planned.
        processes: workers of a training; of several each asks for its own core or GPU.
    """
    asks = {}
    for name, found in costs.estimates.items():
        stage = name.partition("/")[0]
        spread = stage in SPREAD or (stage in SHARED and processes > 1)
        gpu = costs.on_gpu and stage in TRAINING
        memory = LIGHT if found is None else found.host.value + (
            0 if costs.on_gpu else found.device.value)
        asks[name] = Ask(0 if spread else 1, (round(1 - GPU_SHARE, 2) if spread else 1) * gpu,
                         math.ceil(memory), spread)
    return asks


def offers(environment: Environment) -> list[Offer]:
    """What the profile's cluster has.

    Raises:
        ClusterError: it cannot be had.
    """
    with connected(environment.profile.ray.address) as ray:
        return offers_of(ray)


def places_of(asks: Mapping[str, Ask], offered: Sequence[Offer]) -> dict[str, str]:
    """Where each asset would run, in words; `NOWHERE` where the cluster cannot hold it."""
    return {name: _place(ask, offered) for name, ask in asks.items()}


def _place(ask: Ask, offered: Sequence[Offer]) -> str:
    fitting = sum(ask.fits(offer) for offer in offered)
    if not fitting:
        return NOWHERE
    return f"pieces on {len(offered)}" if ask.spread else f"1 of {fitting}"


def placing_notes(environment: Environment, costs: Costs) -> tuple[dict[str, str], list[str]]:
    """Where each asset would run, and what a person should know of it; both empty without Ray."""
    if environment.profile.compute.engine != "ray":
        return {}, []
    try:
        offered = offers(environment)
    except ClusterError as error:
        return {}, [f"Where it would run cannot be said: {error}."]
    asks = asks_of(costs, environment.profile.compute.processes)
    places = places_of(asks, offered)
    notes = [f"The Ray cluster has {len(offered)} machines: "
             f"{Cluster(None, offered).described()}."]
    if lost := [f"{name} ({asks[name].described()})" for name, place in places.items()
                if place == NOWHERE]:
        notes.append(f"The cluster cannot hold {', '.join(lost)}; add a machine that can, give "
                     "Ray more of one (`ray start --memory`), or lower what they take.")
    return places, notes
