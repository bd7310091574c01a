"""Settings of GraphSAGE and its pre-training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rowgraph.settings import Count, FanOut, LearningRate, Section, neutral


class SageWeightsSettings(Section):
    """The shared GraphSAGE model and its pre-training (Sections 4.1 and 4.3.2)."""

    hidden: int = Field(256, gt=0)  # channels
    layers: int = Field(2, gt=0)  # shared convolutions
    edge_type_reduce: Literal["mean", "sum"] = "mean"  # docs/decisions/sage.md
    fan_out: FanOut = (20, 10)  # neighbours of a node per edge type, for each layer
    batch: int = Field(16_384, gt=0)  # seeds of a step
    epochs: int = Field(20, gt=0)  # over the seeds
    seeds_per_epoch: int | None = Field(None, gt=0)  # nodes drawn per database; null = every node
    learning_rate: LearningRate = 1e-4  # of Adam
    # share of a seed's dimensions that are hidden
    mask_probability: float = Field(0.15, gt=0, le=1)
    objective: Literal["dimensions", "rows", "cells"] = "dimensions"  # docs/decisions/sage.md
    target: Literal["embedding", "deviation"] = "embedding"  # docs/decisions/sage.md
    projections: Literal["own", "shared"] = "own"  # shared: one for all tables, which transfers too
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16 = autocast where supported, else fp32
    # weight of the cosine error in the loss; the rest is the squared error's
    alpha: float = Field(0.7, ge=0, le=1)
    gamma: float = Field(2.0, gt=0)  # power of the cosine error
    epsilon: float = Field(1e-6, gt=0)  # keeps norms from nought
    validation: float = Field(0.1, gt=0, lt=1)  # docs/decisions/sage.md
    # share of each table's rows that is held back for the error that is reported
    test: float = Field(0.1, gt=0, lt=1)
    seed: int = 0  # of weights, masks, draws and order
    save_seconds: Count = neutral(60)  # between two savings

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self):
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be below 1, found "
                             f"{self.validation + self.test:g}")
        return self

    @model_validator(mode="after")
    def _one_fan_out_per_layer(self):
        if len(self.fan_out) != self.layers:
            raise ValueError(f"fan_out needs one number per layer ({self.layers}), "
                             f"found {list(self.fan_out)}")
        return self
