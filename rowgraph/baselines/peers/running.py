"""Every peer of a task: predictions where a peer can be run, a reason where it cannot.

A peer comes with an extra of its own. Nothing here imports one before it is asked for, so that
RowGraph works without them (docs/decisions/peers.md).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import NamedTuple

import polars as pl

from rowgraph.artifacts import Draft, file_digest
from rowgraph.baselines.peers.answers import Answers, none_of
from rowgraph.baselines.peers.settings import Peer, PeerMetricsSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.progress import Log
from rowgraph.tasks.choosing import choice_table
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.predictions import write_predictions

UNAVAILABLE = {"variant": pl.String, "regime": pl.String, "reason": pl.String}


class Extra(NamedTuple):
    """What a peer needs beyond RowGraph: the extra, the module and the package that has it."""

    name: str
    module: str
    package: str


EXTRAS: dict[Peer, Extra] = {
    "rdl": Extra("rdl", "torch_frame", "pytorch-frame"),
    "kumo_relational": Extra("kumo", "sdm", "structured-data-models")}


def run_peers(task: Task, graph: EntityGraph, settings: PeerMetricsSettings, draft: Draft, *,
              device: object, log: Log) -> dict[str, object]:
    """Run the peers of the settings on one task.

    Args:
        task: of a held-out database; its database hides what the task must not see.
        graph: of that database.
        settings: which peers, and how.
        draft: gets `predictions.parquet` (`rowgraph.tasks.predictions`; the variant is the peer's
            name), `choices.parquet` (`rowgraph.tasks.choosing`) and `unavailable.parquet`
            (variant, regime, reason: what has no figure and why). A finished training lies in
            `draft.state` and is not done again.
        device: of PyTorch.
        log: called as trainings proceed.

    Returns:
        The summary: rows of each split, what each peer chose, and what is not available.
    """
    found = {peer: _run(peer, task, graph, settings, draft.state, device, log)
             for peer in settings.peers}
    predictions = {run: splits for a in found.values() for run, splits in a.predictions.items()}
    write_predictions(task, predictions, draft.path("predictions.parquet"))
    choice_table([s for a in found.values() for s in a.scores],
                 {peer: a.chosen for peer, a in found.items()}
                 ).write_parquet(draft.path("choices.parquet"))
    unavailable_rows(found).write_parquet(draft.path("unavailable.parquet"))
    return {"n_train": len(task.train), "n_val": len(task.val), "n_test": len(task.test),
            "peers": {peer: a.facts for peer, a in found.items() if a.predictions},
            "unavailable": {peer: a.unavailable for peer, a in found.items() if a.unavailable}}


def unavailable_rows(found: dict[Peer, Answers]) -> pl.DataFrame:
    """Which peer has no prediction in which regime, and why: variant, regime, reason."""
    return pl.DataFrame([(peer, regime, reason) for peer, answers in found.items()
                         for regime, reason in answers.unavailable.items()],
                        schema=UNAVAILABLE, orient="row")


def peer_inputs(settings: PeerMetricsSettings) -> dict[str, str]:
    """What the answers depend on beside task, graph and settings, for the recipe of the stage.

    Without it a row that says "not installed" or "weights not available" would stay when the
    extra is installed or the weights arrive.

    Returns:
        By name: the version of each peer's package, or "absent"; digests of weights in a folder.
    """
    inputs = {}
    for peer in settings.peers:
        extra = EXTRAS[peer]
        inputs[extra.package] = (importlib.metadata.version(extra.package)
                                 if installed(extra.module) else "absent")
    if "kumo_relational" in settings.peers:
        folder = Path(settings.kumo_weights).expanduser()
        for path in sorted(folder.glob("*.pt")) if folder.is_dir() else []:
            inputs[f"kumo_weights/{path.name}"] = file_digest(path)
    return inputs


def installed(module: str) -> bool:
    """Whether a module can be imported; it is not."""
    return importlib.util.find_spec(module) is not None


def _run(peer: Peer, task: Task, graph: EntityGraph, settings: PeerMetricsSettings, state: Path,
         device: object, log: Log) -> Answers:
    extra = EXTRAS[peer]
    if task.task_type == "recommendation":
        return none_of(settings.regimes, f"{peer} is not offered for recommendation here")
    if not installed(extra.module):
        return none_of(settings.regimes, f"{extra.package} is not installed: "
                                         f"pip install 'rowgraph[{extra.name}]'")
    if peer == "rdl":
        from rowgraph.baselines.peers.rdl import run_rdl

        return run_rdl(task, graph, settings, state, device=device, log=log)
    from rowgraph.baselines.peers.kumo import run_kumo

    return run_kumo(task, graph, settings, state, device=device, log=log)
