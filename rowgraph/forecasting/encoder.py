"""The row-and-graph encoder: a vector of a row as of a seed, in any database.

No parameter belongs to a schema. The weights of a column or of a relation are made from a vector of
its names and statistics by small networks; corrections of one database's columns and relations,
which start at zero, are the exception that training on that database alone may add.

Shapes: B seeds, N nodes, D channels, V output channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rowgraph.cells.names import NAME_DIM, WORD_DIM
from rowgraph.cells.store import STATISTICS
from rowgraph.forecasting.aggregation import PARTS, aggregate
from rowgraph.forecasting.batches import Batch, Messages, TableBatch
from rowgraph.forecasting.kernels import PER_AGE, PER_MOMENT, PER_NUMBER
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.reader import PER_HORIZON, PER_MEANS, PER_WINDOWS
from rowgraph.forecasting.relations import EDGE_STATISTICS

PER_CODE = WORD_DIM + 1
FEATURES = {"numbers": PER_NUMBER, "codes": PER_CODE, "late_numbers": PER_NUMBER,
            "late_codes": PER_CODE, "moments": PER_MOMENT, "windows": PER_WINDOWS,
            "means": PER_MEANS}
MAKERS = {"numbers": "numbers", "codes": "codes", "late_numbers": "numbers",
          "late_codes": "codes", "moments": "moments", "windows": "windows", "means": "means"}
CELLS = ("numbers", "codes", "late_numbers", "late_codes", "moments")  # of a row; two never change
LAYERS = 2


class WeightMaker(nn.Module):
    """Weights [features, D] of every column from the vector of its names: [columns, names]."""

    def __init__(self, names: int, features: int, width: int):
        super().__init__()
        self.features, self.width = features, width
        self.inner, self.outer = nn.Linear(names, 64), nn.Linear(64, features * width)
        self.base = nn.Parameter(torch.randn(features, width) * 0.1)

    def forward(self, names: Tensor) -> Tensor:
        """float32 [columns, features, D]."""
        made = self.outer(F.relu(self.inner(names))).view(-1, self.features, self.width)
        return made / 3**0.5 + self.base


class Corrections(nn.Module):
    """What the weights of one database's columns and relations are off by: zero at first, and for
    whatever it has not met.

    Args:
        keys: of columns and edge types, as in `Names.keys`.
    """

    def __init__(self, keys: Mapping[str, Sequence[str]], width: int):
        super().__init__()
        self.keys = {kind: tuple(found) for kind, found in keys.items()}
        self.columns = nn.ParameterDict({
            kind: nn.Parameter(torch.zeros(len(self.keys[kind]), features, width))
            for kind, features in FEATURES.items() if self.keys[kind]})
        edges = len(self.keys["edges"])
        self.up = nn.Parameter(torch.zeros(edges, LAYERS, 2 * width))
        self.down = nn.Parameter(torch.zeros(edges, LAYERS, 2 * (PARTS * width + 1)))

    def of(self, names: Names, kind: str) -> Tensor | float:
        """float32 [columns of the names, features, D]; 0 where there are none."""
        if kind not in self.columns:
            return 0.0
        return self._matched(self.columns[kind], names, kind)

    def turns(self, names: Names) -> tuple[Tensor, Tensor]:
        """float32 [edge types, LAYERS, ...]: of messages up and down."""
        return self._matched(self.up, names, "edges"), self._matched(self.down, names, "edges")

    def _matched(self, values: Tensor, names: Names, kind: str) -> Tensor:
        if names.keys[kind] == self.keys[kind]:
            return values
        place = {key: k for k, key in enumerate(self.keys[kind])}
        found = torch.tensor([place.get(key, -1) for key in names.keys[kind]], dtype=torch.int64,
                             device=values.device)
        taken = values[found.clamp(min=0)]
        return taken * (found >= 0).view(-1, *[1] * (taken.dim() - 1))


class Hearing(nn.Module):
    """One layer: what nodes hear along their edges, added to what they are."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        heard = PARTS * width + 1
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.own, self.up, self.down = (nn.Linear(n, width) for n in (width, width, heard))
        self.turn_up = _Turn(width)
        self.turn_down = _Turn(heard)
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, messages: Messages, edges: Tensor,
                up: Tensor | float = 0.0, down: Tensor | float = 0.0) -> Tensor:
        """float32 [hearing nodes, D].

        Args:
            nodes: float32 [N, D].
            edges: float32 [edge types, names].
            up, down: corrections of the edge types' turns.
        """
        calm, count = self.before(nodes), messages.nodes
        heard = self.own(calm[:count])
        found = torch.zeros_like(heard)
        source, node, kind = messages.up
        if len(source):
            gain, shift = (self.turn_up(edges) + up)[kind].chunk(2, dim=1)
            found = found.index_add(0, node, F.relu(
                self.up(calm[source] * (1 + gain) + shift)))
        if len(messages.node):
            sizes = torch.log1p((messages.starts[1:] - messages.starts[:-1]).float())[:, None]
            said = torch.cat([aggregate(calm, messages.down, messages.starts), sizes], dim=1)
            gain, shift = (self.turn_down(edges) + down)[messages.kind].chunk(2, dim=1)
            found = found.index_add(0, messages.node, F.relu(
                self.down(said * (1 + gain) + shift)))
        heard = heard + found * messages.share
        return nodes[:count] + self.dropout(self.after(F.relu(heard)))


