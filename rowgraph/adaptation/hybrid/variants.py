"""What the parts of the model are called, and how their blends are written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from rowgraph.adaptation.hybrid.blending import Mixture

NAME = "rowgraph"
MIXTURES = {"regime": pl.String, "part": pl.String, "weight": pl.Float64,
            "strength": pl.Float64, "move": pl.Float64}
VARIANTS = {  # what a part is called where it stands alone; the others are of the baselines too
    "untrained": "rowgraph_untrained", "own_past": "rowgraph_own_past",
    "trees": "rowgraph_trees", "finetuned": "rowgraph_finetuned",
    "pretrained": "rowgraph_pretrained", "zero_shot": "rowgraph_zero_shot"}


def write_mixtures(mixtures: Mapping[str, Mixture], path: Path) -> None:
    """One row for each regime and part: weight, strength, move (`blending.Mixture`)."""
    pl.DataFrame([{"regime": regime, "part": name, "weight": weight,
                   "strength": mixture.strengths[name], "move": mixture.move}
                  for regime, mixture in mixtures.items()
                  for name, weight in mixture.weights.items()],
                 schema=MIXTURES, orient="row").write_parquet(path)
