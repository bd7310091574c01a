"""Who is asked about at a date whose outcomes nobody knows yet, and what is known by then.

A task's labels end where its test split ends. Whoever asks later knows more: the outcomes of every
date since, which the task's own SQL makes from the rows that are there now.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases import guarded_sql
from rowgraph.databases.database import NEVER, Database
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labelling import query_of
from rowgraph.databases.labels import MANIFEST, all_tasks
from rowgraph.databases.report import reason
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_columns import Unusable, columns_of, targets_of
from rowgraph.tasks.label_tables import Destinations, LabelTable, Task
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.queries.asking import who_is_asked
from rowgraph.tasks.queries.compiling import sql_of
from rowgraph.tasks.queries.meaning import Meaning, meaning_of
from rowgraph.tasks.queries.notation import parse
from rowgraph.tasks.queries.query import QueryError

SECOND = 1_000_000
VIEW = "asked"
RECENT = 12  # newest dates of known answers, whose entities are asked where no query says whom


@dataclass(frozen=True, eq=False)
class Asked:
    """A question about a date.

    Args:
        task: its test rows are those that are asked, with targets of no meaning; its validation
            rows are all answers that are known by then and were not trained on.
        view: of these rows, which see all that is older than the date.
        moment: microseconds: the date.
        answers: label rows since the task's own, whose outcomes are known by the date.
        whom: in words, who is asked about.
    """

    task: Task
    view: View
    moment: int
    answers: int
    whom: str


def ask(database: Database, name: str, moment: int | None = None) -> Asked:
    """Ask a forecast task about a date.

    Args:
        database: as it is now; its task is the one that the model was fitted on.
        moment: microseconds; None is right after the newest row.

    Raises:
        ValueError: the task cannot be asked about a date, or not about this one, or nobody is
            asked.
    """
    task = load_task(database, name)
    schema = LabelSchema.read(all_tasks(database.folder, None)[name] / MANIFEST, database.tables)
    who = f"{database.name}/{name}"
    if task.autocomplete:
        raise ValueError(f"{who} is an autocomplete task; predictions are made of forecasts")
    newest = newest_of(database)
    moment = newest if moment is None else moment
    if moment < database.test_timestamp:
        raise ValueError(f"{who}: asked about {said(moment)}, but the model was fitted on what was "
                         f"known on {said(database.test_timestamp)}; ask about a later date")
    if moment > newest + max(task.timedelta, 1):
        raise ValueError(f"{who}: asked about {said(moment)}, but the newest row is of "
                         f"{said(newest)}, more than a horizon before; import newer rows, or ask "
                         "about an earlier date")
    since = answers_since(database, schema, task, moment)
    known = task.val.then(task.test)
    known = known.then(since) if len(since) else known
    rows, whom = _whom(database, schema, task, known, moment)
    if not len(rows):
        raise ValueError(f"{who}: nobody is asked about on {said(moment)}; ask about an earlier "
                         "date, or widen WHERE of its query")
    nothing = (Destinations(np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int64))
               if task.task_type == "recommendation" else np.zeros(len(rows)))
    labels = LabelTable(rows, np.full(len(rows), moment, np.int64), nothing)
    task = dataclasses.replace(task, val=known, test=labels, told_test=np.empty(0, np.int64))
    return Asked(task, View(VIEW, labels, labels.times), moment, len(since), whom)


def newest_of(database: Database, now: int | None = None) -> int:
    """Microseconds: the whole second after the newest row whose time has come.

    Args:
        now: microseconds; None is the clock's.
    """
    now = time.time_ns() // 1000 if now is None else now
    newest = database.test_timestamp
    for table, schema in database.tables.items():
        if schema.time_col is not None:
            times = database.times(table)
            newest = max(newest, int(times[(times != NEVER) & (times <= now)].max(initial=newest)))
    return newest // SECOND * SECOND + SECOND


def answers_since(database: Database, schema: LabelSchema, task: Task, moment: int) -> LabelTable:
    """Outcomes of dates after the task's own labels that are known by a date: the labels' dates
    go on, a horizon apart."""
    newest, step = int(task.test.times.max()), task.timedelta
    dates = np.arange(newest + step, moment - step, step, dtype=np.int64)
    empty = task.test.take(np.empty(0, np.int64))
    if not len(dates) or schema.kind != "forecast":
        return empty
    return answers_at(database, schema, task, dates, moment) or empty


def answers_at(database: Database, schema: LabelSchema, task: Task, dates: np.ndarray,
               until: int) -> LabelTable | None:
    """What came true for those who were asked about at some dates, by the task's own SQL.

    Args:
        dates: int64, microseconds.
        until: microseconds: rows after it do not count.

    Returns:
        None where nobody was asked about.

    Raises:
        ValueError: the SQL cannot be run, or what it yields is no label.
    """
    sql = query_of(schema)
    tables = {t: _upto(database, t, until) for t in database.tables if t in sql}
    tables["timestamps"] = pa.table({"timestamp": pa.array(dates, pa.timestamp("us"))})
    try:
        frame = guarded_sql.run(sql, tables)
        wanted = [schema.entity_col, schema.destination_col or schema.target_col, schema.time_col]
        table = pa.Table.from_pandas(frame[wanted], preserve_index=False)
        if not len(table):
            return None
        table = table.set_column(2, schema.time_col,
                                 table.column(schema.time_col).cast(pa.timestamp("us")))
        num_rows = {t: database.num_rows(t) for t in set(schema.entities.values())}
        columns = columns_of(table, "test", schema, num_rows)
        if schema.destination_col:
            return LabelTable(columns.rows, columns.times, columns.labels)
        found = LabelTable(columns.rows, columns.times,
                           targets_of(schema, columns, task.classes))
        return found.take(np.flatnonzero(~np.isnan(found.target)))
    except (duckdb.Error, KeyError, Unusable) as error:
        raise ValueError(f"{database.name}/{task.name}: the answers since its labels end cannot be "
                         f"made ({reason(error)}); correct the SQL of its manifest") from error


def query_meant(database: Database, schema: LabelSchema) -> Meaning | None:
    """The predictive query that a task was made from, if its SQL is still that query's."""
    try:
        meaning = meaning_of(parse(schema.manifest.description or ""), database)
        target = schema.target_col or schema.destination_col
        same = sql_of(meaning, database, schema.time_col, target)
    except (QueryError, KeyError, TypeError):
        return None
    return meaning if same == schema.manifest.sql else None


def said(moment: int) -> str:
    """A moment for people."""
    text = str(np.datetime64(moment, "us").astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(" 00:00:00")


def _whom(database: Database, schema: LabelSchema, task: Task, known: LabelTable,
          moment: int) -> tuple[np.ndarray, str]:
    """int64, ascending: rows of the entity's table; and in words who they are."""
    meaning = query_meant(database, schema)
    if meaning is not None:
        return who_is_asked(meaning, database, moment), f"all of the query: {_of(meaning)}"
    every = task.train.then(known)
    every = every.take(np.flatnonzero(every.times + task.timedelta < moment))
    dates = np.unique(every.times)[-RECENT:]
    rows = np.unique(every.rows[every.times >= dates[0]])
    return rows, (f"{task.entity_table} that were asked about on any of the newest {len(dates)} "
                  f"dates with known outcomes, from {said(int(dates[0]))} on")


def _of(meaning: Meaning) -> str:
    text = " ".join(meaning.query.text.split())
    return text[text.upper().find("FOR EACH"):]


def _upto(database: Database, table: str, until: int) -> pa.Table:
    found = pq.read_table(database.path(table))
    if database.tables[table].time_col is None:
        return found
    return found.filter(pa.array(database.times(table) <= until))
