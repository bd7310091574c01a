"""What an artifact was worth on the test rows: read off its files, never computed anew."""

from __future__ import annotations

from typing import Any

from rowgraph.artifacts import Artifact

FIELDS = ("database", "task", "regime", "variant", "metric", "n_test", "seeds", "mean", "std",
          "ci_low", "ci_high")
WITH_INTERVALS = {"evaluation": "metrics.parquet", "report": "results.parquet"}


def score_rows(artifact: Artifact) -> list[dict[str, Any]]:
    """Test metrics by regime and variant, `FIELDS` each; empty where an asset has none.

    Of an evaluation and of the report every metric with its interval; of what an evaluation is
    made from the primary metric alone, as all else is the evaluation's to say.
    """
    import polars as pl

    if name := WITH_INTERVALS.get(artifact.key[0]):
        frame = pl.read_parquet(artifact.path(name)).filter(source="measured")
        return frame.select(FIELDS).to_dicts()
    summary = artifact.summary
    if "metric" not in summary or "results" not in summary:
        return []
    known = {"database": artifact.key[1], "task": artifact.key[2], "metric": summary["metric"],
             "n_test": summary["n_test"]}
    return [{**dict.fromkeys(FIELDS), **known, "regime": regime, "variant": variant, "mean": mean}
            for regime, means in summary["results"].items() for variant, mean in means.items()]


def headlines(artifact: Artifact) -> list[dict[str, Any]]:
    """A score row a regime: of an evaluation the model that it compares, of what it is made from
    `rowgraph` or else the variant that is best on validation rows. No choice is made on test."""
    summary = artifact.summary
    if artifact.key[0] == "evaluation":
        chosen = {regime: picked["model"] for regime, picked in summary["chosen"].items()}
    elif "validation" in summary and "results" in summary:
        chosen = {regime: _best(means, summary["metric"])
                  for regime, means in summary["validation"].items()}
    else:
        return []
    return [row for row in score_rows(artifact) if row["metric"] == summary["metric"]
            and row["mean"] is not None and row["variant"] == chosen.get(row["regime"])]


def variants_of(artifact: Artifact) -> set[str]:
    """The variants whose predictions an artifact holds."""
    import polars as pl

    path = artifact.folder / "predictions.parquet"
    if artifact.key[0] == "predictions" or not path.exists():
        return set()
    return set(pl.scan_parquet(path).select(pl.col("variant").unique()).collect()["variant"])


def _best(means: dict[str, float | None], metric: str) -> str | None:
    from rowgraph.tasks.kinds import HIGHER_IS_BETTER

    known = {variant: mean for variant, mean in means.items() if mean is not None}
    if "rowgraph" in means or not known:
        return "rowgraph" if "rowgraph" in means else None
    return (max if HIGHER_IS_BETTER[metric] else min)(known, key=known.get)
