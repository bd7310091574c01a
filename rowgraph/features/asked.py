"""Window features of label rows that came later: those columns that a model was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rowgraph.cells.columns import Column, Tables
from rowgraph.features.candidates import Candidate, Described, Windows, candidates_of
from rowgraph.features.events import Seeds
from rowgraph.features.label_history import history_of
from rowgraph.features.matrix import LIMIT, compute, of_seeds
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.tasks.folds import View
from rowgraph.tasks.label_tables import Task

PARTS = ("path", "column", "aggregate", "window", "kind")
LOST = 0.02  # share of the features that may be gone and count as missing


@dataclass(frozen=True, eq=False)
class AskedFeatures:
    """The window features of one view, in memory, as `WindowFeatures` has those of many on disk.

    Args:
        columns: what each feature is, in order.
        values: float32 [label rows of the view, features].
        words: by name of a feature that is a code, what its codes stand for.
        lost: names of features that the database does not offer any more; all missing.
    """

    columns: list[dict[str, str]]
    values: np.ndarray
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lost: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features."""
        return tuple(column["name"] for column in self.columns)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the features that are codes."""
        return tuple(i for i, c in enumerate(self.columns) if c["kind"] == "code")

    def matrix(self, view: str) -> np.ndarray:
        """Of the view."""
        return self.values


def features_of(task: Task, settings: WindowFeaturesSettings, view: View,
                columns: Sequence[dict[str, str]],
                words: Mapping[str, Sequence[str]] | None = None) -> AskedFeatures:
    """Compute certain window features of a view.

    Codes and frequent values come from rows older than `val_timestamp`, so that a database that has
    grown since offers the same features; but all rows of a table without times count as old, and
    with new ones its codes may move: what they stand for decides.

    Args:
        settings: those that the features were made with.
        columns: as `WindowFeatures.columns` has them.
        words: by name of a feature that is a code, what its codes stood for when the model was
            fitted; a word that is not among them is missing.

    Raises:
        ValueError: the database does not offer many of them any more.
    """
    labels = view.labels
    seeds = Seeds(labels.rows, labels.times, view.before, task.autocomplete)
    tables = Tables(task.database, settings.frequent_values)
    windows = Windows.of(task, settings, tables)
    sheet = _Sheet(columns, len(labels))
    for described, values in (*of_seeds(seeds, task), *history_of(task, seeds, settings)):
        if (place := sheet.place(described)) is not None:
            sheet.put(place, values)
    found = [(candidate, sheet.place(candidate.described(windows)))
             for candidate in candidates_of(task, tables, windows, settings)]
    found = [(candidate, place) for candidate, place in found if place is not None]
    lost = sheet.left
    if len(lost) > max(1, LOST * len(columns)):
        raise ValueError(f"{task.database.name}: the model reads '{lost[0]}' and {len(lost) - 1} "
                         "more features that the database does not offer any more; a table or "
                         "column was renamed, removed or emptied: restore it, or train anew")
    coded = {columns[place]["name"]: _words(candidate) for candidate, place in found
             if _words(candidate)}
    known = words or {}

    def put(number: int, values: np.ndarray) -> None:
        name = columns[found[number][1]]["name"]
        if name in known and tuple(known[name]) != coded.get(name, ()):
            values = _recoded(values, coded.get(name, ()), known[name])
        sheet.put(found[number][1], values)

    compute(tables, task.entity_table, seeds, [candidate for candidate, _ in found], windows, put,
            lambda paths: None)
    return AskedFeatures(list(columns), sheet.values, coded, tuple(lost))


class _Sheet:
    """Places for features, each filled at most once."""

    def __init__(self, columns: Sequence[dict[str, str]], rows: int):
        self._names = [column["name"] for column in columns]
        self._places: dict[tuple[str, ...], list[int]] = {}
        for place, column in enumerate(columns):
            key = tuple(column[part] for part in PARTS)
            self._places.setdefault(key, []).append(place)
        self.values = np.full((rows, len(columns)), np.nan, np.float32)

    def place(self, described: Described) -> int | None:
        """Where a feature stands; None where it is not wanted."""
        left = self._places.get(tuple(getattr(described, part) for part in PARTS))
        return left.pop(0) if left else None

    def put(self, place: int, values: np.ndarray) -> None:
        """Fill a place, float [rows]."""
        self.values[:, place] = np.clip(values, -LIMIT, LIMIT)

    @property
    def left(self) -> list[str]:
        """Names of features whose places nobody asked for."""
        return sorted(self._names[place] for left in self._places.values() for place in left)


def _words(candidate: Candidate) -> tuple[str, ...]:
    column = candidate.column
    return column.words if isinstance(column, Column) and column.kind == "code" else ()


def _recoded(values: np.ndarray, now: Sequence[str], then: Sequence[str]) -> np.ndarray:
    """Codes of words as they are now as the codes that these words had then."""
    place = {word: k for k, word in enumerate(then)}
    codes = np.array([*(place.get(word, np.nan) for word in now), np.nan])
    return codes[np.where(np.isnan(values), len(now), values).astype(np.int64)]
