"""Tasks: who is asked about, when, and what came true.

Label tables and split logic are RelBench's; here they become plain arrays whose entities are row
numbers, hence node numbers and vector numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from rowgraph.databases.database import Database
from rowgraph.tasks.kinds import HIGHER_IS_BETTER, METRICS, TaskType
from rowgraph.tasks.regimes import Split


@dataclass(frozen=True, eq=False)
class Destinations:
    """The targets of a recommendation task: for each label row some rows of the destination table.

    Args:
        indptr: int64 [n + 1]; those of label row i are `rows[indptr[i]:indptr[i + 1]]`.
        rows: int64, ascending within a label row, none twice.
    """

    indptr: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, lists: list[np.ndarray]) -> Destinations:
        """From one array of rows for each label row, in any order."""
        each = [np.unique(np.asarray(rows, dtype=np.int64)) for rows in lists]
        indptr = np.concatenate([[0], np.cumsum([len(rows) for rows in each])]).astype(np.int64)
        return cls(indptr, np.concatenate([*each, np.empty(0, dtype=np.int64)]))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def counts(self) -> np.ndarray:
        """int64 [n]: destinations of each label row."""
        return np.diff(self.indptr)

    def of_row(self, row: int) -> np.ndarray:
        """int64: the destinations of one label row."""
        return self.rows[self.indptr[row]:self.indptr[row + 1]]

    def __getitem__(self, index: np.ndarray) -> Destinations:
        """Those of the label rows at these positions (or where a mask is true)."""
        index = np.asarray(index)
        index = np.flatnonzero(index) if index.dtype == bool else index
        counts = self.counts[index]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        within = np.arange(indptr[-1]) - np.repeat(indptr[:-1], counts)
        return Destinations(indptr, self.rows[np.repeat(self.indptr[:-1][index], counts) + within])

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 positions of label rows and, beside them, destination rows: one pair a link."""
        return np.repeat(np.arange(len(self)), self.counts), self.rows


Target = np.ndarray | Destinations


def concatenated(targets: list[Target]) -> Target:
    """Targets of one kind, end to end."""
    if not isinstance(targets[0], Destinations):
        return np.concatenate(cast(list[np.ndarray], targets))
    lists = cast(list[Destinations], targets)
    ends = np.cumsum([0, *(t.indptr[-1] for t in lists)])
    indptr = [t.indptr[1:] + end for t, end in zip(lists, ends, strict=False)]
    return Destinations(np.concatenate([[0], *indptr]).astype(np.int64),
                        np.concatenate([t.rows for t in lists]))


@dataclass(frozen=True, eq=False)
class LabelTable:
    """The label rows of one split, in RelBench's order.

    Args:
        rows: int64 [n], row numbers in the entity table.
        times: int64 [n], microseconds: the seeds' own timestamps.
        target: float64 [n], or `Destinations` of n rows: `rowgraph.tasks.kinds` says what.

    Examples:
        >>> import numpy as np
        >>> from rowgraph.tasks.label_tables import LabelTable
        >>> labels = LabelTable(np.array([4, 4, 7]), np.array([10, 20, 20]), np.ones(3))
        >>> labels.newest(2).rows
        array([4, 7])
    """

    rows: np.ndarray
    times: np.ndarray
    target: Target

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def numbers(self) -> np.ndarray:
        """float64 [n]: the target of any task but a recommendation."""
        assert not isinstance(self.target, Destinations)
        return self.target

    def take(self, index: np.ndarray) -> LabelTable:
        """The label rows at these positions."""
        return LabelTable(self.rows[index], self.times[index], self.target[index])

    def newest(self, count: int | None) -> LabelTable:
        """The `count` newest label rows (None: all), in their order."""
        if count is None or count >= len(self):
            return self
        return self.take(np.sort(np.argsort(self.times, kind="stable")[-count:]))

    def then(self, other: LabelTable) -> LabelTable:
        """These label rows and then the other's."""
        return LabelTable(np.concatenate([self.rows, other.rows]),
                          np.concatenate([self.times, other.times]),
                          concatenated([self.target, other.target]))


@dataclass(frozen=True, eq=False)
class Task:
    """One question about the rows of one table.

    Args:
        name: of the task.
        database: whose rows it asks about, without the columns that the task must not see.
        task_type: decides loss and metrics.
        entity_table: name of the table; of a recommendation, the source table.
        timedelta: microseconds; the label of a row at time t is the outcome in
            (t, t + timedelta], hence known only after t + timedelta.
        train, val, test: label tables.
        classes: of a multiclass task, what the targets 0, 1, ... stand for.
        destination_table, eval_k: of a recommendation: where the recommended rows lie, and how
            many of them are judged.
        autocomplete: the label is a cell of the entity row itself. The row's other cells and its
            own foreign keys are visible at its seed, although row and seed have the same time.
        whole: of a task with a share of its labels (`rowgraph.tasks.thinning`): the one with all.
        told_test: int64, positions of the test rows whose outcomes become known to later seeds;
            None is all.

    Examples:
        >>> import tempfile
        >>> from rowgraph.example import write_example, write_example_task
        >>> task = write_example_task(write_example(tempfile.mkdtemp()))
        >>> task.entity_table, task.task_type, task.primary
        ('customers', 'binary_classification', 'roc_auc')
        >>> len(task.train), len(task.val), len(task.test)
        (64, 8, 8)
        >>> task.test.rows.tolist(), task.test.target.tolist()
        ([0, 1, 2, 3, 4, 5, 6, 7], [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    """

    name: str
    database: Database
    task_type: TaskType
    entity_table: str
    timedelta: int
    train: LabelTable
    val: LabelTable
    test: LabelTable
    classes: tuple[str, ...] = ()
    destination_table: str | None = None
    eval_k: int | None = None
    autocomplete: bool = False
    whole: Task | None = None
    told_test: np.ndarray | None = None

    @property
    def binary(self) -> bool:
        """The target is 0 or 1."""
        return self.task_type == "binary_classification"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the primary one first."""
        return METRICS[self.task_type]

    @property
    def primary(self) -> str:
        """The metric that chooses and that the paper's tables show."""
        return self.metrics[0]

    @property
    def higher_is_better(self) -> bool:
        """Of the primary metric."""
        return HIGHER_IS_BETTER[self.primary]

    @property
    def top_k(self) -> int:
        """`eval_k` of a recommendation: how many rows are recommended to each."""
        assert self.eval_k is not None
        return self.eval_k

    def labels(self, split: Split) -> LabelTable:
        """The label table of a split."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    @cached_property
    def known(self) -> LabelTable:
        """Training and then validation label rows: all that may be fitted or chosen on."""
        return self.train.then(self.val)

    @cached_property
    def told(self) -> LabelTable:
        """The label rows whose outcomes are known to seeds that see that far: those of `known`,
        and under `rolling` test rows too, whose past labels are facts of the visible database."""
        test = self.test if self.told_test is None else self.test.take(self.told_test)
        return self.known.then(test)

    @property
    def dates(self) -> np.ndarray:
        """int64, ascending, microseconds: when training rows are asked, whether or not their
        labels are known."""
        return np.unique((self.whole or self).train.times)
