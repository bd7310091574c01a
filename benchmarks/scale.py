"""Pre-training at 1/16, 1/4 and all of 22.8 million real rows: memory, and seconds a step.

    python -m benchmarks.scale         # builds rel-grocery-full once; 12 GB of vectors on disk

A share keeps every 16th or 4th row of the tables that no other table names (promotions, basket
items, coupon products, ...) and all rows of those that are named, so no key is left dangling. Each
share runs in a fresh process: the graph is built from Parquet, saved and opened again, vectors are
laid down (random fp16: what a vector says does not change what it costs), and the shared layers are
pre-trained for a number of steps. Seconds a step are those between two steps of one table's seeds,
the largest table's, so that every share answers the same question; memory is the peak of the whole
process, memory-mapped pages that it touched included.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

DATABASE = "rel-grocery-full"
SHARES = {"1/16": 16, "1/4": 4, "all": 1}
LIMIT_GIB = 16.0


def memory_gib(field: str) -> float:
    """GiB of this process: `VmHWM` at most, `RssAnon` its own, `RssFile` of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith(field))


def thinned(source: Path, folder: Path, every: int) -> Path:
    """A folder with every n-th row of the tables that no other names; itself for 1."""
    import polars as pl
    import yaml

    if every == 1:
        return source
    manifest = yaml.safe_load((source / "manifest.yaml").read_text())
    named = {parent for spec in manifest["tables"].values()
             for parent in (spec.get("fkeys") or {}).values()}
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text((source / "manifest.yaml").read_text())
    for table in manifest["tables"]:
        frame = pl.scan_parquet(source / "db" / f"{table}.parquet")
        if table not in named:
            frame = frame.gather_every(every)
        frame.sink_parquet(folder / "db" / f"{table}.parquet")
    return folder


