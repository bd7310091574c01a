"""Seconds and memory of `build_entity_graph` against relbench's `make_pkey_fkey_graph`.

    python -m benchmarks.graph         # on ROWGRAPH_DATABASES and rel-grocery-full, which it builds

Structure alone is compared. The peer makes features in the same call, so every table gets one
constant column, ready in the cache that the call offers (`cache_dir`): of its feature work only
opening that file is left. How long it takes where it finds no cache is measured too, once, since
it then computes the statistics of the constant, which costs more than the structure.

The peer takes a database in memory, ours Parquet files. So it is measured both ways: `seconds` of
the peer and of ours "from memory" start with all columns in memory, `from disk` adds to the peer's
those of RelBench's loader. Each measurement has a fresh process of its own, and contestants take
turns; ratios are medians over rounds of ratios within a round. Edges are compared, by type, after
the clock has stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

PEER, UNCACHED = "relbench, structure alone", "relbench, without cache"
OURS, STORED = "RowGraph, from Parquet", "RowGraph, saved and loaded"
HELD = "RowGraph, from memory"
BUILT = "rel-grocery-full"  # 22.8 million rows: by our own builder, for all to have


def memory(field: str) -> float:
    """Megabytes of this process: `VmRSS` now, `VmHWM` at most since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def forget_peak() -> None:
    """Let `VmHWM` start again from what is resident now."""
    with contextlib.suppress(OSError):  # then the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def measured(build: Callable[[], Any], imported: float) -> tuple[Any, dict[str, float]]:
    """What a call returns, its seconds, and the memory before and at its peak."""
    forget_peak()
    before, started, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    graph = build()
    return graph, {
        "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu,
        "imports_mb": imported, "start_mb": before, "peak_mb": memory("VmHWM")}


def digest(edges: Mapping[tuple, Any]) -> dict[str, list[int]]:
    """The number of edges of each type and a sum that does not depend on their order."""
    import numpy as np

    found = {}
    for edge_type, (source, destination) in edges.items():
        mixed = source.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed += destination.astype(np.uint64)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        found["/".join(edge_type)] = [len(source), int(mixed.sum(dtype=np.uint64))]
    return found


def peer(folder: Path, cache: Path | None) -> dict[str, Any]:
    """`make_pkey_fkey_graph` on a loaded database with constant features, out of a cache or not."""
    import relbench
    from relbench.modeling.graph import make_pkey_fkey_graph

    imported = memory("VmRSS")
    started = time.perf_counter()
    db = relbench.load_dataset(folder).get_db(upto_test_timestamp=False)
    loading = time.perf_counter() - started
    rows = {table: len(db.table_dict[table]) for table in db.table_dict}
    if cache is not None:
        write_constants(rows, cache)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (graph, _), facts = measured(lambda: make_pkey_fkey_graph(
            db, {table: {} for table in rows}, cache_dir=cache and str(cache)), imported)
    facts["from_disk"] = loading + facts["seconds"]
    edges = {e: graph[e].edge_index.numpy() for e in graph.edge_types}
    return facts | {"nodes": sum(rows.values()), "edges": digest(edges)}


def write_constants(rows: Mapping[str, int], cache: Path) -> None:
    """The peer's cache of its own constant feature, one file per table."""
    import pandas as pd
    import torch
    import torch_frame
    from torch_frame.data.stats import compute_col_stats

    cache.mkdir(parents=True, exist_ok=True)
    kind, name = torch_frame.stype.numerical, "__const__"
    facts = {name: compute_col_stats(pd.Series([1.0]), kind)}  # those of any number of ones
    for table, count in rows.items():
        frame = torch_frame.TensorFrame({kind: torch.ones(count, 1)}, {kind: [name]})
        torch_frame.save(frame, facts, str(cache / f"{table}.pt"))


def ours(folder: Path, place: Path | None = None, held: bool = False) -> dict[str, Any]:
    """`build_entity_graph`; saved and loaded again where there is a place.

    Args:
        folder: the database.
        place: where to save the graph.
        held: with the columns that it reads in memory before the clock starts.
    """
    from rowgraph.databases.database import Database
    from rowgraph.graph.entity_graph import EntityGraph, build_entity_graph

    class Held(Database):
        def read(self, table, columns=None):
            return frames[table].select(columns)

    def build() -> EntityGraph:
        graph = build_entity_graph(database if held else Database.open(folder))
        if place is None:
            return graph
        graph.save(place)
        del graph
        return EntityGraph.load(place)

    imported, started = memory("VmRSS"), time.perf_counter()
    if held:
        database = Held.open(folder)
        frames = {name: Database.read(database, name, list(filter(
            None, dict.fromkeys([*table.key_cols, table.time_col]))))
            for name, table in database.tables.items()}
    loading = time.perf_counter() - started
    graph, facts = measured(build, imported)
    facts["from_disk"] = loading + facts["seconds"]
    edges = {e: a.edge_index() for e, a in graph.adjacency.items()}
    return facts | {"nodes": sum(graph.num_nodes.values()), "edges": digest(edges)}


