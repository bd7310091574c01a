"""The rows of the ablation (Table 4), each as four facts about the model.

Everything else asks these facts; no other module compares a variant's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rowgraph.adaptation.settings import VARIANTS


class Embeddings(Enum):
    """Where a row's vector comes from."""

    BART = "bart"
    RANDOM = "random"


class Gnn(Enum):
    """What happens to the shared SAGEConv layers (Section 4.4)."""

    NONE = "none"  # no graph: the head reads the entity row's own vector
    FROZEN = "frozen"  # pre-trained and fixed; new projections, date encoder and head are trained
    FINETUNED = "finetuned"  # pre-trained and trained on
    SCRATCH = "scratch"  # freshly initialised and trained: what pre-training is worth


@dataclass(frozen=True)
class Variant:
    """One row of the ablation.

    `static` is what the paper seems to do: one graph, holding the database up to
    `test_timestamp`, for every label row whatever its own time. It **leaks**: a training or
    validation row sees the very rows from which its label was computed, so its training and
    validation figures look far better than they are. Its test figures obey the regime as all
    others do, and suffer from what training learnt to rely on.

    `joint` trains the language model's last layers too: rows' vectors move with the network that
    reads them (`rowgraph.adaptation.joint`).
    """

    name: str
    embeddings: Embeddings
    gnn: Gnn
    static: bool = False
    joint: bool = False

    @property
    def random(self) -> bool:
        """The embeddings are the random twin."""
        return self.embeddings is Embeddings.RANDOM

    @property
    def has_gnn(self) -> bool:
        """Seed rows are enriched through the graph."""
        return self.gnn is not Gnn.NONE

    @property
    def transfers(self) -> bool:
        """The shared layers start from pre-training."""
        return self.gnn in (Gnn.FROZEN, Gnn.FINETUNED)

    @property
    def freezes(self) -> bool:
        """The shared layers are not trained."""
        return self.gnn is Gnn.FROZEN


_BY_NAME = {
    v.name: v
    for v in (
        Variant("bart_gnn_finetuned", Embeddings.BART, Gnn.FINETUNED),
        Variant("bart_gnn_frozen", Embeddings.BART, Gnn.FROZEN),
        Variant("bart_gnn_joint", Embeddings.BART, Gnn.FINETUNED, joint=True),
        Variant("bart_gnn_scratch", Embeddings.BART, Gnn.SCRATCH),
        Variant("bart_gnn_static", Embeddings.BART, Gnn.FINETUNED, static=True),
        Variant("bart_head", Embeddings.BART, Gnn.NONE),
        Variant("random_gnn_finetuned", Embeddings.RANDOM, Gnn.FINETUNED),
        Variant("random_gnn_frozen", Embeddings.RANDOM, Gnn.FROZEN),
        Variant("random_head", Embeddings.RANDOM, Gnn.NONE),
    )
}
assert tuple(_BY_NAME) == VARIANTS


def variant(name: str) -> Variant:
    """The variant of a name in `settings.VARIANTS`.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if name not in _BY_NAME:
        raise ValueError(f"variant '{name}' does not exist; known: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
