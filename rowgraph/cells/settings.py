"""Settings of the cell store."""

from __future__ import annotations

from pydantic import Field

from rowgraph.settings import Section


class CellStoreSettings(Section):
    """Rows as numbers (docs/decisions/cells.md)."""

    sample: int = Field(50_000, gt=0)  # past rows of a table on which its scales are fitted
    knots: int = Field(256, gt=1)  # quantiles kept of a column
