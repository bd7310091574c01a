"""Whether embeddings still tell rows apart.

A sequence-to-sequence model can learn to reconstruct without its encoder: the decoder becomes a
language model of linearized rows, the loss falls, and every row gets nearly the same embedding.
Nothing in the loss shows it, so these figures gate publication; see docs/decisions/collapse.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rowgraph.language.settings import BartCheckpointSettings


class CollapseError(RuntimeError):
    """Embeddings that do not tell rows apart; the message says what to change."""


@dataclass(frozen=True)
class Health:
    """Figures of a sample of embeddings.

    Args:
        rows: of the sample.
        spread: root mean square distance from the mean over root mean square norm, 0 to 1.
        within_spread: the same with the distance from the mean of the row's own table.
        norm_of_mean: Euclidean norm of the mean embedding.
        effective_rank: exponential of the entropy of the normalised singular values of the centred
            sample (Roy and Vetterli, EUSIPCO 2007), 1 to the dimension; 0 if nothing varies.
        table_purity: share of rows whose nearest other row is of the same table (Figure 6).
        table_spread: `within_spread` of each table with at least two rows.
    """

    rows: int
    spread: float
    within_spread: float
    norm_of_mean: float
    effective_rank: float
    table_purity: float
    table_spread: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, in field order."""
        return asdict(self)


def measure_health(vectors: np.ndarray, tables: Sequence[str]) -> Health:
    """The health of a sample of embeddings.

    Args:
        vectors: float [n, d], n at least 2.
        tables: the table of each row.

    Raises:
        ValueError: fewer than two rows, or a number that is not finite.
    """
    x = np.asarray(vectors, dtype=np.float64)
    if len(x) < 2 or len(x) != len(tables):
        raise ValueError(f"embedding health needs at least two rows and a table for each, found "
                         f"{len(x)} rows and {len(tables)} tables")
    if not np.isfinite(x).all():
        raise ValueError(f"embeddings: {int((~np.isfinite(x)).any(1).sum())} of {len(x)} rows hold "
                         "NaN or infinite numbers; lower bart_checkpoint.learning_rate")
    scale = float(np.sqrt((x**2).sum(1).mean())) or 1.0
    centred = x - x.mean(0)
    names, group = np.unique(np.asarray(tables, dtype=str), return_inverse=True)
    own_mean = np.zeros((len(names), x.shape[1]))
    np.add.at(own_mean, group, x)
    size = np.bincount(group)
    off = ((x - (own_mean / size[:, None])[group]) ** 2).sum(1)
    by_table = np.sqrt(np.bincount(group, weights=off) / size) / scale
    return Health(
        rows=len(x),
        spread=float(np.sqrt((centred**2).sum(1).mean())) / scale,
        within_spread=float(np.sqrt(off.mean())) / scale,
        norm_of_mean=float(np.linalg.norm(x.mean(0))),
        effective_rank=_effective_rank(centred, scale),
        table_purity=_purity(x, group),
        table_spread={str(n): float(s) for n, s, k in zip(names, by_table, size, strict=True)
                      if k > 1},
    )


def _effective_rank(centred: np.ndarray, scale: float) -> float:
    singular = np.linalg.svd(centred, compute_uv=False)
    if singular.sum() <= 1e-9 * scale:
        return 0.0
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _purity(x: np.ndarray, group: np.ndarray) -> float:
    square = (x**2).sum(1)
    same = 0
    for first in range(0, len(x), 1_000):
        block = x[first:first + 1_000]
        distance = square[None, :] - 2 * block @ x.T
        distance[np.arange(len(block)), np.arange(first, first + len(block))] = np.inf
        same += int((group[distance.argmin(1)] == group[first:first + 1_000]).sum())
    return same / len(x)


def refuse_collapse(health: Health, settings: BartCheckpointSettings) -> None:
    """Stop before collapsed embeddings are published.

    Raises:
        CollapseError: `spread` or `effective_rank` is below its minimum.
    """
    faults = []
    if health.spread < settings.min_spread:
        faults.append(f"spread {health.spread:.4f}, expected at least {settings.min_spread:g} "
                      "(bart_checkpoint.min_spread)")
    if health.effective_rank < settings.min_effective_rank:
        faults.append(f"effective rank {health.effective_rank:.2f}, expected at least "
                      f"{settings.min_effective_rank:g} (bart_checkpoint.min_effective_rank)")
    if faults:
        raise CollapseError(
            f"the row embeddings have collapsed on {health.rows} held-back rows: "
            f"{'; '.join(faults)}. The decoder reconstructs without its encoder. In "
            "bart_checkpoint: raise decoder_word_drop (0.3) and bag_of_tokens_weight (1.0), lower "
            "decoder_layers, or lower learning_rate; then run again.")