def build(folder: Path) -> None:
    """Build the large database."""
    from rowgraph.databases.embedded import build_embedded

    build_embedded(BUILT, folder)


def alone(function: Callable, *args: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def located(name: str, databases: Path | None, folder: Path) -> Path:
    """The folder of a database; the large one is built where it is missing."""
    if databases and (databases / name / "manifest.yaml").is_file():
        return databases / name
    if name != BUILT:
        raise SystemExit(f"{name} is not in {databases}; name a folder of RelBench 3 folders in "
                         "ROWGRAPH_DATABASES or --databases, or other databases with --names")
    if not (folder / name).is_dir():
        print(f"building {name}, about a minute and 7.5 GB …", flush=True)
        alone(build, folder / name)
    return folder / name


def compare(name: str, database: Path, rounds: int, scratch: Path) -> dict[str, Any]:
    """Measure the contestants in turn and print their table.

    Raises:
        SystemExit: they do not agree on an edge.
    """
    contestants = {PEER: (peer, database, scratch / name / "constants"),
                   UNCACHED: (peer, database, None),
                   HELD: (ours, database, None, True), OURS: (ours, database),
                   STORED: (ours, database, scratch / name / "graph")}
    facts: dict[str, list[dict]] = {c: [] for c in contestants}
    for done in range(rounds):
        for contestant, call in contestants.items():
            if not done or contestant != UNCACHED:
                facts[contestant].append(alone(*call))
    reference = facts[PEER][0]
    for contestant, found in facts.items():
        if any(f["edges"] != reference["edges"] for f in found):
            raise SystemExit(f"{name}: {contestant} and {PEER} differ in their edges")
    edges = sum(count for count, _ in reference["edges"].values())
    print(f"\n{name}: {reference['nodes']:,} nodes, {edges:,} directed edges, the same in all; "
          f"{rounds} rounds\n{'':<28}{'seconds':>8}{'ratio':>7}{'min':>7}{'max':>7}{'CPU s':>8}"
          f"{'from disk':>11}{'ratio':>7}{'imports':>9}{'start':>7}{'peak MB':>9}{'ratio':>7}")
    result = {"nodes": reference["nodes"], "directed_edges": edges}
    for contestant, found in facts.items():
        row = {field: statistics.median(f[field] for f in found)
               for field in reference if field not in ("nodes", "edges")}
        ratios = {field: [p[field] / f[field] for p, f in zip(facts[PEER], found, strict=False)]
                  for field in ("seconds", "from_disk", "peak_mb")}
        row |= {f"{field}_ratio": statistics.median(r) for field, r in ratios.items()}
        result[contestant] = {field: round(value, 3) for field, value in row.items()}
        print(f"{contestant:<28}{row['seconds']:>8.3f}{row['seconds_ratio']:>7.2f}"
              f"{min(ratios['seconds']):>7.2f}{max(ratios['seconds']):>7.2f}"
              f"{row['cpu_seconds']:>8.3f}{row['from_disk']:>11.3f}{row['from_disk_ratio']:>7.2f}"
              f"{row['imports_mb']:>9,.0f}{row['start_mb']:>7,.0f}{row['peak_mb']:>9,.0f}"
              f"{row['peak_mb_ratio']:>7.2f}", flush=True)
    return result


def main() -> None:
    """Compare on every database, print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--databases", type=Path, default=os.environ.get("ROWGRAPH_DATABASES"),
                        help="folder of RelBench 3 folders (default ROWGRAPH_DATABASES)")
    parser.add_argument("--names", nargs="+", default=["rel-f1", "rel-tennis", BUILT])
    parser.add_argument("--folder", type=Path,
                        help=f"where {BUILT} is kept between calls (default: a temporary folder)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    for library in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):  # read by the fresh processes
        os.environ[library] = str(args.threads)
    print(f"{args.threads} threads, no features but a constant. MB: after imports, when the clock "
          "starts, and the peak while it runs.", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        results = {}
        for name in args.names:
            database = located(name, args.databases, args.folder or Path(scratch))
            results[name] = compare(name, database, args.rounds, Path(scratch) / "graphs")
    print(json.dumps({"benchmark": "graph", "threads": args.threads, "rounds": args.rounds,
                      "results": results}))


if __name__ == "__main__":
    main()
