"""Who is asked about at a date, also at one whose answers are not known yet: today."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases import guarded_sql
from rowgraph.databases.database import Database
from rowgraph.tasks.queries.compiling import who_sql
from rowgraph.tasks.queries.meaning import Meaning


def who_is_asked(meaning: Meaning, database: Database, moment: int) -> np.ndarray:
    """The rows of the entity's table that a query asks about.

    Args:
        moment: microseconds since 1970: rows up to it are seen, as WHERE has it.

    Returns:
        int64, ascending.
    """
    tables = {table: pq.read_table(database.path(table)) for table in _read(meaning)}
    tables["timestamps"] = pa.table({"timestamp": pa.array([moment], pa.timestamp("us"))})
    found = guarded_sql.run(who_sql(meaning, database), tables)
    return np.sort(found["who"].to_numpy(dtype=np.int64))


def _read(meaning: Meaning) -> list[str]:
    """The tables that are looked at: the entity's, and those on the ways of WHERE."""
    found = [meaning.entity]
    for window in meaning.windows.values():
        found += [window.table, *(parent for _, _, parent in window.path)]
    return list(dict.fromkeys(found))
