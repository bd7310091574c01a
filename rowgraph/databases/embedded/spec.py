"""What an embedded database is made of: tables and tasks as SQL, with their keys and times.

A spec is data. It names tables by the SQL that draws them from a package's files (with natural
keys, such as a tail number) and tasks by the SQL that RelBench runs to regenerate their labels.
`folder` turns a spec into a RelBench 3 folder, `sample` into a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableSpec:
    """One table: its query, its keys, and what a sample keeps of it.

    Args:
        name: of the table, also of its Parquet file.
        sql: DuckDB query over the sources; key columns hold natural keys.
        pkey: primary key column, unique and never null in the query's result.
        time_col: the time at which every cell of a row is known; never null in the result.
        fkeys: foreign key column -> table that it references.
        owners: foreign key columns; a sample keeps a row when all of their parents are kept.
        kept_by: tables; a sample keeps a row when a kept row of one of them references it.
            Without owners and without this, a table stays whole.
    """

    name: str
    sql: str
    pkey: str | None = None
    time_col: str | None = None
    fkeys: dict[str, str] = field(default_factory=dict)
    owners: tuple[str, ...] = ()
    kept_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        strangers = set(self.owners) - set(self.fkeys)
        if strangers:
            raise ValueError(f"table {self.name}: owners {sorted(strangers)} are not among its "
                             f"foreign keys {sorted(self.fkeys)}; name foreign key columns")
        if self.owners and self.kept_by:
            raise ValueError(f"table {self.name}: has both owners and kept_by; give it one rule")


@dataclass(frozen=True)
class TaskSpec:
    """One forecast task, in the words of RelBench's task manifest.

    Args:
        name: of the task, also of its folder.
        task_type: as in `relbench.base.TaskType`.
        description: one sentence.
        timedelta: length of the label window, such as "365 days".
        sql: query that yields time, entity and target; sees `timestamps` and every table.
        columns: manifest fields that name tables and columns (`entity_table`, `target_col`,
            `src_entity_col`, ...) and `eval_k`.
        num_eval_timestamps: label windows in the validation and the test split.
    """

    name: str
    task_type: str
    description: str
    timedelta: str
    sql: str
    columns: dict[str, str | int]
    num_eval_timestamps: int = 1


@dataclass(frozen=True)
class DatabaseSpec:
    """A database: splits, tables and tasks, and how entities are drawn for a sample.

    Args:
        name: such as "rel-baseball".
        description: one sentence.
        val_timestamp, test_timestamp: ISO dates.
        entity_table: the table whose rows a sample draws.
        tables: in manifest order.
        tasks: in any order.
        strata: DuckDB query over the sources that yields (natural key, stratum number) of every
            entity; a draw takes turns among the strata. Empty: one stratum.
    """

    name: str
    description: str
    val_timestamp: str
    test_timestamp: str
    entity_table: str
    tables: tuple[TableSpec, ...]
    tasks: tuple[TaskSpec, ...]
    strata: str = ""

    def __post_init__(self) -> None:
        names = {table.name for table in self.tables}
        named = {self.entity_table}.union(*(
            {*table.fkeys.values(), *table.kept_by} for table in self.tables))
        if named - names:
            raise ValueError(f"database {self.name}: tables {sorted(named - names)} are named but "
                             f"not defined; it defines {sorted(names)}")

    def table(self, name: str) -> TableSpec:
        """The spec of the table of that name."""
        return next(table for table in self.tables if table.name == name)


def entity_task(name: str, task_type: str, description: str, timedelta: str, entity: str,
                entity_col: str, target: str, sql: str, windows: int = 1) -> TaskSpec:
    """A node task: one label for each entity and seed time.

    Args:
        entity, entity_col, target: entity table, its key column and the label's column.
        windows: label windows in the validation and the test split.
        name, task_type, description, timedelta, sql: as in `TaskSpec`.
    """
    columns = {"entity_table": entity, "entity_col": entity_col, "target_col": target,
               "time_col": "timestamp"}
    return TaskSpec(name, task_type, description, timedelta, sql, columns, windows)


def link_task(name: str, description: str, timedelta: str, source: tuple[str, str],
              destination: tuple[str, str], eval_k: int, sql: str) -> TaskSpec:
    """A recommendation task: the destinations that each source will be linked to.

    Args:
        source, destination: (table, column) pairs.
        eval_k: length of the ranking that is scored.
        name, description, timedelta, sql: as in `TaskSpec`.
    """
    columns = {"src_entity_table": source[0], "src_entity_col": source[1],
               "dst_entity_table": destination[0], "dst_entity_col": destination[1],
               "time_col": "timestamp", "eval_k": eval_k}
    return TaskSpec(name, "recommendation", description, timedelta, sql, columns)
