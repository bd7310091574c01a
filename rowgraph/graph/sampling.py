"""Neighbour sampling over an entity graph, temporal where seeds have a time.

A *tree* is what may share nodes: with seed times each seed has its own (PyG's disjoint sampling),
without there is one for the whole batch. A row occurs once per tree, as in PyG: it is expanded in
the hop that reaches it first, and later edges point to that node. Every choice is a hash of what
it is for, so that a seed's neighbourhood depends on its row, its time and the seed number, and
not on the batch, the order or the threads around it (docs/decisions/sampler.md).

Legend: n nodes of a type, E edges of an edge type, L hops, k neighbours per edge type and node.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rowgraph.databases.database import TIMELESS
from rowgraph.graph.entity_graph import EdgeType, EntityGraph, GraphError
from rowgraph.graph.expansion import FoundNodes, draw, eligible, enter, tree_keys_of
from rowgraph.prefetching import ahead
from rowgraph.randomness import stable_seed

FanOut = tuple[int, ...] | Mapping[EdgeType, tuple[int, ...]]
ALL = -1  # of the eligible neighbours
OWN_KEY = "rev_f2p_"  # begins the relation from the row that a key names to the row that holds it


@dataclass(frozen=True)
class SampledBatch:
    """The sampled neighbourhood of some seeds, in PyG's vocabulary.

    Args:
        n_id: int64 [n] per node type, row numbers ordered by hop; the seeds come first in their
            type, in the order in which they were asked for.
        edge_index: int64 [2, E] per edge type, positions in `n_id` of source and destination;
            ordered by hop, and by destination throughout.
        num_sampled_nodes: per node type, how many nodes hop 0 to L added.
        num_sampled_edges: per edge type, how many edges hop 1 to L added.
        batch: int64 [n] per node type, the seed to whose tree a node belongs; None where the
            whole batch shares its nodes.
        input_type: node type of the seeds.
        input_id: int64 [seeds], their rows.
    """

    n_id: Mapping[str, Tensor]
    edge_index: Mapping[EdgeType, Tensor]
    num_sampled_nodes: Mapping[str, list[int]]
    num_sampled_edges: Mapping[EdgeType, list[int]]
    batch: Mapping[str, Tensor] | None
    input_type: str
    input_id: Tensor

    def __post_init__(self):
        for node_type, n_id in self.n_id.items():
            if sum(self.num_sampled_nodes[node_type]) != len(n_id):
                raise GraphError(f"batch: {node_type} has {len(n_id)} nodes, its hops add up to "
                                 f"{sum(self.num_sampled_nodes[node_type])}")
        for edge_type, edge_index in self.edge_index.items():
            if sum(self.num_sampled_edges[edge_type]) != edge_index.shape[1]:
                raise GraphError(f"batch: {edge_type} has {edge_index.shape[1]} edges, its hops "
                                 f"add up to {sum(self.num_sampled_edges[edge_type])}")
        if self.num_sampled_nodes[self.input_type][0] != len(self.input_id):
            raise GraphError("batch: hop 0 must be the seeds")

    @property
    def num_seeds(self) -> int:
        """Seeds of the batch."""
        return len(self.input_id)

    @property
    def num_hops(self) -> int:
        """Hops that were sampled."""
        return len(self.num_sampled_nodes[self.input_type]) - 1

    def to(self, device: str | torch.device) -> SampledBatch:
        """The same batch on a device."""
        return SampledBatch(
            {t: v.to(device) for t, v in self.n_id.items()},
            {e: v.to(device) for e, v in self.edge_index.items()},
            self.num_sampled_nodes, self.num_sampled_edges,
            None if self.batch is None else {t: v.to(device) for t, v in self.batch.items()},
            self.input_type, self.input_id.to(device))

    def qualified(self, database: str) -> SampledBatch:
        """The same batch with node types named `<database>/<table>`, for a model of several."""
        def name(node_type: str) -> str:
            return f"{database}/{node_type}"

        def names(edge_type: EdgeType) -> EdgeType:
            return name(edge_type[0]), edge_type[1], name(edge_type[2])

        return SampledBatch(
            {name(t): v for t, v in self.n_id.items()},
            {names(e): v for e, v in self.edge_index.items()},
            {name(t): v for t, v in self.num_sampled_nodes.items()},
            {names(e): v for e, v in self.num_sampled_edges.items()},
            None if self.batch is None else {name(t): v for t, v in self.batch.items()},
            name(self.input_type), self.input_id)


class TemporalNeighborSampler:
    """Draws the neighbourhood of seeds; safe to call from several threads at once.

    The kernel runs without Python's lock, so batches are drawn in parallel by threads; it uses no
    threads of its own, which would not survive a fork.

    Args:
        graph: the entity graph; its arrays may be memory-mapped.
        fan_out: neighbours per edge type and node for hop 1 to L, `ALL` (-1) for every eligible
            one; the same for all edge types, or by edge type, where 0 leaves a type out of a hop.
        strategy: of temporal sampling; `latest` takes the newest eligible neighbours (of equally
            new ones those with the higher row number), `uniform` any of them without replacement.

    Raises:
        GraphError: a fan-out that says nothing, or not the same number of hops for every edge
            type of the graph.

    Examples:
        The two newest orders of customer 3, as of two days:

        >>> import tempfile
        >>> import numpy as np
        >>> from rowgraph.example import write_example
        >>> from rowgraph.graph.entity_graph import build_entity_graph
        >>> from rowgraph.graph.sampling import TemporalNeighborSampler
        >>> database = write_example(tempfile.mkdtemp())
        >>> sampler = TemporalNeighborSampler(build_entity_graph(database), (2, 2), "latest")
        >>> asked = np.array(["2024-04-01", "2024-09-01"], "datetime64[us]").astype("int64")
        >>> batch = sampler.sample("customers", np.array([3, 3]), asked, seed=0)
        >>> batch.n_id["orders"].tolist(), batch.batch["orders"].tolist()
        ([17, 9, 57, 49], [0, 0, 1, 1])
        >>> seen = database.times("orders")[batch.n_id["orders"].numpy()]
        >>> [str(day) for day in seen.astype("datetime64[us]").astype("datetime64[D]")]
        ['2024-03-09', '2024-02-06', '2024-08-16', '2024-07-15']
    """

    def __init__(self, graph: EntityGraph, fan_out: FanOut,
                 strategy: Literal["latest", "uniform"] = "uniform"):
        if strategy not in ("latest", "uniform"):
            raise GraphError(f"strategy must be latest or uniform, found {strategy!r}")
        self.graph = graph
        self.fan_out = fan_out_by_edge_type(graph, fan_out)
        self.num_hops = len(next(iter(self.fan_out.values()), fan_out))
        self.strategy = strategy
        # The base class of a memory map reads the same pages and is faster to hand to a kernel.
        self._times = {t: np.asarray(v) for t, v in graph.times.items()}
        self._timed = {t: bool(np.any(v != TIMELESS)) for t, v in self._times.items()}
        self._adjacency = {e: (np.asarray(a.indptr), np.asarray(a.indices))
                           for e, a in graph.adjacency.items()}
        # Of edges with times of their own: these in the place of rows, to look their times up.
        self._late = {e: (np.arange(a.num_edges), np.asarray(a.times))
                      for e, a in graph.adjacency.items() if a.times is not None}

    def sample_all(self, questions: Iterable[tuple], threads: int) -> Iterator[SampledBatch]:
        """The batches that `sample` gives for each tuple of its arguments, in order, drawn ahead
        by threads, at most two for each."""
        with ThreadPoolExecutor(threads) as pool:
            yield from ahead(self.sample, questions, pool, 2 * threads)

    def sample(self, input_type: str, rows: np.ndarray, seed_time: np.ndarray | None,
               seed: int, unseen: np.ndarray | None = None) -> SampledBatch:
        """Draw the neighbourhood of seeds.

        Args:
            input_type: their node type.
            rows: int64 [seeds].
            seed_time: int64 [seeds], microseconds since 1970. At every hop a neighbour is
                eligible only if it is strictly older than the time of its own seed (or timeless),
                and each seed has its own tree. The seed is there whatever its own time. None:
                static sampling, where every neighbour is eligible, the choice is uniform, and
                the batch shares its nodes; the rows must then differ from one another.
            seed: another number gives another draw.
            unseen: bool [seeds]: seeds whose own row is not there yet. Whom it names is a cell of
                it, so their own keys lead nowhere; rows that name it have times of their own.

        Raises:
            GraphError: an unknown node type, a row that the table does not have, or repeated rows
                in static sampling.
        """
        rows = self._checked_rows(input_type, rows, seed_time)
        temporal = seed_time is not None
        trees = np.arange(len(rows)) if temporal else np.zeros(len(rows), dtype=np.int64)
        bounds = np.zeros(1, dtype=np.int64) if seed_time is None else bounds_of(seed_time)
        base = np.uint64(stable_seed("neighbours", input_type if temporal else "", int(seed)))
        tree_keys = tree_keys_of(base, rows if temporal else rows[:0], bounds)

        nodes = {t: FoundNodes(n) for t, n in self.graph.num_nodes.items()}
        nodes[input_type].start(rows, trees)
        edges: dict[EdgeType, list[np.ndarray]] = {e: [] for e in self._adjacency}
        first = dict.fromkeys(nodes, 0)
        latest = temporal and self.strategy == "latest"
        for hop in range(self.num_hops):
            last = {t: found.close_hop() for t, found in nodes.items()}
            for number, (edge_type, (indptr, indices)) in enumerate(self._adjacency.items()):
                source, _, destination = edge_type
                low, high = first[destination], last[destination]
                k = self.fan_out[edge_type][hop]
                if low == high or k == 0:
                    edges[edge_type].append(np.empty((2, 0), dtype=np.int64))
                    continue
                k = np.iinfo(np.int64).max if k == ALL else k
                at, to = nodes[destination], nodes[source]
                at_rows, at_trees = at.rows[low:high], at.trees[low:high]
                spans = np.empty((2, high - low), dtype=np.int64)
                who, times = self._late.get(edge_type, (indices, self._times[source]))
                bounded = temporal and (self._timed[source] or edge_type in self._late)
                num_edges = eligible(indptr, who, times, at_rows, at_trees, bounds, bounded, k,
                                     spans)
                if hop == 0 and unseen is not None and edge_type[1].startswith(OWN_KEY):
                    spans[1, unseen] = spans[0, unseen]
                    num_edges = int(np.minimum(spans[1] - spans[0], k).sum())
                pairs = np.empty((2, num_edges), dtype=np.int64)
                draw(indices, at_rows, at_trees, spans, low, tree_keys, latest, k, number, pairs)
                to.reserve(num_edges)
                to.count = enter(pairs, at.trees, to.rows, to.trees, to.slots, to.num_rows,
                                 to.count)
                edges[edge_type].append(pairs)
            first = last
        for found in nodes.values():
            found.close_hop()
        return SampledBatch(
            {t: torch.from_numpy(f.rows[:f.count].copy()) for t, f in nodes.items()},
            {e: torch.from_numpy(np.concatenate(hops, axis=1)) for e, hops in edges.items()},
            {t: np.diff(f.hops, prepend=0).tolist() for t, f in nodes.items()},
            {e: [hop.shape[1] for hop in hops] for e, hops in edges.items()},
            {t: torch.from_numpy(f.trees[:f.count].copy()) for t, f in nodes.items()}
            if temporal else None,
            input_type, torch.from_numpy(rows.copy()))

    def _checked_rows(self, input_type: str, rows: np.ndarray,
                      seed_time: np.ndarray | None) -> np.ndarray:
        if input_type not in self.graph.num_nodes:
            raise GraphError(f"sampling: no node type {input_type!r}; the graph has "
                             f"{list(self.graph.node_types)}")
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        count = self.graph.num_nodes[input_type]
        if len(rows) and not 0 <= rows.min() <= rows.max() < count:
            raise GraphError(f"sampling: rows of {input_type} must lie in 0 to {count - 1}, found "
                             f"{rows.min()} to {rows.max()}")
        if seed_time is None and len(np.unique(rows)) != len(rows):
            raise GraphError(f"sampling: a static batch shares its nodes, so its {input_type} "
                             "seeds must differ; some rows were given twice")
        if seed_time is not None and len(seed_time) != len(rows):
            raise GraphError(f"sampling: {len(rows)} rows but {len(seed_time)} seed times")
        return rows


def bounds_of(seed_time: np.ndarray) -> np.ndarray:
    """int64 [seeds]: what is older than this may be seen; timeless rows always are."""
    return np.maximum(np.asarray(seed_time, dtype=np.int64), TIMELESS + 1)


def fan_out_by_edge_type(graph: EntityGraph, fan_out: FanOut) -> dict[EdgeType, tuple[int, ...]]:
    """Neighbours per hop for each edge type of a graph; what `TemporalNeighborSampler` refuses."""
    if not isinstance(fan_out, Mapping):
        if not fan_out or any(k < 1 and k != ALL for k in fan_out):
            raise GraphError("fan_out must have a number above 0 per hop, or -1 for all "
                             f"neighbours, found {list(fan_out)}")
        return dict.fromkeys(graph.edge_types, tuple(fan_out))
    missing = [e for e in graph.edge_types if e not in fan_out]
    unknown = [e for e in fan_out if e not in graph.adjacency]
    if missing or unknown:
        raise GraphError("fan_out must name the edge types of the graph: "
                         + "; ".join([f"{e} is missing, give it a number per hop (0 leaves it out)"
                                      for e in missing]
                                     + [f"{e} is not among {list(graph.edge_types)}"
                                        for e in unknown]))
    hops = {len(numbers) for numbers in fan_out.values()}
    if len(hops) != 1 or 0 in hops or any(k < ALL for numbers in fan_out.values() for k in numbers):
        raise GraphError("fan_out must have the same number of hops for every edge type and, per "
                         f"hop, a number of neighbours or -1 for all, found {dict(fan_out)}")
    return {e: tuple(fan_out[e]) for e in graph.edge_types}


def shared_tensor(array: np.ndarray) -> Tensor:
    """The same memory as a tensor, which nobody may write to where the array is a read-only map."""
    with warnings.catch_warnings():  # torch has no read-only tensors and says so
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))
