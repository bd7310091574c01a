"""Samples of a database by entity: all rows of a few entities, and what those rows reference.

Rows drawn one by one would thin out every entity's history, and with it fan-out and labels. So
entities are drawn, by the digest of their natural key (no generator, no seed: a key's place in
the order never depends on the other keys), and rows follow along foreign keys.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from .spec import DatabaseSpec


def draw(strata: dict[object, int], count: int) -> list[object]:
    """The first `count` natural keys when the strata take turns.

    Within a stratum keys are ordered by the BLAKE2b digest of their text, so a larger draw
    contains every smaller one.

    Args:
        strata: natural key -> number of its stratum.
        count: keys to draw; all of them where there are fewer.

    Returns:
        Natural keys in drawing order.
    """
    turn: dict[int, int] = {}
    ranked = []
    for key in sorted(strata, key=_digest):
        stratum = strata[key]
        turn[stratum] = turn.get(stratum, -1) + 1
        ranked.append((turn[stratum], stratum, key))
    return [key for _, _, key in sorted(ranked, key=lambda rank: rank[:2])[:count]]


def sample(frames: dict[str, pl.DataFrame], spec: DatabaseSpec,
           drawn: list[object]) -> dict[str, pl.DataFrame]:
    """Keep the drawn entities and the rows that belong to them.

    Args:
        frames: tables with natural keys.
        spec: says by `owners` and `kept_by` how rows follow.
        drawn: natural keys of the entity table.

    Returns:
        Every table, rows in their former order. A table with neither rule is whole.
    """
    import polars as pl

    kept: dict[str, pl.DataFrame] = {}

    def keep(name: str) -> pl.DataFrame:
        if name in kept:
            return kept[name]
        frame, table = frames[name], spec.table(name)
        if name == spec.entity_table:
            frame = _among(frame, table.pkey, pl.Series(drawn, dtype=frame.schema[table.pkey]))
        for fkey in table.owners:
            parent = table.fkeys[fkey]
            frame = _among(frame, fkey, keep(parent)[spec.table(parent).pkey])
        if table.kept_by:
            references = [keep(child)[fkey] for child in table.kept_by
                          for fkey, parent in spec.table(child).fkeys.items() if parent == name]
            frame = _among(frame, table.pkey, pl.concat(references))
        kept[name] = frame
        return frame

    return {table.name: keep(table.name) for table in spec.tables}


def _among(frame: pl.DataFrame, column: str, keys: pl.Series) -> pl.DataFrame:
    return frame.join(keys.unique().rename(column).to_frame(), on=column, how="semi",
                      maintain_order="left")


def _digest(key: object) -> bytes:
    return hashlib.blake2b(str(key).encode(), digest_size=16).digest()
