"""Who is champion: the last decision about each model, and the figures that it was read off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from rowgraph.evaluation.retraining import RETRAINING
from rowgraph.reports.notation import NONE, digits_of, interval, metric_name, number
from rowgraph.reports.tables import Cell, ReportTable

# By model: decision, reason, unchanged, version, against, date, and rows of `RETRAINING`.
Decisions = Mapping[str, Mapping[str, Any]]
DECIDED = {"model": pl.String, "date": pl.String, "version": pl.String, "against": pl.String,
           "decision": pl.String, "reason": pl.String, "unchanged": pl.Boolean}


def retraining_frame(decisions: Decisions) -> pl.DataFrame:
    """A row for each comparison, one without figures where nothing was compared."""
    rows = [{"model": model, **{k: decision[k] for k in DECIDED if k != "model"}, **compared}
            for model, decision in decisions.items() for compared in decision["rows"] or [{}]]
    return pl.DataFrame(rows, schema=DECIDED | RETRAINING, orient="row")


def retraining_table(decisions: Decisions) -> ReportTable:
    """The same for people."""
    lines: list[list[str | Cell]] = []
    said = ""
    for row in retraining_frame(decisions).iter_rows(named=True):
        asked = [NONE] * 4
        if row["metric"]:
            digits = digits_of(row["metric"], row["old"])
            asked = [metric_name(row["metric"]), number(row["old"], digits),
                     number(row["new"], digits), " ".join((
                         number(row["difference"], digits, sign=True),
                         interval(row["ci_low"], row["ci_high"], digits, sign=True))).strip()]
        question = " · ".join(filter(None, (row["question"], row["regime"], row["variant"])))
        lines.append([row["model"], row["version"] or NONE, row["against"] or NONE, row["date"],
                      question or NONE, *asked, Cell(row["decision"], strong=True),
                      row["reason"] if row["model"] != said else ""])
        said = row["model"]
    return ReportTable(
        "Re-training", "The latest training of each model against the champion, on the validation "
        "rows that both were asked about: the gain is positive where the new one is better, its "
        "interval corrected for the number of comparisons of the model. Crowned unless some "
        "interval lies below zero (docs/decisions/champion.md).",
        ("model", "version", "against", "date", "asked", "metric", "champion", "new",
         "gain", "decision", "reason"), lines)
