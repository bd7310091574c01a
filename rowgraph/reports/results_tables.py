"""Tables of results: one a task and regime, and the paper's Tables 3 and 4 beside ours.

Variants stand in their groups; published figures stand in the regime that they were made in and
are never ranked with what was run here, nor one regime with another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rowgraph.reports import paper
from rowgraph.reports.answers import Answer, best, compared
from rowgraph.reports.evidence import MEASURED, ORDER, Evidence
from rowgraph.reports.groups import GROUPS, OPPONENTS, Group
from rowgraph.reports.notation import (
    NONE,
    common_digits,
    difference,
    figure,
    interval,
    metric_name,
    number,
    p_value,
)
from rowgraph.reports.tables import Band, Cell, Dots, ReportTable, Row, Tone

TONES: dict[Group, Tone] = {"ours": "model", "ablation": "model", "baseline": "baseline",
                            "peer": "baseline", "published": "published"}
WHOSE: dict[Group, str] = {"ours": "RowGraph", "baseline": "baseline", "peer": "peer"}
WORDS = {"ahead": "ahead", "behind": "behind", "level": "no finding"}
BRIEF = 24  # characters of a reason that stand in the place of a figure; the whole is in `source`
TESTED = ("difference in the primary metric, positive is better, with the interval of the paired "
          "test at the level that the correction for the number of comparisons asks for")


def question_table(evidence: Evidence, answer: Answer) -> ReportTable:
    """Everything measured and published for one question, a line a variant."""
    where = answer.database, answer.task, answer.regime
    rows = evidence.of(evidence.results, *where)
    found = set(rows["metric"])
    columns = _Columns(
        answer, [m for m in ORDER if m in found and m != answer.metric],
        _domain(rows.filter(metric=answer.metric).to_dicts()),
        {m: common_digits(rows.filter(metric=m).iter_rows(named=True)) for m in found},
        evidence.of(evidence.comparisons, *where),
        {r["variant"]: r["mean"]
         for r in evidence.of(evidence.validation, *where).iter_rows(named=True)})
    lines: list[Row] = []
    for group, title in GROUPS.items():
        members: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
        for row in rows.filter(group=group).iter_rows(named=True):
            key = row["variant"], row["source"] if group == "published" else ""
            members.setdefault(key, {})[row["metric"]] = row
        lines += [Band(title)] if members else []
        winner = None if group == "published" else best(
            rows.filter(metric=answer.metric), (group,), answer.higher_is_better)
        lines += [columns.line(cells, group, strong=winner is not None
                               and winner["variant"] == variant)
                  for (variant, _), cells in members.items()]
    held = next((r["interval"] for r in rows.iter_rows(named=True) if r.get("interval")), "")
    names = [metric_name(m, _higher(rows, m)) for m in (answer.metric, *columns.others)]
    against = "difference" if answer.baseline is None else f"against {answer.baseline['variant']}"
    return ReportTable(
        " · ".join(where), _legend(rows, answer, held),
        ["variant", names[0], "95 % interval", "drawn", against, "on validation", *names[1:],
         "seeds", "source"], lines,
        {names[0]: "mean ± standard deviation over seeds",
         "95 % interval": held or "95 % interval of the mean", against: TESTED,
         "on validation": f"{names[0]} on validation rows, which pick models and baselines",
         "drawn": f"{names[0][:-2]} from {number(columns.domain[0])} to "
                  f"{number(columns.domain[1])}"})


@dataclass(frozen=True)
class _Columns:
    """What all lines of a question's table share.

    Args:
        others: metrics beside the primary one. digits: decimals, by metric.
        domain: of what is drawn. tests: comparisons of the question.
        validation: the primary metric on validation, by variant.
    """

    answer: Answer
    others: Sequence[str]
    domain: tuple[float, float]
    digits: Mapping[str, int]
    tests: pl.DataFrame
    validation: Mapping[str, float]

    def line(self, cells: Mapping[str, Mapping[str, Any]], group: Group, *,
             strong: bool) -> list[str | Cell]:
        """A variant's cells, from its results rows by metric."""
        metric = self.answer.metric
        any_row, digits = next(iter(cells.values())), self.digits[metric]
        seen = None if group == "published" else self.validation.get(any_row["variant"])
        return [any_row["variant"], *self._primary(cells.get(metric), any_row, group, strong),
                _against(self.tests, self.answer, cells.get(metric), group, digits),
                "" if seen is None else number(seen, digits),
                *(_short(cells.get(m), self.digits[m]) for m in self.others),
                str(any_row.get("seeds") or ""), _source(any_row)]

    def _primary(self, row: Mapping[str, Any] | None, any_row: Mapping[str, Any], group: Group,
                 strong: bool) -> list[Cell]:
        if row is None or row["mean"] is None:
            brief = _source(any_row).partition(":")[0]
            return [Cell(brief if 0 < len(brief) <= BRIEF and any_row["mean"] is None else NONE),
                    Cell(""), Cell("")]
        digits = self.digits[self.answer.metric]
        bounds = interval(row["ci_low"], row["ci_high"], digits)
        tip = row["source"] if group == "published" else row.get("interval") or ""
        return [Cell(figure(row, whole=False, digits=digits), strong=strong, tip=tip),
                Cell(bounds, tip=tip),
                Cell("", dots=Dots(row["mean"], row["ci_low"], row["ci_high"], self.domain,
                                   TONES[group]))]


