"""What is known of a profile before it runs: sizes, each with what it rests on.

Where nothing is known a round figure of this module stands in, and whatever is computed from it
says `assumed`: docs/decisions/costs.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from rowgraph.costs.model_shape import ModelShape

Basis = Literal["measured", "expected", "assumed"]

ASSUMED_TOKENS_A_ROW = 128  # a row of three short cells has 25, the longest 1,024
ASSUMED_EDGES_A_ROW = 1.4  # Table 1: 40,051,141 edges of 28,725,618 nodes
ASSUMED_TABLES = 8  # the seven RelBench databases have three to fifteen
ASSUMED_COLUMNS = 5  # of a table, keys left out
ASSUMED_LABELS = {"train": 11_411, "val": 566, "test": 702}  # driver-dnf, arXiv 2407.20060
BYTES_A_TOKEN = 4  # of text; demo's own tokenizer packs 4.9, a general one fewer
COMPRESSED = 0.2  # Parquet: bytes on disk of a byte of text


@dataclass(frozen=True)
class Figure:
    """A number and what it rests on; sums and products rest on the weaker of the two.

    Args:
        value: the number.
        basis: `measured`: read off data that is here; `expected`: the profile says so;
            `assumed`: rests on a round figure of this module.
    """

    value: float
    basis: Basis = "measured"

    def __add__(self, other: Figure | float) -> Figure:
        other = as_figure(other)
        return Figure(self.value + other.value, weaker(self.basis, other.basis))

    def __mul__(self, other: Figure | float) -> Figure:
        other = as_figure(other)
        return Figure(self.value * other.value, weaker(self.basis, other.basis))

    __radd__, __rmul__ = __add__, __mul__

    def at_most(self, other: Figure | float) -> Figure:
        """The smaller of the two, resting on both."""
        other = as_figure(other)
        return Figure(min(self.value, other.value), weaker(self.basis, other.basis))


def as_figure(value: Figure | float) -> Figure:
    """A plain number of the code rests on nothing and counts as measured."""
    return value if isinstance(value, Figure) else Figure(value)


def weaker(*bases: Basis) -> Basis:
    """What a figure rests on that was made from others."""
    return max(bases, key=get_args(Basis).index)


@dataclass(frozen=True)
class DatabaseFacts:
    """The sizes of a database after truncation.

    Args:
        rows: of all tables. largest: of the largest table. tables, columns: how many, without keys.
        edges: foreign key values that name a row.
        edge_ends: over the foreign keys, the rows of both of its tables.
        disk: bytes of its folder.
        labels: by task and split, label rows.
        distinct: texts that differ, which the encoder sees once; None: as many as rows.
    """

    rows: Figure
    largest: Figure
    tables: Figure
    columns: Figure
    edges: Figure
    edge_ends: Figure
    disk: Figure
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    distinct: Figure | None = None

    @classmethod
    def expected(cls, rows: int, cap: int | None, tokens_a_row: Figure) -> DatabaseFacts:
        """What can be said of a database whose rows alone are expected.

        Every row is taken to name `ASSUMED_EDGES_A_ROW` parents. A foreign key's ends are then
        one row of its own table an edge, and at most every row once as a parent.
        """
        N = Figure(rows, "expected")
        edges = N * Figure(ASSUMED_EDGES_A_ROW, "assumed")
        tables = Figure(ASSUMED_TABLES, "assumed")
        return cls(N, N.at_most(cap or rows), tables, tables * ASSUMED_COLUMNS, edges, edges + N,
                   N * row_bytes(tokens_a_row) * COMPRESSED)

    @property
    def edges_a_row(self) -> float:
        """Foreign key values of a row, the mean over all tables."""
        return self.edges.value / max(1.0, self.rows.value)

    def label_rows(self, task: str) -> dict[str, Figure]:
        """Label rows by split; those of rel-f1's driver-dnf where the task is not here."""
        if task in self.labels:
            return {split: Figure(n) for split, n in self.labels[task].items()}
        return {split: Figure(n, "assumed") for split, n in ASSUMED_LABELS.items()}


@dataclass(frozen=True)
class Facts:
    """What estimates are made from.

    Args:
        databases: by name; None where nothing is known of one.
        shape: of the language model; None where it cannot be known.
        tokens_a_row: mean of the corpus.
    """

    databases: Mapping[str, DatabaseFacts | None]
    shape: ModelShape | None
    tokens_a_row: Figure


def row_bytes(tokens_a_row: Figure) -> Figure:
    """A row as text: `BYTES_A_TOKEN` a token."""
    return tokens_a_row * Figure(BYTES_A_TOKEN, "assumed")


def nodes_a_seed(edges_a_row: float, fan_out: tuple[int, ...], entity: bool = False) -> float:
    """Nodes that a seed's neighbourhood draws, before equal ones of a batch are told apart.

    Rows are taken to be children, with f = `edges_a_row` parents and no children of their own, or
    parents, which 2 f foreign keys name, each as often as the fan-out allows. A child reached from
    a parent has that one already. A seed is a child; a task's `entity` is a parent.
    """
    f, first = edges_a_row, fan_out[0]
    parents, children = (0.0, 2 * f * first) if entity else (f, 0.0)
    total = 1.0 + parents + children
    for k in fan_out[1:]:
        parents, children = max(0.0, f - 1) * children, 2 * f * k * parents
        total += parents + children
    return total
