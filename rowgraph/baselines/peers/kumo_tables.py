"""What Kumo Relational is shown of label rows: their neighbourhoods as `RelatedTables`.

Our sampler fills them, because the library's own needs pyg-lib and sees rows of the seed's own
moment too. Each label row has a tree of its own, told apart by the column `example`, as in the
library's sampler: a key is (row, example), so that no tree touches another.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import sdm
from sdm.stype import Stype

from rowgraph.baselines.peers.columns import past_rows, plain_columns
from rowgraph.databases.database import Database
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import SampledBatch, TemporalNeighborSampler
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.regimes import hidden

ROW, EXAMPLE, TIME, TARGET = "row", "example", "time", "target"
Shown = tuple[sdm.TableTensor, sdm.RelatedTables]


class KumoRows:
    """The rows of a database, ready to be handed over.

    Args:
        task: its database is read without what the task must not see.
        graph: of that database.
        fan_out: neighbours per edge type and hop, uniformly drawn among the strictly older.
    """

    def __init__(self, task: Task, graph: EntityGraph, fan_out: tuple[int, ...]):
        database = task.database
        self.task = task
        self.sampler = TemporalNeighborSampler(graph, fan_out, "uniform")
        self.times = {t: np.asarray(v) for t, v in graph.times.items()}
        self.columns, self.stypes, self.keys = {}, {}, {}
        for table, schema in database.tables.items():
            columns = plain_columns(database, table)
            self.stypes[table] = stypes_of(columns, past_rows(database, table,
                                                              database.val_timestamp))
            self.columns[table] = {n: columns[n] for n in self.stypes[table]}
            self.keys[table] = {key: _key(database, table, key) for key in schema.fkeys}
        self.relationships = [
            sdm.Relationship(table, (f"key:{key}", EXAMPLE), parent, (ROW, EXAMPLE))
            for table, schema in database.tables.items() for key, parent in schema.fkeys.items()]

    def shown(self, labels: LabelTable, before: np.ndarray, draw: int) -> Shown:
        """Label rows as a task table, and the rows related to them.

        Args:
            labels: whom to ask about; their targets are not part of it.
            before: int64 [n], microseconds: only strictly older rows are handed over, but for the
                entity rows themselves, which are empty where they are not older.
            draw: another number draws other neighbours.

        Returns:
            The task table (row, example, time) and the tables that have any row.
        """
        entity = self.task.entity_table
        unseen = (np.zeros(len(labels), dtype=bool) if self.task.autocomplete
                  else hidden(self.times[entity][labels.rows], before))
        batch = self.sampler.sample(entity, labels.rows, before, draw, unseen)
        tables = {t: self._table(t, batch, unseen if t == entity else unseen[:0])
                  for t, n_id in batch.n_id.items() if len(n_id)}
        asked = pa.table({ROW: labels.rows, EXAMPLE: np.arange(len(labels)),
                          TIME: pa.array(labels.times, pa.timestamp("us"))})
        return (sdm.TableTensor.from_arrow(asked, {ROW: Stype.id, EXAMPLE: Stype.id,
                                                   TIME: Stype.datetime}),
                sdm.RelatedTables(
                    tables, [r for r in self.relationships
                             if r.left_table in tables and r.right_table in tables],
                    [{"task_columns": (ROW, EXAMPLE), "table": entity,
                      "table_columns": (ROW, EXAMPLE)}]))

    def target(self, labels: LabelTable) -> sdm.TableTensor:
        """The targets of context rows: classes as whole numbers, or values."""
        if self.task.task_type == "regression":
            return sdm.TableTensor.from_arrow(pa.table({TARGET: labels.target}),
                                              {TARGET: Stype.numerical})
        return sdm.TableTensor.from_arrow(pa.table({TARGET: labels.target.astype(np.int64)}),
                                          {TARGET: Stype.categorical})

    def _table(self, table: str, batch: SampledBatch, unseen: np.ndarray) -> sdm.TableTensor:
        rows = batch.n_id[table].numpy()
        empty = np.zeros(len(rows), dtype=bool)  # the seeds come first
        empty[:len(unseen)] = unseen
        mask = pl.Series(~empty)
        arrays = {f"column:{name}": _arrow(_where(mask, column.gather(rows)))
                  for name, column in self.columns[table].items()}
        arrays |= {f"key:{key}": _key_array(_where(mask, column.gather(rows)))
                   for key, column in self.keys[table].items()}
        stypes = {f"column:{name}": kind for name, kind in self.stypes[table].items()}
        stypes |= {f"key:{key}": Stype.id for key in self.keys[table]}
        return sdm.TableTensor.from_arrow(
            pa.table({**arrays, ROW: rows, EXAMPLE: batch.batch[table].numpy()}),
            {**stypes, ROW: Stype.id, EXAMPLE: Stype.id})


def stypes_of(columns: dict[str, pl.Series], past: np.ndarray) -> dict[str, Stype]:
    """Semantic types by the library's rules, from past rows; text and lists are left out.

    Args:
        columns: as `plain_columns`.
        past: bool [rows].
    """
    keep = pl.Series(past)
    table = pa.table({name: _arrow(column.filter(keep)) for name, column in columns.items()})
    return {name: Stype(kind) for name, kind in sdm.infer_stypes(
        table, text="drop", unsupported="drop").items()}


def _key(database: Database, table: str, key: str) -> pl.Series:
    column = database.column(table, key)
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return column.cast(pl.Int64).alias(key)


def _where(mask: pl.Series, column: pl.Series) -> pl.Series:
    return pl.select(pl.when(mask).then(column)).to_series()


def _arrow(column: pl.Series) -> pa.Array:
    return column.to_arrow(compat_level=pl.CompatLevel.oldest())


def _key_array(key: pl.Series) -> pa.Array:
    """In memory that may be written to: the library refuses other identifiers with nulls."""
    return pa.array(np.array(key.fill_null(-1).to_numpy()), mask=key.is_null().to_numpy())
