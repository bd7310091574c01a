"""How long work says how far it is."""

from collections.abc import Mapping
from typing import Protocol


class Log(Protocol):
    """Hears the newest figures of a step of the pipeline, as often as it has some."""

    def __call__(self, step: int, metrics: Mapping[str, float], of: int | None = None, /) -> None:
        """One report.

        Args:
            step: how much is done, in the unit of the work: optimizer steps, texts, trainings.
            metrics: figures at that step, by name.
            of: how much there is in all, where that is known.
        """
