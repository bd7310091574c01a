"""Settings of window features."""

from __future__ import annotations

from rowgraph.tasks.settings import SplitSettings


class WindowFeaturesSettings(SplitSettings):
    """What is aggregated, and over which windows."""
