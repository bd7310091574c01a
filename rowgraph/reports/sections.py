"""The parts of the page, from evidence: answers first, what stands behind them later and folded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from rowgraph.figures import read_curves
from rowgraph.reports import charts, detail_tables, page, paper, pretraining_tables, results_tables
from rowgraph.reports.answers import Answer
from rowgraph.reports.detail_tables import Facts
from rowgraph.reports.evidence import Evidence
from rowgraph.reports.kept_models import kept_models_section
from rowgraph.reports.late_cells import late_cells_table
from rowgraph.reports.retraining import Decisions, retraining_table
from rowgraph.reports.schemas import diagram

HOW_TO_READ = (
    "A question is a task under a regime. Under frozen_db a test row sees the database as it was "
    "at the start of the test span; under rolling it sees everything strictly older than its own "
    "time. Figures of different regimes answer different questions and are never ranked together.",
    "The model and the baseline of an answer are those that are best on validation, among our "
    "models and among the baselines and peers that were run here: test labels pick nothing. Where "
    "another baseline is better on the test rows, the model is put against that one too.",
    "A figure is mean ± standard deviation over seeds and its 95 % interval. Words such as ahead "
    "are written from the interval of the paired test on the same test rows, corrected for the "
    "number of comparisons, and nowhere else: where it holds zero there is no finding. "
    "Published figures were made elsewhere, on other machines and often with one seed; they are "
    "shown in their regime and never tested.")
SPLITS_KEY = (("training", "var(--faint)"), ("validation, frozen_db", "var(--model)"),
              ("validation, rolling", "var(--baseline)"))
TONES_KEY = (("model", "var(--model)"), ("baseline", "var(--baseline)"),
             ("published, same regime", "var(--published)"))


def all_sections(evidence: Evidence, answers: Sequence[Answer], facts: Facts,
                 retraining: Decisions) -> list[tuple[str, str, str]]:
    """Anchor, name and content of every section in reading order."""
    return [
        ("answers", "Answers", answers_section(answers)),
        ("results", "Results by task", results_section(evidence, answers)),
        ("kept", "Models that are kept", kept_models_section(evidence, answers)),
        ("schemas", "The databases", schemas_section(evidence)),
        ("late-cells", "What was hidden", late_cells_section(evidence)),
        ("paper-tables", "The paper’s tables", paper_tables_section(evidence)),
        ("paper-figures", "The paper’s figures", paper_figures_section(evidence)),
        ("calibration", "Calibration and spread", calibration_section(evidence, answers)),
        ("pretraining", "What pre-training gives", pretraining_section(evidence)),
        ("cells", "Filling in cells", cells_section(evidence)),
        ("choices", "Choices", choices_section(evidence)),
        ("retraining", "Re-training", retraining_section(retraining)),
        ("cost", "Cost, settings, lineage", cost_section(facts)),
        ("everything", "Every metric", page.folded(
            f"{evidence.results.height:,} rows",
            page.table(results_tables.every_metric_table(evidence), title=None)))]


def answers_section(answers: Sequence[Answer]) -> str:
    """Sentences and one figure."""
    items = []
    for answer in answers:
        said, *more = answer.sentences
        where = page.escape(f"{answer.database} · {answer.regime}")
        kind = answer.label.replace(" ", "-")
        items.append(
            f'<li><h3><a href="#{anchor_of(answer)}">{page.names(answer.task)}</a> '
            f'<small>{where}</small></h3><p><span class="verdict {kind}">{answer.label}</span>'
            f"{page.escape(said.removeprefix(f'{answer.label}: '))}.</p>"
            + "".join(page.paragraph(f"{text}.") for text in more[:-1])
            + "".join(page.paragraph(f"{text}.", "figures") for text in more[-1:]) + "</li>")
    return (
        f'<ul class="answers">{"".join(items)}</ul>'
        + page.figure(charts.answer_panels(answers),
                      "The model and the baseline that validation picked, another baseline where "
                      "it is the best on test, and the best published figure of each question. "
                      "Lines: 95 % intervals of the mean; a published figure has none. A panel "
                      "holds one metric and one regime.",
                      TONES_KEY if any(a.published for a in answers) else TONES_KEY[:2])
        + page.folded("How to read this", *map(page.paragraph, HOW_TO_READ)))


def results_section(evidence: Evidence, answers: Sequence[Answer]) -> str:
    """One table a question."""
    return "".join(page.table(results_tables.question_table(evidence, answer),
                              anchor=anchor_of(answer)) for answer in answers)


def schemas_section(evidence: Evidence) -> str:
    """What points to what in each held-out database."""
    drawn = [(s.name, diagram(s, f"schema{i}")) for i, s in enumerate(evidence.schemas)]
    return "".join(page.heading(3, name) + page.figure(
        [panel], "Arrows are foreign keys, from a row to the row that it names; tables with a blue "
        "border have a time, written behind their rows.", kind="maps")
        for name, panel in drawn if panel)


def late_cells_section(evidence: Evidence) -> str:
    """Cells that were written after their row."""
    content = late_cells_table(evidence.late_cells)
    return "" if content.is_empty else page.table(content)


def paper_tables_section(evidence: Evidence) -> str:
    """Tables 1 to 4 beside ours."""
    binary = [(d, t, r) for d, t, r in evidence.questions if evidence.of(
        evidence.results, d, t, r)["task_type"].drop_nulls()[0] == "binary_classification"]
    theirs = [q for q in binary if q[:2] == (paper.DATABASE, paper.TASK)]
    ablations = {q: page.table(results_tables.ablation_table(evidence, *q))
                 for q in sorted(binary, key=lambda q: q not in theirs)}
    return "".join((
        page.table(pretraining_tables.graph_table(evidence.graphs)),
        page.table(pretraining_tables.pretraining_table(evidence.pretraining)),
        page.table(results_tables.comparison_table(evidence)),
        *(ablations[q] for q in theirs),
        *(page.folded(f"Table 4 on {q[1]} ({q[0]}), {q[2]}", ablations[q])
          for q in ablations if q not in theirs and ablations[q])))


def paper_figures_section(evidence: Evidence) -> str:
    """Figures 2, 4, 5, 6 and 7."""
    parts = []
    if "sage_weights" in evidence.trainings:
        points = read_curves(evidence.trainings["sage_weights"])
        parts += [page.heading(3, "Figure 2: pre-training of GraphSAGE"), page.figure(
            charts.loss_panels(points, "sage"), "Combined loss, and squared error, by epoch.",
            (("training", "var(--faint)"), ("validation", "var(--model)")))]
    for number, variant, what in ((4, paper.FROZEN, "frozen"), (5, paper.FINETUNED, "fine-tuned")):
        parts += _adaptation_curves(evidence, number, variant, what)
    for i, (name, rows) in enumerate(evidence.row_maps.items()):
        tables = rows["table"].unique(maintain_order=True).to_list()
        parts += [page.heading(3, f"Figures 6 and 7: rows of {name}"), page.figure(
            charts.map_panels(rows, f"map{i}", tables),
            f"t-SNE of {rows.height:,} rows drawn evenly over tables: vectors of the language "
            "model, and of the pre-trained GraphSAGE with fresh projections. Distances between "
            "clusters and their sizes mean nothing; the table below counts neighbours.",
            [(t, charts.colour_of(t, tables)) for t in tables], kind="maps")]
        purity = pretraining_tables.purity_table(name, evidence.purity[name])
        parts += [page.table(replace(purity, rows=purity.rows[:1]), title=None),
                  page.folded("By table", page.table(replace(purity, legend=""), title=None))]
    return "".join(parts)


def _adaptation_curves(evidence: Evidence, number: int, variant: str, what: str) -> Iterator[str]:
    mine = evidence.curves.filter(variant=variant) if evidence.curves.height else evidence.curves
    if mine.is_empty():
        return
    tasks = mine.select("database", "task").unique(maintain_order=True).rows()
    tasks.sort(key=lambda t: t != (paper.DATABASE, paper.TASK))
    yield page.heading(3, f"Figure {number}: adaptation with the GNN {what}")
    for i, (database, task) in enumerate(tasks):
        curves = evidence.of(mine, database, task)
        regimes = curves["regime"].drop_nulls().unique().sort().to_list() or ["validation"]
        runs = curves.select(pl.col("^(bart|seed)$")).n_unique()
        drawn = page.figure(
            charts.curve_panels(curves, f"curve{number}t{i}", regimes=regimes),
            f"{task} ({database}), {variant}: by epoch, mean over {runs} trainings; bands hold "
            "all of them.", SPLITS_KEY)
        yield drawn if i == 0 else page.folded(f"{task} ({database})", drawn)


def calibration_section(evidence: Evidence, answers: Sequence[Answer]) -> str:
    """Reliability curves, their errors, and how predictions spread."""
    curves, spread = [], []
    for i, answer in enumerate(answers):
        where = (answer.database, answer.task, answer.regime)
        if (mine := evidence.of(evidence.calibration, *where)).height:
            curves += charts.reliability_panels(mine, answer, f"cal{i}")
        if where in evidence.predictions:
            found = pl.read_parquet(evidence.predictions[where])
            if {"prediction", "target"} <= set(found.columns) and all(
                    found.schema[c].is_numeric() for c in ("prediction", "target")):
                spread.append((answer, charts.prediction_panels(found, answer, f"pred{i}")))
    parts = [page.figure(
        curves, "Share of ones observed against predicted, picked model and baseline of each "
        "question, as predicted and after a scaling that was fitted on validation. On the line is "
        "calibrated.", TONES_KEY[:2]),
        _folded_table(detail_tables.calibration_table(evidence.calibration_error))]
    drawn = "".join(page.heading(4, f"{a.task} ({a.database}), {a.regime}") + page.figure(
        panels, "Predictions of the test rows, picked model and baseline; grey: rows of 0.")
        for a, panels in spread if panels)
    parts.append(page.folded("Predictions of the test rows", drawn) if drawn else "")
    parts.append(_folded_table(detail_tables.spread_table(evidence.predictions)))
    return "".join(parts)


def pretraining_section(evidence: Evidence) -> str:
    """Does pre-training use the graph, does it transfer, how did the language model train?"""
    parts = []
    for i, ((database, task), rows) in enumerate(
            evidence.transfer.group_by("database", "task", maintain_order=True)
            if evidence.transfer.height else ()):
        pairs = rows.filter(pl.col("gain").is_not_null()).select(
            "pretraining", "variant").unique(maintain_order=True).rows()
        parts.append(page.figure(
            charts.transfer_panels(rows, f"transfer{i}"), f"{task} ({database}): gain over no "
            "pre-training with the same seed and labels, mean and standard deviation over seeds.",
            [(" ".join(p), charts.COLOURS[j % len(charts.COLOURS)])
             for j, p in enumerate(pairs)]))
    parts.append(_folded_table(pretraining_tables.transfer_table(evidence.transfer)))
    parts.append(_folded_table(pretraining_tables.graph_use_table(evidence.graph_use)))
    if "bart_checkpoint" in evidence.trainings:
        points = read_curves(evidence.trainings["bart_checkpoint"])
        parts.append(page.folded("Training of the language model", page.figure(
            charts.loss_panels(points, "bart"), "Losses of fine-tuning BART on linearized rows.",
            (("training", "var(--faint)"), ("validation", "var(--model)")))))
    return "".join(parts)


def cells_section(evidence: Evidence) -> str:
    """Filling in cells."""
    if evidence.filled.kinds.is_empty():
        return ""
    return _folded_table(pretraining_tables.filled_table(evidence.filled))


def choices_section(evidence: Evidence) -> str:
    """What was chosen on folds, and what trees lean on."""
    return (_folded_table(detail_tables.choice_table(evidence.choices))
            + _folded_table(detail_tables.importance_table(evidence.importances)))


def retraining_section(retraining: Decisions) -> str:
    """Which training of each model is champion, and why."""
    content = retraining_table(retraining)
    return "" if content.is_empty else page.table(content)


def cost_section(facts: Facts) -> str:
    """What it took and what it was made from."""
    return (page.table(detail_tables.cost_table(facts))
            + _folded_table(detail_tables.settings_table(facts))
            + _folded_table(detail_tables.lineage_table(facts)))


def _folded_table(content) -> str:
    return "" if content.is_empty else page.folded(content.title, page.table(content, title=None))


def anchor_of(answer: Answer) -> str:
    """Where a question's table stands in the page."""
    return re.sub(r"[^A-Za-z0-9]+", "-", f"q-{answer.database}-{answer.task}-{answer.regime}")