def _against(tests: pl.DataFrame, answer: Answer, row: Mapping[str, Any] | None,
             group: Group, digits: int) -> Cell:
    if answer.baseline is None or row is None or row["mean"] is None or group == "published":
        return Cell("")
    test = compared(tests, answer.metric, row, answer.baseline)
    if test is None:
        return Cell("")
    return Cell(f"{difference(test, digits)} {WORDS[test['verdict']]}",
                tip=f"{p_value(test['p_value'])}, {p_value(test['p_adjusted'])} after correction")


def _short(row: Mapping[str, Any] | None, digits: int = 3) -> Cell:
    """The mean alone; what it holds on demand, and in the table of every metric."""
    if row is None:
        return Cell("")
    if row["mean"] is None:
        return Cell("undefined" if row["source"] == MEASURED else NONE)
    return Cell(number(row["mean"], digits), tip=figure(row))


def _spread(row: Mapping[str, Any] | None) -> Cell:
    short = _short(row)
    return short if row is None or row["mean"] is None else Cell(figure(row, whole=False),
                                                                 tip=short.tip)


def _source(row: Mapping[str, Any]) -> str:
    if row["group"] != "published":  # why there is no figure, if there is none
        return "" if row["source"] in (None, MEASURED) or row["mean"] is not None else row["source"]
    return f"{row['kind']} · {row['source']}" if row.get("kind") else row["source"]


def _higher(rows: pl.DataFrame, metric: str) -> bool:
    return bool(rows.filter(metric=metric)["higher_is_better"].drop_nulls()[0])


