"""What is hidden of a seed, and what of it the model may see: the objectives of pre-training.

| objective | of a seed the model sees | it reconstructs | source |
|---|---|---|---|
| `dimensions` | its vector, hidden dimensions zero | the hidden dimensions | Section 4.3.2 |
| `rows` | nothing: all zeros | the whole vector | Table 2, last row |
| `cells` | the vector of its text with cells masked | the vector of its whole text | ours |

The last two cannot be answered from the visible part alone, so they ask for the neighbours
(docs/decisions/sage.md). Only seeds are hidden, and only they count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from rowgraph.randomness import generator
from rowgraph.sage.objective import draw_mask, hide
from rowgraph.sage.seeds import PretrainingError
from rowgraph.sage.settings import SageWeightsSettings

if TYPE_CHECKING:
    from rowgraph.sage.masked_texts import MaskedTexts

Among = tuple[np.ndarray, int] | None  # places among the rows drawn for, and how many those are


class Hiding(Protocol):
    """Hides a part of some rows of a table."""

    def __call__(self, database: str, table: str, rows: np.ndarray, truth: Tensor,
                 *what: object, among: Among = None) -> tuple[Tensor, Tensor]:
        """What the model sees of them, float [N, D], and what it is asked, bool [N, D].

        Args:
            truth: float [N, D], their vectors; left as they are.
            what: what the draw is for.
            among: where the draw is for more rows than these.
        """


class HiddenDimensions:
    """Each dimension of each row with a probability (the paper's)."""

    def __init__(self, probability: float):
        self.probability = probability

    def __call__(self, database: str, table: str, rows: np.ndarray, truth: Tensor,
                 *what: object, among: Among = None) -> tuple[Tensor, Tensor]:
        """Zero where hidden."""
        places, whole = (slice(None), len(truth)) if among is None else among
        mask = draw_mask(whole, truth.shape[1], self.probability, generator(*what, "mask"))
        mask = mask[places]
        mask = mask.to(truth.device)
        return hide(truth, mask), mask


class HiddenRows:
    """Everything."""

    def __call__(self, database: str, table: str, rows: np.ndarray, truth: Tensor,
                 *what: object, among: Among = None) -> tuple[Tensor, Tensor]:
        """All zeros, and all asked."""
        return torch.zeros_like(truth), torch.ones_like(truth, dtype=torch.bool)


class HiddenCells:
    """Cells of the row's text, each with a probability: the text is encoded again without them."""

    def __init__(self, probability: float, texts: Mapping[str, MaskedTexts | None]):
        if missing := [name for name, found in texts.items() if found is None]:
            raise PretrainingError("objective `cells` encodes the rows of a batch again and has no "
                                   f"masked texts of {', '.join(missing)}; set it in a profile, so "
                                   "that source and bart_checkpoint become inputs")
        self.probability, self.texts = probability, texts

    def __call__(self, database: str, table: str, rows: np.ndarray, truth: Tensor,
                 *what: object, among: Among = None) -> tuple[Tensor, Tensor]:
        """The vectors of the masked texts; every dimension is asked."""
        shown = self.texts[database].vectors(table, rows, self.probability, *what, "mask")
        return shown, torch.ones_like(truth, dtype=torch.bool)


def hiding_of(settings: SageWeightsSettings, texts: Mapping[str, MaskedTexts | None]) -> Hiding:
    """The hiding that an objective asks for.

    Raises:
        PretrainingError: it encodes texts and a database has none.
    """
    if settings.objective == "cells":
        return HiddenCells(settings.mask_probability, texts)
    return HiddenRows() if settings.objective == "rows" else HiddenDimensions(
        settings.mask_probability)
