"""The way back from row numbers to the keys of a person's own database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from rowgraph.databases.database import Database

KEYS = "keys"


def keys_of(database: Database, table: str, rows: np.ndarray) -> pl.DataFrame:
    """The original primary keys of some rows: a column for each of its columns.

    Where a database did not come through `rowgraph import`, its row numbers are its keys.

    Args:
        rows: int64 [n].

    Raises:
        ValueError: the keys lie there and are of another number of rows.
    """
    path = Path(database.folder) / KEYS / f"{table}.parquet"
    schema = database.tables[table]
    if not path.exists():
        return pl.DataFrame({schema.pkey_col or "row": rows})
    frame = pl.read_parquet(path)
    if len(frame) != database.num_rows(table):
        raise ValueError(f"{path} has {len(frame)} keys, the table has {database.num_rows(table)} "
                         "rows; import the database again")
    return frame.drop(frame.columns[0])[rows]  # the row number comes first