class _Turn(nn.Module):
    """How messages along an edge type are scaled and shifted: [edge types, 2 * width]."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Linear(NAME_DIM + EDGE_STATISTICS, 64)
        self.outer = nn.Linear(64, 2 * width)
        with torch.no_grad():
            self.outer.weight.mul_(0.5)

    def forward(self, edges: Tensor) -> Tensor:
        return self.outer(F.relu(self.inner(edges)))


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of an encoder: inner and output channels, share of what is dropped in training."""

    width: int = 64
    output: int = 128
    dropout: float = 0.1


class RowGraphEncoder(nn.Module):
    """Vectors [B, V] of the seeds of a batch.

    Examples:
        One untrained encoder reads the bookshop; it would read any other database with the same
        weights.

        >>> import tempfile
        >>> import numpy as np
        >>> from rowgraph.example import read_example, write_example
        >>> from rowgraph.forecasting.encoder import EncoderShape, untrained
        >>> from rowgraph.forecasting.names import Names
        >>> reader = read_example(write_example(tempfile.mkdtemp()))
        >>> day = 86_400_000_000
        >>> batch = reader.batch(
        ...     "customers", rows=np.array([0, 3]), before=np.array([20_000 * day] * 2),
        ...     horizon=np.array([30 * day] * 2), ahead=np.zeros(2, np.int64))
        >>> encoder = untrained(EncoderShape(width=16, output=8), seed=0)
        >>> encoder(batch, Names.of(reader)).shape
        torch.Size([2, 8])
    """

    def __init__(self, shape: EncoderShape):
        super().__init__()
        self.shape, width = shape, shape.width
        self.makers = nn.ModuleDict({
            kind: WeightMaker(NAME_DIM + (EDGE_STATISTICS if kind == "windows" else STATISTICS),
                              FEATURES[kind], width)
            for kind in ("numbers", "codes", "moments", "windows", "means")})
        self.table = nn.Sequential(nn.Linear(NAME_DIM, 64), nn.ReLU(), nn.Linear(64, width))
        self.age = nn.Linear(PER_AGE, width)
        self.horizon = nn.Linear(PER_HORIZON, width)
        self.inner = _mixing(width)
        self.mean_inner = _mixing(width)
        self.layers = nn.ModuleList(Hearing(width, shape.dropout) for _ in range(LAYERS))
        self.output = nn.Linear((LAYERS + 2) * width, shape.output)

    def forward(self, batch: Batch, names: Names, corrections: Corrections | None = None) -> Tensor:
        """float32 [B, V]."""
        made = _Made(names, {kind: self.makers[MAKERS[kind]](columns) + (
            0.0 if corrections is None else corrections.of(names, kind))
            for kind, columns in names.columns.items()})
        tables = self.table(names.tables)
        rows = [self._rows(found, made, tables[names.table[found.table]]) for found in batch.tables]
        windows = [found.windows @ made.of(found.table, "windows")
                   / made.count(found.table, "windows") ** 0.5 for found in batch.tables]
        nodes = torch.cat(rows).index_select(0, batch.order)
        recent = torch.cat(windows).index_select(0, batch.window_order)
        near = recent + nodes[:len(recent)]
        nodes = torch.cat([near + self.inner(near), nodes[len(near):]])
        means = batch.means @ made.of(batch.table, "means")
        means = means / made.count(batch.table, "means") ** 0.5
        means = means + recent[:batch.seeds] + self.horizon(batch.horizon)
        found = [nodes[:batch.seeds], means + self.mean_inner(means)]
        turns = None if corrections is None else corrections.turns(names)
        for k, (layer, messages) in enumerate(zip(self.layers, batch.layers, strict=True)):
            up, down = (0.0, 0.0) if turns is None else (turns[0][:, k], turns[1][:, k])
            nodes = layer(nodes, messages, names.edges, up, down)
            found.append(nodes[:batch.seeds])
        return self.output(torch.cat(found, dim=1))

    def _rows(self, found: TableBatch, made: _Made, table: Tensor) -> Tensor:
        """float32 [nodes, D]: the cells, age and table of each node, before it hears of others."""
        scale = 1 / made.count(found.table, *CELLS) ** 0.5
        rows = found.static @ made.of(found.table, *CELLS[:2]) * scale + table + self.age.bias
        own = torch.cat([made.of(found.table, *CELLS[2:]) * scale, self.age.weight.T])
        return rows.index_select(0, found.place) + found.own @ own


@dataclass(frozen=True, eq=False)
class _Made:
    """Weights that were made for all columns of a database, by kind: [columns, features, D]."""

    names: Names
    weights: dict[str, Tensor]

    def of(self, table: str, *kinds: str) -> Tensor:
        """float32 [features of all its columns of these kinds, D]."""
        parts = []
        for kind in kinds:
            first, count = self.names.taken[kind][table]
            parts.append(self.weights[kind][first:first + count].flatten(0, 1))
        return torch.cat(parts)

    def count(self, table: str, *kinds: str) -> int:
        """Columns of these kinds, at least 1."""
        return max(1, sum(self.names.taken[kind][table][1] for kind in kinds))


def _mixing(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(),
                         nn.Linear(2 * width, width))


def untrained(shape: EncoderShape, seed: int) -> RowGraphEncoder:
    """An encoder of random weights, the same for equal seeds."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return RowGraphEncoder(shape).eval()
