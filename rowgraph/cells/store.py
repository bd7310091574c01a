"""The cells of a database as numbers on disk, row by row, read through memory maps.

| file of table i | dtype, shape | of columns of kind |
|---|---|---|
| `<i>_numbers.npy` | int16 [rows, N] | number, length, delay, over: places among the past's |
| `<i>_moments.npy` | int64 [rows, D] | date: microseconds since 1970, `NEVER` where missing |
| `<i>_codes.npy` | int16 [rows, C] | code: `NO_WORD`, `NEW_WORD`, or 2 + place among past words |

`columns.json` describes every column. Kinds, scales and words are decided by rows older than
`val_timestamp` and by cells that were known by then (`rowgraph.cells.columns`); all cells are
stored, and who reads them with a seed's time asks `Cells.known` which of them it may see. A store
is of the whole database: what a task hides is left out when it is opened.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rowgraph.artifacts import Draft, write_json
from rowgraph.cells.columns import Column, Tables, numbers_in
from rowgraph.cells.names import name_vector, word_vector
from rowgraph.cells.scales import MISSING, UNIT, Scale
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.databases.database import NEVER, Database, moments
from rowgraph.disk import new_array
from rowgraph.randomness import uniform_of_rows

NO_WORD, NEW_WORD, FIRST_WORD = 0, 1, 2
NUMBERS = ("number", "length", "delay", "over")
STATISTICS = 4  # of a column, beside the vector of its names
AT_ONCE = 2**22  # cells of a piece that is in memory
SHEETS = {"numbers": np.int16, "moments": np.int64, "codes": np.int16}


@dataclass(frozen=True, eq=False)
class Cell:
    """One column of a sheet.

    Args:
        column: what it is made of.
        statistics: float32 [STATISTICS] of past rows: share missing, log of how many different
            values, spread and mean of the places (of a code 0).
        shares: float32 [words]: of a code, how large a part of the past each word is.
    """

    column: Column
    statistics: np.ndarray
    shares: np.ndarray

    @cached_property
    def vector(self) -> np.ndarray:
        """float32 [NAME_DIM + STATISTICS]: its names and what it looks like."""
        names = name_vector(self.column.table, self.column.name, self.column.kind)
        return np.concatenate([names, self.statistics])


@dataclass(frozen=True, eq=False)
class Sheet:
    """Some columns of a table, row by row.

    Args:
        values: [rows, all columns of the file].
        kept: int64, positions of the columns that are there to be seen.
        cells: descriptions of these.
        known: int64 [rows] by place in `cells`: from when each cell is known, where that can be
            later than its row.
    """

    values: np.ndarray
    kept: np.ndarray
    cells: tuple[Cell, ...]
    known: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cells)


@dataclass(frozen=True, eq=False)
class Cells:
    """A cell store, as a task sees it.

    Args:
        sheets: by table, then `numbers`, `moments` and `codes`.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rowgraph.artifacts import Draft
        >>> from rowgraph.cells.settings import CellStoreSettings
        >>> from rowgraph.cells.store import Cells, write_cell_store
        >>> from rowgraph.example import write_example
        >>> database, folder = write_example(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> _ = write_cell_store(database, CellStoreSettings(), Draft(folder))
        >>> sheet = Cells.open(folder, database).sheets["books"]["numbers"]
        >>> [cell.column.name for cell in sheet.cells], sheet.values[:, 0].argsort().tolist()
        (['price'], [3, 0, 1, 2])
    """

    sheets: dict[str, dict[str, Sheet]]

    @classmethod
    def open(cls, folder: Path, database: Database) -> Cells:
        """Map a store.

        Args:
            folder: of the artifact.
            database: the same, perhaps with columns hidden; says when cells are known.

        Raises:
            ValueError: the store is of another database.
        """
        described = json.loads((folder / "columns.json").read_text())
        tables = Tables(database, 0)
        if set(described) != set(database.tables):
            raise ValueError(f"{folder}: cells of the tables {', '.join(described)}, but "
                             f"{database.name} has {', '.join(database.tables)}; make cell_store "
                             "again")
        found = {}
        for i, table in enumerate(database.tables):
            there = set(database.columns(table))
            found[table] = {}
            for sheet in SHEETS:
                columns = described[table][sheet]
                values = np.load(folder / f"{i:03d}_{sheet}.npy", mmap_mode="r",
                                 allow_pickle=False)
                if values.shape != (database.num_rows(table), len(columns)):
                    raise ValueError(f"{folder}: {sheet} of {table} have shape {values.shape}, "
                                     f"expected {(database.num_rows(table), len(columns))}; make "
                                     "cell_store again")
                kept = [k for k, c in enumerate(columns) if c["name"] in there]
                cells = tuple(_cell(table, columns[k]) for k in kept)
                known = {place: when for place, cell in enumerate(cells)
                         if (when := tables.known_at(cell.column)) is not None}
                found[table][sheet] = Sheet(np.asarray(values), np.array(kept, np.int64), cells,
                                            known)
        return cls(found)


def words_of(cell: Cell) -> np.ndarray:
    """float32 [words + 2, WORD_DIM]: the vector of every code of a column; of none zero, of a new
    word that of newness."""
    words = [word_vector(word) for word in cell.column.words]
    new = word_vector("a word that the past did not have")
    return np.stack([np.zeros_like(new), new, *words])


def write_cell_store(database: Database, settings: CellStoreSettings, draft: Draft) -> dict:
    """Write the store of a database, piece by piece.

    Returns:
        The summary: by table its rows and how many columns of each sheet.
    """
    tables, described, summary = Tables(database, 0), {}, {}
    for i, table in enumerate(database.tables):
        columns = tables.columns(table, single=True)
        sheets = {"numbers": [c for c in columns if c.kind in NUMBERS],
                  "moments": [c for c in columns if c.kind == "date"],
                  "codes": [c for c in columns if c.kind == "code"]}
        fitted = _fit(tables, table, columns, settings)
        rows = database.num_rows(table)
        maps = {name: new_array(draft.path(f"{i:03d}_{name}.npy"), SHEETS[name],
                                (rows, len(found))) for name, found in sheets.items()}
        names = _names(columns)
        for first, frame in _pieces(database, table, columns):
            # By position: some names, such as "" and `^a.*$`, are none to polars.
            read = dict(zip(names, frame.get_columns(), strict=True))
            times = tables.times(table)[first:first + len(frame)]
            for name, found in sheets.items():
                for k, column in enumerate(found):
                    maps[name][first:first + len(frame), k] = _stored(
                        column, fitted[column].scale, read[column.name], times)
        for values in maps.values():
            values.flush()
        described[table] = {name: [fitted[c].described(c) for c in found]
                            for name, found in sheets.items()}
        summary[table] = {"rows": rows} | {name: len(found) for name, found in sheets.items()}
    write_json(draft.path("columns.json"), described)
    return {"tables": summary}


@dataclass(frozen=True, eq=False)
class _Fitted:
    scale: Scale | None
    statistics: list[float]
    shares: list[float]

    def described(self, column: Column) -> dict[str, Any]:
        return {"name": column.name, "kind": column.kind, "words": list(column.words),
                "statistics": self.statistics, "shares": self.shares}


def _fit(tables: Tables, table: str, columns: tuple[Column, ...],
         settings: CellStoreSettings) -> dict[Column, _Fitted]:
    """Scales and statistics of a table's columns, from a sample of its past rows."""
    past = np.flatnonzero(tables.past(table))
    if len(past) > settings.sample:
        draw = uniform_of_rows(past, "cell_store", tables.database.name, table)
        past = np.sort(past[np.argsort(draw, kind="stable")[:settings.sample]])
    found = {}
    for column in columns:
        known = tables.known_at(column)
        rows = past if known is None else past[known[past] < tables.database.val_timestamp]
        values = tables.values(column)[rows]
        there = values[~np.isnan(values)]
        scale = Scale.fit(there, settings.knots) if column.kind in NUMBERS else None
        places = np.zeros(1) if scale is None or not len(there) else scale(there) / UNIT
        found[column] = _Fitted(scale, [
            float(1 - len(there) / max(len(values), 1)),
            float(np.log1p(len(np.unique(there))) / 10), float(places.std()),
            float(places.mean())], [
            float(share) for share in np.bincount(
                there.astype(np.int64), minlength=len(column.words)) / max(len(there), 1)]
            if column.kind == "code" else [])
    return found


def _names(columns: Sequence[Column]) -> list[str]:
    """The columns that are read, each once."""
    return list(dict.fromkeys(c.name for c in columns))


def _pieces(database: Database, table: str,
            columns: tuple[Column, ...]) -> Iterator[tuple[int, pl.DataFrame]]:
    names = _names(columns)
    if not names:
        return iter(())
    rows = max(AT_ONCE // len(names), 1024)
    return database.read_chunks(table, names, rows, late=True)


def _stored(column: Column, scale: Scale | None, series: pl.Series,
            times: np.ndarray) -> np.ndarray:
    series = series.alias("column")
    if column.kind == "date":
        return moments(series, NEVER)
    numbers = numbers_in(column, series, times)
    if column.kind != "code":
        if scale is None:
            return np.full(len(numbers), MISSING, np.int16)
        return scale(numbers)
    there = numbers_in(dataclasses.replace(column, kind="given"), series, times) > 0
    return np.where(np.isnan(numbers), np.where(there, NEW_WORD, NO_WORD),
                    np.nan_to_num(numbers) + FIRST_WORD).astype(np.int16)


def _cell(table: str, described: dict[str, Any]) -> Cell:
    return Cell(Column(table, described["name"], described["kind"],
                       words=tuple(described["words"])),
                np.array(described["statistics"], np.float32),
                np.array(described["shares"], np.float32))
