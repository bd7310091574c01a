"""Every number that a person may turn: frozen pydantic models, one per stage.

The defaults are the paper's (`tests/test_paper.py` asserts each with its section); where the paper
is silent the field's comment names the decision record. A field marked `neutral` cannot change a
result beyond rounding (device, workers, inference batch size, cadence) and is left out of
`effective()`, hence of every recipe. All stages together are a `rowgraph.profiles.Profile`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Regime = Literal["frozen_db", "rolling"]


def neutral(default: Any) -> Any:
    """A field that cannot change a result and therefore belongs to no recipe."""
    return Field(default, json_schema_extra={"neutral": True})


class Section(BaseModel):
    """The settings of one stage: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def effective(self) -> dict[str, Any]:
        """The settings that can change a result, JSON-able, in field order."""
        fields = type(self).model_fields
        keep = {n for n, f in fields.items() if not (f.json_schema_extra or {}).get("neutral")}
        return self.model_dump(mode="json", include=keep)


class DatabaseSettings(Section):
    """One database of a profile."""

    name: str
    role: Literal["pretrain", "heldout"]
    entities: int | None = Field(None, gt=0)  # embedded builders: entities drawn; null = in full
    max_rows_per_table: int | None = Field(None, gt=0)  # Section 4.2: larger tables are subsampled
    tasks: tuple[str, ...] = ()
    expected_rows: int | None = Field(None, gt=0)  # after subsampling; for `rowgraph plan` alone

    @model_validator(mode="after")
    def _tasks_only_where_held_out(self):
        if self.role == "pretrain" and self.tasks:
            raise ValueError(f"{self.name}: tasks belong to held-out databases, its role is "
                             "pretrain; remove `tasks` or set `role: heldout`")
        if self.role == "heldout" and not self.tasks:
            raise ValueError(f"{self.name}: a held-out database needs at least one task; "
                             "`rowgraph databases` lists them")
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"{self.name}: a task is listed twice in {list(self.tasks)}")
        return self

    def effective(self) -> dict[str, Any]:
        """What decides the content of the resolved database: not its role, tasks or expectation."""
        return self.model_dump(mode="json", include={"name", "entities", "max_rows_per_table"})


class SampledRowsSettings(Section):
    """Which rows of the pre-training databases the language model reads (Section 4.2)."""

    rows: int = Field(100_000, gt=0)
    seed: int = 0


class LinearizedCorpusSettings(Section):
    """How a row becomes text and to which split it goes (Section 4.2)."""

    train: float = Field(0.70, gt=0, lt=1)
    validation: float = Field(0.10, gt=0, lt=1)
    test: float = Field(0.20, gt=0, lt=1)
    keys: bool = False  # key columns as text: docs/decisions/linearization.md
    seed: int = 0

    @model_validator(mode="after")
    def _shares_sum_to_one(self):
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test must be 1, found {total:g}")
        return self


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
    max_tokens: int = Field(1024, ge=8)
    mask_table: float = Field(0.30, ge=0, le=1)
    mask_attribute: float = Field(0.20, ge=0, le=1)
    mask_value: float = Field(0.40, ge=0, le=1)
    epochs: int = Field(50, gt=0)
    effective_batch: int = Field(128, gt=0)
    learning_rate: float = Field(3e-5, gt=0)  # docs/decisions/fine-tuning.md
    warmup_fraction: float = Field(0.06, ge=0, lt=1)  # docs/decisions/fine-tuning.md
    weight_decay: float = Field(0.01, ge=0)  # docs/decisions/fine-tuning.md
    precision: Literal["fp32", "bf16"] = "bf16"  # bf16 = autocast where supported, else fp32
    decoder_word_drop: float = Field(0.0, ge=0, lt=1)  # docs/decisions/collapse.md
    bag_of_tokens_weight: float = Field(0.0, ge=0)  # docs/decisions/collapse.md
    min_spread: float = Field(0.05, ge=0)  # docs/decisions/collapse.md
    min_effective_rank: float = Field(4.0, ge=1)  # docs/decisions/collapse.md
    health_rows: int = Field(2_000, gt=1)
    seed: int = 0
    device_batch: int = neutral(16)
    save_steps: int = neutral(500)


class NodeEmbeddingsSettings(Section):
    """How rows are encoded (Section 4.2: mean pooling of the last hidden states)."""

    precision: Literal["fp32", "bf16"] = "fp32"
    dtype: Literal["float16", "float32"] = "float16"
    batch_tokens: int = neutral(16_384)
    workers: int | None = neutral(None)  # threads on a CPU, a batch each; null = every core


class EntityGraphSettings(Section):
    """The relational entity graph has no choices of its own: structure and times are facts."""


