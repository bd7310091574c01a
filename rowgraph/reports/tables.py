"""What a table is to every form of the report: text in cells, and what a page may add to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

Tone = Literal["model", "baseline", "published"]


@dataclass(frozen=True)
class Dots:
    """A figure with its interval, drawn in a cell on a scale that its column shares."""

    value: float
    low: float | None
    high: float | None
    domain: tuple[float, float]
    tone: Tone = "model"


@dataclass(frozen=True)
class Cell:
    """A cell that is more than its text.

    Args:
        strong: set off, as the best of its group.
        tip: explains the text where a page can show it on demand.
        dots: drawn in place of the text where a page can draw.
    """

    text: str
    strong: bool = False
    tip: str = ""
    dots: Dots | None = None


@dataclass(frozen=True)
class Band:
    """A line across the table that names the rows below it."""

    text: str


Row = Sequence[str | Cell] | Band


@dataclass(frozen=True)
class ReportTable:
    """A table as people read it.

    Args:
        title, legend: what it is, and how to read it (may be empty).
        head: names of the columns; tips explains some of them.
        rows: a list of cells per row, or a band.
    """

    title: str
    legend: str
    head: Sequence[str]
    rows: Sequence[Row]
    tips: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """There is no row to read."""
        return all(isinstance(row, Band) for row in self.rows)


def text_of(cell: str | Cell) -> str:
    """A cell's text."""
    return cell if isinstance(cell, str) else cell.text


def plain_table(title: str, legend: str, frame: pl.DataFrame,
                rows: Sequence[Sequence[Any]]) -> ReportTable:
    """A table with a frame's column names as its head."""
    return ReportTable(title, legend, [c.replace("_", " ") for c in frame.columns],
                       [[str(v) for v in row] for row in rows])
