"""A database as the encoder reads it: what each seed may see of it, as features without weights.

Cells, ages, windows over the full adjacency and sampled neighbours of some seeds become a
`rowgraph.forecasting.batches.Batch`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rowgraph.cells.scales import MISSING
from rowgraph.cells.store import Cells, Sheet, words_of
from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.features.windows import look_back
from rowgraph.forecasting.batches import Batch, Messages, TableBatch
from rowgraph.forecasting.kernels import (
    DAY,
    PER_AGE,
    PER_MEAN,
    PER_MOMENT,
    PER_NUMBER,
    TOP,
    spread_ages,
    spread_means,
    spread_moments,
    spread_numbers,
    spread_windows,
)
from rowgraph.forecasting.relations import OWN_KEY, Relation, relations_of
from rowgraph.graph.entity_graph import EdgeType, EntityGraph
from rowgraph.graph.sampling import SampledBatch, TemporalNeighborSampler
from rowgraph.tasks.regimes import hidden

DAYS = (7, 30, 90, 365)  # of windows
SPANS = (0.02, 0.1)  # of windows, shares of the past's span
HORIZONS = (1, 3, 10)  # of windows
WINDOWS = len(DAYS) + len(SPANS) + len(HORIZONS) + 1  # and ever
IN_HORIZONS = np.arange(len(DAYS) + len(SPANS), WINDOWS - 1)
PER_WINDOWS = WINDOWS + len(HORIZONS) + 7
MEANS = len(HORIZONS) + 1  # windows of means: of horizons, and ever
PER_MEANS = MEANS * PER_MEAN
PER_HORIZON = 4
UNSEEN = -1  # the row of a seed that is not there yet


@dataclass(frozen=True, eq=False)
class Layout:
    """Which columns of a table make which features, in order.

    Args:
        numbers, codes: of rows alone; late_numbers, late_codes: of those that were known later.
            int64, places in the sheets.
    """

    numbers: np.ndarray
    codes: np.ndarray
    late_numbers: np.ndarray
    late_codes: np.ndarray

    @classmethod
    def of(cls, sheets: dict[str, Sheet]) -> Layout:
        """From the sheets of a table."""
        found = []
        for name in ("numbers", "codes"):
            late = np.array([k in sheets[name].known for k in range(len(sheets[name]))], bool)
            found.append((np.flatnonzero(~late), np.flatnonzero(late)))
        (numbers, late_numbers), (codes, late_codes) = found
        return cls(numbers, codes, late_numbers, late_codes)


class Reader:
    """Reads a database for seeds.

    Args:
        graph: without the edges that a task hides.
        cells: as the task sees them.
        past: microseconds, `val_timestamp`: what describes the database is older.
        fan_out: neighbours per edge type in each of two hops, the newest.

    Examples:
        >>> import tempfile
        >>> from rowgraph.example import read_example, write_example
        >>> reader = read_example(write_example(tempfile.mkdtemp()))
        >>> reader.graph.num_nodes["orders"], len(reader.relations["customers"])
        (88, 1)
    """

    def __init__(self, graph: EntityGraph, cells: Cells, past: int, fan_out: tuple[int, int]):
        self.graph, self.cells, self.past = graph, cells, past
        self.sampler = TemporalNeighborSampler(graph, fan_out, "latest")
        self.relations: dict[str, list[Relation]] = relations_of(graph, cells, past)
        self.layouts = {table: Layout.of(s) for table, s in cells.sheets.items()}
        self.edges: dict[EdgeType, int] = {e: k for k, e in enumerate(graph.adjacency)}
        self._words = {table: [words_of(cell) for cell in sheets["codes"].cells]
                       for table, sheets in cells.sheets.items()}
        self.span = _span(graph, past)
        self._fixed = np.array([d * DAY for d in DAYS] + [s * self.span for s in SPANS], np.int64)

    def batch(self, table: str, rows: np.ndarray, before: np.ndarray, horizon: np.ndarray,
              ahead: np.ndarray, own_row: bool = False) -> Batch:
        """What some seeds may see.

        Args:
            table: of the seeds.
            rows: int64 [seeds].
            before: int64 [seeds], microseconds: only what is strictly older may be seen.
            horizon: int64 [seeds], microseconds: how long the span is that is asked about.
            ahead: int64 [seeds], microseconds: how long after `before` it begins.
            own_row: the seeds' own rows may be seen whatever their time (autocomplete).
        """
        unseen = np.zeros(len(rows), bool)
        if not own_row and len(rows):
            unseen = hidden(np.asarray(self.graph.times[table])[rows], before)
        sampled = self.sampler.sample(table, rows, before, 0, unseen)
        found, hops, starts, size = [], [], {}, 0
        for name, ids in sampled.n_id.items():
            counts = sampled.num_sampled_nodes[name]
            starts[name] = size
            size += len(ids)
            hops.append(np.repeat(np.arange(len(counts)), counts))
            if not len(ids):
                continue
            nodes, seed = ids.numpy(), sampled.batch[name].numpy()
            if name == table and unseen.any():
                nodes = nodes.copy()
                nodes[:len(rows)][unseen] = UNSEEN
            near = int(sum(counts[:2]))
            windowed = ids.numpy()[:near]
            found.append(self._table(name, nodes, windowed, before[seed], horizon[seed]))
        order = np.argsort(np.concatenate(hops), kind="stable")
        place = np.empty(size, np.int64)
        place[order] = np.arange(size)
        layers = []
        for hop in (1, 0):
            heard = {name: int(sum(c[:hop + 1])) for name, c in sampled.num_sampled_nodes.items()}
            layers.append(self._messages(sampled, hop, heard, starts, place))
        return Batch(table, len(rows), tuple(found), torch.from_numpy(order),
                     torch.from_numpy(self._window_order(order, sampled, starts)),
                     self._means(table, rows, before, horizon),
                     self._asked(horizon, ahead), tuple(layers))

    def _table(self, table: str, nodes: np.ndarray, windowed: np.ndarray, before: np.ndarray,
               horizon: np.ndarray) -> TableBatch:
        distinct, place = np.unique(nodes, return_inverse=True)
        layout, sheets = self.layouts[table], self.cells.sheets[table]
        static = np.concatenate([
            self._numbers(sheets["numbers"], layout.numbers, distinct, None),
            self._codes(table, layout.codes, distinct, None)], axis=1)
        moments = self._moments(sheets["moments"], nodes, before)
        dated = np.zeros((len(nodes), moments.shape[1] * PER_MOMENT), np.float32)
        spread_moments(moments, before, horizon, self.span, dated)
        times = np.where(nodes == UNSEEN, NEVER, np.asarray(self.graph.times[table])[nodes])
        age = np.zeros((len(nodes), PER_AGE), np.float32)
        spread_ages(times, before, horizon, self.span, age)
        own = np.concatenate([
            self._numbers(sheets["numbers"], layout.late_numbers, nodes, before),
            self._codes(table, layout.late_codes, nodes, before), dated, age], axis=1)
        k = len(windowed)
        return TableBatch(table, torch.from_numpy(static), torch.from_numpy(place.reshape(-1)),
                          torch.from_numpy(own), torch.from_numpy(
                              self._windows(table, windowed, before[:k], horizon[:k])))

    def _numbers(self, sheet: Sheet, columns: np.ndarray, rows: np.ndarray,
                 before: np.ndarray | None) -> np.ndarray:
        places = sheet.values[rows][:, sheet.kept[columns]]
        places[rows == UNSEEN] = MISSING
        for k, column in enumerate(columns if before is not None else ()):
            places[hidden(sheet.known[column][rows], before), k] = MISSING
        out = np.zeros((len(rows), len(columns) * PER_NUMBER), np.float32)
        spread_numbers(np.ascontiguousarray(places), out)
        return out

    def _codes(self, table: str, columns: np.ndarray, rows: np.ndarray,
               before: np.ndarray | None) -> np.ndarray:
        sheet = self.cells.sheets[table]["codes"]
        codes = sheet.values[rows][:, sheet.kept[columns]].astype(np.int64)
        codes[rows == UNSEEN] = 0
        found = []
        for k, column in enumerate(columns):
            if before is not None:
                codes[hidden(sheet.known[column][rows], before), k] = 0
            words = self._words[table][column][codes[:, k]]
            found += [words, (codes[:, k] == 0).astype(np.float32)[:, None]]
        return np.concatenate(found, axis=1) if found else np.zeros((len(rows), 0), np.float32)

    def _moments(self, sheet: Sheet, rows: np.ndarray, before: np.ndarray) -> np.ndarray:
        moments = sheet.values[rows][:, sheet.kept]
        moments[rows == UNSEEN] = NEVER
        for k, known in sheet.known.items():
            moments[hidden(known[rows], before), k] = NEVER
        return np.ascontiguousarray(moments)

    def _widths(self, horizon: np.ndarray) -> np.ndarray:
        """int64 [n, WINDOWS - 1]: the spans of the windows of some seeds, microseconds."""
        out = np.empty((len(horizon), WINDOWS - 1), np.int64)
        out[:, :len(self._fixed)] = self._fixed
        out[:, len(self._fixed):] = horizon[:, None] * np.array(HORIZONS)
        return out

    def _windows(self, table: str, rows: np.ndarray, before: np.ndarray,
                 horizon: np.ndarray) -> np.ndarray:
        relations = self.relations[table]
        out = np.zeros((len(rows), len(relations) * PER_WINDOWS), np.float32)
        widths = self._widths(horizon)
        for k, relation in enumerate(relations):
            events = relation.events
            looks = look_back(events.indptr, events.times, rows, before, (), widths)
            spread_windows(events.times, looks.begin, looks.end, looks.sizes, before, horizon,
                           IN_HORIZONS, self.span, k * PER_WINDOWS, out)
        return out

    def _means(self, table: str, rows: np.ndarray, before: np.ndarray,
               horizon: np.ndarray) -> Tensor:
        relations = self.relations[table]
        columns = [len(r.columns) for r in relations]
        out = np.zeros((len(rows), sum(columns) * PER_MEANS), np.float32)
        widths, at = horizon[:, None] * np.array(HORIZONS), 0
        for relation, count in zip(relations, columns, strict=True):
            if count:
                events = relation.events
                looks = look_back(events.indptr, events.times, rows, before, (), widths)
                spread_means(relation.totals, relation.counts, looks.end,
                             looks.end[:, None] - looks.sizes, at, out)
            at += count * PER_MEANS
        return torch.from_numpy(out)

    def _asked(self, horizon: np.ndarray, ahead: np.ndarray) -> Tensor:
        return torch.from_numpy(np.stack([
            np.log1p(horizon / DAY) / 5, np.log1p(horizon / self.span * TOP) / 4,
            np.log1p(ahead / horizon) / 2, np.log1p(ahead / self.span * TOP) / 4],
            axis=1).astype(np.float32))

    def _window_order(self, order: np.ndarray, sampled: SampledBatch,
                      starts: dict[str, int]) -> np.ndarray:
        """Where the windows of seeds and first-hop nodes lie, tables one after the other."""
        place, at = np.full(len(order), -1), 0
        for name, counts in sampled.num_sampled_nodes.items():
            near = int(sum(counts[:2]))
            place[starts[name]:starts[name] + near] = np.arange(at, at + near)
            at += near
        return place[order[:at]]

    def _messages(self, sampled: SampledBatch, hop: int, heard: dict[str, int],
                  starts: dict[str, int], place: np.ndarray) -> Messages:
        up, down, node, kind, sizes = [], [], [], [], []
        for edge, edge_index in sampled.edge_index.items():
            source, relation, destination = edge
            count = int(sum(sampled.num_sampled_edges[edge][:hop + 1]))
            if not count:
                continue
            pairs = edge_index[:, :count].numpy()
            sources = place[starts[source] + pairs[0]]
            if relation.startswith(OWN_KEY):
                nodes = place[starts[destination] + pairs[1]]
                up.append(np.stack([sources, nodes, np.full(count, self.edges[edge])]))
                continue
            begins = np.flatnonzero(np.diff(pairs[1], prepend=-1))
            down.append(sources)
            sizes.append(np.diff(begins, append=count))
            node.append(place[starts[destination] + pairs[1][begins]])
            kind.append(np.full(len(begins), self.edges[edge]))
        nodes = sum(heard.values())
        up = np.concatenate([np.zeros((3, 0), np.int64), *up], axis=1)
        none = [np.zeros(0, np.int64)]
        node, kind = np.concatenate(none + node), np.concatenate(none + kind)
        size = np.concatenate(none + sizes)
        hears = np.bincount(up[1], minlength=nodes) + np.bincount(node, minlength=nodes)
        share = 1 / np.sqrt(np.maximum(hears, 1))
        return Messages(nodes, torch.from_numpy(up), torch.from_numpy(np.concatenate(none + down)),
                        torch.from_numpy(np.concatenate([[0], np.cumsum(size)])),
                        torch.from_numpy(node), torch.from_numpy(kind),
                        torch.from_numpy(share.astype(np.float32)[:, None]))


def _span(graph: EntityGraph, past: int) -> float:
    """Microseconds that the past covers, but for its oldest and newest thousandth."""
    found = [np.asarray(times) for times in graph.times.values()]
    found = [times[(times < past) & (times != TIMELESS)] for times in found]
    every = np.concatenate([*found, np.zeros(0, np.int64)])
    if not len(every):
        return DAY
    low, high = np.quantile(every, [0.001, 0.999], method="nearest")
    return max(float(high - low), DAY)
