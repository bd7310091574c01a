"""Settings of the report."""

from __future__ import annotations

from rowgraph.settings import Section
from rowgraph.tasks.regimes import Regime


class PublishedFigure(Section):
    """A figure from elsewhere, shown beside the measured ones with its source."""

    database: str
    task: str
    regime: Regime
    variant: str
    metric: str
    value: float
    source: str



class ReportSettings(Section):
    """What the report shows beside the measured rows."""

    title: str = "RowGraph results"
    published: tuple[PublishedFigure, ...] = ()
