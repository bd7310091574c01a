"""Settings of window features."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rowgraph.tasks.settings import SplitSettings


class WindowFeaturesSettings(SplitSettings):
    """What is aggregated, and over which windows (docs/decisions/window-features.md)."""

    horizons: tuple[Annotated[float, Field(gt=0)], ...] = (1, 3, 12)  # multiples of `timedelta`
    spans: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.02, 0.1, 0.3)  # of the past's span
    lasts: tuple[Annotated[int, Field(gt=0)], ...] = (3, 10, 30)  # newest events
    half_lives: tuple[Annotated[float, Field(gt=0)], ...] = (3, 12)  # of label history, horizons
    two_hops: bool = True  # paths of two foreign keys and more
    frequent_values: int = Field(6, ge=0)  # values of a column whose share is a feature
    label_history: bool = True  # the entity's own past labels as features
    max_features: int = Field(1_000, gt=0)  # kept, near paths first
