"""Settings of adaptation to a task."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from rowgraph.settings import FanOut, LearningRate, Section, Seeds, neutral
from rowgraph.tasks.regimes import Regime
from rowgraph.tasks.settings import SplitSettings

Variant = Literal[
    "bart_gnn_finetuned",
    "bart_gnn_frozen",
    "bart_gnn_joint",
    "bart_gnn_scratch",
    "bart_gnn_static",
    "bart_head",
    "random_gnn_finetuned",
    "random_gnn_frozen",
    "random_head",
]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
SEQUENTIAL: tuple[Variant, ...] = tuple(v for v in VARIANTS if v != "bart_gnn_joint")


class JointSettings(Section):
    """How the variant `bart_gnn_joint` trains the language model with the graph network.

    Ours: the paper leaves joint training open (Section 7). docs/decisions/joint.md.
    """

    layers: int = Field(1, gt=0)  # the last so many of the encoder's
    rank: int = Field(0, ge=0)  # 0 = all their weights; else of adapters on their attention
    learning_rate: LearningRate = 1e-3  # of the language model
    texts: int = Field(128, gt=0)  # encoded with gradients in a step; other rows' are held ones


class AdaptationSettings(Section):
    """One training on a task's label rows (Sections 4.4 and 5)."""

    # what a test row may see: docs/decisions/regimes.md
    regimes: tuple[Regime, ...] = Field(("frozen_db", "rolling"), min_length=1)
    variants: tuple[Variant, ...] = Field(SEQUENTIAL, min_length=1)  # rows of the ablation
    seeds: Seeds = (0, 1, 2, 3, 4)  # trainings of each variant
    epochs: int = Field(10, gt=0)  # trained; where folds choose, the most that can be chosen
    train_rows: int | None = Field(None, gt=0)  # newest label rows used; null = all
    batch: int = Field(512, gt=0)  # label rows of a step
    # docs/decisions/downstream.md
    learning_rate: LearningRate = 1e-3
    head_hidden: int = Field(128, gt=0)  # channels of the head
    dropout: float = Field(0.1, ge=0, lt=1)  # in head and network
    date_dim: int = Field(32, gt=0)  # Section 5.1
    fan_out: FanOut = (20, 10)  # neighbours of a node per edge type, for each layer
    sampling: Literal["latest", "uniform"] = "uniform"  # of neighbours: the newest, or any

    @model_validator(mode="after")
    def _each_once(self):
        for name in ("regimes", "variants"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} lists one more than once: {', '.join(values)}; list each "
                                 "once")
        return self


class Candidate(Section):
    """What is tried on folds: null leaves the stage's own value.

    `aged` trains on rows that are as stale as test rows are under `frozen_db`, the only regime
    that it is tried for (`rowgraph.tasks.folds.aged`).
    """

    learning_rate: LearningRate | None = None
    dropout: float | None = Field(None, ge=0, lt=1)
    aged: bool = False


class DownstreamMetricsSettings(AdaptationSettings, SplitSettings):
    """Adaptation of every variant to a task: choices on folds, then the final fits."""

    variants: tuple[Variant, ...] = SEQUENTIAL  # none: without the paper's models and their needs
    joint: JointSettings = JointSettings()  # of `bart_gnn_joint`, which is in no default
    candidates: tuple[Candidate, ...] = ()  # none: the values above; docs/decisions/downstream.md
    reference: Variant | None = None  # the variant that compares candidates; null = see `judge`
    workers: int | None = neutral(None)  # processes of one thread on a CPU; null = the cores

    @property
    def judge(self) -> Variant:
        """The variant that compares the candidates: `reference`, else the fine-tuned one, else
        the first with a graph network, else the first."""
        if self.reference is not None:
            return self.reference
        with_gnn = [v for v in self.variants if "_gnn_" in v]
        return ("bart_gnn_finetuned" if "bart_gnn_finetuned" in self.variants
                else (with_gnn or list(self.variants))[0])

    @model_validator(mode="after")
    def _candidates_can_be_compared(self):
        if self.reference is not None and self.reference not in self.variants:
            raise ValueError(f"reference is {self.reference}, which is not among variants "
                             f"({', '.join(self.variants)}); add it or name one of them")
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError("candidates lists one more than once; list each once")
        if self.candidates and all(c.aged for c in self.candidates) and (
                "rolling" in self.regimes):
            raise ValueError("candidates: every one is aged, which none can be under rolling; add "
                             "one without `aged: true`")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, found {self.workers}; null uses every "
                             "core")
        return self