def lay_down(num_rows: dict[str, int], dim: int, folder: Path, chunk: int = 65_536) -> None:
    """A store of random fp16 vectors, as `write_embeddings` leaves one."""
    import numpy as np

    from rowgraph.artifacts import write_json
    from rowgraph.randomness import generator

    folder.mkdir(parents=True)
    pool = generator("benchmarks.scale").standard_normal((chunk, dim), np.float32)
    pool = pool.astype(np.float16)
    for number, (table, rows) in enumerate(num_rows.items()):
        out = np.lib.format.open_memmap(folder / f"{table}.npy", "w+", np.float16, (rows, dim))
        for first in range(0, rows, chunk):
            part = out[first:first + chunk]
            part[:] = np.roll(pool, number + first // chunk, axis=0)[:len(part)]
        out.flush()
    np.save(folder / "range.npy", np.array([[-5.0] * dim, [5.0] * dim], dtype=np.float32))
    write_json(folder / "store.json", {"database": DATABASE, "dim": dim, "dtype": "float16",
                                       "tables": {t: {"rows": n} for t, n in num_rows.items()}})


def measure(source: Path, share: str, settings: dict[str, Any], steps: int, dim: int,
            place: Path) -> dict[str, Any]:
    """Build, lay down and pre-train; what it took."""
    import torch

    from rowgraph.artifacts import Draft
    from rowgraph.databases.database import Database
    from rowgraph.embeddings import EmbeddingStore
    from rowgraph.graph.entity_graph import EntityGraph, build_entity_graph
    from rowgraph.graph.statistics import graph_statistics
    from rowgraph.sage.pretraining import PretrainDatabase, pretrain
    from rowgraph.sage.seeds import SeedPlan
    from rowgraph.sage.settings import SageWeightsSettings

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    folder = thinned(source, place / "folder", SHARES[share])
    clock = time.perf_counter
    started = clock()
    build_entity_graph(Database.open(folder)).save(place / "graph")
    building, peak_building = clock() - started, memory_gib("VmHWM")
    graph = EntityGraph.load(place / "graph")
    lay_down(dict(graph.num_nodes), dim, place / "vectors")
    store = EmbeddingStore.open(place / "vectors", graph.num_nodes)
    s = SageWeightsSettings.model_validate(
        {**settings, "epochs": 1, "seeds_per_epoch": steps * settings["batch"]})
    order = SeedPlan({DATABASE: graph}, s).epoch(0)
    largest = max(graph.num_nodes, key=graph.num_nodes.__getitem__)
    ended: list[float] = []
    resident: list[tuple[float, float]] = []

    def log(step: int, metrics: dict[str, float]) -> None:
        if "train_loss" in metrics:
            ended.append(clock())
            resident.append((memory_gib("RssAnon"), memory_gib("RssFile")))

    (place / "draft").mkdir()
    started = clock()
    summary = pretrain([PretrainDatabase(DATABASE, graph, store)], s, Draft(place / "draft"),
                       device="cpu", log=log)
    whole = clock() - started
    spent = [b - a for a, b in itertools.pairwise(ended)]
    mine = [seconds for seconds, seeds in zip(spent, order[1:], strict=True)
            if seeds.table == largest and len(seeds.rows) == s.batch]
    facts = graph_statistics(graph)
    return {
        "nodes": facts["nodes"], "edges": facts["edges"], "graph_seconds": round(building, 2),
        "graph_peak_gib": round(peak_building, 2),
        "steps": len(order), "timed_steps": len(mine), "table": largest,
        "seconds_a_step": round(statistics.median(mine), 4),
        "seconds_a_step_all_tables": round(statistics.median(spent), 4),
        "pretraining_seconds": round(whole, 1), "test_loss": round(summary["test_loss"], 4),
        "anonymous_gib": round(max(a for a, _ in resident), 2),
        "mapped_gib": round(max(f for _, f in resident), 2),
        "peak_gib": round(memory_gib("VmHWM"), 2)}


def main() -> None:
    """Measure each share in turn, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keeps rel-grocery-full between runs")
    parser.add_argument("--scratch", type=Path, help="where 12 GB of vectors may lie meanwhile")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16_384)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--shares", nargs="+", choices=SHARES, default=list(SHARES))
    args = parser.parse_args()
    from rowgraph.databases.embedded import build_embedded

    settings = {"batch": args.batch}  # all else as in the paper profile
    results = {}
    with contextlib.ExitStack() as stack:
        keep = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = keep / DATABASE
        if not source.exists():
            print(f"building {DATABASE}: about a minute and 7.5 GB of memory …", flush=True)
            with _fresh() as pool:
                pool.submit(build_embedded, DATABASE, source).result()
        print(f"{'share':<6}{'nodes':>12}{'edges':>12}{'graph s':>9}{'s/step':>9}"
              f"{'peak GiB':>10}{'own':>7}{'mapped':>8}", flush=True)
        for share in args.shares:
            with tempfile.TemporaryDirectory(dir=args.scratch) as place, _fresh() as pool:
                found = pool.submit(measure, source, share, settings, args.steps, args.dim,
                                    Path(place)).result()
            results[share] = found
            print(f"{share:<6}{found['nodes']:>12,}{found['edges']:>12,}"
                  f"{found['graph_seconds']:>9.1f}{found['seconds_a_step']:>9.3f}"
                  f"{found['peak_gib']:>10.2f}{found['anonymous_gib']:>7.2f}"
                  f"{found['mapped_gib']:>8.2f}", flush=True)
    first = results[args.shares[0]]["seconds_a_step"]
    ratios = {s: round(f["seconds_a_step"] / first, 3) for s, f in results.items()}
    peak = max(f["peak_gib"] for f in results.values())
    print(f"seconds a step, times those of {args.shares[0]}: {ratios}; peak memory {peak} GiB "
          f"({'within' if peak <= LIMIT_GIB else 'above'} {LIMIT_GIB:g})")
    print(json.dumps({"benchmark": "scale", "steps": args.steps, "batch": args.batch,
                      "dim": args.dim, "ratios": ratios, "results": results}))


def _fresh() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


if __name__ == "__main__":
    main()
