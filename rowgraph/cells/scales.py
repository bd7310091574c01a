"""Numbers of any unit and any tail as places among the numbers of the past.

A number becomes where it stands among the past ones, from -1 (below all) to 1 (above all), equals
in the middle of their places. It is kept as a whole number of two bytes, so that sums of many are
exact whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNIT = 32_767  # stands for 1
MISSING = -32_768
OUTSIDE = 1.0  # where what is beyond the past stands


@dataclass(frozen=True, eq=False)
class Scale:
    """Where numbers of one column stand.

    Args:
        values: float64 [k], ascending, some past numbers; one alone tells above from below.
        places: float64 [k], of these, from -1 to 1.
    """

    values: np.ndarray
    places: np.ndarray

    @classmethod
    def fit(cls, past: np.ndarray, knots: int) -> Scale | None:
        """From past numbers, float64, none missing; None without any."""
        if not len(past):
            return None
        ordered = np.sort(past)
        at = np.unique(np.linspace(0, len(ordered) - 1, knots).round().astype(np.int64))
        values = np.unique(ordered[at])
        left = np.searchsorted(ordered, values, "left")
        right = np.searchsorted(ordered, values, "right")
        return cls(values, (left + right) / len(ordered) - 1)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """int16 of float64: `UNIT` times each place, `MISSING` where there is no number."""
        found = np.interp(numbers, self.values, self.places)
        found = np.where(numbers < self.values[0], -OUTSIDE, found)
        found = np.where(numbers > self.values[-1], OUTSIDE, found)
        whole = np.round(np.nan_to_num(found) * UNIT).astype(np.int16)
        return np.where(np.isnan(numbers), np.int16(MISSING), whole)
