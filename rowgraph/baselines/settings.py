"""Settings of the baselines."""

from __future__ import annotations

from pydantic import Field

from rowgraph.settings import Section, Seeds
from rowgraph.tasks.regimes import Regime


class BaselineMetricsSettings(Section):
    """Baselines on the same rows and regimes."""

    regimes: tuple[Regime, ...] = ("frozen_db", "rolling")
    seeds: Seeds = (0, 1, 2, 3, 4)
    trees: int = Field(200, gt=0)
    bootstrap: int = Field(500, gt=0)
