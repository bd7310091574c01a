"""Settings of how rows become vectors."""

from __future__ import annotations

from typing import Literal

from rowgraph.settings import Count, Section, neutral


class NodeEmbeddingsSettings(Section):
    """How rows are encoded (Section 4.2: mean pooling of the last hidden states)."""

    precision: Literal["fp32", "bf16"] = "fp32"  # of the forward pass; bf16 where supported
    dtype: Literal["float16", "float32"] = "float16"  # of the vectors on disk
    batch_tokens: Count = neutral(16_384)  # of a batch, padding included
    workers: Count | None = neutral(None)  # threads on a CPU, a batch each; null = every core
