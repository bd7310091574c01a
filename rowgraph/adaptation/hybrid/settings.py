"""Settings of RowGraph's own model."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from rowgraph.settings import Count, LearningRate, Seeds, neutral
from rowgraph.tasks.settings import SplitSettings

Part = Literal["untrained", "own_past", "windows", "trees", "finetuned", "history", "pretrained",
               "zero_shot"]
BLENDED: tuple[Part, ...] = get_args(Part)[:6]


class RowgraphMetricsSettings(SplitSettings):
    """The parts of the model and how each is fitted (docs/decisions/hybrid.md)."""

    parts: tuple[Part, ...] = Field(BLENDED, min_length=1)  # of the blend
    beside: tuple[Part, ...] = ("pretrained", "zero_shot")  # rows of the table alone
    seeds: Seeds = (0, 1, 2)  # of trees and fine-tuning
    untrained: int = Field(3, gt=0)  # encoders of random weights whose answers are averaged
    fit_rows: int | None = Field(20_000, gt=0)  # newest label rows fitted on; null = all
    choice_rows: int | None = Field(12_000, gt=0)  # of them, where folds choose; null = all
    trees: int = Field(300, gt=0)  # at most; how many is chosen on folds
    bags: int = Field(2, gt=0)  # forests whose mean answers
    linear_features: int = Field(300, gt=0)  # window features that the linear part is given
    steps: int = Field(240, gt=0)  # of fine-tuning, at most
    batch: int = Field(128, gt=0)  # label rows of a step
    learning_rate: LearningRate = 1e-3  # of the encoder; of the head twice as high
    head_hidden: int = Field(64, gt=0)  # channels of the head
    dropout: float = Field(0.2, ge=0, lt=1)  # in the head, while it is trained
    workers: Count | None = neutral(None)  # trainings side by side; null = a process for each core

    @model_validator(mode="after")
    def _listed_once(self):
        values = [*self.parts, *self.beside]
        if len(set(values)) != len(values):
            raise ValueError(f"parts and beside: each may be listed once, found {values}")
        return self
