"""Recommendation: our own model has its networks (`towers.py`) and no training yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.artifacts import Draft
from rowgraph.tasks.label_tables import Task

REASON = "no training of recommendations yet"
UNAVAILABLE = {"variant": pl.String, "regime": pl.String, "reason": pl.String}


def run_recommendation(task: Task, graph: object, vectors: Mapping[int, object],
                       settings: DownstreamMetricsSettings, draft: Draft, *, device: object,
                       log: Callable[[int, dict[str, float]], None]) -> dict[str, Any]:
    """Say that no variant can answer, so that the baselines of the task are evaluated all the same.

    Args:
        draft: gets `unavailable.parquet`, a row a variant and regime.

    Returns:
        The summary: metric, numbers of label rows, and why there is no result.
    """
    rows = [{"variant": variant, "regime": regime, "reason": REASON}
            for variant in settings.variants for regime in settings.regimes]
    pl.DataFrame(rows, schema=UNAVAILABLE).write_parquet(draft.path("unavailable.parquet"))
    return {"metric": task.primary, "n_train": len(task.train), "n_val": len(task.val),
            "n_test": len(task.test), "unavailable": REASON}
