"""The report of a profile: what a researcher would send to a colleague.

`notes/report.html` is one page that needs no network: answers first, then results, the paper's
tables and figures beside ours, and what stands behind them. `report.md` says the same without
figures, costs or lineage, so that equal evidence gives equal bytes. The Parquet files beside them
(`Evidence.files`) hold every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rowgraph.artifacts import Draft
from rowgraph.reports import (
    detail_tables,
    markdown,
    page,
    paper,
    pretraining_tables,
    results_tables,
    sections,
)
from rowgraph.reports.answers import Answer, answers
from rowgraph.reports.detail_tables import Facts
from rowgraph.reports.evidence import Evidence
from rowgraph.reports.late_cells import late_cells_table
from rowgraph.reports.retraining import Decisions, retraining_frame
from rowgraph.reports.settings import ReportSettings
from rowgraph.reports.tables import ReportTable


def write_report(folders: Mapping[str, Path], settings: ReportSettings, draft: Draft, *,
                 facts: Facts = (), retraining: Decisions | None = None) -> dict[str, Any]:
    """Write the report of a profile.

    Args:
        folders: artifact folders by input name: `evaluation__<db>__<task>`, without which there is
            nothing to report, and whatever else there is (`rowgraph.reports.evidence`).
        settings: its title and the published figures.
        draft: gets `report.md`, the Parquet files of `Evidence.files`, and `notes/report.html`.
        facts: what the pipeline knows of each artifact, for the page alone: `asset` and `stage`,
            and where known `seconds`, `peak_mib`, `recipe`, `data_version`, `code_version`,
            `settings` and `inputs` (by name).
        retraining: the last decision about each model, for the page and `notes/retraining.parquet`
            alone, since it is not of this evidence only.

    Returns:
        The number of result rows; by question what the test of model against baseline says; how
        many published figures were left out because their task is not here.

    Raises:
        ValueError: no evaluation is among the folders.
    """
    evidence = Evidence.read(folders, settings)
    found = answers(evidence)
    for name, frame in evidence.files().items():
        frame.write_parquet(draft.path(f"{name}.parquet"))
    lead = _lead(evidence)
    draft.path("report.md").write_text(
        markdown.document(settings.title, lead, list(_markdown(evidence, found))))
    draft.path("notes/report.html").write_text(
        page.page(settings.title, lead, sections.all_sections(evidence, found, facts,
                                                              retraining or {})))
    retraining_frame(retraining or {}).write_parquet(draft.notes / "retraining.parquet")
    return {"rows": evidence.results.height, "answers": {
        _question(a): f"{a.label}: {a.sentences[0].removeprefix(f'{a.label}: ')}"
        for a in found},
        "published_elsewhere": evidence.elsewhere}


def _question(answer: Answer) -> str:
    return f"{answer.database}/{answer.task} {answer.regime}"


def _lead(evidence: Evidence) -> str:
    measured = evidence.results.filter(evidence.results["group"] != "published")
    databases = measured["database"].unique(maintain_order=True).to_list()
    tasks = measured.select("database", "task").n_unique()
    regimes = measured["regime"].unique().sort().to_list()
    seeds = int(measured["seeds"].max() or 0)
    return (f"Held out: {', '.join(databases)}. {tasks} task{'s' * (tasks != 1)}, "
            f"{' and '.join(regimes)}; {measured['variant'].n_unique()} variants, "
            f"up to {seeds} seed{'s' * (seeds != 1)}.")


def _markdown(evidence: Evidence, found: Sequence[Answer]) -> Iterator[list[str]]:
    lines = ["## Answers", ""]
    for answer in found:
        lines.append(f"- **{markdown.escape(_question(answer))}**: {answer.label}")
        lines += [f"  - {markdown.escape(said)}" for said in answer.sentences]
    yield [*lines, ""]
    yield ["## How to read this", "", *(line for text in sections.HOW_TO_READ
                                        for line in (markdown.escape(text), ""))]
    for content in _tables(evidence, found):
        yield markdown.table(content)


def _tables(evidence: Evidence, found: Sequence[Answer]) -> Iterator[ReportTable]:
    for answer in found:
        yield results_tables.question_table(evidence, answer)
    yield late_cells_table(evidence.late_cells)
    yield pretraining_tables.graph_table(evidence.graphs)
    yield pretraining_tables.pretraining_table(evidence.pretraining)
    yield results_tables.comparison_table(evidence)
    for question in evidence.questions:
        if question[:2] == (paper.DATABASE, paper.TASK):
            yield results_tables.ablation_table(evidence, *question)
    for name, purity in evidence.purity.items():
        yield pretraining_tables.purity_table(name, purity)
    yield pretraining_tables.transfer_table(evidence.transfer)
    yield pretraining_tables.graph_use_table(evidence.graph_use)
    if evidence.filled.kinds.height:
        yield pretraining_tables.filled_table(evidence.filled)
    yield detail_tables.calibration_table(evidence.calibration_error)
    yield detail_tables.spread_table(evidence.predictions)
    yield detail_tables.choice_table(evidence.choices)
    yield detail_tables.importance_table(evidence.importances)
