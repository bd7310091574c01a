"""A whole import: from a source to a RelBench 3 folder that has passed the check at the door."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.databases.knowledge import Knowledge
from rowgraph.databases.report import Report, near
from rowgraph.databases.settings import NAME
from rowgraph.importing.decisions import FILE, Decisions
from rowgraph.importing.found import FoundTable, ImportFault
from rowgraph.importing.numbering import Losses, Numbering, Shape
from rowgraph.importing.proposing import Note, propose
from rowgraph.importing.sources import Source
from rowgraph.importing.staging import Staged, Tick, stage
from rowgraph.yaml_files import write_yaml

SAMPLE = 10_000  # rows of a table that are looked at without being imported
KEPT = ".import"  # rows as they came, below the folder


@dataclass(frozen=True)
class Imported:
    """What an import found, decided and wrote.

    Args:
        decisions: those that held.
        first: whether they are proposals, made by this import.
        notes: what a person should know about proposals.
        staged, shapes: by table, as it is called here; of a look without an import no shapes.
        losses: of keys and times.
        report: of the check of the finished folder; None of a look.
        changes: since the import before, a line each; empty of a first one.
    """

    decisions: Decisions
    first: bool
    notes: tuple[Note, ...]
    staged: dict[str, Staged]
    shapes: dict[str, Shape]
    losses: Losses
    report: Report | None
    changes: tuple[str, ...] = ()


def look(source: Source, folder: Path, tick: Tick = lambda table, rows: None, *,
         unwanted: Sequence[str] = ()) -> Imported:
    """What an import would decide, from at most `SAMPLE` rows of each table; nothing is kept.

    Args:
        unwanted: tables that are not to be imported, if nothing was decided before.

    Raises:
        ImportFault: the source, or what was decided before, cannot be used.
    """
    work = folder.with_name(f".{folder.name}.look")
    shutil.rmtree(work, ignore_errors=True)
    try:
        tables = {t.name: t for t in source.tables}
        before = Decisions.read(folder)
        wanted = _wanted(tables, before, unwanted)
        staged = {t.name: stage(source, t, work / f"t{i}", limit=SAMPLE, tick=tick)
                  for i, t in enumerate(wanted)}
        if before is not None:
            return Imported(before, False, (), {t: staged[before.found(t)] for t in before.tables},
                            {}, Losses(), None)
        decisions, notes = propose(_name(folder), source.name, source.tables, staged, unwanted)
        return Imported(decisions, True, tuple(notes),
                        {t: staged[decisions.found(t)] for t in decisions.tables}, {}, Losses(),
                        None)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run_import(source: Source, folder: Path, *, tick: Tick = lambda table, rows: None,
               confirm: Callable[[Imported], bool] = lambda found: True,
               unwanted: Sequence[str] = ()) -> Imported | None:
    """Import a database, or import it again.

    What was there stays until all that comes in its place is whole.

    Args:
        folder: becomes a RelBench 3 folder; `import.yaml` in it is obeyed.
        unwanted: as in `look`.
        confirm: is shown first decisions, with what was fetched, and says whether they hold.

    Returns:
        None where they were not confirmed: `import.yaml` is then there to be changed, and rows
        that were fetched are not fetched again where their tables are append-only.

    Raises:
        ImportFault: the source, the decisions or the rows cannot be used.
    """
    tables = {t.name: t for t in source.tables}
    decisions, notes = Decisions.read(folder), []
    first = decisions is None
    wanted = _wanted(tables, decisions, unwanted)
    name = _name(folder) if decisions is None else decisions.name
    kept = folder / KEPT
    kept.mkdir(parents=True, exist_ok=True)
    for place in set(kept.iterdir()) - {_place(kept, t) for t in wanted}:
        shutil.rmtree(place)  # of tables that are no longer wanted
    rows = {t.name: _stage(source, t, kept, decisions, tick) for t in wanted}
    if decisions is None:
        decisions, notes = propose(name, source.name, source.tables, rows, unwanted)
    if not decisions.tables:
        raise ImportFault(f"{source.name}: no table holds a row; there is nothing to import")
    staged = {t: rows[decisions.found(t)] for t in decisions.tables}
    if first:
        decisions.write(folder)
        proposal = Imported(decisions, True, tuple(notes), staged, {}, Losses(), None)
        if not confirm(proposal):
            return None
    if decisions.val_timestamp is None or decisions.test_timestamp is None:
        raise ImportFault(
            f"{source.name}: no table has a time, without which nothing is before and after; name "
            f"the columns under `time:` in {folder / FILE}, and val_timestamp and test_timestamp, "
            "and import again")
    knowledge = decisions.knowledge()
    made = folder / f"{KEPT}-new"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    work = made / "work"
    work.mkdir()
    numbering = Numbering(decisions, staged, made, work)
    try:
        shapes = numbering.write()
    finally:
        numbering.close()
    shutil.rmtree(work)
    write_yaml(made / "manifest.yaml", _manifest(decisions, shapes))
    kept_rules = {c: r for c, r in knowledge.rules.items() if c not in knowledge.dropped}
    Knowledge(kept_rules, knowledge.valid_until).write(made)
    report = check_database(made)
    if report.problems:
        raise ImportFault("what was made is no sound database:\n" + "\n".join(
            map(str, report.problems)) + f"\nchange {folder / FILE} and import again")
    changes = () if first else tuple(_changes(folder, made, tables, decisions))
    for part in ("db", "keys", "manifest.yaml", "knowledge.yaml"):
        _replace(made / part, folder / part)
    shutil.rmtree(made)
    return Imported(decisions, first, tuple(notes), staged, shapes, numbering.losses, report,
                    changes)


def _changes(old: Path, new: Path, tables: Mapping[str, FoundTable],
             decisions: Decisions) -> Iterator[str]:
    """What is otherwise than after the import before, and tables that nothing was decided about."""
    decided = {decisions.found(t) for t in decisions.tables} | set(decisions.leave_out)
    for name in sorted(set(tables) - decided):
        if not tables[name].view:
            yield (f"{name}: is new in the source and not imported; write `{name}: {{}}` under "
                   f"`tables:` in {FILE}, or under `leave_out`")
    if not (old / "manifest.yaml").exists():
        return
    before, now = Database.open(old), Database.open(new)
    for name in before.tables:
        if name not in now.tables:
            yield f"{name}: is no longer imported"
    for name in now.tables:
        if name not in before.tables:
            yield f"{name}: is new, {now.num_rows(name):,} rows"
            continue
        more = now.num_rows(name) - before.num_rows(name)
        if more:
            yield f"{name}: {more:+,} rows, {now.num_rows(name):,} now"
        there, here = set(before.columns(name)), set(now.columns(name))
        for word, some in (("new", here - there), ("gone", there - here)):
            if some:
                yield f"{name}: {word} columns: {', '.join(sorted(some))}"


def _wanted(tables: Mapping[str, FoundTable], decisions: Decisions | None,
            unwanted: Sequence[str]) -> list[FoundTable]:
    """The tables whose rows are fetched.

    Raises:
        ImportFault: one that was decided about, or is not wanted, is not there.
    """
    for name in unwanted:
        if name not in tables:
            raise ImportFault(f"there is no table {name} to leave out; {near(name, tables)}")
    if decisions is None:
        return [t for t in tables.values() if t.readable and not t.view and t.name not in unwanted]
    decisions.check(tables)
    return [tables[decisions.found(t)] for t in decisions.tables]


def _stage(source: Source, table: FoundTable, kept: Path, decisions: Decisions | None,
           tick: Tick) -> Staged:
    here = next((t for t in decisions.tables if decisions.found(t) == table.name),
                None) if decisions else None
    append_only = decisions.tables[here].append_only if here else None
    return stage(source, table, _place(kept, table), append_only=append_only, tick=tick)


def _place(kept: Path, table: FoundTable) -> Path:
    """Where the rows of a table are kept: by its name, whatever other tables come or go."""
    return kept / hashlib.blake2b(table.name.encode(), digest_size=8).hexdigest()


def _manifest(decisions: Decisions, shapes: dict[str, Shape]) -> dict[str, Any]:
    return {
        "name": decisions.name, "manifest_version": 1,
        "description": f"imported from {decisions.source}",
        "val_timestamp": decisions.val_timestamp, "test_timestamp": decisions.test_timestamp,
        "tables": {table: {"pkey": shape.pkey, "time_col": shape.time, "fkeys": dict(shape.fkeys)}
                   for table, shape in shapes.items()}}


def _replace(new: Path, old: Path) -> None:
    if old.is_dir():
        shutil.rmtree(old)
    elif old.exists():
        old.unlink()
    if new.exists():
        new.rename(old)


def _name(folder: Path) -> str:
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise ImportFault(f"{name[:50]!r} cannot be the name of a database: call the folder by "
                          "letters, digits, '-' and '_', at most 100 characters")
    return name
