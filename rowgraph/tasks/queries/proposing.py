"""A query as a task of a database: its labels looked at before anything is kept.

What cannot be learnt is refused here, where it costs a second: one answer alone, a split without
rows, a horizon that the data do not hold.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rowgraph.databases.database import Database
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labelling import FRAMES, Span, make_labels, too_fine, why_no_windows
from rowgraph.databases.labels import MANIFEST, SPLITS, task_folders
from rowgraph.databases.settings import NAME
from rowgraph.tasks.loading import check_tasks
from rowgraph.tasks.queries.compiling import manifest_of
from rowgraph.tasks.queries.meaning import Meaning, meaning_of
from rowgraph.tasks.queries.notation import parse
from rowgraph.tasks.queries.query import (
    Aggregate,
    Column,
    Joined,
    aggregates_of,
)
from rowgraph.yaml_files import read_yaml, write_yaml

DAY = 86_400_000_000  # microseconds
MOST_DATES = 40  # of validation and of test, as RelBench's rel-f1 has
TENTH = 0.1  # of the data's span that validation and test each get, where they are proposed


@dataclass(frozen=True)
class SplitFacts:
    """The labels of one split.

    Args:
        rows, entities, dates: how many.
        first, last: of the dates; empty without rows.
        base: what is usual: the share of yes, the mean, the share of the commonest class, or how
            many rows there are to recommend on average; None without rows.
    """

    split: str
    rows: int
    entities: int
    dates: int
    first: str
    last: str
    base: float | None


@dataclass(frozen=True)
class Cuts:
    """Where validation and test begin, microseconds."""

    val: int
    test: int

    @property
    def lines(self) -> dict[str, str]:
        """As a manifest has them."""
        return {"val_timestamp": _date(self.val), "test_timestamp": _date(self.test)}


@dataclass(frozen=True)
class Proposal:
    """A task that a query would be.

    Args:
        database: with the cuts that the labels were made with.
        meaning: of the query.
        name: of the task.
        manifest: as it would be written.
        tables: label rows by split.
        cuts: where they are others than the manifest's.
        problems: what forbids it, a line each.
    """

    database: Database
    meaning: Meaning
    name: str
    manifest: Mapping[str, Any]
    tables: Mapping[str, pa.Table]
    cuts: Cuts | None
    problems: tuple[str, ...]

    @cached_property
    def facts(self) -> list[SplitFacts]:
        """Of each split."""
        return [self._facts(split, self.tables[split]) for split in SPLITS if split in self.tables]

    @property
    def usual(self) -> str:
        """What `SplitFacts.base` is, in words."""
        return {"binary_classification": "share of yes", "regression": "mean",
                "multiclass_classification": "commonest class",
                "recommendation": "rows to recommend"}[self.meaning.task_type]

    def write(self, folder: Path) -> Path:
        """Write the task's folder into that of its database, and other cuts into its manifest.

        Labels are not written: they follow from the rows, and new rows bring new ones.

        Returns:
            The folder of the task.

        Raises:
            ValueError: it has problems, or there is another task of its name.
        """
        if self.problems:
            raise ValueError("\n".join(self.problems))
        target = folder / "tasks" / self.name
        if target.exists() and (not (target / MANIFEST).exists()
                                or read_yaml(target / MANIFEST) != dict(self.manifest)):
            raise ValueError(f"{target} is another task; give this one another name with --name, "
                             "or remove that one")
        target.mkdir(parents=True, exist_ok=True)
        write_yaml(target / MANIFEST, self.manifest)
        if self.cuts is not None:
            path = folder / MANIFEST
            write_yaml(path, {**read_yaml(path), **self.cuts.lines})
        return target

    def _facts(self, split: str, table: pa.Table) -> SplitFacts:
        manifest = self.manifest
        entity = manifest.get("entity_col") or manifest.get("src_entity_col") or "primary_key"
        schema = self.database.tables[self.meaning.entity]
        names = table.column_names
        entity = entity if entity in names else schema.pkey_col
        dates = np.unique(np.asarray(table[manifest.get("time_col") or schema.time_col].cast(
            pa.timestamp("us")).to_numpy().astype("datetime64[us]")))
        target = table[manifest["target_col"]]
        first, last = ("", "") if not len(dates) else (
            _date(int(d)) for d in dates[[0, -1]].astype(np.int64))
        return SplitFacts(split, table.num_rows, len(table[entity].unique()), len(dates), first,
                          last, self._base(target))

    def _base(self, target: pa.ChunkedArray) -> float | None:
        import pyarrow.compute as pc

        if not len(target):
            return None
        if self.meaning.task_type == "recommendation":
            lists = pa.types.is_list(target.type) or pa.types.is_large_list(target.type)
            return float(pc.mean(pc.list_value_length(target)).as_py()) if lists else 1.0
        if self.meaning.task_type == "multiclass_classification":
            counts = pc.value_counts(target).field("counts")
            return float(pc.max(counts).as_py()) / len(target)
        return float(pc.mean(target.cast(pa.float64())).as_py())


def propose(database: Database, text: str, scratch: Path, *, name: str | None = None,
            move: bool = False) -> Proposal:
    """Make the task that a query would be, and look at its labels.

    Args:
        database: sound.
        text: the query.
        scratch: an empty folder for what is only looked at.
        name: of the task; None makes one from the query.
        move: validation and test may begin elsewhere than the manifest says, if it must be.

    Raises:
        QueryError: the query cannot be understood or asked here.
        ValueError: its labels cannot be made; the message says why and the next move.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rowgraph.example import write_example
        >>> from rowgraph.tasks.queries.proposing import propose
        >>> database = write_example(tempfile.mkdtemp())
        >>> question = "PREDICT COUNT(orders.*, 0, 30, days) FOR EACH customers.id"
        >>> found = propose(database, question, Path(tempfile.mkdtemp()))
        >>> found.name, found.meaning.task_type, found.tables["test"].num_rows
        ('customers-count-orders-30-days', 'regression', 8)
    """
    query = parse(text)
    meaning = meaning_of(query, database)
    name = name or name_of(meaning)
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:50]!r} cannot be the name of a task: use letters, digits, '-' "
                         "and '_', at most 100 characters")
    cuts = None
    if meaning.kind == "forecast" and (why := _why_not(database, meaning)):
        cuts = proposed_cuts(database, meaning)
        others = [p.name for p in task_folders(database.folder) if p.name != name]
        if not move or others:
            kept = (f"; other tasks ({', '.join(others)}) hang on them, so change them by hand"
                    if others else ", or let this command do it with --move-splits")
            lines = ", ".join(f"{k}: {v}" for k, v in cuts.lines.items())
            raise ValueError(f"{why}. What would do: {lines} in {MANIFEST}{kept}")
        database = dataclasses.replace(database, val_timestamp=cuts.val, test_timestamp=cuts.test)
    manifest = manifest_of(meaning, database, name, _dates(database, meaning))
    folder = scratch / name
    folder.mkdir(parents=True)
    write_yaml(folder / MANIFEST, manifest)
    schema = LabelSchema.read(folder / MANIFEST, database.tables)
    tables = make_labels(_moved(database, scratch, cuts), schema, SPLITS)
    problems = [f"{split}: no row is asked about; widen WHERE or the window, or move the splits"
                for split in SPLITS if not tables[split].num_rows]
    if not problems:
        for split, table in tables.items():
            pq.write_table(table, folder / f"{split}.parquet")
        problems = check_tasks(database, [name], scratch)
    return Proposal(database, meaning, name, manifest, tables, cuts, tuple(problems))


def proposed_cuts(database: Database, meaning: Meaning) -> Cuts:
    """Where validation and test could begin: each about a tenth of the span, whole windows.

    Raises:
        ValueError: the data do not hold as many windows as must be.
    """
    length = round(meaning.days * DAY)
    held = [database.times(t) for t, s in database.tables.items() if s.time_col]
    times = np.concatenate([t for t in held if len(t)] or [np.empty(0, np.int64)])
    times = times[(times > np.iinfo(np.int64).min) & (times < np.iinfo(np.int64).max)]
    if not len(times):
        raise ValueError("no row has a time; name a time_col in manifest.yaml")
    oldest, newest = int(times.min()), int(times.max())
    windows = max(1, min(MOST_DATES, int(TENTH * (newest - oldest) // length)))
    step = DAY if length >= DAY else 1
    test = (newest - windows * length) // step * step
    # The windows of validation must end by the newest row that is known when test begins.
    known = int(times[times <= test].max(initial=oldest))
    val = (known - windows * length) // step * step
    if val - FRAMES * length < oldest:
        raise ValueError(
            f"the data span {_days(newest - oldest)} and hold too few windows of "
            f"{_days(length)}: {FRAMES} to train on, one to choose by and one to test; ask for a "
            "nearer horizon")
    return Cuts(val, test)


def name_of(meaning: Meaning) -> str:
    """A readable name: whom is asked about, what, and how far ahead."""
    query = meaning.query
    if isinstance(query.target, Column):
        words = [meaning.entity, query.target.column]
    else:
        first = next(aggregates_of(query.target))
        words = [meaning.entity, first.function, *_about(first)]
        if isinstance(query.target, Joined):
            words.append(query.target.word)
        words += [f"{max(one.until for one in aggregates_of(query.target)):g}", first.unit]
    text = "-".join(re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-") for word in words)
    return re.sub("-+", "-", text).lower().strip("-")[:100] or "task"


def _about(said: Aggregate) -> tuple[str, ...]:
    return (said.of.table, said.of.column) if isinstance(said.of, Column) else (said.of.table,)


def _why_not(database: Database, meaning: Meaning) -> str | None:
    span, length = Span(database), round(meaning.days * DAY)
    if (wrong := too_fine(span, length)) is not None:  # nothing that can be moved
        raise ValueError(wrong)
    return next(filter(None, (why_no_windows(span, length, split) for split in SPLITS)), None)


def _dates(database: Database, meaning: Meaning) -> int:
    """Dates of validation and of test: as many as fit into both."""
    if meaning.kind != "forecast" or meaning.task_type == "recommendation":
        return 1
    length, newest = round(meaning.days * DAY), int(Span(database).times[2])
    room = min(database.test_timestamp - database.val_timestamp, newest - database.test_timestamp)
    return max(1, min(MOST_DATES, room // length))


def _moved(database: Database, scratch: Path, cuts: Cuts | None) -> Database:
    """The database in a folder whose manifest has other cuts: RelBench reads them there."""
    if cuts is None:
        return database
    folder = scratch / ".moved"
    folder.mkdir()
    (folder / "db").symlink_to((database.folder / "db").resolve())
    write_yaml(folder / MANIFEST, {**read_yaml(database.folder / MANIFEST), **cuts.lines})
    return dataclasses.replace(database, folder=folder)


def _date(time: int) -> str:
    return str(np.datetime64(time, "us").astype("datetime64[s]")).replace("T", " ").removesuffix(
        " 00:00:00")


def _days(microseconds: float) -> str:
    return f"{microseconds / DAY:.4g} days"