class SageWeightsSettings(Section):
    """The shared GraphSAGE model and its pre-training (Sections 4.1 and 4.3.2)."""

    hidden: int = Field(256, gt=0)
    layers: int = Field(2, gt=0)
    edge_type_reduce: Literal["mean", "sum"] = "mean"  # docs/decisions/sage.md
    fan_out: tuple[int, ...] = (20, 10)
    batch: int = Field(16_384, gt=0)
    epochs: int = Field(20, gt=0)
    seeds_per_epoch: int | None = Field(None, gt=0)  # nodes drawn per database; null = every node
    learning_rate: float = Field(1e-4, gt=0)
    mask_probability: float = Field(0.15, gt=0, le=1)
    objective: Literal["dimensions", "rows", "cells"] = "dimensions"  # docs/decisions/sage.md
    target: Literal["embedding", "deviation"] = "embedding"  # docs/decisions/sage.md
    projections: Literal["own", "shared"] = "own"  # shared: one for all tables, which transfers too
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16 = autocast where supported, else fp32
    alpha: float = Field(0.7, ge=0, le=1)
    gamma: float = Field(2.0, gt=0)
    epsilon: float = Field(1e-6, gt=0)
    validation: float = Field(0.1, gt=0, lt=1)  # docs/decisions/sage.md
    test: float = Field(0.1, gt=0, lt=1)
    seed: int = 0
    save_seconds: int = neutral(60)

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
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
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


class TransferMetricsSettings(DownstreamMetricsSettings):
    """What each pre-training is worth with few labels: docs/decisions/transfer.md."""

    variants: tuple[Variant, ...] = ("bart_gnn_finetuned", "bart_gnn_frozen")
    pretrainings: tuple[str, ...] = ()  # sage_weights and names in sage_sweep; none = all
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()  # of the labels; none = no asset

    @model_validator(mode="after")
    def _only_what_pre_training_can_move(self):
        others = [v for v in self.variants if v not in ("bart_gnn_finetuned", "bart_gnn_frozen")]
        if others:
            raise ValueError(f"transfer_metrics compares pre-trainings with no pre-training; "
                             f"{others[0]} is no pre-trained variant of BART's embeddings")
        return self


class BaselineMetricsSettings(Section):
    """Baselines on the same rows and regimes."""

    regimes: tuple[Regime, ...] = ("frozen_db", "rolling")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    trees: int = Field(200, gt=0)
    bootstrap: int = Field(500, gt=0)


class ImputationMetricsSettings(Section):
    """Filling in cells, the task of Vogel et al. (2023): docs/decisions/imputation.md."""

    rows_per_column: int = Field(200, gt=0)  # cells asked of a column, at most
    min_rows: int = Field(20, gt=0)  # a column with fewer cells to ask is skipped
    fit_rows: int = Field(5_000, gt=1)  # rows of a table that baselines are fitted on, at most
    trees: int = Field(100, gt=0)
    classes: int = Field(50, gt=1)  # most frequent values that LightGBM chooses from
    max_new_tokens: int = Field(32, gt=0)  # of a generated cell
    bootstrap: int = Field(500, gt=0)
    seed: int = 0
    batch: int = neutral(32)

    @model_validator(mode="after")
    def _a_column_can_be_asked_enough(self):
        if self.min_rows > self.rows_per_column:
            raise ValueError(f"min_rows must not exceed rows_per_column ({self.rows_per_column}), "
                             f"found {self.min_rows}: no column would be scored")
        return self


class PublishedFigure(Section):
    """A figure from elsewhere, shown beside the measured ones with its source."""

    database: str
    task: str
    regime: Regime
    variant: str
    metric: str
    value: float
    source: str


class ReportSettings(Section):
    """What the report shows beside the measured rows."""

    title: str = "RowGraph results"
    published: tuple[PublishedFigure, ...] = ()


class ComputeSettings(Section):
    """Where it runs; nothing here may change a result beyond rounding."""

    device: str = neutral("auto")
    threads: int | None = neutral(None)
    processes: int = neutral(1)  # of fine-tuning, by torchrun: one a GPU, or a share of the cores


STAGES: dict[str, type[Section]] = {
    "sampled_rows": SampledRowsSettings,
    "linearized_corpus": LinearizedCorpusSettings,
    "bart_checkpoint": BartCheckpointSettings,
    "node_embeddings": NodeEmbeddingsSettings,
    "entity_graph": EntityGraphSettings,
    "sage_weights": SageWeightsSettings,
    "transfer_metrics": TransferMetricsSettings,
    "downstream_metrics": DownstreamMetricsSettings,
    "baseline_metrics": BaselineMetricsSettings,
    "imputation_metrics": ImputationMetricsSettings,
    "report": ReportSettings,
}
