"""Settings of the baselines."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from rowgraph.settings import Count, Seeds, neutral
from rowgraph.tasks.settings import SplitSettings

Baseline = Literal["global_constant", "entity_mean", "entity_history", "lightgbm_entity",
                   "data_scientist", "data_scientist_linear", "data_scientist_blend"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


class BaselineMetricsSettings(SplitSettings):
    """Baselines on the same rows and regimes (docs/decisions/baselines.md)."""

    # Of classification and regression; a recommendation task has its own.
    baselines: tuple[Baseline, ...] = Field(BASELINES, min_length=1)
    seeds: Seeds = (0, 1, 2, 3, 4)  # of the trees
    trees: int = Field(200, gt=0)  # at most; how many is chosen on folds
    bags: int = Field(2, gt=0)  # LightGBMs whose mean is one seed of the Data Scientist
    linear_features: int = Field(300, gt=0)  # of highest gain that the linear model is given
    fit_rows: int | None = Field(50_000, gt=0)  # newest label rows fitted on; null = all
    choice_rows: int | None = Field(15_000, gt=0)  # of them, where folds choose; null = all
    workers: Count | None = neutral(None)  # fits side by side; null = a process for each core

    @field_validator("baselines")
    @classmethod
    def _listed_once(cls, values: tuple) -> tuple:
        if len(set(values)) != len(values):
            raise ValueError(f"each may be listed once, found {list(values)}")
        return values
