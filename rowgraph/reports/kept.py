"""The models that a profile keeps, as the report finds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowgraph.serving.model import FACTS

MODEL, PREDICTIONS = "adapted_model", "predictions"


@dataclass(frozen=True, eq=False)
class KeptModel:
    """One kept model and, where it was asked, its newest predictions.

    Args:
        facts: of `model.json`.
        model, predictions: folders.
    """

    facts: Mapping[str, Any]
    model: Path
    predictions: Path | None

    @property
    def database(self) -> str:
        """Whose model it is."""
        return self.facts["task"]["database"]

    @property
    def task(self) -> str:
        """What it answers."""
        return self.facts["task"]["name"]


def kept_models(folders: Mapping[str, Path]) -> list[KeptModel]:
    """From artifact folders by input name."""
    found = []
    for name, folder in folders.items():
        if name.startswith(f"{MODEL}__"):
            asked = folders.get(f"{PREDICTIONS}__{name.partition('__')[2]}")
            found.append(KeptModel(json.loads((folder / FACTS).read_text()), folder, asked))
    return found
