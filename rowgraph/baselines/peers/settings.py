"""Settings of the peers: models of others that are run here."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from rowgraph.settings import Count, LearningRate, Seeds, neutral
from rowgraph.tasks.settings import SplitSettings

Peer = Literal["rdl", "kumo_relational"]
PEERS: tuple[Peer, ...] = get_args(Peer)
KUMO_WEIGHTS = "nvidia/Kumo-Relational@v1.0.1"  # what structured-data-models 0.2 loads


class PeerMetricsSettings(SplitSettings):
    """Peers on the same rows and regimes; each needs its extra (docs/decisions/peers.md).

    RDL's defaults are those of RelBench's example `gnn_entity.py`.
    """

    peers: tuple[Peer, ...] = ()  # none: no asset
    seeds: Seeds = (0, 1, 2)  # trainings of each peer
    epochs: int = Field(10, gt=0)  # at most; how many is chosen on folds
    steps: int | None = Field(None, gt=0)  # batches of an epoch at most; null = all
    batch: int = Field(512, gt=0)  # label rows of a step
    train_rows: int | None = Field(None, gt=0)  # newest label rows fitted on; null = all
    learning_rate: LearningRate = 5e-3  # of RDL
    channels: int = Field(128, gt=0, multiple_of=2)  # of RDL
    fan_out: tuple[int, ...] = (128, 64)  # of RDL: neighbours per edge type, for each layer
    text_dim: int = Field(64, gt=0)  # of hashed character n-grams
    workers: Count | None = neutral(None)  # trainings side by side; null = a process for each core
    kumo_weights: str = KUMO_WEIGHTS  # name[@revision] on the hub, or a folder of .pt files
    kumo_context: int = Field(1_000, gt=0)  # newest label rows shown as examples
    kumo_fan_out: tuple[int, ...] = (16, 8)  # neighbours per hop
    kumo_estimators: int = Field(1, gt=0)  # whose mean answers

    @field_validator("peers")
    @classmethod
    def _listed_once(cls, values: tuple) -> tuple:
        if len(set(values)) != len(values):
            raise ValueError(f"each may be listed once, found {list(values)}")
        return values

    @field_validator("fan_out", "kumo_fan_out")
    @classmethod
    def _hops(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if not values or any(k < 1 and k != -1 for k in values):
            raise ValueError("a number above 0 for each hop, or -1 for all neighbours, found "
                             f"{list(values)}")
        return values
