"""Settings of what is asked of a finished model."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from rowgraph.adaptation.settings import AdaptationSettings, Variant
from rowgraph.settings import each_once
from rowgraph.tasks.settings import LabelSettings


class EvaluationSettings(LabelSettings):
    """How figures get their intervals: docs/decisions/statistics.md."""

    bootstrap: int = Field(1000, gt=1)  # resamples of an interval
    fewest_dates: int = Field(5, gt=1)  # with fewer test dates entities are resampled instead
    headline: str | None = "rowgraph"  # the model of the one answer; else the best on validation
    reference: str | None = "rowgraph"  # whom models are compared with; else the headline's
    pairs: tuple[tuple[str, str], ...] = ()  # variants to compare besides
    baselines: tuple[str, ...] | None = None  # variants; null = those of baselines and peers
    bins: int = Field(10, gt=1)  # of a reliability curve, equally full


class TransferMetricsSettings(AdaptationSettings):
    """What each pre-training is worth with few labels: docs/decisions/transfer.md."""

    variants: tuple[Variant, ...] = ("bart_gnn_finetuned", "bart_gnn_frozen")
    # sage_weights and names in sage_sweep; none = all
    pretrainings: Annotated[tuple[str, ...], AfterValidator(each_once)] = ()
    # of the labels; none = no asset
    shares: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...],
                      AfterValidator(each_once)] = ()

    @model_validator(mode="after")
    def _only_what_pre_training_can_move(self):
        others = [v for v in self.variants if v not in ("bart_gnn_finetuned", "bart_gnn_frozen")]
        if others:
            raise ValueError(f"transfer_metrics compares pre-trainings with no pre-training; "
                             f"{others[0]} is no pre-trained variant of BART's embeddings")
        return self
