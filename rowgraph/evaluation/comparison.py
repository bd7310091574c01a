"""Which differences between variants are findings: the rows of `comparisons.parquet`.

Shapes: B bootstrap resamples.

Opponents are picked without a look at test labels: the model that settings name (or the best on
validation), the baseline and the reference that are best on validation. The baseline that is best
on test stands beside them as the harder one, against the one model of the headline. All
comparisons of a task and regime are one family for Holm's correction, half of whose alpha begins
with these two; the verdict is read off the interval at the level at which Holm tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from rowgraph.evaluation.averages import by_variant
from rowgraph.evaluation.intervals import Part, degrees_of_freedom, holm, p_value, t_interval
from rowgraph.evaluation.resamples import Resamples, say_runs, trainings
from rowgraph.evaluation.scoring import LEVEL, Key, Scored, training_part
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.metrics import measure
from rowgraph.tasks.predictions import Predictions

COMPARISONS = {"database": pl.String, "task": pl.String, "regime": pl.String, "metric": pl.String,
               "variant": pl.String, "against": pl.String, "basis": pl.String,
               "headline": pl.Boolean, "difference": pl.Float64, "ci_low": pl.Float64,
               "ci_high": pl.Float64, "level": pl.Float64, "p_value": pl.Float64,
               "p_adjusted": pl.Float64, "comparisons": pl.Int64, "interval": pl.String,
               "verdict": pl.String}
VALIDATION = {"database": pl.String, "task": pl.String, "regime": pl.String, "variant": pl.String,
              "baseline": pl.Boolean, "metric": pl.String, "mean": pl.Float64,
              "higher_is_better": pl.Boolean}
ALPHA = 1 - LEVEL
Basis = Literal["validation", "test", "reference", "pair"]  # how the opponent was picked


class Pair(NamedTuple):
    """Two variants to compare, and how the second was picked.

    Args:
        headline: the model and the baseline that validation picked: the answer in one line.
    """

    variant: str
    against: str
    basis: Basis
    headline: bool = False


class Best(NamedTuple):
    """What is compared in one regime: the model that settings name or validation picks, and the
    baseline that validation picks; None where there is nothing to pick from."""

    model: str | None
    baseline: str | None


def validation_figures(task: Task, predictions: Predictions) -> dict[str, dict[str, float]]:
    """The primary metric on validation by regime and variant, where it is defined: mean over runs.

    Validation predictions come from models that were fitted on training rows alone.
    """
    found: dict[str, dict[str, float]] = {}
    for (regime, variant), group in by_variant(predictions).items():
        if not all("val" in predictions[run] for run in group):
            continue
        try:
            values = [measure(task.primary, task.val.target, np.asarray(predictions[run]["val"]),
                              task.train.target) for run in group]
        except ValueError as error:
            if "undefined" not in str(error):
                raise
            continue  # validation labels do not differ: nothing is picked on them
        if all(value is not None for value in values):
            found.setdefault(regime, {})[variant] = float(np.mean(values))
    return found


def validation_rows(task: Task, figures: Mapping[str, Mapping[str, float]],
                    baselines: Iterable[str]) -> pl.DataFrame:
    """`validation_figures` as a table, `VALIDATION`."""
    known = set(baselines)
    rows = [{"database": task.database.name, "task": task.name, "regime": regime,
             "variant": variant, "baseline": variant in known, "metric": task.primary,
             "mean": mean, "higher_is_better": task.higher_is_better}
            for regime, of in figures.items() for variant, mean in of.items()]
    return pl.DataFrame(rows, schema=VALIDATION, orient="row")


def best_of(figures: Mapping[str, float], among: Iterable[str],
            higher_is_better: bool) -> str | None:
    """The variant with the best figure among some; of equals the one that comes first."""
    candidates = [variant for variant in among if variant in figures]
    sign = 1 if higher_is_better else -1
    return max(candidates, key=lambda v: sign * figures[v]) if candidates else None


def pairs_of(scored: Mapping[str, Scored], validation: Mapping[str, float],
             baselines: Iterable[str], settings: EvaluationSettings,
             higher_is_better: bool) -> tuple[list[Pair], Best]:
    """What is compared with what in one regime, and what validation picked.

    Args:
        scored: the primary metric of each variant on test.
        validation: of each variant on validation, as far as it is defined.
        baselines: names of the variants that are not ours.
    """
    there = [variant for variant, one in scored.items() if one.exists]
    known = set(baselines)
    models = [v for v in there if v not in known]
    others = [v for v in there if v in known]
    model = settings.headline
    if model not in models:
        model = best_of(validation, models, higher_is_better)
    best = Best(model, best_of(validation, others, higher_is_better))
    on_test = best_of({v: scored[v].mean for v in others}, others, higher_is_better)
    reference = settings.reference if settings.reference in models else best.model
    models.sort(key=lambda v: v != best.model)  # the headline comes first
    wanted: list[Pair] = []
    if best.baseline:
        wanted += [Pair(m, best.baseline, "validation", m == best.model) for m in models]
        if best.model:
            wanted.append(Pair(best.model, on_test, "test"))
    elif on_test:
        wanted += [Pair(m, on_test, "test") for m in models]
    wanted += [Pair(m, reference, "reference") for m in models if reference]
    wanted += [Pair(*pair, "pair") for pair in settings.pairs if set(pair) <= set(there)]
    kept: dict[frozenset[str], Pair] = {}
    for pair in wanted:
        if pair.variant != pair.against:
            kept.setdefault(frozenset(pair[:2]), pair)
    return list(kept.values()), best


def compare(task: Task, scored: Mapping[Key, Scored], validation: Mapping[str, Mapping[str, float]],
            resamples: Resamples, baselines: Iterable[str],
            settings: EvaluationSettings) -> tuple[pl.DataFrame, dict[str, Best]]:
    """Paired differences in the primary metric, corrected for their number.

    Args:
        scored: from `score_task`, on the same resamples.
        validation: from `validation_figures`; picks the opponents.
        baselines: names of the variants that are not ours.

    Returns:
        `COMPARISONS`: `difference` is positive where the variant is better; `ci_low` to `ci_high`
        is its interval at `level`, which Holm's correction decides. And what validation picked,
        by regime.
    """
    rows: list[dict[str, Any]] = []
    picked: dict[str, Best] = {}
    for regime in dict.fromkeys(key[0] for key in scored):
        primary = {key[1]: one for key, one in scored.items()
                   if key[0] == regime and key[2] == task.primary}
        pairs, picked[regime] = pairs_of(primary, validation.get(regime, {}), baselines, settings,
                                         task.higher_is_better)
        found = [difference(primary[p.variant], primary[p.against], resamples,
                             1 if task.higher_is_better else -1) for p in pairs]
        adjusted, levels = holm([f.p_value for f in found], ALPHA, _weights(pairs))
        for pair, one, p_adjusted, level in zip(pairs, found, adjusted, levels, strict=True):
            low, high = (None, None) if one.sd is None else t_interval(one.value, one.sd, level,
                                                                       one.df)
            rows.append({
                "database": task.database.name, "task": task.name, "regime": regime,
                "metric": task.primary, **pair._asdict(), "difference": one.value, "ci_low": low,
                "ci_high": high, "level": level, "p_value": one.p_value,
                "p_adjusted": p_adjusted, "comparisons": len(pairs), "interval": one.words,
                "verdict": verdict(low, high)})
    return pl.DataFrame(rows, schema=COMPARISONS, orient="row"), picked


def _weights(pairs: Sequence[Pair]) -> list[float]:
    """Half of what may be claimed is kept for the answer: the headline and its harder opponent."""
    headline = [pair.variant for pair in pairs if pair.headline]
    answer = [pair.headline or (pair.basis == "test" and pair.variant in headline)
              for pair in pairs]
    count = sum(answer)
    if not count or 2 * count >= len(pairs):
        return [1.0] * len(pairs)
    return [0.5 / count if of_it else 0.5 / (len(pairs) - count) for of_it in answer]


def verdict(ci_low: float | None, ci_high: float | None) -> Literal["ahead", "behind", "level"]:
    """What the interval of a difference allows to say."""
    if ci_low is not None and ci_low > 0:
        return "ahead"
    return "behind" if ci_high is not None and ci_high < 0 else "level"


def sentence(row: Mapping[str, Any], names: Mapping[str, str] | None = None) -> str:
    """A row of `comparisons.parquet` in words.

    Args:
        row: as `iter_rows(named=True)` gives it.
        names: what readers call a variant; others are called by their name in code.
    """
    first, second = ((names or {}).get(v, f"`{v}`") for v in (row["variant"], row["against"]))
    if row["ci_low"] is None:
        return f"no finding: too little was measured to compare {first} with {second}"
    size, low, high = written(row["difference"], row["ci_low"], row["ci_high"])
    if row["verdict"] == "ahead":
        return f"{first} is ahead of {second} by {size} [{low}, {high}]"
    if row["verdict"] == "behind":
        size, low, high = written(-row["difference"], -row["ci_high"], -row["ci_low"])
        return f"{first} is behind {second} by {size} [{low}, {high}]"
    return f"no finding: the gain of {first} over {second} is {size} [{low}, {high}]"


def written(*values: float) -> list[str]:
    """Figures that stand together: equally many decimals, no nought before the point."""
    largest = max(abs(value) for value in values)
    places = 3
    if largest >= 10:
        places = max(0, 4 - len(str(int(largest))))
    elif 0 < largest < 0.005:
        places = 1 - int(np.floor(np.log10(largest)))
    texts = [f"{value:,.{places}f}" for value in values]
    texts = [t.lstrip("-") if not t.strip("-0.,") else t for t in texts]  # no -.000
    return [t.replace("0.", ".", 1) if t.lstrip("-").startswith("0.") else t for t in texts]


class Difference(NamedTuple):
    """A paired difference; `sd` is None where too little was measured to say how far it moves."""

    value: float
    sd: float | None
    df: float
    p_value: float
    words: str


def difference(one: Scored, other: Scored, resamples: Resamples, sign: int) -> Difference:
    """How far one is ahead of the other on the same resamples.

    Args:
        sign: 1 where a higher value is better, else -1.
    """
    value = sign * (one.mean - other.mean)
    draws = sign * (one.draws - other.draws)
    draws = draws[~np.isnan(draws)]
    said = dict.fromkeys((say_runs(one.runs), say_runs(other.runs)))
    words = f"{resamples.words}, {' against '.join(said)}"
    if len(draws) < 2 or resamples.clusters < 2:
        return Difference(value, None, 0.0, 1.0, words)
    parts: list[Part] = [(0.0, resamples.clusters - 1.0)]
    if trainings(one.runs)[0] == trainings(other.runs)[0]:
        parts.append(training_part(one.by_training - other.by_training))
    else:
        parts += [training_part(one.by_training), training_part(other.by_training)]
    sd = float(draws.std(ddof=1))
    df = degrees_of_freedom(sd**2, parts)
    return Difference(value, sd, df, p_value(value, sd, df), words)
