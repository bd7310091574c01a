"""Random generators from stable digests.

Every draw names what it is for (`generator("sampled_rows", "rel-f1", "drivers", seed)`), so that
equal settings give equal bytes on any day and adding one draw never shifts another. Python's
salted `hash()` and global generators are never used.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def digest(*parts: object) -> str:
    """A stable hexadecimal digest (32 characters, BLAKE2b) of JSON-able parts.

    Args:
        parts: strings, numbers, booleans, None, and lists, tuples or dicts of these; dict order
            does not matter.

    Raises:
        TypeError: a part is not JSON-able.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stable_seed(*parts: object) -> int:
    """A seed in [0, 2**63) that depends on `parts` alone."""
    return int(digest(*parts)[:16], 16) >> 1


def generator(*parts: object) -> np.random.Generator:
    """A NumPy generator that depends on `parts` alone."""
    return np.random.default_rng(stable_seed(*parts))


def torch_generator(*parts: object):
    """A CPU `torch.Generator` that depends on `parts` alone."""
    import torch

    return torch.Generator().manual_seed(stable_seed(*parts))


def uniform_of_rows(row: np.ndarray, *parts: object) -> np.ndarray:
    """One number in [0, 1) for each row number, independent of which other rows are asked for.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of the row number offset by the digest of
    `parts`; used where a row's fate (its split, its place in a sample) must not depend on the
    table around it.

    Args:
        row: integer row numbers, any shape.

    Returns:
        float64 of the same shape.
    """
    with np.errstate(over="ignore"):
        z = row.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(stable_seed(*parts))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
