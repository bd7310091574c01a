"""The report's table on filling in cells: one line a database, kind and method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rowgraph.reports.notation import interval, number

TITLE = "Filling in cells (Vogel et al. 2023)"
HEAD = ("database", "regime", "kind", "metric", "method", "mean over columns", "95 % interval",
        "better than usual", "columns", "cells", "unparsable")
LEGEND = ("One value of a row is hidden and told from the rest of the row. exact_match: higher is "
          "better; relative_mae, in units of the column's spread: lower is better. The usual value "
          "is most_frequent or median. Unparsable answers count as the median. Regimes are not "
          "comparable.")


@dataclass(frozen=True)
class FilledCells:
    """What every `imputation_metrics` of a profile wrote, end to end.

    Args:
        kinds: means over the columns of a kind. columns: a row a column and method. skipped:
            columns that were not scored, with the reason. All empty where there is none.
    """

    kinds: pl.DataFrame
    columns: pl.DataFrame
    skipped: pl.DataFrame

    @classmethod
    def read(cls, folders: Mapping[str, Path]) -> FilledCells:
        """From artifact folders by input name (`imputation_metrics__<db>`)."""
        found = [f for name, f in folders.items() if name.startswith("imputation_metrics__")]

        def all_of(name: str) -> pl.DataFrame:
            frames = [pl.read_parquet(folder / f"{name}.parquet") for folder in found]
            return pl.concat(frames) if frames else pl.DataFrame()

        return cls(all_of("kinds"), all_of("metrics"), all_of("skipped"))

    def rows(self) -> list[list[str]]:
        """The cells of the table, by `HEAD`."""
        return [[r["database"], r["regime"], r["kind"], r["metric"], r["method"],
                 number(r["mean"]), interval(r["ci_low"], r["ci_high"]),
                 "" if r["better"] is None else f"{r['better']} of {r['columns']}",
                 str(r["columns"]), str(r["n_test"]),
                 "" if r["unparsable"] is None else f"{r['unparsable']:.1%}"]
                for r in self.kinds.iter_rows(named=True)]

    def left_out(self) -> str:
        """How many columns were not scored."""
        return (f"Columns not scored: {self.skipped.height}; imputation_skipped.parquet says "
                "why.")
