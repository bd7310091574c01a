"""Copies a database with at most so many rows per table (Section 4.2: "larger tables are
subsampled to limit graph size").

The paper does not say which rows stay. Here a row stays by a digest of its own number, so the
choice is uniform, blind to time and labels, the same on every machine, and a smaller cap keeps a
subset of what a larger one keeps: docs/decisions/truncation.md. Keys are renumbered, so that the
copy is again a RelBench 3 folder in which row i of a table is node i.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rowgraph.databases.columns import BATCH_ROWS, is_list, key_values
from rowgraph.databases.database import Database, TableSchema
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labels import MANIFEST, SPLITS, all_tasks
from rowgraph.randomness import uniform_of_rows

PARTS = ("db", "tasks", "rows", "keys")
REMOVED = -1

Numbers = dict[str, np.ndarray]  # truncated table -> int64 [source rows]: new number or REMOVED


def truncate(source: Path, target: Path, max_rows_per_table: int | None, seed: int = 0,
             tasks: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Copy a sound RelBench 3 folder, keeping at most `max_rows_per_table` rows of every table.

    A foreign key into a removed row becomes null, because an edge needs both of its ends; a label
    of a removed entity goes, and so do removed destinations of a recommendation. The labels that
    stay are those of the whole database, not regenerated from the smaller one. `keys/`, the way
    back to the keys of a database that was imported, follows its rows. Files that need no
    change are copied byte for byte. `rows/<table>.npy` (int64) holds the source's row number of
    each kept row of a truncated table. `manifest.yaml` is written last.

    Args:
        source: has passed `check_database`.
        target: its `db`, `tasks`, `rows` and `manifest.yaml` are replaced, all else is left.
        max_rows_per_table: None copies every row.
        seed: another seed keeps other rows.
        tasks: the folder of each task by name; None = those of the source.

    Returns:
        `rows` and `source_rows` by table; `dropped_edges` by "table.column" and `dropped_labels`
        by "task/split", both without zeros; `left_out_tasks`: those whose extra files name removed
        entities in a form that cannot be renumbered.

    Raises:
        ValueError: `target` is `source`.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ValueError(f"truncate: source and target are both {source}; choose another target")
    _clear(target)
    database = Database.open(source)
    source_rows = {table: database.num_rows(table) for table in database.tables}
    kept = {
        table: kept_rows(rows, max_rows_per_table, database.name, table, seed)
        for table, rows in source_rows.items()
        if max_rows_per_table is not None and rows > max_rows_per_table
    }
    numbers = {table: _numbers(rows, source_rows[table]) for table, rows in kept.items()}
    dropped_edges: dict[str, int] = {}
    for table, schema in database.tables.items():
        path = target / "db" / f"{table}.parquet"
        if table in kept or any(t in kept for t in schema.fkeys.values()):
            dropped_edges |= _write_table(database.path(table), path, schema, numbers)
        else:
            _copy(database.path(table), path)
    for table, rows in kept.items():
        (target / "rows").mkdir(exist_ok=True)
        np.save(target / "rows" / f"{table}.npy", rows, allow_pickle=False)
    _write_keys(source, target, kept)
    dropped_labels, left_out = _write_tasks(
        all_tasks(source, None) if tasks is None else tasks, target, database.tables, numbers)
    _copy(source / MANIFEST, target / f"{MANIFEST}.part")
    (target / f"{MANIFEST}.part").replace(target / MANIFEST)
    return {
        "rows": source_rows | {table: len(rows) for table, rows in kept.items()},
        "source_rows": source_rows,
        "dropped_edges": dropped_edges,
        "dropped_labels": dropped_labels,
        "left_out_tasks": left_out,
    }


def _write_keys(source: Path, target: Path, kept: Mapping[str, np.ndarray]) -> None:
    """The way back to the keys of the database that was imported, of the rows that stay."""
    for path in sorted((source / "keys").glob("*.parquet")):
        if path.stem not in kept:
            _copy(path, target / "keys" / path.name)
            continue
        keys = pq.read_table(path).take(pa.array(kept[path.stem]))
        numbers = pa.array(np.arange(len(keys)), pa.int64())
        (target / "keys").mkdir(parents=True, exist_ok=True)
        pq.write_table(keys.set_column(0, keys.column_names[0], numbers),
                       target / "keys" / path.name)


def kept_rows(rows: int, cap: int, database: str, table: str, seed: int) -> np.ndarray:
    """The row numbers that stay, ascending: the `cap` smallest digests.

    Returns:
        int64 [min(cap, rows)].
    """
    order = np.argsort(uniform_of_rows(np.arange(rows), "truncate", database, table, seed),
                       kind="stable")
    return np.sort(order[:cap]).astype(np.int64)


def _numbers(kept: np.ndarray, rows: int) -> np.ndarray:
    numbers = np.full(rows, REMOVED, dtype=np.int64)
    numbers[kept] = np.arange(len(kept))
    return numbers


def _clear(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, f"{MANIFEST}.part"):
        (target / name).unlink(missing_ok=True)
    for part in PARTS:
        shutil.rmtree(target / part, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_table(source: Path, target: Path, schema: TableSchema,
                 numbers: Numbers) -> dict[str, int]:
    """Stream a table: filter its rows, renumber its keys, all keys as int64."""
    target.parent.mkdir(parents=True, exist_ok=True)
    parquet = pq.ParquetFile(source)
    keys = [i for i, f in enumerate(parquet.schema_arrow) if f.name in schema.key_cols]
    # What pandas noted about the old index and key types would no longer be true.
    fields = parquet.schema_arrow.remove_metadata()
    for i in keys:
        fields = fields.set(i, pa.field(fields.names[i], pa.int64()))
    dropped: dict[str, int] = {}
    with pq.ParquetWriter(target, fields, compression="zstd") as writer:
        for batch in _kept_batches(parquet, numbers.get(schema.name)):
            columns = list(batch.columns)
            for i in keys:
                name = fields.names[i]
                table = schema.fkeys.get(name, schema.name)
                columns[i], lost = _renumbered(columns[i], numbers.get(table))
                if lost:
                    label = f"{schema.name}.{name}"
                    dropped[label] = dropped.get(label, 0) + lost
            writer.write_table(pa.table(columns, schema=fields))
    return dropped


def _kept_batches(parquet: pq.ParquetFile, numbers: np.ndarray | None) -> Iterator[pa.Table]:
    """The kept rows, gathered so that no row group is small but the last."""
    start, waiting, rows = 0, [], 0
    for batch in parquet.iter_batches(BATCH_ROWS):
        end = start + len(batch)
        if numbers is not None:
            batch = batch.filter(pa.array(numbers[start:end] != REMOVED))
        start, rows = end, rows + len(batch)
        waiting.append(batch)
        if rows >= BATCH_ROWS:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _renumbered(column: pa.Array | pa.ChunkedArray,
                numbers: np.ndarray | None) -> tuple[pa.Array, int]:
    """Keys as nullable int64 with their new numbers; how many pointed to a removed row."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values, missing = key_values(column)
    values = values.astype(np.int64)
    if numbers is None:
        return pa.array(values, pa.int64(), mask=missing), 0
    values = _looked_up(values, missing, numbers)
    removed = ~missing & (values == REMOVED)
    return pa.array(values, pa.int64(), mask=missing | removed), int(removed.sum())


