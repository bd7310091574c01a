"""The demo at 1, 4, 16 and 64 times its rows: seconds and memory of every stage.

    python -m benchmarks.growth                    # 64 times: many hours on two cores
    python -m benchmarks.growth --times 64 --stages source entity_graph cell_store

A database of N times the rows has every row N times side by side, each copy with keys of its own,
so that it is N worlds that do not touch: all distributions and numbers of neighbours stay, and
tasks ask about N times the entities. The profile is `demo` but for that. Each stage runs in a
process of its own (`rowgraph run --select`), so that its seconds of CPU and its peak memory are
its own and those of its workers; both hold what an empty run takes (the first line). It wants a
machine to itself: where neighbours share the cores, seconds of CPU rise with theirs. Memory is that
of the largest process, memory-mapped pages that it touched included.
A stage that is finished is not run again: its figures are kept beside the home.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from assets.catalog import REVISIONS
from pipeline.environment import ROOT, Environment
from pipeline.plan import plan
from rowgraph.databases.embedded import build_embedded
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.yaml_files import read_yaml

MAIN = "from pipeline.cli import main; main()"
NOTHING = "(an empty run)"
ORDER = tuple(REVISIONS)  # of stages


@dataclass(frozen=True)
class Cost:
    """What one stage took.

    Args:
        wall, cpu: seconds; of CPU those of its workers too.
        gib: peak memory of its largest process.
    """

    wall: float
    cpu: float
    gib: float


def multiply(source: Path, folder: Path, times: int, tasks: Iterable[str]) -> int:
    """A RelBench 3 folder of N copies of a database that share no key; how many rows it has.

    Args:
        source: a RelBench 3 folder whose keys are numbers of rows, as embedded builders write it.
        folder: where to put it; it appears at once.
        times: how many copies.
        tasks: whose labels go along.
    """
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "db").mkdir(parents=True)
    manifest = read_yaml(source / "manifest.yaml")
    shutil.copyfile(source / "manifest.yaml", partial / "manifest.yaml")
    rows = 0
    for table, spec in manifest["tables"].items():
        keys = [key for key in (spec["pkey"], *spec["fkeys"]) if key]
        rows += _copies(source / "db" / f"{table}.parquet", partial / "db" / f"{table}.parquet",
                        times, keys)
    for task in tasks:
        of, to = source / "tasks" / task, partial / "tasks" / task
        to.mkdir(parents=True)
        shutil.copyfile(of / "manifest.yaml", to / "manifest.yaml")
        for labels in of.glob("*.parquet"):
            _copies(labels, to / labels.name, times,
                    [read_yaml(of / "manifest.yaml")["entity_col"]])
    partial.rename(folder)
    return rows


def _build(database: DatabaseSettings, target: Path, times: int) -> None:
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as place:
        built = build_embedded(database.name, Path(place) / "built", database.entities)
        multiply(built, target, times, database.tasks)


def _copies(source: Path, target: Path, times: int, keys: Iterable[str]) -> int:
    """Every row N times in a row: row r's copies have the numbers rN to rN + N − 1."""
    frame = pl.read_parquet(source)
    copy = pl.Series(np.tile(np.arange(times), len(frame)))
    frame = frame[np.repeat(np.arange(len(frame)), times)]
    frame.with_columns(pl.col(key) * times + copy for key in keys).write_parquet(target)
    return len(frame)


