"""What the paper prints, so that ours can stand beside it.

Wu et al., "Towards Foundation Models for Relational Databases with Language Models and Graph Neural
Networks" (TRIPILET 2026). Figures are as printed, percentages as shares. All are of single runs
(Section 6, fifth limitation). These are citations: nothing is decided by them.
"""

from __future__ import annotations

from typing import NamedTuple

from rowgraph.tasks.regimes import Regime

DATABASE, TASK = "rel-f1", "driver-dnf"  # Section 5.1: its only downstream task
REGIME: Regime = "frozen_db"  # of its own rows: docs/decisions/regimes.md

GRAPHS = {  # Table 1: nodes and edges after truncation (Section 4.2)
    "rel-amazon": (4_589_766, 7_000_000),
    "rel-avito": (5_142_166, 9_488_416),
    "rel-event": (6_001_744, 6_020_839),
    "rel-hm": (4_047_698, 7_000_000),
    "rel-trial": (4_921_015, 4_671_285),
    "rel-stack": (4_023_229, 5_870_601),
    "total": (28_725_618, 40_051_141),
}

MASKING = {0.15: 8.90e-5, 0.25: 9.80e-5, 0.50: 1.19e-4, 1.00: 1.73e-4}  # Table 2: test MSE


class Comparison(NamedTuple):
    """A row of Table 3; the regime is that of the row's source, the paper names none."""

    category: str
    model: str
    roc_auc: float
    regime: Regime
    variant: str | None = None  # ours that is the same model


COMPARISON = (
    Comparison("supervised", "LightGBM", 0.6886, "frozen_db"),
    Comparison("supervised", "Data Scientist", 0.6980, "frozen_db"),
    Comparison("supervised", "RDL", 0.7262, "frozen_db"),
    Comparison("foundational", "KumoRFM (in-context)", 0.8241, "rolling"),
    Comparison("foundational", "KumoRFM (fine-tuned)", 0.8263, "rolling"),
    Comparison("foundational", "Griffin (pre-trained)", 0.5964, "frozen_db"),
    Comparison("foundational", "Griffin (fine-tuned)", 0.7091, "frozen_db"),
    Comparison("foundational", "Hybrid (frozen)", 0.6140, "frozen_db", "bart_gnn_frozen"),
    Comparison("foundational", "Hybrid (fine-tuned)", 0.6740, "frozen_db",
               "bart_gnn_finetuned"),
)


class Ablation(NamedTuple):
    """A row of Table 4; accuracy and F1 are those of its caption, equal for all rows."""

    model: str
    precision: float
    roc_auc: float
    accuracy: float = 0.705
    f1: float = 0.827


ABLATION = {  # by variant, in Table 4's order
    "bart_gnn_frozen": Ablation("BART + GNN (no fine-tuning) + Head", 0.796, 0.614),
    "bart_gnn_finetuned": Ablation("BART + GNN (with fine-tuning) + Head", 0.832, 0.674),
    "bart_head": Ablation("BART + Head", 0.683, 0.439),
    "random_head": Ablation("Random Emb. + Head", 0.742, 0.554),
    "random_gnn_frozen": Ablation("Random Emb. + GNN (no fine-tuning) + Head", 0.749, 0.535),
    "random_gnn_finetuned": Ablation("Random Emb. + GNN (with fine-tuning) + Head", 0.760, 0.580),
}
FROZEN, FINETUNED = "bart_gnn_frozen", "bart_gnn_finetuned"  # of Figures 4 and 5
