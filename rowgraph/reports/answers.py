"""The answers a report opens with: per question the best model beside the best baseline.

A question is a task under a regime. The model and the baseline are those that validation picked,
without a look at test labels (`rowgraph.evaluation.comparison`); where another baseline is better
on the test rows, the model is put against that one too. Words that claim a difference come from the
verdict of the paired test alone; where there is none, the sentence says that it is no finding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from rowgraph.evaluation.comparison import sentence
from rowgraph.reports.evidence import Evidence
from rowgraph.reports.groups import MODELS, OPPONENTS
from rowgraph.reports.notation import figure, metric_name, p_value
from rowgraph.tasks.kinds import METRICS

Row = Mapping[str, Any]
NO_FINDING = "no finding"


@dataclass(frozen=True)
class Answer:
    """What is known about one question, in its primary metric.

    Args:
        model, baseline: results rows of those that validation picked; of those with the best mean
            on test where it picked none; None where there is none.
        published: the best published figure of the regime.
        comparison: the paired test of model against baseline, None where there was none.
        harder: that of the model against the baseline that is best on test, where it is another;
            hardest: that baseline's results row.
        on_validation: whether validation picked them.
    """

    database: str
    task: str
    regime: str
    metric: str
    higher_is_better: bool
    model: Row | None
    baseline: Row | None
    published: Row | None
    comparison: Row | None
    harder: Row | None
    hardest: Row | None
    on_validation: bool

    @property
    def label(self) -> str:
        """`ahead`, `behind`, or `no finding` where nothing may be claimed.

        Who reads one word must not be misled by it: ahead of the picked baseline and not of the
        one that is best on test is `no finding`, or `behind`.
        """
        verdicts = [row["verdict"] for row in (self.comparison, self.harder) if row is not None]
        if "behind" in verdicts:
            return "behind"
        return "ahead" if verdicts and set(verdicts) == {"ahead"} else NO_FINDING

    @property
    def sentences(self) -> list[str]:
        """What the tests say, then the two figures; without full stops."""
        name = metric_name(self.metric)
        there = [row for row in (self.model, self.baseline) if row is not None]
        if not there:
            return ["nothing has a figure here"]
        others = [] if self.hardest is None else [self.hardest]
        figures = f"{name}: " + "; ".join(f"{r['variant']} {figure(r)}" for r in [*there, *others])
        if self.model is None or self.baseline is None:
            return [f"no {'model' if self.model is None else 'baseline'} has a figure, so there is "
                    "nothing to compare", figures]
        if self.comparison is None:
            return [f"{self.model['variant']} and {self.baseline['variant']} were not tested "
                    "against each other", figures]
        said = [_said(self.comparison)]
        if self.harder is not None:
            said.append(f"against the best baseline on test: {_said(self.harder)}")
        return [*said, figures]


def _said(row: Row) -> str:
    """A comparison in words."""
    words = sentence(row, {v: v for v in (row["variant"], row["against"])})
    words = re.sub(r"(?<![\w-])-(?=[.\d])", "−", words)
    corrected = f" corrected for {row['comparisons']} comparisons" if row.get("comparisons") else ""
    return f"{words}, {p_value(row['p_adjusted'])}{corrected}"


def answers(evidence: Evidence) -> list[Answer]:
    """One answer a question, in reading order."""
    return [_answer(evidence, *question) for question in evidence.questions]


def _answer(evidence: Evidence, database: str, task: str, regime: str) -> Answer:
    rows = evidence.of(evidence.results, database, task, regime)
    metric = METRICS[rows["task_type"].drop_nulls()[0]][0]
    rows = rows.filter(metric=metric)
    higher = bool(rows.filter(pl.col("group") != "published")["higher_is_better"].drop_nulls()[0])
    tests = evidence.of(evidence.comparisons, database, task, regime)
    headline = _first(tests, headline=True)
    by_name = {r["variant"]: r for r in rows.filter(
        pl.col("group") != "published").iter_rows(named=True)}
    on_validation = headline is not None
    if headline is not None:
        model, baseline = by_name.get(headline["variant"]), by_name.get(headline["against"])
    else:
        model, baseline = (best(rows, groups, higher) for groups in (MODELS, OPPONENTS))
        headline = compared(tests, metric, model, baseline)
    harder = None if model is None else _first(tests, basis="test", variant=model["variant"])
    if harder is not None and baseline is not None and harder["against"] == baseline["variant"]:
        harder = None
    return Answer(database, task, regime, metric, higher, model, baseline,
                  best(rows, ("published",), higher), headline, harder,
                  None if harder is None else by_name.get(harder["against"]), on_validation)


def _first(tests: pl.DataFrame, **constraints: Any) -> Row | None:
    if tests.is_empty() or not set(constraints) <= set(tests.columns):
        return None
    found = tests.filter(**constraints)
    return found.row(0, named=True) if found.height else None


def best(rows: pl.DataFrame, groups: tuple[str, ...], higher_is_better: bool) -> Row | None:
    """The row with the best mean among groups; the first in reading order of equals."""
    found = rows.filter(pl.col("group").is_in(groups) & pl.col("mean").is_not_null())
    if found.is_empty():
        return None
    best_first = found.sort("mean", descending=higher_is_better, maintain_order=True)
    return best_first.row(0, named=True)


def compared(comparisons: pl.DataFrame, metric: str, one: Row | None,
             other: Row | None) -> Row | None:
    """The paired test of one row against another, turned round where it was made the other way."""
    if comparisons.is_empty() or one is None or other is None:
        return None
    for row in comparisons.filter(metric=metric).iter_rows(named=True):
        names = row["variant"], row["against"]
        if names == (one["variant"], other["variant"]):
            return row
        if names == (other["variant"], one["variant"]):
            return {**row, "variant": names[1], "against": names[0],
                    "difference": -row["difference"],
                    "ci_low": None if row["ci_high"] is None else -row["ci_high"],
                    "ci_high": None if row["ci_low"] is None else -row["ci_low"],
                    "verdict": {"ahead": "behind", "behind": "ahead"}.get(row["verdict"], "level")}
    return None
