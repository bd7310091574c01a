"""Pre-training GraphSAGE with vectors on the device, in memory and on disk."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.on_device.measuring import (
    DATABASE,
    Enough,
    Row,
    Sizes,
    Steps,
    attempted,
    synchronize,
)
from benchmarks.scale import lay_down
from rowgraph.artifacts import Draft
from rowgraph.costs.random_world import random_graph
from rowgraph.embeddings import EmbeddingStore
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.sage import features
from rowgraph.sage.inputs import PretrainDatabase
from rowgraph.sage.pretraining import _Pretraining
from rowgraph.sage.seeds import Seeds


class InMemory(EmbeddingStore):
    """A store read into memory."""

    def __init__(self, folder: Path, num_rows: Mapping[str, int]):
        super().__init__(folder, num_rows)
        self._vectors = {table: np.array(found) for table, found in self._vectors.items()}


def sage(sizes: Sizes, device: str, scratch: Path) -> Iterator[Row]:
    """Pre-training with vectors on the device, in memory and on disk."""
    graph = random_graph(sizes.nodes)
    lay_down(graph.num_nodes, sizes.dim, scratch / "vectors")
    ways: dict[str, tuple] = {"read from disk": (EmbeddingStore, 0.0, True),
                              "mapped, in the system's cache": (EmbeddingStore, 0.0, False),
                              "in memory": (InMemory, 0.0, False)}
    if torch.device(device).type == "cuda":
        ways["on the device"] = EmbeddingStore, features.SHARE, False
    for name, way in reversed(ways.items()):
        yield attempted(name, device, lambda w=way: pretrained(
            graph, *w, sizes=sizes, device=device, scratch=scratch))


def pretrained(graph: EntityGraph, kind: type[EmbeddingStore], share: float, cold: bool, *,
               sizes: Sizes, device: str, scratch: Path) -> Row:
    """Seeds a second of a pre-training, and what the parts of a few steps take one by one.

    Args:
        share: of the device's free memory that vectors may take.
        cold: one step alone, with vectors that the system's cache has forgotten.
    """
    torch.set_float32_matmul_precision("highest")
    if cold:
        forget(scratch / "vectors")
    settings = sizes.profile().sage_weights
    settings = settings.model_copy(update={"epochs": 1,
                                           "seeds_per_epoch": sizes.steps * settings.batch})
    draft = scratch / f"sage_{kind.__name__}_{share}_{cold}"
    draft.mkdir()
    steps = Steps(sizes.steps, sizes.seconds, "train_loss")
    database = PretrainDatabase(DATABASE, graph, kind(scratch / "vectors", graph.num_nodes))
    with patch.object(features, "SHARE", share):
        training = _Pretraining([database], settings, Draft(draft), device, steps.log)
    plan = training.plan.epoch(0)
    found: Row = {}
    if not cold:
        with suppress(Enough):
            training.run()
        training.inputs._pool.submit(gc.collect).result()  # the batch that was being made is done
        seeds = sum(len(plan[k].rows) for k in range(1, len(steps.ended)))
        found["seeds_s"] = seeds / (steps.ended[-1] - steps.ended[0])
    full = [seeds for seeds in plan if len(seeds.rows) == settings.batch]
    return {**found, **step_parts(training, full[:1 if cold else 2], device),
            "held_gib": training.inputs.features[DATABASE].resident_bytes / 2**30}


def step_parts(training: _Pretraining, plan: list[Seeds], device: str) -> Row:
    """Mean seconds of the parts of a step, one after the other: sampling, reading vectors (and
    widening them to fp32), moving them to the device, masking, computing."""
    spent: Counter[str] = Counter()
    nodes = 0

    def timed(name: str, call: Callable) -> Callable:
        def inner(*args: Any) -> Any:
            synchronize(device)
            started = time.perf_counter()
            result = call(*args)
            synchronize(device)
            spent[name] += time.perf_counter() - started
            return result
        return inner

    def compute(inputs: Any) -> None:
        loss, _ = training._loss(inputs)
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        training.optimizer.step()

    inputs = training.inputs
    sampler, held = inputs.samplers[DATABASE], inputs.features[DATABASE]
    with ExitStack() as stack:
        for thing, method, name in ((sampler, "sample", "sampling"), (held, "gather", "gathering"),
                                    (held.embeddings, "gather", "reading"),
                                    (inputs, "hiding", "masking")):
            stack.enter_context(patch.object(thing, method, timed(name, getattr(thing, method))))
        for place, seeds in enumerate(plan):
            made = timed("making", inputs.make)(seeds, ("parts", place))
            timed("computing", compute)(made)
            nodes += sum(len(ids) for ids in made.batch.n_id.values())
    spent["moving"] = spent["making"] - spent["sampling"] - spent["masking"] - spent["reading"]
    parts = ("sampling", "reading", "moving", "masking", "computing")
    return {"vectors": nodes / len(plan), **{f"{p}_s": spent[p] / len(plan) for p in parts}}


def forget(folder: Path) -> None:
    """Let the system's cache drop the files of a folder."""
    gc.collect()  # no map of them is open any more
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
