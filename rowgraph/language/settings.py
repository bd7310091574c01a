"""Settings of the row language model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from rowgraph.settings import Count, LearningRate, Section, Seeds, neutral


class BartCheckpointSettings(Section):
    """The row language model and its fine-tuning (Section 4.3.1)."""

    checkpoint: str | None = "facebook/bart-large"  # hub name or folder; null = from scratch
    # From scratch only:
    vocabulary: int = Field(4_000, ge=300)
    d_model: int = Field(128, gt=0)
    encoder_layers: int = Field(2, gt=0)
    decoder_layers: int = Field(1, gt=0)
    heads: int = Field(4, gt=0)
    ffn_dim: int = Field(512, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    initial_std: float | None = Field(None, gt=0)  # null = by width: docs/decisions/collapse.md
    # Both:
    max_tokens: int = Field(1024, ge=8)  # of a row; what is longer is cut, and counted
    mask_table: float = Field(0.30, ge=0, le=1)  # chance that a table name is masked
    mask_attribute: float = Field(0.20, ge=0, le=1)  # chance that an attribute name is
    mask_value: float = Field(0.40, ge=0, le=1)  # chance that a cell's value is
    epochs: int = Field(50, gt=0)  # over the training rows of the corpus
    effective_batch: int = Field(128, gt=0)  # rows of an optimizer step
    learning_rate: LearningRate = 3e-5  # docs/decisions/fine-tuning.md
    warmup_fraction: float = Field(0.06, ge=0, lt=1)  # docs/decisions/fine-tuning.md
    weight_decay: float = Field(0.01, ge=0)  # docs/decisions/fine-tuning.md
    precision: Literal["fp32", "bf16"] = "bf16"  # bf16 = autocast where supported, else fp32
    decoder_word_drop: float = Field(0.0, ge=0, lt=1)  # docs/decisions/collapse.md
    bag_of_tokens_weight: float = Field(0.0, ge=0)  # docs/decisions/collapse.md
    min_spread: float = Field(0.05, ge=0)  # docs/decisions/collapse.md
    min_effective_rank: float = Field(4.0, ge=1)  # docs/decisions/collapse.md
    health_rows: int = Field(2_000, gt=1)  # rows of the test split whose vectors are looked at
    seed: int = 0  # of weights, masks and order
    seeds: Seeds | None = None  # several language models, over which an evaluation averages
    device_batch: Count = neutral(16)  # rows at once on the device
    save_steps: Count = neutral(500)  # between two savings

    @model_validator(mode="after")
    def _heads_share_the_width(self):
        if self.checkpoint is None and self.d_model % self.heads:
            raise ValueError(f"d_model ({self.d_model}) must be a multiple of heads "
                             f"({self.heads}); change one of them")
        return self

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of every language model of the experiment, the first one first."""
        return self.seeds or (self.seed,)

    def of_seed(self, seed: int) -> BartCheckpointSettings:
        """The settings of one of them."""
        return self.model_copy(update={"seed": seed, "seeds": None})

    def effective(self) -> dict[str, Any]:
        """Of one language model: which others there are does not change it."""
        return {k: v for k, v in super().effective().items() if k != "seeds"}
