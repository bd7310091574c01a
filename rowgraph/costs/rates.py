"""How fast a machine was found to be: rates kept as plain JSON, and hours made from them.

A record belongs to the machine, the device and the shapes that it was measured with; for any other
there is none, rather than a wrong one.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rowgraph.artifacts import LIBRARIES, write_json
from rowgraph.costs.model_shape import ModelShape
from rowgraph.costs.sizes import Figure
from rowgraph.profiles import Profile
from rowgraph.randomness import digest

FORMAT_VERSION = 1

WorkKind = Literal["trained_tokens", "encoded_tokens", "trained_seeds", "adapted_labels"]


@dataclass(frozen=True)
class Work:
    """How much of what has to be done."""

    amount: Figure
    kind: WorkKind


@dataclass(frozen=True)
class Rates:
    """Rates of one machine for one profile's shapes.

    Args:
        per_second: by kind of work (`WorkKind`).
        how: in words, by kind of work.
        header: device, its name, threads, library versions, date: where they come from.
    """

    per_second: Mapping[str, float]
    how: Mapping[str, str]
    header: Mapping[str, Any]

    def hours(self, work: Work) -> Figure | None:
        """How long some work takes; None for a kind that was not measured."""
        rate = self.per_second.get(work.kind)
        return work.amount * (1 / rate / 3600) if rate else None


def shapes_of(profile: Profile, shape: ModelShape) -> dict[str, Any]:
    """What the rates depend on, JSON-able: another value needs another measurement."""
    bart, sage, task = profile.bart_checkpoint, profile.sage_weights, profile.downstream_metrics
    return {
        "device": profile.compute.device,
        "threads": profile.compute.threads,
        "model": shape.as_dict(),
        "bart_checkpoint": bart.model_dump(mode="json", include={
            "precision", "device_batch", "effective_batch", "bag_of_tokens_weight"}),
        "node_embeddings": profile.node_embeddings.model_dump(mode="json"),
        "sage_weights": sage.model_dump(mode="json", include={
            "hidden", "layers", "fan_out", "batch", "edge_type_reduce"}),
        "downstream_metrics": task.model_dump(mode="json", include={
            "fan_out", "batch", "sampling", "regimes", "head_hidden", "workers"}),
    }


def rates_path(home: Path, machine: Mapping[str, Any], shapes: Mapping[str, Any]) -> Path:
    """Where the rates of a machine for some shapes are kept."""
    return home / "throughput" / f"{digest('throughput', dict(machine), dict(shapes))[:16]}.json"


def write_rates(path: Path, rates: Rates, machine: Mapping[str, Any],
                shapes: Mapping[str, Any]) -> None:
    """Keep rates with what they belong to."""
    libraries = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            libraries[name] = importlib.metadata.version(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {
        "format_version": FORMAT_VERSION, "machine": dict(machine), "shapes": dict(shapes),
        "libraries": libraries, "header": dict(rates.header),
        "per_second": dict(rates.per_second), "how": dict(rates.how)})


def read_rates(path: Path) -> Rates | None:
    """Rates that were kept, or None; a broken record is a missing one, seconds to make anew."""
    try:
        content = json.loads(path.read_text())
        if content["format_version"] != FORMAT_VERSION:
            return None
        return Rates(content["per_second"], content["how"], content["header"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
