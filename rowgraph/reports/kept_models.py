"""A page for each task whose model is kept: what it is asked, how good it is, what matters to it,
and ten of its newest predictions with what speaks for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from rowgraph.adaptation.hybrid.variants import NAME
from rowgraph.reports import charts, page, results_tables
from rowgraph.reports.answers import Answer
from rowgraph.reports.evidence import Evidence
from rowgraph.reports.kept import KeptModel
from rowgraph.reports.notation import metric_name, number
from rowgraph.reports.tables import Band, ReportTable
from rowgraph.serving.explaining import IMPORTANCE
from rowgraph.serving.fitting import REGIME
from rowgraph.serving.predicting import FACTS as ASKED
from rowgraph.serving.predicting import FILE, WHY

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)  # of the rows, of highest predictions
EXAMPLES = 10


def kept_models_section(evidence: Evidence, answers: Sequence[Answer]) -> str:
    """A page a task."""
    return "".join("".join(_page(kept, evidence, answers, f"kept{i}"))
                   for i, kept in enumerate(evidence.kept))


def _page(kept: KeptModel, evidence: Evidence, answers: Sequence[Answer],
          key: str) -> Iterator[str]:
    facts, where = kept.facts, (kept.database, kept.task, REGIME)
    anchor = re.sub(r"[^A-Za-z0-9]+", "-", f"kept-{kept.database}-{kept.task}")
    yield page.heading(3, f"{kept.task} ({kept.database})", anchor)
    if facts["task"].get("question"):
        yield page.paragraph(facts["task"]["question"], "lead")
    yield page.table(splits_table(kept), title=None)
    answer = next((a for a in answers if (a.database, a.task, a.regime) == where), None)
    if answer is not None:
        yield page.table(results_tables.question_table(evidence, answer), title=4)
    curves = evidence.of(evidence.calibration, *where)
    if answer is not None and curves.height:
        yield page.figure(charts.reliability_panels(curves, answer, key),
                          "Share of ones observed against predicted on test rows: on the line is "
                          "calibrated.")
    if facts["task"]["task_type"] == "binary_classification" and where in evidence.predictions:
        yield page.table(lift_table(pl.read_parquet(evidence.predictions[where])), title=4)
    if "explained" in facts:
        yield page.table(importance_table(kept), title=4)
    if kept.predictions is not None:
        yield page.table(examples_table(kept), title=4)


def splits_table(kept: KeptModel) -> ReportTable:
    """Rows and base rates."""
    rows = [[split, f"{f['rows']:,}", f"{f['entities']:,}", f["first"], f["last"], f["usual"]]
            for split, f in ((s, kept.facts["splits"][s]) for s in ("train", "val", "test"))]
    return ReportTable("Labels", "", ["split", "rows", kept.facts["task"]["entity_table"], "from",
                                      "to", "usual answer"], rows)


def lift_table(predictions: pl.DataFrame) -> ReportTable:
    """Precision among the rows of highest predictions, and how many times the base rate it is.

    Args:
        predictions: test predictions of all variants, with `variant`, `target`, `prediction`.
    """
    mine = predictions.filter(variant=NAME).sort("prediction", descending=True)
    target = mine["target"].to_numpy()
    rows = []
    for share in SHARES if len(target) and target.sum() else ():
        count = max(1, round(share * len(target)))
        precision = float(target[:count].mean())
        rows.append([f"{share:.0%}", f"{count:,}", f"{precision:.3f}",
                     f"{precision / target.mean():.2f}",
                     f"{target[:count].sum() / target.sum():.1%}"])
    return ReportTable(
        "Of those with the highest predictions", "Test rows of every date together, as the model "
        "was measured: a list cut off here holds so many ones.",
        ["share of the list", "rows", "precision", "lift over the base rate", "of all ones"], rows)


def importance_table(kept: KeptModel) -> ReportTable:
    """What matters, relation by relation and column by column, with intervals."""
    frame, explained = pl.read_parquet(kept.model / IMPORTANCE), kept.facts["explained"]
    rows: list[Any] = []
    for level, title in (("relation", "Relations"), ("column", "Columns")):
        mine = frame.filter(level=level).head(12)
        rows.append(Band(title))
        rows += [[" · ".join(filter(None, (r["relation"], r["column"]))), str(r["features"]),
                  f"{r['increase']:.4f}", f"[{r['low']:.4f}, {r['high']:.4f}]"]
                 for r in mine.iter_rows(named=True)]
    loss = {"log_loss": "log loss", "mae": "mean absolute error"}[explained["loss"]]
    return ReportTable(
        "What matters", f"How much the {loss} of validation rows rises where these features are "
        "dealt to other rows of the same date, with the 95 % interval over entities. Measured on "
        "trees that see window features alone; by themselves they reach "
        f"{metric_name(explained['metric'])} {number(explained['reached'])}. Features that say the "
        "same stand in for each other, so that each seems to matter less than both.",
        ["features of", "how many", f"rise of the {loss}", "interval"], rows)


def examples_table(kept: KeptModel) -> ReportTable:
    """The first of the newest predictions, with what speaks for them."""
    frame = pl.read_parquet(kept.predictions / FILE).head(EXAMPLES)
    why = {one["rank"]: one for one in json.loads((kept.predictions / WHY).read_text())}
    asked = json.loads((kept.predictions / ASKED).read_text())
    moment = str(np.datetime64(asked["moment"], "us").astype("datetime64[s]")).replace("T", " ")
    keys = frame.columns[:frame.columns.index("prediction")]
    rows = []
    for row in frame.iter_rows(named=True):
        one = why.get(row["rank"], {"because": [], "rows": []})
        reasons = "; ".join(f"{r['said']} ({r['adds']:+.2f})" for r in one["because"])
        rows.append([", ".join(str(row[k]) for k in keys), _number(row["prediction"]),
                     _number(row.get("spread", "")), reasons, "; ".join(one["rows"])])
    return ReportTable(
        f"First of the list as of {moment} (UTC)", "What speaks for a prediction adds to its log "
        "odds (of a regression, to the number) in trees on window features.",
        [", ".join(keys), "prediction", "spread", "because", "newest rows"], rows)


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
