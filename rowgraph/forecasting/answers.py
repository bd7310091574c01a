"""Known answers as a table of the database: one row a label, dated when it was known.

The label of a row at time t is the outcome in (t, t + timedelta], known from t + timedelta on. As
rows that name their entity, known answers are windows and neighbours like all else: an entity's own
history, and the answers of rows around it.
"""

from __future__ import annotations

import numpy as np

from rowgraph.cells.columns import Column
from rowgraph.cells.scales import Scale
from rowgraph.cells.store import FIRST_WORD, STATISTICS, Cell, Cells, Sheet
from rowgraph.features.events import Events
from rowgraph.graph.adjacency import Adjacency
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.tasks.label_tables import Task

KNOTS = 256
TABLE, KEY, ANSWER = "known answers", "about", "answer"


def with_answers(graph: EntityGraph, cells: Cells, task: Task) -> tuple[EntityGraph, Cells]:
    """A graph and its cells with the known answers of a task beside them.

    Nothing is added for recommendation, and for autocomplete, whose rows have one label each.

    Args:
        graph, cells: of the task's database, as it sees them.
    """
    if task.autocomplete or task.task_type == "recommendation":
        return graph, cells
    table = TABLE
    while table in graph.num_nodes:
        table += "_"
    labels = task.told
    known = labels.times + task.timedelta
    order = np.argsort(known, kind="stable")
    rows, known, target = labels.rows[order], known[order], labels.target[order]
    entity = task.entity_table
    events = Events.grouped(rows, known, np.arange(len(rows)), graph.num_nodes[entity])
    down = Adjacency(events.indptr, events.rows)
    up = Adjacency(np.arange(len(rows) + 1, dtype=np.int64), rows)
    wider = EntityGraph(
        (*graph.node_types, table), {**graph.num_nodes, table: len(rows)},
        {**graph.times, table: known},
        {**graph.adjacency, (table, f"f2p_{KEY}", entity): down,
         (entity, f"rev_f2p_{KEY}", table): up})
    return wider, Cells({**cells.sheets, table: _sheets(task, table, known, target)})


def answers_table(graph: EntityGraph) -> str:
    """The name of the table that `with_answers` added last."""
    return graph.node_types[-1]


def _sheets(task: Task, table: str, known: np.ndarray, target: np.ndarray) -> dict[str, Sheet]:
    """The cells of answers; scales are those of training labels."""
    train = task.train.target
    facts = np.array([0, np.log1p(len(np.unique(train))) / 10, 0, 0], np.float32)
    none = np.zeros(0, np.float32)
    moments = np.stack([known], axis=1)
    sheets = {"moments": Sheet(moments, np.arange(1), (
        Cell(Column(table, "known", "date"), np.zeros(STATISTICS, np.float32), none),))}
    empty = Sheet(np.zeros((len(known), 0), np.int16), np.zeros(0, np.int64), ())
    if task.task_type == "multiclass_classification":
        shares = np.bincount(train.astype(int), minlength=len(task.classes)) / len(train)
        column = Column(table, ANSWER, "code", words=task.classes)
        codes = (target.astype(np.int16) + FIRST_WORD)[:, None]
        return sheets | {"numbers": empty, "codes": Sheet(codes, np.arange(1), (
            Cell(column, facts, shares.astype(np.float32)),))}
    scale = Scale.fit(train.astype(np.float64), KNOTS)
    places = scale(target.astype(np.float64))[:, None]
    column = Column(table, ANSWER, "number")
    return sheets | {"codes": empty, "numbers": Sheet(places, np.arange(1), (
        Cell(column, facts, none),))}
