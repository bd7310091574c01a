"""From a spec and its sources to a RelBench 3 folder, byte for byte the same on every build.

The key contract of RelBench: a primary key is the row's number, 0..n-1; a foreign key is the
number of the row that it references, or null; a table with a primary key and a time is sorted by
that time, so that truncating it in time keeps a prefix and with it every number.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .sample import draw, sample

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from .spec import DatabaseSpec, TableSpec

SPLITS = ("train", "val", "test")


def write_folder(folder: Path, spec: DatabaseSpec, sources: dict[str, pl.DataFrame],
                 entities: int | None = None) -> dict[str, int]:
    """Write the tables, the manifests and the labels of a database.

    Args:
        folder: an empty folder.
        spec: the database.
        sources: relations that the spec's queries read, by name.
        entities: rows of the entity table to draw; None builds in full.

    Returns:
        Dangling foreign keys that were nulled, by "table.column"; clean columns are left out.

    Raises:
        ValueError: a query yields a null or repeated primary key, or a null time; or there are
            too few entities to give every split of every task its labels.
    """
    frames, strata = _query(spec, sources)
    if entities is not None:
        frames = sample(frames, spec, draw(strata, entities))
    frames, dangling = number_keys(frames, spec)
    (folder / "db").mkdir(parents=True)
    for name, frame in frames.items():
        _write_table(frame, folder / "db" / f"{name}.parquet")
    _write_manifests(folder, spec)
    _write_labels(folder, spec)
    return dangling


def number_keys(frames: dict[str, pl.DataFrame],
                spec: DatabaseSpec) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """Put rows in order and replace natural keys by row numbers.

    Args:
        frames: tables with natural keys.
        spec: their keys and times.

    Returns:
        Tables with int64 keys, and the number of dangling foreign keys by "table.column".

    Raises:
        ValueError: a primary key is null or repeated, or a time is missing.
    """
    import polars as pl

    numbers: dict[str, pl.DataFrame] = {}
    ordered: dict[str, pl.DataFrame] = {}
    for table in spec.tables:
        frame = _in_order(_check(frames[table.name], table), table)
        if table.pkey:
            numbers[table.name] = frame.select(table.pkey).with_row_index("number")
            frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(table.pkey))
        ordered[table.name] = frame

    dangling: dict[str, int] = {}
    for table in spec.tables:
        frame = ordered[table.name]
        for fkey, parent in table.fkeys.items():
            key = spec.table(parent).pkey
            natural = frame.select(pl.col(fkey).cast(numbers[parent].schema[key]).alias(key))
            number = natural.join(numbers[parent], on=key, how="left", maintain_order="left")[
                "number"].cast(pl.Int64)
            if lost := number.null_count() - natural[key].null_count():
                dangling[f"{table.name}.{fkey}"] = lost
            frame = frame.with_columns(number.alias(fkey))
        ordered[table.name] = frame
    return ordered, dangling


def _query(spec: DatabaseSpec, sources: dict[str, pl.DataFrame]
           ) -> tuple[dict[str, pl.DataFrame], dict[object, int]]:
    """Tables with natural keys and plain dtypes, and the stratum of every entity."""
    import duckdb
    import polars as pl
    import polars.selectors as cs

    connection = duckdb.connect()
    try:
        for name, source in sources.items():
            connection.register(name, source)
        frames = {
            table.name: connection.sql(table.sql).pl().with_columns(
                cs.integer().cast(pl.Int64), cs.float().cast(pl.Float64),
                cs.temporal().cast(pl.Datetime("us")))
            for table in spec.tables
        }
        key = spec.table(spec.entity_table).pkey
        strata = dict.fromkeys(frames[spec.entity_table][key].to_list(), 0)
        if spec.strata:
            named = connection.sql(spec.strata).fetchall()
            strata.update((key, stratum) for key, stratum in named if key in strata)
    finally:
        connection.close()
    return frames, strata


def _check(frame: pl.DataFrame, table: TableSpec) -> pl.DataFrame:
    for column in filter(None, (table.pkey, table.time_col)):
        if nulls := frame[column].null_count():
            raise ValueError(f"table {table.name}: {column} must never be null, found {nulls} "
                             f"nulls in {len(frame)} rows; filter them in the table's query")
    if table.pkey and frame[table.pkey].n_unique() < len(frame):
        raise ValueError(f"table {table.name}: {table.pkey} must be unique, found "
                         f"{frame[table.pkey].n_unique()} values in {len(frame)} rows; group by "
                         "it in the table's query")
    return frame


def _in_order(frame: pl.DataFrame, table: TableSpec) -> pl.DataFrame:
    """Sorted by time, then by keys; without a primary key by every column, a total order."""
    first = [column for column in (table.time_col, table.pkey, *table.fkeys) if column]
    rest = [] if table.pkey else [column for column in frame.columns if column not in first]
    return frame.sort([*first, *rest], nulls_last=True, maintain_order=True)


def _write_table(frame: pl.DataFrame, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(frame.rechunk().to_arrow(), path, compression="zstd", store_schema=False)


def _write_manifests(folder: Path, spec: DatabaseSpec) -> None:
    from relbench import manifest

    manifest.DatasetManifest(
        name=spec.name, description=spec.description,
        val_timestamp=spec.val_timestamp, test_timestamp=spec.test_timestamp,
        tables={table.name: manifest.TableSpec(table.pkey, table.time_col, dict(table.fkeys))
                for table in spec.tables},
    ).save(folder / "manifest.yaml")
    for task in spec.tasks:
        manifest.TaskManifest(
            name=task.name, kind="forecast", task_type=task.task_type,
            description=task.description, timedelta=task.timedelta,
            num_eval_timestamps=task.num_eval_timestamps, sql=task.sql, **task.columns,
        ).save(folder / "tasks" / task.name / "manifest.yaml")


def _write_labels(folder: Path, spec: DatabaseSpec) -> None:
    import relbench

    dataset = relbench.load_dataset(folder)
    db = dataset.get_db(upto_test_timestamp=False)  # read once for all tasks and splits
    for task in spec.tasks:
        try:
            loaded = dataset.load_task(task.name, regenerate=True)
            labels = {s: loaded.get_table(s, mask_input_cols=False, db=db).df for s in SPLITS}
        except (RuntimeError, TypeError) as error:  # RelBench's answer to a split without labels
            raise ValueError(f"task {task.name}: every split needs labels, and these rows give "
                             "one of its splits none; draw more entities") from error
        for split, frame in labels.items():
            _write_label_table(frame, folder / "tasks" / task.name / f"{split}.parquet")


def _write_label_table(labels: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(labels, preserve_index=False).replace_schema_metadata(None)
    times = {i: f.with_type(pa.timestamp("us")) for i, f in enumerate(table.schema)
             if pa.types.is_timestamp(f.type)}
    schema = pa.schema([times.get(i, f) for i, f in enumerate(table.schema)])
    pq.write_table(table.cast(schema), path, compression="zstd", store_schema=False)
