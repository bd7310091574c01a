"""Seeds a second of neighbour sampling: ours against PyG's `NeighborLoader` on torch-sparse.

    python -m benchmarks.sampler

The world is random: customers, products, orders and items, five million rows and ten million
foreign keys, whose parents follow a power law. Static uniform sampling is compared with the peer on
the same `HeteroData`, with the same seeds, fan-out and batch size; contestants take turns in one
process, and a ratio is the median over rounds of ratios within a round. Ours is measured as the
peer is, through PyG's `NodeLoader` into `HeteroData`, and raw, as our own training calls it. One
core is measured in the processor's time, which other work on the machine disturbs little. Several
cores mean as many threads that draw batches, and are measured by the clock on the wall: they say
something on an idle machine only. Temporal sampling, each seed with its own tree, has no peer
without pyg-lib and is measured alone, also on a world whose tables have a tenth of the parents,
where trees are several times as large.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch_geometric.loader import NeighborLoader, NodeLoader
from torch_geometric.typing import WITH_TORCH_SPARSE

from rowgraph.databases.database import TIMELESS
from rowgraph.graph.entity_graph import Adjacency, EntityGraph
from rowgraph.graph.loading import LoaderSampler
from rowgraph.graph.sampling import TemporalNeighborSampler

FAN_OUT = (20, 10)
DAY = 86_400_000_000  # microseconds
DAYS = 2_000
GET_PEER = ("torch-sparse is not installed, so the peer is left out. Building it takes some "
            "minutes:\n    python -m pip install --no-build-isolation '.[bench-sampler]'")

Draw = Callable[[], Iterable]
Clock = Callable[[], float]


def random_world(rows: dict[str, int], skew: float = 0.6, seed: int = 0) -> EntityGraph:
    """Orders name a customer and a referrer, items an order, a product and a bundle.

    The n-th most popular parent is named in proportion to n ** -skew. Customers and products are
    timeless; an order has a day, and its items have the same.
    """
    rng = np.random.default_rng(seed)

    def popular(count: int, parents: int) -> np.ndarray:
        share = np.cumsum(np.arange(1, parents + 1) ** -skew)
        place = np.searchsorted(share / share[-1], rng.random(count))
        return rng.permutation(parents)[np.minimum(place, parents - 1)]

    order = np.sort(rng.integers(0, rows["orders"], rows["items"]))
    times = {t: np.full(n, TIMELESS) for t, n in rows.items()}
    times["orders"] = np.sort(rng.integers(0, DAYS, rows["orders"])) * DAY
    times["items"] = times["orders"][order]
    fkeys = [("orders", "customer_id", "customers", popular(rows["orders"], rows["customers"])),
             ("orders", "referrer_id", "customers", popular(rows["orders"], rows["customers"])),
             ("items", "order_id", "orders", order),
             ("items", "product_id", "products", popular(rows["items"], rows["products"])),
             ("items", "bundle_id", "products", popular(rows["items"], rows["products"]))]
    adjacency = {}
    for table, fkey, parent, parent_row in fkeys:  # rows of both tables already ascend by time
        degree = np.bincount(parent_row, minlength=rows[parent])
        adjacency[table, f"f2p_{fkey}", parent] = Adjacency(
            np.concatenate([[0], np.cumsum(degree)]), np.argsort(parent_row, kind="stable"))
        adjacency[parent, f"rev_f2p_{fkey}", table] = Adjacency(
            np.arange(rows[table] + 1), parent_row)
    return EntityGraph(tuple(rows), rows, times, adjacency)


def seconds_of(draw: Draw, clock: Clock) -> float:
    """How long it takes to draw everything."""
    started = clock()
    for _ in draw():
        pass
    return clock() - started


def take_turns(contestants: dict[str, Draw], rounds: int, cores: int) -> dict[str, np.ndarray]:
    """Seconds of each contestant in each round, after a round that does not count."""
    clock = time.process_time if cores == 1 else time.perf_counter
    taken = [{name: seconds_of(draw, clock) for name, draw in contestants.items()}
             for _ in range(rounds + 1)]
    return {name: np.array([t[name] for t in taken[1:]]) for name in contestants}


def raw(sampler: TemporalNeighborSampler, table: str, rows: np.ndarray, seed_time, batch: int,
        threads: int) -> Draw:
    """Our sampler alone; each round draws anew."""
    def questions():
        raw_round[0] += 1
        for first in range(0, len(rows), batch):
            part = slice(first, first + batch)
            yield (table, rows[part], None if seed_time is None else seed_time[part], raw_round[0])

    raw_round = [0]
    if threads == 1:
        return lambda: (sampler.sample(*question) for question in questions())
    return lambda: sampler.sample_all(questions(), threads)


def loaders(data, sampler: TemporalNeighborSampler, table: str, rows: np.ndarray,
            batch: int) -> dict[str, NodeLoader]:
    """Ours behind PyG's loader and, where torch-sparse is installed, PyG's own."""
    settings = {"input_nodes": (table, torch.from_numpy(rows)), "batch_size": batch}
    found = {"NodeLoader": NodeLoader(data, LoaderSampler(sampler, seed=0), **settings)}
    if WITH_TORCH_SPARSE:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyG would rather have pyg-lib
            found["peer"] = NeighborLoader(data, list(FAN_OUT), is_sorted=True, **settings)
    return found


def loaded(loader: NodeLoader, threads: int) -> Draw:
    """All batches of a loader; threads call it as its workers would, without their transport."""
    if threads == 1:
        return lambda: loader

    def draw() -> Iterable:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(loader, loader.batch_sampler)

    return draw


def static(graph: EntityGraph, batches: dict[int, int], rounds: int, threads: int) -> list[dict]:
    """Static uniform sampling, one line a batch size and seed table."""
    data = graph.to_hetero_data()
    sampler = TemporalNeighborSampler(graph, FAN_OUT)
    rng = np.random.default_rng(1)
    cores = sorted({1, threads})
    lines = []
    print(f"\nstatic, uniform, fan-out {list(FAN_OUT)}: seeds/s (ratio to the peer's, same cores)")
    print(f"{'batch':>7} {'seeds of':<10}{'edges':>6}" + "".join(
        f"{f'{name}, {n}':>{10 if name == 'peer' else 19}}"
        for n in cores for name in ("peer", "NodeLoader", "raw")))
    for batch, count in batches.items():
        for table in graph.node_types:
            rows = rng.choice(graph.num_nodes[table], batch * count, replace=False)
            ways = loaders(data, sampler, table, rows, batch)
            taken = {n: take_turns({**{name: loaded(way, n) for name, way in ways.items()},
                                    "raw": raw(sampler, table, rows, None, batch, n)}, rounds, n)
                     for n in cores}
            drawn = sampler.sample(table, rows[:batch], None, 0)
            line = {"batch": batch, "seeds_of": table,
                    "edges_per_seed": round(edges_of(drawn) / batch, 1)}
            if WITH_TORCH_SPARSE:
                theirs = next(iter(ways["peer"]))
                line["peer_edges_per_seed"] = round(
                    sum(v.shape[1] for v in theirs.edge_index_dict.values()) / batch, 1)
            text = f"{batch:>7,} {table:<10}{line['edges_per_seed']:>6}"
            for n, found in taken.items():
                for name in ("peer", "NodeLoader", "raw"):
                    text += speed(line, f"{name}_{n}", found, name, len(rows))
            print(text, flush=True)
            lines.append(line)
    return lines


def speed(line: dict, key: str, taken: dict[str, np.ndarray], name: str, seeds: int) -> str:
    """Seeds a second and the ratio to the peer, put into `line` and worded."""
    if name not in taken:
        return f"{'–':>10}"
    found = line[f"{key}_seeds_per_second"] = round(seeds / float(np.median(taken[name])))
    if name == "peer":
        return f"{found:>10,}"
    if "peer" not in taken:
        return f"{found:>19,}"
    ratio = line[f"{key}_ratio"] = round(float(np.median(taken["peer"] / taken[name])), 2)
    return f"{found:>11,}{f'({ratio:.2f})':>8}"


def temporal(worlds: dict[str, EntityGraph], batch: int, count: int, rounds: int,
             threads: int) -> list[dict]:
    """Temporal sampling, one line a world, strategy and seed table."""
    lines = []
    rng = np.random.default_rng(2)
    print(f"\ntemporal, fan-out {list(FAN_OUT)}, batches of {batch:,}: microseconds a seed "
          f"(median, least), seeds/s on 1 and {threads} cores")
    print(f"{'parents':<9}{'strategy':<9}{'seeds of':<11}{'edges':>6}{'µs':>8}{'least':>7}"
          f"{'1 core':>12}{f'{threads} cores':>12}")
    for world, graph in worlds.items():
        for strategy in ("uniform", "latest"):
            sampler = TemporalNeighborSampler(graph, FAN_OUT, strategy)
            for table in graph.node_types:
                rows = rng.integers(0, graph.num_nodes[table], batch * count)
                now = rng.integers(DAYS // 2, DAYS + 1, len(rows)) * DAY
                taken = {n: take_turns({"raw": raw(sampler, table, rows, now, batch, n)},
                                       rounds, n)["raw"] for n in sorted({1, threads})}
                micros = taken[1] / len(rows) * 1e6
                drawn = sampler.sample(table, rows[:batch], now[:batch], 0)
                line = {"parents": world, "strategy": strategy, "seeds_of": table,
                        "edges_per_seed": round(edges_of(drawn) / batch, 1),
                        "micros_per_seed": round(float(np.median(micros)), 2),
                        "least_micros_per_seed": round(float(micros.min()), 2),
                        "seeds_per_second_1": round(1e6 / float(np.median(micros))),
                        f"seeds_per_second_{threads}":
                            round(len(rows) / float(np.median(taken[threads])))}
                print(f"{world:<9}{strategy:<9}{table:<11}{line['edges_per_seed']:>6}"
                      f"{line['micros_per_seed']:>8}{line['least_micros_per_seed']:>7}"
                      f"{line['seeds_per_second_1']:>12,}"
                      f"{line[f'seeds_per_second_{threads}']:>12,}", flush=True)
                lines.append(line)
    return lines


def edges_of(batch) -> int:
    """Edges of a sampled batch."""
    return sum(pair.shape[1] for pair in batch.edge_index.values())


def main() -> None:
    """Measure, print two tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the five million rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not WITH_TORCH_SPARSE:
        print(GET_PEER)
    sizes = {"many": (500_000, 500_000, 2_000_000, 2_000_000),
             "few": (50_000, 50_000, 2_450_000, 2_450_000)}
    tables = ("customers", "products", "orders", "items")
    worlds = {name: random_world({t: round(n * args.scale)
                                  for t, n in zip(tables, rows, strict=True)})
              for name, rows in sizes.items()}
    for name, graph in worlds.items():
        print(f"{name} parents: {sum(graph.num_nodes.values()):,} nodes "
              f"({', '.join(f'{t} {n:,}' for t, n in graph.num_nodes.items())}), "
              f"{graph.num_edges // 2:,} foreign keys")
    batch = min(16_384, min(worlds["few"].num_nodes.values()) // 2)
    many = worlds["many"]
    results = {
        "static": static(many, {batch: 12, batch // 16: 48}, args.rounds, args.threads),
        "temporal": temporal(worlds, batch, 12, args.rounds, args.threads),
    }
    print(json.dumps({"benchmark": "sampler", "fan_out": FAN_OUT, "rounds": args.rounds,
                      "threads": args.threads, "peer": WITH_TORCH_SPARSE, "results": results}))


if __name__ == "__main__":
    main()
