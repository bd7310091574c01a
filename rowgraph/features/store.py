"""Window features of a task as an artifact: one Parquet file a view, with columns for people.

`<view>.parquet` has the columns row, time and before (the seed's own time, and what it sees), then
the features; `columns.parquet` says of each feature where it comes from. Names of features may
hold anything that names of tables and columns hold.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.artifacts import Draft
from rowgraph.cells.columns import Tables
from rowgraph.features.candidates import Described, Windows, candidates_of
from rowgraph.features.events import Seeds
from rowgraph.features.label_history import history_of
from rowgraph.features.matrix import LIMIT, compute, of_seeds
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.progress import Log
from rowgraph.tasks.folds import View, folds_of, views_of
from rowgraph.tasks.label_tables import Task

COLUMNS = "columns.parquet"
GROUP_ROWS = 16_384  # rows of a row group, hence of a view that are in memory when it is written



def write_window_features(task: Task, settings: WindowFeaturesSettings, draft: Draft, *,
                          log: Log) -> dict[str, Any]:
    """Compute the window features and the label history of every view of a task.

    Args:
        task: its database is as the task may see it.
        settings: windows, and how many features are kept.
        draft: gets `<view>.parquet` for each of `rowgraph.tasks.folds.views_of`, and
            `columns.parquet`.
        log: called with the number of paths that are done.

    Returns:
        The summary: features by kind, views with their rows, candidates and why some went.
    """
    views = views_of(task, settings.regimes, folds_of(task, settings.folds))
    seeds = _seeds_of(task, views)
    tables = Tables(task.database, settings.frequent_values)
    windows = Windows.of(task, settings, tables)
    candidates = candidates_of(task, tables, windows, settings)
    first = [*of_seeds(seeds, task), *history_of(task, seeds, settings)]
    described = [d for d, _ in first] + [c.described(windows) for c in candidates]
    ranks = [-1] * len(first) + [c.rank for c in candidates]
    training = _training(task, views)
    judge = _Judge()
    with _Sheet(draft.state / "features", len(seeds)) as sheet:
        def put(position: int, values: np.ndarray) -> None:
            values = np.clip(values, -LIMIT, LIMIT).astype(np.float32)
            sheet.write(position, values)
            judge.see(position, values[training])

        for position, (_, values) in enumerate(first):
            put(position, values)
        compute(tables, task.entity_table, seeds, candidates, windows,
                lambda position, values: put(len(first) + position, values),
                lambda paths: log(paths, {"paths": float(paths)}))
        kept = sorted(judge.useful(ranks)[:settings.max_features])
        names = _unique([described[k].name for k in kept])
        _write_columns(draft.path(COLUMNS), [described[k] for k in kept], names)
        start = 0
        for view in views.values():
            _write_view(draft.path(f"{view.name}.parquet"), view, sheet, kept, names, start)
            start += len(view.labels)
    kinds = [described[k].kind for k in kept]
    return {"features": len(kept), "kinds": {k: kinds.count(k) for k in sorted(set(kinds))},
            "candidates": len(described), "constant": judge.constant, "repeated": judge.repeated,
            "views": {name: len(view.labels) for name, view in views.items()}}


@dataclass(frozen=True, eq=False)
class WindowFeatures:
    """The window features of a task, read from their folder.

    Args:
        folder: of the artifact.
        columns: what each feature is, in order: name, path, column, aggregate, window, kind.
        held: a folder for matrices, which all processes that have it then share; None holds them
            in memory.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rowgraph.artifacts import Draft
        >>> from rowgraph.example import write_example, write_example_task
        >>> from rowgraph.features.settings import WindowFeaturesSettings
        >>> from rowgraph.features.store import WindowFeatures, write_window_features
        >>> task = write_example_task(write_example(tempfile.mkdtemp()))
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = write_window_features(
        ...     task, WindowFeaturesSettings(max_features=20), Draft(folder), log=lambda *_: None)
        >>> features = WindowFeatures.open(folder)
        >>> len(features.names), features.matrix("test_rolling").shape
        (20, (8, 20))
    """

    folder: Path
    columns: list[dict[str, str]]
    held: Path | None = None

    @classmethod
    def open(cls, folder: Path, held: Path | None = None) -> WindowFeatures:
        """Read what there is; matrices are read when asked for."""
        return cls(Path(folder), pq.read_table(Path(folder) / COLUMNS).to_pylist(), held)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the features, each different."""
        return tuple(column["name"] for column in self.columns)

    @cached_property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the features that are codes."""
        return tuple(i for i, c in enumerate(self.columns) if c["kind"] == "code")

    def matrix(self, view: str) -> np.ndarray:
        """float32 [label rows of the view, features], NaN where missing.

        Raises:
            ValueError: there is no such view.
        """
        path = self.folder / f"{view}.parquet"
        if not path.exists():
            known = sorted(p.stem for p in self.folder.glob("*.parquet") if p.name != COLUMNS)
            raise ValueError(f"{self.folder}: no view '{view}'; there are {', '.join(known)}: name "
                             "its regime and folds in window_features, or ask for one of these")
        if self.held is not None:
            return self._shared(path)
        with pq.ParquetFile(path) as file:
            out = np.empty((file.metadata.num_rows, len(self.columns)), dtype=np.float32)
            start = 0
            for piece in self._pieces(file):
                out[start:start + len(piece)] = piece
                start += len(piece)
        return out

    def _shared(self, path: Path) -> np.ndarray:
        """A view's matrix as a file, mapped into memory."""
        made = self.held / f"{path.stem}.npy"
        if not made.exists():
            self.held.mkdir(parents=True, exist_ok=True)
            part = self.held / f"{path.stem}.{os.getpid()}.part"
            with pq.ParquetFile(path) as file, open(part, "wb") as handle:
                np.lib.format.write_array_header_1_0(handle, {
                    "descr": "<f4", "fortran_order": False,
                    "shape": (file.metadata.num_rows, len(self.columns))})
                for piece in self._pieces(file):
                    handle.write(piece)
            part.replace(made)
        return np.load(made, mmap_mode="r", allow_pickle=False)

    def _pieces(self, file: pq.ParquetFile) -> Iterator[np.ndarray]:
        """float32 [rows, features], row group by row group."""
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            piece = np.empty((len(table), len(self.columns)), dtype=np.float32)
            for i in range(len(self.columns)):
                piece[:, i] = table.column(3 + i).to_numpy()
            yield piece


