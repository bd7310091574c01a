"""The one mechanism by which anything is chosen: an epoch, a rate, a number of trees, a blend.

Candidates are scored on folds, in the task's primary metric, at some steps (epochs, trees). The
choice of a regime is the candidate and step with the best mean over folds; of equals the one that
comes first. The table of all scores is the record of the choice (docs/decisions/folds.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

SCHEMA = {"model": pl.String, "candidate": pl.String, "step": pl.Int64, "fold": pl.String,
          "regime": pl.String, "metric": pl.String, "value": pl.Float64}


@dataclass(frozen=True)
class Score:
    """What one candidate reached on one fold.

    Args:
        model: whose candidate it is (a variant, a baseline).
        candidate: what is tried, in words.
        step: epochs trained or trees grown; 0 where there is nothing to count.
        fold: its name.
        value: of the primary metric; None where it is undefined on this fold.
    """

    model: str
    candidate: str
    step: int
    fold: str
    regime: str
    metric: str
    value: float | None


@dataclass(frozen=True)
class Chosen:
    """A choice: the candidate, its step, and its mean over folds; None where no fold could say."""

    candidate: str
    step: int
    value: float | None


def choose(scores: Iterable[Score], *, higher_is_better: bool) -> dict[str, Chosen]:
    """The best candidate and step of one model, by regime.

    Only candidates and steps that were scored on as many folds as any are compared. Where every
    score of a regime is undefined, as with labels of one class in every fold, it is the first that
    was tried at its first step: candidates come plain ones first, steps the most cautious first.

    Raises:
        ValueError: nothing was tried.
    """
    sums: dict[str, dict[tuple[str, int], list[float]]] = {}
    first: dict[str, tuple[str, int]] = {}
    for score in scores:
        first.setdefault(score.regime, (score.candidate, score.step))
        if score.value is not None:
            sums.setdefault(score.regime, {}).setdefault(
                (score.candidate, score.step), []).append(score.value)
    if not first:
        raise ValueError("nothing can be chosen: nothing was tried on any fold")
    sign = 1 if higher_is_better else -1
    chosen = {regime: Chosen(*key, None) for regime, key in first.items() if regime not in sums}
    for regime, found in sums.items():
        most = max(map(len, found.values()))
        means = {key: sum(v) / len(v) for key, v in found.items() if len(v) == most}
        candidate, step = max(means, key=lambda key: sign * means[key])  # the first of equals
        chosen[regime] = Chosen(candidate, step, means[candidate, step])
    return chosen


def choice_table(scores: Iterable[Score],
                 chosen: Mapping[str, Mapping[str, Chosen | Sequence[Chosen]]]) -> pl.DataFrame:
    """Every score, and whether it belongs to what was chosen.

    Args:
        chosen: by model and regime; several where their answers are averaged.
    """
    frame = pl.DataFrame([vars(s) for s in scores], schema=SCHEMA, orient="row")
    picks = [{"model": m, "regime": r, "candidate": c.candidate, "step": c.step, "chosen": True}
             for m, by_regime in chosen.items() for r, found in by_regime.items()
             for c in ([found] if isinstance(found, Chosen) else found)]
    schema = {"model": pl.String, "regime": pl.String, "candidate": pl.String, "step": pl.Int64,
              "chosen": pl.Boolean}
    return frame.join(pl.DataFrame(picks, schema=schema, orient="row"),
                      on=["model", "regime", "candidate", "step"], how="left",
                      maintain_order="left").with_columns(pl.col("chosen").fill_null(False))
