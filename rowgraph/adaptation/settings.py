"""Settings of adaptation to a task."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from rowgraph.settings import Section, Seeds
from rowgraph.tasks.regimes import Regime

Variant = Literal[
    "bart_gnn_finetuned",
    "bart_gnn_frozen",
    "bart_gnn_scratch",
    "bart_gnn_static",
    "bart_head",
    "random_gnn_finetuned",
    "random_gnn_frozen",
    "random_head",
]
VARIANTS: tuple[Variant, ...] = get_args(Variant)



class DownstreamMetricsSettings(Section):
    """Adaptation to a task and its evaluation (Sections 4.4 and 5)."""

    regimes: tuple[Regime, ...] = ("frozen_db", "rolling")
    variants: tuple[Variant, ...] = VARIANTS
    seeds: Seeds = (0, 1, 2, 3, 4)
    epochs: int = Field(10, gt=0)
    train_rows: int | None = Field(None, gt=0)  # newest label rows used; null = all
    batch: int = Field(512, gt=0)
    learning_rate: float = Field(1e-3, gt=0)  # docs/decisions/downstream.md
    head_hidden: int = Field(128, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    date_dim: int = Field(32, gt=0)  # Section 5.1
    fan_out: tuple[int, ...] = (20, 10)
    sampling: Literal["latest", "uniform"] = "uniform"
    bootstrap: int = Field(500, gt=0)
