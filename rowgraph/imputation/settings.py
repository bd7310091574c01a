"""Settings of filling in cells."""

from __future__ import annotations

from pydantic import Field, model_validator

from rowgraph.settings import Count, Section, neutral


class ImputationMetricsSettings(Section):
    """Filling in cells, the task of Vogel et al. (2023): docs/decisions/imputation.md."""

    rows_per_column: int = Field(200, gt=0)  # cells asked of a column, at most
    min_rows: int = Field(20, gt=0)  # a column with fewer cells to ask is skipped
    fit_rows: int = Field(5_000, gt=1)  # rows of a table that baselines are fitted on, at most
    trees: int = Field(100, gt=0)  # of LightGBM
    classes: int = Field(50, gt=1)  # most frequent values that LightGBM chooses from
    max_new_tokens: int = Field(32, gt=0)  # of a generated cell
    bootstrap: int = Field(500, gt=0)  # resamples of an interval
    seed: int = 0  # of the draw of cells
    batch: Count = neutral(32)  # rows at once on the device

    @model_validator(mode="after")
    def _a_column_can_be_asked_enough(self):
        if self.min_rows > self.rows_per_column:
            raise ValueError(f"min_rows must not exceed rows_per_column ({self.rows_per_column}), "
                             f"found {self.min_rows}: no column would be scored")
        return self