class _Sheet:
    """Features of all seeds on disk, one after the other: more than memory may hold.

    Args:
        path: of a file that is removed at the end.
        seeds: values of a feature.
    """

    def __init__(self, path: Path, seeds: int):
        self._path, self._seeds = path, seeds

    def __enter__(self) -> _Sheet:
        self._file = open(self._path, "w+b")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._path.unlink()

    def write(self, position: int, values: np.ndarray) -> None:
        """Put a feature, float32 [seeds]."""
        self._file.seek(4 * position * self._seeds)
        self._file.write(values.tobytes())

    def read(self, position: int, start: int, count: int) -> np.ndarray:
        """float32 [count]: some values of a feature."""
        self._file.seek(4 * (position * self._seeds + start))
        return np.frombuffer(self._file.read(4 * count), dtype=np.float32)


class _Judge:
    """Which features tell training rows apart, and differ from those before them."""

    def __init__(self):
        self._first: dict[str, int] = {}
        self._seen: dict[int, str | None] = {}
        self.constant = self.repeated = 0

    def see(self, position: int, values: np.ndarray) -> None:
        """Look at a feature of the training rows."""
        varied = len(values) > 0 and bool(
            ((values != values[0]) & ~(np.isnan(values) & np.isnan(values[0]))).any())
        self._seen[position] = _digest(values) if varied else None

    def useful(self, ranks: list[int]) -> list[int]:
        """Positions of the useful features, low ranks first; of equals the first stays."""
        found, met = [], set()
        for position in sorted(self._seen, key=lambda p: (ranks[p], p)):
            key = self._seen[position]
            self.constant += key is None
            self.repeated += key in met and key is not None
            if key is not None and key not in met:
                found.append(position)
            met.add(key)
        return found


def _seeds_of(task: Task, views: Mapping[str, View]) -> Seeds:
    every = list(views.values())
    return Seeds(np.concatenate([v.labels.rows for v in every]),
                 np.concatenate([v.labels.times for v in every]),
                 np.concatenate([v.before for v in every]), task.autocomplete)


def _training(task: Task, views: Mapping[str, View]) -> np.ndarray:
    """Positions of the training rows among all seeds, fresh and aged."""
    found, start = [], 0
    for view in views.values():
        if view.name in ("known", "known_aged"):
            found.append(np.arange(start, start + len(task.train)))
        start += len(view.labels)
    return np.concatenate(found)


def _digest(values: np.ndarray) -> str:
    return hashlib.blake2b((values + np.float32(0)).tobytes(), digest_size=16).hexdigest()


def _unique(names: list[str]) -> list[str]:
    """The same names, with a number behind those that were there before."""
    met: set[str] = set()
    out = []
    for name in names:
        fresh, number = name, 2
        while fresh in met:
            fresh, number = f"{name} ({number})", number + 1
        met.add(fresh)
        out.append(fresh)
    return out


def _write_columns(path: Path, described: list[Described], names: list[str]) -> None:
    parts = ("path", "column", "aggregate", "window", "kind")
    pq.write_table(pa.table({"name": pa.array(names, pa.string())} | {
        part: pa.array([getattr(d, part) for d in described], pa.string()) for part in parts}),
        path)


def _write_view(path: Path, view: View, sheet: _Sheet, kept: list[int], names: list[str],
                start: int) -> None:
    times = pa.timestamp("us")
    schema = pa.schema([("row", pa.int64()), ("time", times), ("before", times),
                        *((name, pa.float32()) for name in names)])
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1,
                          use_dictionary=False, write_statistics=False) as writer:
        for first in range(0, len(view.labels), GROUP_ROWS):
            some = slice(first, first + GROUP_ROWS)
            count = len(view.labels.rows[some])
            columns = [pa.array(view.labels.rows[some]),
                       pa.array(view.labels.times[some]).cast(times),
                       pa.array(view.before[some]).cast(times)]
            columns += [pa.array(sheet.read(k, start + first, count)) for k in kept]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
