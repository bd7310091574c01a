"""The ground of a task's trainings as plain files, for processes that share it by mapping them.

Labels of the test rows are not written: no process needs them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from rowgraph.adaptation.ground import Ground
from rowgraph.adaptation.joint.texts import RowTexts
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.artifacts import write_json
from rowgraph.databases.database import Database
from rowgraph.disk import new_array
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import shared_tensor
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.tasks.label_tables import LabelTable, Task

SPLITS = ("train", "val", "test")
CHUNK = 65_536  # rows written at a time


def lay_out(ground: Ground, folder: Path) -> None:
    """Write everything that `ground_of` reads; what lay there goes."""
    write_surroundings(ground.graph, ground.vectors, folder)
    task = ground.task
    for split in SPLITS:
        labels = task.labels(split)
        np.savez(folder / f"{split}.npz", rows=labels.rows, times=labels.times,
                 target=labels.target)
    database = task.database
    write_json(folder / "ground.json", {
        "task": {"name": task.name, "task_type": task.task_type,
                 "entity_table": task.entity_table, "timedelta": task.timedelta,
                 "classes": list(task.classes), "autocomplete": task.autocomplete},
        "database": {"name": database.name, "folder": str(database.folder.resolve()),
                     "val_timestamp": database.val_timestamp,
                     "test_timestamp": database.test_timestamp},
        "settings": ground.settings.model_dump(mode="json"), "device": str(ground.device),
        "barts": list(ground.vectors)})


def ground_of(folder: Path) -> Ground:
    """What `lay_out` wrote."""
    facts = json.loads((folder / "ground.json").read_text())
    database = Database(tables={}, **{**facts["database"],
                                      "folder": Path(facts["database"]["folder"])})
    labels = {}
    for split in SPLITS:
        with np.load(folder / f"{split}.npz", allow_pickle=False) as arrays:
            labels[split] = LabelTable(arrays["rows"], arrays["times"], arrays["target"])
    task = Task(database=database, **labels,
                **{**facts["task"], "classes": tuple(facts["task"]["classes"])})
    graph, vectors = read_surroundings(folder, facts["barts"])
    settings = DownstreamMetricsSettings.model_validate(facts["settings"])
    return Ground(task, graph, vectors, settings, facts["device"])


def write_surroundings(graph: EntityGraph, vectors: Mapping[int, BartVectors],
                       folder: Path) -> None:
    """Write graph and vectors, for `read_surroundings`; what lay in the folder goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    graph.save(folder / "graph")
    for bart, found in vectors.items():
        _write_vectors(found, graph, folder / f"bart{bart}")


def read_surroundings(folder: Path,
                      barts: Iterable[int]) -> tuple[EntityGraph, dict[int, BartVectors]]:
    """What `write_surroundings` wrote, memory-mapped."""
    graph = EntityGraph.load(folder / "graph")
    return graph, {bart: _read_vectors(folder / f"bart{bart}", graph) for bart in barts}


def _write_vectors(vectors: BartVectors, graph: EntityGraph, folder: Path) -> None:
    folder.mkdir()
    for i, (table, rows) in enumerate(graph.num_nodes.items()):
        target = new_array(folder / f"{i:03d}.npy", np.float32, (rows, vectors.store.dim))
        for first in range(0, rows, CHUNK):
            part = np.arange(first, min(first + CHUNK, rows))
            target[part] = vectors.store.gather(table, part).numpy()
        target.flush()
    if (found := getattr(vectors.store, "range", None)) is not None:
        np.save(folder / "range.npy", found)
    if vectors.texts is not None:
        vectors.texts.save(folder / "texts")
    safetensors.torch.save_file({k: v.contiguous() for k, v in vectors.shared_state.items()},
                                folder / "shared.safetensors")
    write_json(folder / "sage.json", vectors.sage_settings.model_dump(mode="json"))


def _read_vectors(folder: Path, graph: EntityGraph) -> BartVectors:
    sage = SageWeightsSettings.model_validate(json.loads((folder / "sage.json").read_text()))
    texts = RowTexts.load(folder / "texts") if (folder / "texts").exists() else None
    return BartVectors(MappedEmbeddings(folder, graph),
                       safetensors.torch.load_file(folder / "shared.safetensors"), sage, texts)


class MappedEmbeddings:
    """Vectors of `_write_vectors`, shared with every process that maps them.

    Implements `rowgraph.embeddings.Embeddings`, and has what `RandomTwin` asks of a store.
    """

    def __init__(self, folder: Path, graph: EntityGraph):
        self._tables: dict[str, Tensor] = {
            table: shared_tensor(np.load(folder / f"{i:03d}.npy", mmap_mode="r",
                                         allow_pickle=False))
            for i, table in enumerate(graph.num_nodes)}
        self.tables = tuple(self._tables)
        self.dim = next(iter(self._tables.values())).shape[1]
        path = folder / "range.npy"
        self.range = np.load(path, allow_pickle=False) if path.exists() else None

    def num_rows(self, table: str) -> int:
        """Vectors of a table."""
        return len(self._tables[table])

    def gather(self, table: str, rows: np.ndarray | Tensor) -> Tensor:
        """float32 [n, dim]."""
        return self._tables[table][torch.as_tensor(rows)]
