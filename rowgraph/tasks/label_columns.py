"""From the columns of label tables to arrays: entities, times and targets, checked once.

What is wrong is collected, so that a person reads the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rowgraph.databases.columns import UNREADABLE, is_key_type, is_list, key_values, microseconds_of
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.report import near, reason
from rowgraph.tasks.label_tables import Destinations, LabelTable, Target
from rowgraph.tasks.regimes import Split

LARGEST = 1e100  # of a label: its square is still a number
ROWS_A_CLASS = 2  # label rows that a class of a multiclass task has on average, at least


class Unusable(ValueError):
    """Labels that cannot be used.

    Args:
        problems: a line each, without the name of the task.
    """

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, eq=False)
class LabelColumns:
    """The columns of one split's label table.

    Args:
        rows: int64 [n], row numbers in the entity table.
        times: int64 [n], microseconds.
        labels: the target column as it lies in the file, or the destinations.
    """

    rows: np.ndarray
    times: np.ndarray
    labels: pa.Array | Destinations

    @property
    def cells(self) -> pa.Array:
        """The labels of any task but a recommendation."""
        assert not isinstance(self.labels, Destinations)
        return self.labels

    @property
    def destinations(self) -> Destinations:
        """The labels of a recommendation."""
        assert isinstance(self.labels, Destinations)
        return self.labels


def read_columns(path: Path, split: Split, task: LabelSchema,
                 num_rows: Mapping[str, int]) -> LabelColumns:
    """Read a split's Parquet file.

    Args:
        path: of the file.
        task: names the columns.
        num_rows: rows of each table of the database.

    Raises:
        Unusable: the file or its entities, times or destinations cannot be used.
    """
    if not path.is_file():
        raise Unusable([f"{path.name} is not a regular file; put the Parquet file itself there"])
    wanted = [c for c in (*task.entities, task.target_col, task.time_col) if c]
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            lost = [c for c in wanted if names.count(c) != 1]
            if lost:
                raise Unusable([f"{path.name}: expected one column {c}, found {names.count(c)}; "
                                f"{near(c, names)}" for c in lost])
            return columns_of(file.read(columns=wanted).select(wanted), split, task, num_rows)
    except Unusable:
        raise
    except UNREADABLE as error:
        raise Unusable([f"{path.name} is not a readable Parquet file ({reason(error)}); fetch or "
                        "build it again"]) from error


def columns_of(table: pa.Table, split: Split, task: LabelSchema,
               num_rows: Mapping[str, int]) -> LabelColumns:
    """As `read_columns`, from a table in memory."""
    if not len(table):
        raise Unusable([f"the {split} label table is empty; remove the task or widen its time "
                        "span"])
    label, time = task.destination_col or task.target_col, task.time_col
    assert label is not None  # a manifest that names none is refused before
    assert time is not None
    problems: list[str] = []
    arrays = {c: table.column(c).combine_chunks() for c in table.column_names}
    arrays = {c: a.chunk(0) if isinstance(a, pa.ChunkedArray) else a for c, a in arrays.items()}
    rows = _rows(arrays[task.entity_col], task.entity_col, task.entity_table, split, num_rows,
                 problems)
    times = _times(arrays[time], time, split, problems)
    if task.destination_col:
        labels = _destinations(arrays[label], label, task.entities[label], split, num_rows,
                               problems)
    else:
        labels = arrays[label]
        if pa.types.is_dictionary(labels.type):
            labels = labels.dictionary_decode()
        floating = pa.types.is_floating(labels.type)
        _none_missing(labels.is_null(nan_is_null=floating), label, split, problems)
    if problems or rows is None or times is None:
        raise Unusable(problems)
    return LabelColumns(rows, times, labels)


def label_tables(task: LabelSchema, found: Mapping[Split, LabelColumns],
                 ) -> tuple[dict[Split, LabelTable], tuple[str, ...]]:
    """The label tables of all splits, and of a multiclass task its classes.

    Raises:
        Unusable: targets are not of the task's kind, or do not differ where they must.
    """
    problems: list[str] = []
    classes: tuple[str, ...] = ()
    targets: Mapping[Split, Target]
    if task.destination_col:
        lists = {split: columns.destinations for split, columns in found.items()}
        problems += [f"no {split} label row has a destination; rebuild the split"
                     for split, target in lists.items() if not len(target.rows)]
        targets = lists
    elif task.task_type == "multiclass_classification":
        targets, classes = _coded(task, found, problems)
    else:
        numbers = {split: _numbers(columns.cells, task, split, problems)
                   for split, columns in found.items()}
        targets = {split: values for split, values in numbers.items() if values is not None}
    for split, target in targets.items():
        if not isinstance(target, Destinations) and len(np.unique(target)) == 1:
            value = classes[int(target[0])] if classes else f"{target[0]:.15g}"
            problems.append(f"all {len(target)} {split} labels are {value}, so that nothing can "
                            f"be {'fitted' if split == 'train' else 'measured'}; choose another "
                            "task, or move the split")
    if problems:
        raise Unusable(problems)
    return {split: LabelTable(columns.rows, columns.times, targets[split])
            for split, columns in found.items()}, classes


def targets_of(task: LabelSchema, columns: LabelColumns,
               classes: tuple[str, ...]) -> np.ndarray:
    """Targets of labels that came later than the task's own.

    Args:
        classes: of a multiclass task, what its targets stand for.

    Returns:
        float64 [n]; NaN where a label is of a class that the task does not know.

    Raises:
        Unusable: they are not of the task's kind.
    """
    if task.task_type == "multiclass_classification":
        place = {word: float(k) for k, word in enumerate(classes)}
        return np.array([place.get(_text(v), np.nan) for v in columns.cells.to_pylist()])
    problems: list[str] = []
    found = _numbers(columns.cells, task, "test", problems)
    if found is None:
        raise Unusable(problems)
    return found


def _rows(array: pa.Array, column: str, table: str, split: Split, num_rows: Mapping[str, int],
          problems: list[str], label_rows: np.ndarray | None = None) -> np.ndarray | None:
    """Row numbers, int64; `label_rows` says in which label row each lies, if not in its own."""
    if not is_key_type(array.type):
        problems.append(f"{column} of {split}.parquet is of type {array.type}, expected row "
                        f"numbers of {table} as int64; rebuild the split")
        return None
    keys, missing = key_values(array)
    if _none_missing(pa.array(missing), column, split, problems):
        return None
    size = num_rows[table]
    wrong = np.flatnonzero((keys < 0) | (keys >= size) | (keys != np.floor(keys)))
    if len(wrong):
        place = wrong[0] if label_rows is None else label_rows[wrong[0]]
        problems.append(f"{split} label row {place} names {table} {keys[wrong[0]]:.15g}, but "
                        f"the table has rows 0 to {size - 1}; rebuild the labels from this "
                        f"database (without {split}.parquet they are made anew) or drop the row")
        return None
    return keys.astype(np.int64)


def _times(array: pa.Array, column: str, split: Split, problems: list[str]) -> np.ndarray | None:
    if not pa.types.is_timestamp(array.type) or array.type.tz is not None:
        problems.append(f"{column} of {split}.parquet is of type {array.type}, expected "
                        "timestamps without a time zone; convert it to timestamp[us]")
        return None
    times, missing = microseconds_of(array)
    return None if _none_missing(pa.array(missing), column, split, problems) else times


def _destinations(array: pa.Array, column: str, table: str, split: Split,
                  num_rows: Mapping[str, int], problems: list[str]) -> Destinations | None:
    """The lists of a column; one key a row stands for a list of one, null for an empty list."""
    count = len(array)
    if is_list(array.type):
        label_rows = pc.list_parent_indices(array).to_numpy(zero_copy_only=False)
        array = pc.list_flatten(array)
    else:
        label_rows = np.arange(count)
    floating = pa.types.is_floating(array.type)
    known = ~array.is_null(nan_is_null=floating).to_numpy(zero_copy_only=False)
    label_rows = label_rows[known]
    keys = _rows(array.filter(pa.array(known)), column, table, split, num_rows, problems,
                 label_rows)
    if keys is None:
        return None
    order = np.lexsort((keys, label_rows))
    label_rows, keys = label_rows[order], keys[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = (np.diff(label_rows) != 0) | (np.diff(keys) != 0)
    counts = np.bincount(label_rows[first], minlength=count)
    return Destinations(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), keys[first])


def _numbers(labels: pa.Array, task: LabelSchema, split: Split,
             problems: list[str]) -> np.ndarray | None:
    """The targets of regression and of binary classification, float64."""
    kind, column = labels.type, task.target_col
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
            or pa.types.is_decimal(kind)):
        problems.append(f"{column} of {split}.parquet is of type {kind}, expected numbers; "
                        "correct the label table or its task_type")
        return None
    values = labels.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if huge := int((np.abs(values) > LARGEST).sum()):
        what = "an infinite" if np.isinf(values).any() else f"an unbelievable (above {LARGEST:g})"
        problems.append(f"{huge} of {len(values)} {split} label rows have {what} {column}; "
                        f"remove these rows from {split}.parquet")
        return None
    if task.task_type == "binary_classification" and not np.isin(values, (0.0, 1.0)).all():
        problems.append(f"a binary target must be 0 or 1, found "
                        f"{sorted(set(values.tolist()))[:5]} in {split}; correct the label table "
                        "or its task_type")
        return None
    return values.astype(np.float64)


def _coded(task: LabelSchema, found: Mapping[Split, LabelColumns], problems: list[str],
           ) -> tuple[dict[Split, np.ndarray], tuple[str, ...]]:
    """Positions among the classes of train and validation, float64, and the classes as text."""
    arrays = {split: columns.cells for split, columns in found.items()}
    for split, array in arrays.items():
        if pa.types.is_nested(array.type):
            problems.append(f"{task.target_col} of {split}.parquet holds {array.type}, expected "
                            "one class a row; correct the label table or its task_type")
            return {}, ()
    kinds = {array.type for array in arrays.values()}
    if len(kinds) > 1:
        numeric = all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in kinds)
        arrays = {s: a.cast(pa.float64() if numeric else pa.string()) for s, a in arrays.items()}
    kind = arrays["train"].type
    known = set(pc.unique(arrays["train"]).to_pylist()) | set(pc.unique(arrays["val"]).to_pylist())
    values = sorted(known)
    rows = len(arrays["train"]) + len(arrays["val"])
    if rows < ROWS_A_CLASS * len(values):
        problems.append(f"{len(values)} classes among {rows} train and validation label rows; a "
                        "number is a task of type regression, a key one of type recommendation")
        return {}, ()
    coded = {}
    for split, array in arrays.items():
        places = pc.index_in(array, value_set=pa.array(values, kind))
        if places.null_count:
            strange = pc.unique(array.filter(places.is_null())).to_pylist()
            shown = ", ".join(map(_text, sorted(strange)[:5]))
            problems.append(f"{places.null_count} of {len(array)} {split} labels are of classes "
                            f"that neither train nor val has ({shown}{' …' * (len(strange) > 5)})"
                            f"; drop these rows from {split}.parquet, or move the split")
            continue
        coded[split] = places.to_numpy(zero_copy_only=False).astype(np.float64)
    return coded, tuple(map(_text, values))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _none_missing(missing: pa.Array, column: str, split: Split, problems: list[str]) -> bool:
    """Note label rows without a value; whether there are any."""
    if count := missing.true_count:
        problems.append(f"{count} of {len(missing)} {split} label rows have no {column}; remove "
                        f"these rows from {split}.parquet")
    return bool(count)
