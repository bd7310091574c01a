"""Which ways lead from an entity to rows whose columns say something: from the schema alone.

A path is an **anchor**, one row as of the seed, and perhaps a **branch**, the rows that name it:

| anchor of an entity E | written |
|---|---|
| the entity itself | |
| the row that its key names, and the one that that row names | `key → P` |
| the row that its newest C names (driver, newest result, team) | `newest C by f, its g → P` |

| branch of an anchor A | written |
|---|---|
| rows C with a foreign key to A | `C by f` |
| the same, with the columns of another row that C names | `C by f, its g → P` |
| rows D with a foreign key to such a C | `D by g of C by f` |
| the same, with the columns of another row that D names | `D by g of C by f, its h → P` |

Without a branch the path is about the anchor's own columns. A row is visible from the latest time
along its way (`rowgraph.features.events`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rowgraph.databases.database import TableSchema

Schemas = dict[str, TableSchema]


@dataclass(frozen=True)
class Step:
    """One foreign key: `table.fkey` names a row of `parent`."""

    table: str
    fkey: str
    parent: str


@dataclass(frozen=True)
class Branch:
    """The rows that name a row of the anchor's table, directly or through another.

    Args:
        down: one key, from C to the anchor; or two, from C to the anchor and from D to C.
        up: a key of the last of these to another row, whose columns are meant.
    """

    down: tuple[Step, ...]
    up: Step | None = None

    @property
    def table(self) -> str:
        """Whose columns are aggregated."""
        return self.up.parent if self.up else self.down[-1].table

    @property
    def root(self) -> str:
        """The anchor's table."""
        return self.down[0].parent

    def __str__(self) -> str:
        text = " of ".join(f"{step.table} by {step.fkey}" for step in reversed(self.down))
        return text + (f", its {self.up.fkey} → {self.up.parent}" if self.up else "")


@dataclass(frozen=True)
class Anchor:
    """One row of a table, as of a seed.

    Args:
        table: of the row.
        ups: foreign keys from the entity to it.
        newest: or: the row at the end of the entity's newest event along this branch.
    """

    table: str
    ups: tuple[Step, ...] = ()
    newest: Branch | None = None

    def __str__(self) -> str:
        if self.newest:
            return f"newest {self.newest}"
        return " → ".join([*(step.fkey for step in self.ups), self.table] if self.ups else [])


@dataclass(frozen=True)
class Path:
    """A way to rows whose columns become features.

    Args:
        branch: None for the anchor's own columns.
        distance: how far-fetched it is: where there are too many features, near ones stay.
    """

    anchor: Anchor
    branch: Branch | None
    distance: int

    @property
    def table(self) -> str:
        """Whose columns are meant."""
        return self.branch.table if self.branch else self.anchor.table

    def __str__(self) -> str:
        ends = [str(self.anchor), str(self.branch or "")]
        return ": ".join(end for end in ends if end) or self.anchor.table


def paths_of(schemas: Schemas, entity: str, sizes: dict[str, int], *,
             two_hops: bool) -> list[Path]:
    """Every path of an entity's table, near ones first.

    Args:
        schemas: the tables, in manifest order.
        sizes: rows of each table in the past: where several children name the same table by a key
            of the same name, the largest speaks for all.
        two_hops: also paths of more than one foreign key.
    """
    own = Anchor(entity)
    paths = [Path(own, None, 0)]
    parents = [Anchor(s.parent, (s,)) for s in _ups(schemas, entity)]
    paths += [Path(anchor, None, 0) for anchor in parents]
    children = [Branch((step,)) for step in _downs(schemas, entity)]
    paths += [Path(own, branch, 0) for branch in children]
    if not two_hops:
        return paths
    joined = list(_joined(schemas, entity))
    speaking = _speakers(joined, sizes)
    paths += [Path(own, branch, 1 if branch in speaking else 3) for branch in joined]
    for branch in _grandchildren(schemas, entity):
        paths.append(Path(own, branch, 1))
        paths += [Path(own, Branch(branch.down, up), 2) for up in _ups(schemas, branch.table)
                  if up != branch.down[-1]]
    for anchor in parents:
        paths += [Path(Anchor(s.parent, (*anchor.ups, s)), None, 1)
                  for s in _ups(schemas, anchor.table)]
        paths += [Path(anchor, Branch((s,)), 1) for s in _downs(schemas, anchor.table)]
        paths += [Path(anchor, branch, 2) for branch in _joined(schemas, anchor.table)
                  if branch.up != anchor.ups[0]]
    for branch in speaking:
        anchor = Anchor(branch.table, newest=branch)
        paths.append(Path(anchor, None, 1))
        paths += [Path(anchor, Branch((s,)), 1) for s in _downs(schemas, anchor.table)]
    return sorted(paths, key=lambda path: path.distance)


def _ups(schemas: Schemas, table: str) -> list[Step]:
    return [Step(table, fkey, parent) for fkey, parent in schemas[table].fkeys.items()]


def _downs(schemas: Schemas, table: str) -> list[Step]:
    return [step for child in schemas for step in _ups(schemas, child) if step.parent == table]


def _joined(schemas: Schemas, table: str) -> Iterator[Branch]:
    for down in _downs(schemas, table):
        for up in _ups(schemas, down.table):
            if up != down:
                yield Branch((down,), up)


def _grandchildren(schemas: Schemas, table: str) -> Iterator[Branch]:
    for first in _downs(schemas, table):
        for second in _downs(schemas, first.table):
            yield Branch((first, second))


def _speakers(joined: list[Branch], sizes: dict[str, int]) -> list[Branch]:
    """One branch for each (key name, table that it names): that of the largest child."""
    found: dict[tuple[str, str], Branch] = {}
    for branch in joined:
        key = (branch.up.fkey, branch.table)
        held = found.get(key)
        if held is None or sizes[branch.down[0].table] > sizes[held.down[0].table]:
            found[key] = branch
    return list(found.values())
