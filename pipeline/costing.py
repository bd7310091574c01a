"""What the planned assets cost: facts out of the home, the databases and the profile, hours out of
a measurement of this machine. Imports no torch unless it measures."""

import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assets.catalog import part
from pipeline.environment import Environment
from pipeline.plan import Planned
from rowgraph.artifacts import ArtifactStore
from rowgraph.costs.estimates import estimate
from rowgraph.costs.model_shape import ModelShape
from rowgraph.costs.rates import Rates, rates_path, read_rates, shapes_of, write_rates
from rowgraph.costs.sizes import ASSUMED_TOKENS_A_ROW, DatabaseFacts, Facts, Figure
from rowgraph.costs.world import Estimate
from rowgraph.databases.footers import read_footers
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.shared_store import open_store
from rowgraph.threads import cores


@dataclass(frozen=True)
class Costs:
    """What a plan costs.

    Args:
        facts: what it was estimated from.
        estimates: by asset name, for those that run; None where nothing can be said.
        rates: of this machine; None where it was not measured for the profile's shapes.
        on_gpu: whether a GPU computes.
    """

    facts: Facts
    estimates: dict[str, Estimate | None]
    rates: Rates | None
    on_gpu: bool

    def hours(self, asset: str) -> Figure | None:
        """Of an asset; None where there is no rate, or no work that has one."""
        found = self.estimates[asset]
        if found is None or found.work is None or self.rates is None:
            return None
        hours = [self.rates.hours(work) for work in (found.work, found.also) if work is not None]
        return None if None in hours else sum(hours, Figure(0))

    @property
    def unmeasured(self) -> bool:
        """Whether some asset has work to do for which there is no rate."""
        return any(found is not None and found.work is not None and self.hours(name) is None
                   for name, found in self.estimates.items())


def costs_of(environment: Environment, planned: list[Planned]) -> Costs:
    """Estimates of every asset that runs."""
    facts, on_gpu = _facts(environment, planned), _on_gpu(environment)
    # On a cluster what is done side by side asks for its own memory.
    alone = 1 if environment.profile.compute.engine == "ray" else cores()
    estimates = {
        p.node.name: estimate(p.node.stage, environment.profile, facts,
                              p.node.database and p.node.database.name, p.node.task, on_gpu=on_gpu,
                              cores=alone)
        for p in planned if p.action == "run"}
    path = _rates_path(environment, facts)
    return Costs(facts, estimates, read_rates(path) if path else None, on_gpu)


def measure_machine(environment: Environment, planned: list[Planned],
                    note: Callable[[str], None]) -> None:
    """Measure this machine at the profile's shapes and keep the rates below the home.

    Raises:
        ValueError: the shape of the language model is not known, the device cannot be had, or
            other work disturbed the measurement.
    """
    facts = _facts(environment, planned)
    path = _rates_path(environment, facts)
    if path is None:
        raise ValueError("bart_checkpoint.checkpoint: the shape of "
                         f"'{environment.profile.bart_checkpoint.checkpoint}' is not known here; "
                         "pass a local folder with its config.json, or facebook/bart-large")
    from resources.compute import ComputeError, ComputeResource
    from rowgraph.costs.throughput import measure_rates

    profile, home = environment.profile, environment.home
    compute = ComputeResource(home=str(home), device=profile.compute.device,
                              threads=profile.compute.threads)
    try:
        with compute.session() as device, tempfile.TemporaryDirectory() as scratch:
            rates = measure_rates(
                profile, facts.shape, round(facts.tokens_a_row.value), Path(scratch),
                device=device, clock=time.perf_counter, note=note,
                date=datetime.now(UTC).date().isoformat())
    except ComputeError as error:
        raise ValueError(str(error)) from error
    write_rates(path, rates, machine(), shapes_of(profile, facts.shape))


def machine() -> dict[str, Any]:
    """What tells this machine's speed from another's: processor, cores, GPUs."""
    return {"cpu": _processor(), "cores": cores(), "gpus": _gpus()}


def _processor() -> str:
    """Its name, family and model; on some machines the name alone says little."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split("\t", 1) for line in lines if "\t" in line)
    named = (facts.get(k, "").strip("\t: ") for k in ("model name", "cpu family", "model"))
    return " ".join(filter(None, named)) or platform.machine()


def _gpus() -> list[str]:
    """Names of NVIDIA GPUs, as their driver lists them: asking torch would take seconds."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = path.read_text().splitlines()
        names += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model")]
    return names


def _on_gpu(environment: Environment) -> bool:
    device = environment.profile.compute.device
    return device.startswith("cuda") or (device == "auto" and bool(_gpus()))


def _rates_path(environment: Environment, facts: Facts) -> Path | None:
    if facts.shape is None:
        return None
    return rates_path(environment.home, machine(), shapes_of(environment.profile, facts.shape))


def _facts(environment: Environment, planned: list[Planned]) -> Facts:
    store = open_store(environment.home)
    by_key = {p.node.key: p for p in planned}
    tokens = _tokens_a_row(environment, store)
    databases = {d.name: _database(store, by_key["source", part(d.name)], d, tokens)
                 for d in environment.profile.databases if ("source", part(d.name)) in by_key}
    return Facts(databases, ModelShape.of(environment.profile.bart_checkpoint), tokens)


def _database(store: ArtifactStore, source: Planned, settings: DatabaseSettings,
              tokens: Figure) -> DatabaseFacts | None:
    cap = settings.max_rows_per_table
    if source.artifact is not None:
        return _with_distinct(store, source, read_footers(source.artifact.folder))
    if source.folder is not None:
        return read_footers(source.folder, cap)
    if settings.expected_rows is not None:
        return DatabaseFacts.expected(settings.expected_rows, cap, tokens)
    return None


def _with_distinct(store: ArtifactStore, source: Planned, facts: DatabaseFacts) -> DatabaseFacts:
    """The distinct texts that an earlier encoding of the same rows found."""
    for manifest in store.others(("node_embeddings", *source.node.key[1:])):
        if manifest["inputs"].get("source") == source.artifact.data_version:
            tables = manifest["summary"]["tables"].values()
            return replace(facts, distinct=Figure(sum(t["distinct"] for t in tables)))
    return facts


def _tokens_a_row(environment: Environment, store: ArtifactStore) -> Figure:
    """The mean of the newest corpus that was tokenized as the profile asks, else an assumption."""
    wanted = environment.profile.bart_checkpoint
    corpora = {m["data_version"]: m for m in store.others(("linearized_corpus",))}
    for manifest in store.others(("bart_checkpoint",)):
        settings, summary = manifest["settings"], manifest["summary"]
        corpus = corpora.get(manifest["inputs"].get("linearized_corpus"))
        if corpus and all(settings.get(k) == getattr(wanted, k)
                          for k in ("checkpoint", "vocabulary", "max_tokens")):
            rows = settings["epochs"] * corpus["summary"]["splits"]["train"]
            return Figure(summary["tokens_seen"] / rows)
    return Figure(ASSUMED_TOKENS_A_ROW, "assumed").at_most(wanted.max_tokens)
