"""What a peer gave back: predictions, how they were chosen, or why there are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rowgraph.artifacts import write_json
from rowgraph.tasks.choosing import Chosen, Score
from rowgraph.tasks.predictions import Run


@dataclass
class Answers:
    """What one peer said about a task.

    Args:
        predictions: by run and split, as `rowgraph.tasks.predictions`.
        scores, chosen: what was tried on folds, and what was chosen by regime.
        unavailable: by regime, why there is no prediction: a sentence for the results table.
        facts: for the summary; JSON-able.
    """

    predictions: dict[Run, dict[str, np.ndarray]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    chosen: dict[str, Chosen] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)


def none_of(regimes: tuple[str, ...], reason: str) -> Answers:
    """No prediction in any regime, and why."""
    return Answers(unavailable=dict.fromkeys(regimes, reason))


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `<path>.npz` and, last, `<path>.json`, whose existence means that both are whole."""
    with open(path.with_name(path.name + ".npz"), "wb") as handle:
        np.savez(handle, **arrays)
    write_json(path.with_name(path.name + ".json"), sorted(arrays))


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """What `save_arrays` wrote, or None if it never finished."""
    facts = path.with_name(path.name + ".json")
    if not facts.exists():
        return None
    with np.load(path.with_name(path.name + ".npz"), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in json.loads(facts.read_text())}
