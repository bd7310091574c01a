"""Settings of what is saved and asked."""

from __future__ import annotations

from pydantic import Field, field_validator

from rowgraph.settings import Section


class AdaptedModelSettings(Section):
    """Whether a task's model is fitted for good; of forecasts of classes and numbers."""

    fit: bool = False


class PredictionsSettings(Section):
    """About which date a saved model is asked, and how much is said of why."""

    at: str | None = None  # a date or time, ISO 8601, in UTC; null = right after the newest row
    explained: int = Field(10, ge=0)  # rows of highest rank whose reasons are written down

    @field_validator("at", mode="before")
    @classmethod
    def _a_moment(cls, value: object) -> object:
        if value is None:
            return None
        import numpy as np

        try:
            moment = np.datetime64(str(value), "us")
        except ValueError:
            moment = np.datetime64("NaT")
        if np.isnat(moment):
            raise ValueError(f"{value!r} is no date; write it as 2026-11-27 or 2026-11-27T08:00")
        return str(value)

    @property
    def moment(self) -> int | None:
        """Microseconds since 1970."""
        import numpy as np

        return None if self.at is None else int(np.datetime64(self.at, "us").astype(np.int64))
