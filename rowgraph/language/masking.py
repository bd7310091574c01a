"""Schema-aware masking: whole units of a row disappear (Section 4.3.1).

A unit is a table name, an attribute name or a cell value. Each is masked on its own with the
probability of its kind; an empty one is skipped, and every row loses at least one. A masked unit
becomes a single `<mask>`, whatever its length, as in BART's text infilling, so the input does not
give the length away: docs/decisions/masking.md.

Which units are masked is a hash of the row's identity and of what the draw is for: the same row is
masked in the same way whichever rows stand beside it, on any day and after any interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rowgraph.randomness import stable_seed, uniform_of_rows

KINDS = ("table", "attribute", "value")  # kind k of a unit follows marker k
UNITS_A_ROW = 1 << 14  # room for a row's units among the numbers that are hashed


@dataclass(frozen=True)
class Units:
    """The non-empty units of many rows whose tokens lie end to end.

    Args:
        start, end: int64 [U], the tokens of each unit in the flat tokens.
        kind: int8 [U], index into `KINDS`.
        row: int64 [U], ascending: the row of each unit, counted from 0.
        rank: int64 [U], place of the unit within its row.
    """

    start: np.ndarray
    end: np.ndarray
    kind: np.ndarray
    row: np.ndarray
    rank: np.ndarray


def find_units(ids: np.ndarray, offsets: np.ndarray, markers: Sequence[int], eos: int) -> Units:
    """The units of tokenized rows; contents cannot spell a marker or the end of a row.

    Args:
        ids: int [T], tokens of all rows end to end, each row ending in `eos`.
        offsets: int64 [N + 1], row i is `ids[offsets[i]:offsets[i + 1]]`.
        markers: ids of `<table>`, `<attr>` and `<value>`.
        eos: id of the token that ends a row.
    """
    place = np.flatnonzero(np.isin(ids, [*markers, eos]))
    token = ids[place]
    opens = np.flatnonzero(token != eos)
    start, end = place[opens] + 1, place[np.minimum(opens + 1, len(place) - 1)]
    kind = np.select([token[opens] == m for m in markers], range(len(markers))).astype(np.int8)
    row = np.searchsorted(offsets, start, side="right") - 1
    real = end > start
    start, end, kind, row = start[real], end[real], kind[real], row[real]
    first = np.searchsorted(row, row, side="left")
    return Units(start, end, kind, row, np.arange(len(row)) - first)


def row_keys(database: str, table: str, rows: np.ndarray) -> np.ndarray:
    """uint64 of the same shape: a number for each row of each table, to hash with `rank` added."""
    base = np.uint64(stable_seed("row", database, table))
    with np.errstate(over="ignore"):
        return base + rows.astype(np.uint64) * np.uint64(UNITS_A_ROW)


def draw_masks(units: Units, keys: np.ndarray, probabilities: Sequence[float],
               *purpose: object) -> np.ndarray:
    """Which units are masked.

    A row that would lose nothing loses the unit that came closest to being masked, that is the one
    with the lowest number relative to its probability. Kinds with probability 0 are never masked.

    Args:
        keys: uint64 [N], `row_keys` of the rows.
        probabilities: of a table name, an attribute name and a cell value.
        purpose: what the draw is for: the seed and, for training rows, the epoch.

    Returns:
        bool [U].
    """
    with np.errstate(over="ignore"):
        number = keys[units.row] + (units.rank % UNITS_A_ROW).astype(np.uint64)
    odds = np.asarray(probabilities, dtype=np.float64)[units.kind]
    draw = np.full(len(odds), np.inf)
    np.divide(uniform_of_rows(number, "mask", *purpose), odds, out=draw, where=odds > 0)
    masked = draw < 1
    first = np.flatnonzero(np.diff(units.row, prepend=-1))
    if len(first):
        lowest = np.minimum.reduceat(draw, first)
        spared = np.add.reduceat(masked, first, dtype=np.int64) == 0
        length = np.diff(np.append(first, len(draw)))
        closest = draw == np.repeat(np.where(spared, lowest, -1.0), length)
        masked |= closest & np.isfinite(draw)
    return masked


def apply_masks(ids: np.ndarray, offsets: np.ndarray, units: Units, masked: np.ndarray,
                mask_token: int) -> tuple[np.ndarray, np.ndarray]:
    """Replace each masked unit by one mask token.

    Returns:
        The tokens that the encoder sees, end to end, and their int64 [N + 1] row offsets.
    """
    start, end = units.start[masked], units.end[masked]
    edges = np.zeros(len(ids) + 1, dtype=np.int8)
    edges[start] += 1
    np.subtract.at(edges, end, 1)
    keep = np.cumsum(edges[:-1]) == 0
    keep[start] = True
    hidden = ids.copy()
    hidden[start] = mask_token
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return hidden[keep], kept_before[offsets]
