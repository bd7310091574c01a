"""Vectors of names and of words, the same in every database.

A name is its words, a word its letters in threes: `driverId` and `driver_id` are near each other
and near `drivers`. Each part has a random direction that a digest decides, so that nothing is
trained, downloaded or fitted on a database.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

import numpy as np

NAME_DIM = 32
WORD_DIM = 16
MOST_WORDS = 40  # of a value


def name_vector(*parts: str) -> np.ndarray:
    """float32 [NAME_DIM], about as long as sqrt(NAME_DIM): of a table, or of table and column."""
    whole = sum((_name(str(part)) for part in parts), np.zeros(NAME_DIM))
    return (whole / np.sqrt(len(parts))).astype(np.float32)


def word_vector(value: str) -> np.ndarray:
    """float32 [WORD_DIM], about as long as sqrt(WORD_DIM) / 2: of a value that is a word or a few,
    half its own and half that of its words."""
    words = value.lower().split()[:MOST_WORDS]
    found = _direction(f"value {value}", WORD_DIM)
    if len(words) > 1:
        found = (found + sum(_direction(f"value {w}", WORD_DIM) for w in words)
                 / np.sqrt(len(words))) / np.sqrt(2)
    return (found / 2).astype(np.float32)


@lru_cache(4096)
def _name(part: str) -> np.ndarray:
    words = re.sub(r"([A-Z]+)", r" \1", part).lower()
    words = re.findall(r"[^\W_]+", words) or [part]
    found = np.zeros(NAME_DIM)
    for word in words:
        framed = f"^{word}$"
        threes = [framed[i:i + 3] for i in range(max(1, len(framed) - 2))]
        found += _direction(f"word {word}", NAME_DIM)
        found += sum(_direction(f"letters {t}", NAME_DIM) for t in threes) / np.sqrt(len(threes))
    return found / np.sqrt(2 * len(words))


@lru_cache(65_536)
def _direction(text: str, dim: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).standard_normal(dim)
