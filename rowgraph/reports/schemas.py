"""The schema of each held-out database: tables, rows, times, and what points to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rowgraph.databases.database import Database, TableSchema
from rowgraph.reports.svg import FAINT, INK, LINE, MODEL, PAPER, drawing, figure, shown, to_svg

ACROSS, DOWN = 2.5, 0.72  # inches from one table to the next
BOX = (1.75, 0.5)  # inches
MOST = 40  # tables that are drawn


@dataclass(frozen=True)
class Schema:
    """A database as it is drawn.

    Args:
        rows: by table.
    """

    name: str
    tables: Mapping[str, TableSchema]
    rows: Mapping[str, int]


def schemas_of(folders: Mapping[str, Path]) -> list[Schema]:
    """From artifact folders by input name; those of `source__<db>` are read."""
    found = []
    for folder in (f for name, f in folders.items() if name.startswith("source__")):
        database = Database.open(folder)
        found.append(Schema(database.name, database.tables,
                            {t: database.num_rows(t) for t in database.tables}))
    return found


def columns_of(tables: Mapping[str, TableSchema]) -> dict[str, int]:
    """How far right each table stands: one further than what it points to; of tables that point
    to each other in a circle, the first is left of the others."""
    found: dict[str, int] = {}

    def place(table: str, way: tuple[str, ...]) -> int:
        if table not in found:
            parents = [p for p in tables[table].fkeys.values() if p not in (*way, table)]
            found[table] = max((place(p, (*way, table)) + 1 for p in parents), default=0)
        return found[table]

    for table in tables:
        place(table, ())
    return found


def diagram(schema: Schema, key: str) -> str:
    """The schema as an SVG element; nothing where there are too many tables to look at."""
    if len(schema.tables) > MOST:
        return ""
    columns = columns_of(schema.tables)
    stacks: dict[int, list[str]] = {}
    for table in schema.tables:
        stacks.setdefault(columns[table], []).append(table)
    tallest = max(map(len, stacks.values()))
    width, height = ACROSS * (max(stacks) + 1) - ACROSS + BOX[0] + 0.3, DOWN * tallest
    at = {table: (0.1 + ACROSS * column, height - DOWN * (
        place + 0.5 + (tallest - len(stack)) / 2) - BOX[1] / 2)
        for column, stack in stacks.items() for place, table in enumerate(stack)}
    with drawing():
        drawn = figure(height, width)
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(0, height)
        axes.axis("off")
        for table, facts in schema.tables.items():
            for fkey, parent in facts.fkeys.items():
                _arrow(axes, at[table], at[parent], fkey)
        for table, facts in schema.tables.items():
            _box(axes, at[table], table, schema.rows[table], facts.time_col)
        words = "; ".join(f"{t} points to {', '.join(sorted(set(s.fkeys.values())))}"
                          for t, s in schema.tables.items() if s.fkeys)
        return to_svg(drawn, key, f"Tables of {schema.name}. {words}")


def _box(axes, at: tuple[float, float], table: str, rows: int, time: str | None) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(FancyBboxPatch(at, *BOX, boxstyle="round,pad=0,rounding_size=0.06",
                                  facecolor=PAPER, edgecolor=MODEL if time else LINE, zorder=2))
    axes.text(at[0] + 0.08, at[1] + 0.31, shown(table, 24), color=INK, zorder=3)
    facts = f"{rows:,} rows" + (f" · {shown(time, 16)}" if time else "")
    axes.text(at[0] + 0.08, at[1] + 0.1, facts, color=FAINT, fontsize=7, zorder=3)


def _arrow(axes, child: tuple[float, float], parent: tuple[float, float], fkey: str) -> None:
    """From the left of a child to the right of its parent; within a column, and to itself, a bow
    at the right."""
    ahead = child[0] > parent[0]
    start = child[0] if ahead else child[0] + BOX[0], child[1] + BOX[1] / 2
    end = parent[0] + BOX[0], parent[1] + BOX[1] * (0.5 if child != parent else 0.85)
    bow = "arc3,rad=0" if ahead else "arc3,rad=0.5" if child != parent else "arc3,rad=-1.5"
    axes.annotate("", end, start, arrowprops={
        "arrowstyle": "->", "color": FAINT, "linewidth": 0.8, "connectionstyle": bow,
        "shrinkA": 0, "shrinkB": 0}, zorder=1)
