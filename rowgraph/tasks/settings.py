"""Settings of how label rows are looked at, the same for everything that is compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rowgraph.settings import Section, each_once
from rowgraph.tasks.regimes import Regime

Regimes = Annotated[tuple[Regime, ...], Field(min_length=1), AfterValidator(each_once)]
FinalFit = Literal["train", "train_and_validation"]


class LabelSettings(Section):
    """How many labels are known: docs/decisions/few-labels.md."""

    label_share: float = Field(1.0, gt=0, le=1)  # of training, validation and past test labels
    label_draw: int = Field(0, ge=0)  # which of them


class SplitSettings(LabelSettings):
    """One look for every stage of a task; a profile's `splits` sets it everywhere at once."""

    # what a test row may see: docs/decisions/regimes.md
    regimes: Regimes = ("frozen_db", "rolling")
    folds: int = Field(3, gt=0)  # docs/decisions/folds.md
    final_fit: FinalFit = "train_and_validation"  # the labels that the chosen model is fitted on