def _looked_up(keys: np.ndarray, missing: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    found = np.full(len(keys), REMOVED, dtype=np.int64)
    found[~missing] = numbers[keys[~missing].astype(np.int64)]
    return found


def _write_tasks(tasks: Mapping[str, Path], target: Path, schemas: dict[str, TableSchema],
                 numbers: Numbers) -> tuple[dict[str, int], list[str]]:
    dropped: dict[str, int] = {}
    left_out: list[str] = []
    for name, folder in tasks.items():
        if not (folder / MANIFEST).is_file():
            continue
        files = {p: target / "tasks" / name / p.relative_to(folder)
                 for p in sorted(folder.rglob("*")) if p.is_file()}
        task = LabelSchema.read(folder / MANIFEST, schemas) if numbers else None
        if task is None or not numbers.keys() & set(task.entities.values()):
            for path, copy in files.items():
                _copy(path, copy)
        elif task.extra_files:
            left_out.append(name)
        else:
            for path, copy in files.items():
                if path.parent == folder and path.name == MANIFEST:
                    _copy(path, copy)
                elif path.parent == folder and path.suffix == ".parquet" and path.stem in SPLITS:
                    lost = _write_labels(path, copy, task, numbers)
                    dropped |= {f"{name}/{path.stem}": lost} if lost else {}
    return dropped, left_out


def _write_labels(source: Path, target: Path, task: LabelSchema, numbers: Numbers) -> int:
    """Renumber the entities of a label table; drop and count the rows that lose theirs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    labels = pq.ParquetFile(source).read().replace_schema_metadata(None)
    keep = np.ones(len(labels), dtype=bool)
    for name, table in task.entities.items():
        if table not in numbers:
            continue
        column = labels[name].combine_chunks()
        if is_list(column.type):
            fresh, alive = _renumbered_lists(column, numbers[table])
        else:
            fresh = _renumbered(column, numbers[table])[0]
            alive = fresh.is_valid().to_numpy(zero_copy_only=False)
        keep &= alive
        labels = labels.set_column(labels.column_names.index(name), name, fresh)
    pq.write_table(labels.filter(pa.array(keep)), target, compression="zstd")
    return int((~keep).sum())


def _renumbered_lists(column: pa.ListArray, numbers: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Lists without their removed members; False where that left nothing."""
    parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    members = _looked_up(*key_values(pc.list_flatten(column)), numbers)
    before = np.bincount(parents, minlength=len(column))
    stays = members != REMOVED
    after = np.bincount(parents[stays], minlength=len(column))
    offsets = np.concatenate([[0], np.cumsum(after)])
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()),
                                     pa.array(members[stays], pa.int64()))
    return lists, (after > 0) | (before == 0)
