"""To whom a variant belongs: ours, the paper's ablation, a baseline, a peer, or a publication.

It follows from the stage that made its predictions, so that a new baseline needs no line here; the
paper's rows alone are known by name (`paper.ABLATION`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from rowgraph.reports.paper import ABLATION

Group = Literal["ours", "ablation", "baseline", "peer", "published"]
GROUPS: dict[Group, str] = {  # in reading order
    "ours": "RowGraph",
    "ablation": "The paper's ablation (Table 4), run here",
    "baseline": "Baselines, run here",
    "peer": "Peers, run here",
    "published": "Published in this regime, not run here",
}
MODELS: tuple[Group, ...] = ("ours", "ablation")
OPPONENTS: tuple[Group, ...] = ("baseline", "peer")
STAGES: dict[str, Group] = {"rowgraph_metrics": "ours", "downstream_metrics": "ours",
                            "baseline_metrics": "baseline", "peer_metrics": "peer"}


def groups_of(folders: Mapping[str, Path]) -> dict[tuple[str, str], Group]:
    """The group of every variant, by (`<db>__<task>` of the folders' names, variant).

    Args:
        folders: artifact folders by input name; the stages' `predictions.parquet`,
            `unavailable.parquet` and `choices.parquet` name their variants.
    """
    found: dict[tuple[str, str], Group] = {}
    for name, folder in folders.items():
        stage, _, where = name.partition("__")
        if stage in STAGES:
            for variant in _variants(folder):
                group = STAGES[stage]
                if group == "ours" and variant in ABLATION:
                    group = "ablation"
                found[where, variant] = group
    return found


def _variants(folder: Path) -> list[str]:
    names: dict[str, None] = {}
    for file, column in (("predictions", "variant"), ("unavailable", "variant"),
                         ("choices", "model")):
        path = folder / f"{file}.parquet"
        if path.exists():
            found = pl.scan_parquet(path).select(pl.col(column).unique(maintain_order=True))
            names |= dict.fromkeys(found.collect()[column].drop_nulls().to_list())
    return list(names)
