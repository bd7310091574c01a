"""Settings of what is saved and asked."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, field_validator

from rowgraph.settings import Count, Section, neutral


class AdaptedModelSettings(Section):
    """Whether a task's model is fitted for good; of forecasts of classes and numbers."""

    fit: bool = False  # keep a model of the task, to ask it for predictions
    workers: Count = neutral(1)  # fits side by side; another process pays where a fit takes minutes


class PredictionsSettings(Section):
    """About which date a saved model is asked, and how much is said of why."""

    at: str | None = None  # a date or time, ISO 8601, in UTC; null = right after the newest row
    explained: int = Field(10, ge=0)  # rows of highest rank whose reasons are written down
    # champion: unless the newest model was found to be worse, the newest
    model: Literal["champion", "newest"] = neutral("champion")

    @field_validator("at", mode="before")
    @classmethod
    def _a_moment(cls, value: object) -> object:
        if value is not None:
            moment_of(str(value))
        return value if value is None else str(value)

    @property
    def moment(self) -> int | None:
        """Microseconds since 1970."""
        return None if self.at is None else moment_of(self.at)


def moment_of(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 date or time; without a zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date; write it as 2026-11-27 or 2026-11-27T08:00"
                         ) from None
    found = found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found
    return (found - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
