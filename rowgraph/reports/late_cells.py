"""What was hidden because it was written after its row, by whose word, and what was left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from rowgraph.databases.database import Database
from rowgraph.databases.sourcing import SUSPECTS
from rowgraph.reports.tables import ReportTable

SCHEMA = dict.fromkeys(("database", "table", "column", "known", "by", "evidence"), pl.String)
KNOWN = {"itself": "once it is reached", "export": "when the data were read", "drop": "never used",
         "scheduled": "with its row", "as_is": "with its row"}


def late_cells_frame(folders: Mapping[str, Path]) -> pl.DataFrame:
    """Every rule of the databases among some artifact folders, and every suspect without one.

    Args:
        folders: by input name; those of `source__<db>` are read.
    """
    rows = []
    for folder in (f for name, f in folders.items() if name.startswith("source__")):
        database = Database.open(folder)
        rules = database.knowledge.rules
        for (table, column), rule in sorted(rules.items()):
            known = KNOWN.get(rule.known_at, f"at {rule.known_at}")
            by = "measured" if rule.because else "said"
            rows.append((database.name, table, column, known, by, rule.because))
        path = folder / SUSPECTS
        for suspect in json.loads(path.read_text()) if path.exists() else []:
            if (suspect["table"], suspect["column"]) not in rules:
                rows.append((database.name, suspect["table"], suspect["column"], "with its row",
                             "suspected, left", suspect["evidence"]))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def late_cells_table(frame: pl.DataFrame) -> ReportTable:
    """The same for people."""
    lines = [[f"{database} · {table}.{column}", known, by, evidence]
             for database, table, column, known, by, evidence in frame.rows()]
    return ReportTable(
        "Cells that were written after their row", "A cell is used only from when it was known. "
        "What nobody said was measured; a suspect that was left is a column to look at before a "
        "figure is believed (docs/decisions/knowledge.md).",
        ("column", "known", "by", "evidence"), lines)