def _domain(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    ends = [v for r in rows for v in (r["mean"], r["ci_low"], r["ci_high"]) if v is not None]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    pad = 0.04 * (high - low) or 0.5
    return low - pad, high + pad


def _legend(rows: pl.DataFrame, answer: Answer, held: str) -> str:
    measured = rows.filter(pl.col("n_test").is_not_null())
    if measured.is_empty():
        return ""
    facts = [f"{measured['n_test'][0]:,} test rows"]
    if "dates" in measured.columns and measured["dates"].drop_nulls().len():
        dates = measured["dates"].drop_nulls()[0]
        facts[0] += f" on {dates:,} date{'s' * (dates != 1)}"
    facts.append("Bold: the best of its group on test")
    picked = [r["variant"] for r in (answer.model, answer.baseline) if r is not None]
    if answer.on_validation and picked:
        facts.append(f"Picked by validation: {' and '.join(picked)}")
    if held:
        facts.append(f"Intervals: {held}")
    return ". ".join(facts) + "."


def comparison_table(evidence: Evidence) -> ReportTable:
    """The paper's Table 3, with what was run here beside it; a block a regime."""
    rows = evidence.of(evidence.results, paper.DATABASE, paper.TASK).filter(
        (pl.col("metric") == "roc_auc") & (pl.col("group") != "published")) if (
        evidence.results.height) else evidence.results
    lines: list[Row] = []
    for regime in rows["regime"].unique().sort().to_list() if rows.height else []:
        mine = {r["variant"]: r for r in rows.filter(regime=regime).iter_rows(named=True)}
        lines.append(Band(regime))
        for row in paper.COMPARISON:
            if row.regime == regime:
                run = mine.pop(row.variant, None) if row.variant else None
                lines.append([Cell(row.model, tip=row.variant or ""), number(row.roc_auc),
                              figure(run) if run else "", row.category])
        for group in ("ours", *OPPONENTS):
            lines += [[name, "", figure(r), WHOSE[group]]
                      for name, r in mine.items() if r["group"] == group and r["mean"] is not None]
    return ReportTable(
        f"Table 3: ROC-AUC on {paper.TASK} ({paper.DATABASE})",
        "The paper prints one list; here each figure stands in the regime of its source. Figures "
        "of the paper are single runs by others on other machines; those run here have their seeds "
        "and 95 % intervals.",
        ("model", "the paper", "run here", "category"), lines)


def ablation_table(evidence: Evidence, database: str, task: str, regime: str) -> ReportTable:
    """The paper's Table 4 beside the same rows run here."""
    rows = evidence.of(evidence.results, database, task, regime).filter(group="ablation")
    by_key = {(r["variant"], r["metric"]): r for r in rows.iter_rows(named=True)}
    metrics = ("precision", "accuracy", "f1", "roc_auc")
    theirs = (database, task, regime) == (paper.DATABASE, paper.TASK, paper.REGIME)
    lines = []
    for variant, printed in paper.ABLATION.items():
        if any(v == variant for v, _ in by_key):
            found = [by_key.get((variant, m)) for m in metrics]
            lines.append([Cell(printed.model, tip=variant)] + [
                cell for m, row in zip(metrics, found, strict=True) for cell in (
                    *((number(getattr(printed, m)),) if theirs else ()), _spread(row))])
    head = [name for m in metrics for name in (
        *((f"{metric_name(m)}, the paper",) if theirs else ()), metric_name(m, True))]
    note = ("In the paper accuracy and F1 are those of the majority class in every row. "
            if theirs else "The paper has driver-dnf of rel-f1 only. ")
    if (database, task) == (paper.DATABASE, paper.TASK) and not theirs:
        note = "The paper's figures are of the other regime. "
    return ReportTable(f"Table 4: ablation on {task} ({database}), {regime}",
                       note + "Mean ± standard deviation over seeds.", ["model", *head], lines)


def every_metric_table(evidence: Evidence) -> ReportTable:
    """All results rows."""
    lines: list[Row] = []
    for (database, task, metric, regime), group in evidence.results.group_by(
            "database", "task", "metric", "regime", maintain_order=True):
        lines.append(Band(f"{database} · {task} · {metric_name(metric)} · {regime}"))
        for r in group.iter_rows(named=True):
            undefined = r["mean"] is None and r["source"] == MEASURED
            lines.append([r["variant"], "undefined" if undefined else figure(r),
                          str(r["seeds"] or ""), f"{r['n_test']:,}" if r["n_test"] else "",
                          r["source"] or ""])
    return ReportTable("Every metric", "Mean ± standard deviation over seeds and 95 % interval.",
                       ("variant", "figure", "seeds", "test rows", "source"), lines)