class World:
    """The demo at N times its size: its databases, its profile and its home."""

    def __init__(self, folder: Path, times: int, profile: str):
        self.folder, self.times = folder, times
        self.profile, self.noted = folder / "growth.yaml", folder / "costs.json"
        folder.mkdir(parents=True, exist_ok=True)
        databases = []
        for database in Environment.read(profile).profile.databases:
            said = database.model_dump(mode="json", exclude={"entities", "expected_rows"})
            databases.append(said)
            if (target := folder / "databases" / database.name).exists():
                continue
            # Memory that this process once had would be counted as that of those that it starts.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                pool.submit(_build, database, target, times).result()
        self.profile.write_text(yaml.safe_dump({"extends": profile, "databases": databases}))
        self.environ = {
            **os.environ, "ROWGRAPH_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1",
            "ROWGRAPH_DATABASES": str(folder / "databases"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}

    @property
    def costs(self) -> dict[str, Cost]:
        """What was measured so far, by stage."""
        if not self.noted.exists():
            return {}
        return {stage: Cost(**cost) for stage, cost in json.loads(self.noted.read_text()).items()}

    def stages(self) -> list[str]:
        """Stages of the pipeline, in order."""
        os.environ.update({k: self.environ[k] for k in ("ROWGRAPH_HOME", "ROWGRAPH_DATABASES")})
        return list(dict.fromkeys(p.node.key[0] for p in plan(Environment.read(str(self.profile)))))

    def measure(self, wanted: Collection[str] | None = None) -> None:
        """Run every stage that was not measured yet.

        Args:
            wanted: only these, which have to hold what they are made from; None is all.

        Raises:
            SystemExit: there is no such stage, or one failed; its log is named.
        """
        known = self.stages()
        if unknown := set(wanted or ()) - set(known):
            raise SystemExit(f"the profile has no stage {', '.join(sorted(unknown))}; it has "
                             f"{', '.join(known)}")
        stages = [stage for stage in known if not wanted or stage in wanted]
        for stage in stages:
            if stage not in self.costs:
                self._note(stage, self._run(stage))
        self._note(NOTHING, self._run(stages[-1]))

    def _run(self, stage: str) -> Cost:
        started = time.monotonic()
        with open(self.folder / "log", "a") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "run", "--profile", self.profile, "--select", stage,
                 "--no-track"], cwd=ROOT, env=self.environ, stdout=log, stderr=log)
            _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{stage} at {self.times} times failed: see {self.folder / 'log'}")
        return Cost(wall=round(time.monotonic() - started, 1),
                    cpu=round(used.ru_utime + used.ru_stime, 1),
                    gib=round(used.ru_maxrss / 2**20, 2))

    def _note(self, stage: str, cost: Cost) -> None:
        noted = {name: asdict(of) for name, of in {**self.costs, stage: cost}.items()}
        self.noted.write_text(json.dumps(noted, indent=1))
        print(f"{self.times:>4} × {stage:<22}{cost.wall:>9.1f} s {cost.cpu:>9.1f} s CPU"
              f"{cost.gib:>7.2f} GiB", flush=True)

    def facts(self) -> dict[str, Any]:
        """Rows of the databases, and bytes of what was made from them."""
        rows = sum(pl.scan_parquet(file).select(pl.len()).collect().item()
                   for file in (self.folder / "databases").glob("*/db/*.parquet"))
        made = sum(f.stat().st_size for f in (self.folder / "home").rglob("*") if f.is_file())
        return {"rows": rows, "gb_on_disk": round(made / 1e9, 2)}


def table(worlds: dict[int, dict[str, Cost]]) -> str:
    """Markdown: a line a stage, seconds of CPU and GiB for each size."""
    heads = [f"{times} ×: CPU s | GiB" for times in worlds]
    lines = ["| stage | " + " | ".join(heads) + " |", "|---" * (1 + 2 * len(worlds)) + "|"]
    found = {stage for costs in worlds.values() for stage in costs}
    for stage in (NOTHING, *(stage for stage in ORDER if stage in found)):
        cells = [f"{costs[stage].cpu:,.0f} | {costs[stage].gib:.1f}" if stage in costs else " | "
                 for costs in worlds.values()]
        lines.append(f"| `{stage}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure each size in turn, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(".rowgraph/benchmarks/growth"))
    parser.add_argument("--profile", default="demo", help="of embedded databases")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--stages", nargs="+", choices=ORDER, help="only these; default: all")
    args = parser.parse_args()
    worlds, facts = {}, {}
    for times in args.times:
        world = World(args.folder.resolve() / str(times), times, args.profile)
        world.measure(args.stages)
        worlds[times], facts[times] = world.costs, world.facts()
    print(table(worlds))
    print(json.dumps({"benchmark": "growth", "facts": facts, "costs": {
        times: {stage: asdict(cost) for stage, cost in costs.items()}
        for times, costs in worlds.items()}}))


if __name__ == "__main__":
    main()
