"""What each part of RowGraph's model is worth alone, over the suite.

    python -m benchmarks.ablation         # after `make suite`, or after some of its profiles

For each part, share of the labels and regime: the relative reduction of the error (1 − ROC-AUC, or
MAE) against the untrained encoder, on the folds on which everything was chosen and on test, and
against the Data Scientist that validation picked, on test. Means over databases of their tasks'
means, with t intervals as in `benchmarks.suite`. The blend has no figure on folds: its weights were
chosen there. Writes `ablation.md` below `ROWGRAPH_HOME/benchmarks/suite`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.suite import (
    PROFILES,
    UNTRAINED,
    Figures,
    figures,
    finished,
    gain,
    over_databases,
)
from pipeline.environment import Environment
from pipeline.plan import plan
from rowgraph.reports.notation import number

PARTS = {  # by variant in the results: its name among the parts of the blend, and in words
    "rowgraph_untrained": ("untrained", "untrained encoder, linear head"),
    "rowgraph_own_past": ("own_past", "+ own past"),
    "rowgraph_pretrained": ("pretrained", "+ other databases before own past"),
    "rowgraph_zero_shot": ("zero_shot", "zero-shot: other databases, no label"),
    "rowgraph_finetuned": ("finetuned", "own past, fine-tuned on the labels"),
    "rowgraph_trees": ("trees", "trees on aggregates (and vectors where folds say so)"),
    "entity_history": ("history", "the entity's own history"),
    "rowgraph": (None, "the blend"),
}
Errors = dict[tuple, dict[str, float]]


def fold_errors(metrics: Iterable[tuple[float, str, str, Path]]) -> Errors:
    """The mean error over folds of every part.

    Args:
        metrics: share of the labels, database, task and folder of each `rowgraph_metrics`.

    Returns:
        By share, database, task and regime: errors by part.
    """
    found: Errors = {}
    for share, database, task, folder in metrics:
        answers = pl.read_parquet(folder / "fold_answers.parquet")
        binary = set(answers["target"].unique()) <= {0.0, 1.0}
        for (regime, part), mine in answers.partition_by("regime", "part", as_dict=True).items():
            folds = [_error(fold, binary) for fold in mine.partition_by("fold")]
            known = [e for e in folds if e is not None]
            if known:
                found.setdefault((share, database, task, regime), {})[part] = float(np.mean(known))
    return found


def _error(fold: pl.DataFrame, binary: bool) -> float | None:
    from sklearn.metrics import roc_auc_score

    if not binary:
        return float((fold["target"] - fold["answer"]).abs().mean())
    if fold["target"].n_unique() < 2:
        return None
    return 1 - float(roc_auc_score(fold["target"], fold["answer"]))


def ablation(tested: Figures, on_folds: Errors) -> list[dict[str, Any]]:
    """A row for each share, regime and part: gains, with their intervals, and tasks."""
    rows = []
    for share, regime in sorted({(key[0], key[3]) for key in tested}):
        some = {k: v for k, v in tested.items() if (k[0], k[3]) == (share, regime)}
        for variant, (part, words) in PARTS.items():
            folds, test, scientist = ({} for _ in range(3))
            for key, one in some.items():
                errors = on_folds.get(key, {})
                if part in errors and errors.get("untrained"):
                    folds.setdefault(key[1], []).append(1 - errors[part] / errors["untrained"])
                for into, other in ((test, UNTRAINED), (scientist, one["scientist"])):
                    if (g := gain(one, variant, other)) is not None:
                        into.setdefault(key[1], []).append(g)
            if test:
                rows.append({"share": share, "regime": regime, "part": words,
                             "tasks": sum(map(len, test.values())),
                             "folds": over_databases(folds) if folds else None,
                             "test": over_databases(test), "scientist": over_databases(scientist)})
    return rows


def lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A Markdown table of them."""
    out = ["| labels | regime | part | tasks | gain over untrained, folds | the same, test "
           "| gain over the Data Scientist, test |", "|---|---|---|---|---|---|---|"]
    return out + [f"| {r['share']:.0%} | `{r['regime']}` | {r['part']} | {r['tasks']} | "
                  + " | ".join(_cell(r[name]) for name in ("folds", "test", "scientist")) + " |"
                  for r in rows]


def _cell(mean: tuple[float, float, float] | None) -> str:
    if mean is None:
        return "–"
    point, low, high = (number(v, 2, sign=i == 0) for i, v in enumerate(mean))
    return point if np.isnan(mean[1]) else f"{point} [{low}, {high}]"


def main() -> None:
    environment = Environment.read(PROFILES[0])
    tested = figures(finished(PROFILES))
    if not tested:
        raise SystemExit("no evaluation of the suite is finished; run `make suite` first")
    made = [(p.node.section.label_share, p.node.database.name, p.node.task, p.artifact.folder)
            for name in PROFILES for p in plan(Environment.read(name))
            if p.node.stage == "rowgraph_metrics" and p.artifact is not None]
    rows = ablation(tested, fold_errors(made))
    path = environment.home / "benchmarks" / "suite" / "ablation.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines(rows)) + "\n")
    print(path.read_text())
    print(json.dumps({"benchmark": "ablation", "results": rows}))


if __name__ == "__main__":
    main()
