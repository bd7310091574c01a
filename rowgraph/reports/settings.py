"""Settings of the report and of the maps of rows in it."""

from __future__ import annotations

from pydantic import Field, model_validator

from rowgraph.settings import Section
from rowgraph.tasks.kinds import HIGHER_IS_BETTER
from rowgraph.tasks.regimes import Regime

UNBOUNDED = ("mae", "nmae", "r2", "log_loss")  # every other metric lies between 0 and 1


class PublishedFigure(Section):
    """A figure from elsewhere, shown beside the measured ones of its regime with its source.

    Args:
        metric: as RowGraph names it; a share, not a percentage.
        kind: how the method was trained, in the source's words (supervised, in-context, ...).
    """

    database: str
    task: str
    regime: Regime
    variant: str
    metric: str
    value: float
    source: str
    kind: str = ""

    @model_validator(mode="after")
    def _a_figure_that_can_be_compared(self):
        what = f"published {self.variant!r} on {self.task}"
        if self.metric not in HIGHER_IS_BETTER:
            raise ValueError(f"{what}: metric {self.metric!r} does not exist; known: "
                             f"{', '.join(HIGHER_IS_BETTER)}")
        if self.metric not in UNBOUNDED and not 0 <= self.value <= 1:
            raise ValueError(f"{what}: {self.metric} lies between 0 and 1, found {self.value:g}; "
                             "write 68.86 % as 0.6886")
        return self


class ReportSettings(Section):
    """What the report shows beside the measured rows."""

    title: str = "RowGraph results"  # of the page
    # figures of others: a list, or the name of a CSV file beside the profile
    published: tuple[PublishedFigure, ...] = ()


class RowMapSettings(Section):
    """The maps of rows before and after the GNN (Figures 6 and 7): docs/decisions/report.md."""

    rows: int = Field(2_000, ge=50)  # drawn evenly over the tables
    seed: int = 0  # of the draw, and of t-SNE
