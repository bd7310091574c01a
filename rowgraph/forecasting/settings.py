"""Settings of training on forecast questions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rowgraph.settings import Count, LearningRate, Section, Seeds, neutral


class ForecastSettings(Section):
    """The encoder, and how it is trained on questions (docs/decisions/forecasting.md)."""

    width: int = Field(64, gt=0)  # inner channels
    output: int = Field(256, gt=0)  # of a row's vector
    dropout: float = Field(0.1, ge=0, lt=1)  # in training
    fan_out: tuple[Count, Count] = (10, 5)  # newest neighbours per edge type
    steps: int = Field(600, gt=0)  # of the optimizer
    batch: int = Field(160, gt=0)  # rows of a step
    questions: int = Field(10, gt=0)  # about a row
    learning_rate: LearningRate = 2e-3  # at its highest
    weight_decay: float = Field(1e-2, ge=0)  # of AdamW
    warm_up: float = Field(0.1, ge=0, lt=1)  # share of the steps
    stale: float = Field(0.3, ge=0, le=1)  # share of rows seen as of some time before
    precedents: int = Field(0, ge=0)  # others of whom a question is told what became of them
    save_steps: Count = neutral(200)  # between two savings


class OwnPastWeightsSettings(ForecastSettings):
    """A held-out database's own past, without labels."""

    # fresh weights, or those of other databases
    start: Literal["fresh", "forecast_weights"] = "fresh"
    seeds: Seeds = (0, 1, 2)  # encoders, whose answers are averaged
    folds: int = Field(3, gt=0)  # of tasks: the oldest cut is where the first training ends
    tasks: tuple[str, ...] = ()  # of the database; the catalog fills them in
    workers: Count | None = neutral(None)  # trainings side by side; null = a process for each core

    def of_tasks(self, tasks: tuple[str, ...]) -> OwnPastWeightsSettings:
        """The same for a database with these tasks."""
        return self.model_copy(update={"tasks": tasks})


class ForecastWeightsSettings(ForecastSettings):
    """The pasts of pre-training databases and of synthetic ones."""

    steps: int = Field(6000, gt=0)  # of the optimizer
    seed: int = 0  # of weights, draws and order
    synthetic: int = Field(280, ge=0)  # databases
    synthetic_share: float = Field(0.5, ge=0, le=1)  # of the steps
    precedents: int = Field(16, ge=0)  # others of whom a question is told what became of them
