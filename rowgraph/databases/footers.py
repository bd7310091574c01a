"""The sizes of a RelBench 3 folder, from its manifest and Parquet footers: no row is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from rowgraph.costs.sizes import DatabaseFacts, Figure
from rowgraph.databases.database import Database
from rowgraph.databases.labels import SPLITS


def read_footers(folder: Path, max_rows_per_table: int | None = None) -> DatabaseFacts:
    """What a folder holds, or would hold once it is truncated.

    A truncated table keeps its share of edges and bytes; an edge stays if both of its ends do
    (`truncate`). Where a footer does not count missing values, a foreign key is taken to have none.

    Args:
        folder: `manifest.yaml`, `db/*.parquet`, `tasks/*/<split>.parquet`.
        max_rows_per_table: as in the profile.
    """
    database = Database.open(folder)
    footers = {t: pq.read_metadata(database.path(t)) for t in database.tables}
    rows = {t: min(f.num_rows, max_rows_per_table or f.num_rows) for t, f in footers.items()}
    kept = {t: rows[t] / max(1, f.num_rows) for t, f in footers.items()}
    edges = edge_ends = 0.0
    for table, schema in database.tables.items():
        for fkey, parent in schema.fkeys.items():
            edges += _present(footers[table], fkey) * kept[table] * kept[parent]
            edge_ends += rows[table] + rows[parent]
    columns = sum(len(database.attributes(t)) for t in rows)
    size = sum(database.path(t).stat().st_size * kept[t] for t in rows)
    basis = "measured" if min(kept.values(), default=1) == 1 else "expected"
    return DatabaseFacts(
        Figure(sum(rows.values())), Figure(max(rows.values(), default=0)), Figure(len(rows)),
        Figure(columns), Figure(edges, basis), Figure(edge_ends), Figure(size, basis),
        _labels(folder))


def _present(footer: pq.FileMetaData, column: str) -> int:
    """Rows that have a value in a column."""
    present = footer.num_rows
    for g in range(footer.num_row_groups):
        group = footer.row_group(g)
        for c in range(group.num_columns):
            chunk = group.column(c)
            if chunk.path_in_schema == column and (counts := chunk.statistics) is not None:
                present -= counts.null_count or 0
    return present


def _labels(folder: Path) -> dict[str, dict[str, int]]:
    tasks = {}
    for task in sorted(folder.glob("tasks/*/")):
        paths = {split: task / f"{split}.parquet" for split in SPLITS}
        if all(path.is_file() for path in paths.values()):
            tasks[task.name] = {s: pq.read_metadata(p).num_rows for s, p in paths.items()}
    return tasks
