"""What was fitted, as plain arrays, trees as text and facts: nothing in it can be executed.

`pack` takes a fitted part apart; `Unpacking` puts it together again over other rows: those of a
database that has grown since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
import torch

from rowgraph.adaptation.exams import Exam
from rowgraph.adaptation.heads import Amount, answer_of
from rowgraph.adaptation.hybrid.network import Network
from rowgraph.adaptation.hybrid.on_vectors import FittedVectors, LinearOnVectors, Options
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.linear import LinearPath, NormalScores
from rowgraph.adaptation.own_labels import FittedHistory, OwnLabels
from rowgraph.adaptation.shallow import FittedLinear, FittedTrees
from rowgraph.adaptation.sheets import Sheets
from rowgraph.tasks.label_tables import Task
from rowgraph.trees import Forest


@dataclass(frozen=True, eq=False)
class Packed:
    """One fitted part.

    Args:
        facts: what JSON holds; `kind` says of what.
        arrays: by name.
        texts: trees as LightGBM writes them.
    """

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)


def pack(fitted: Any) -> Packed:
    """Take a fitted part apart.

    Raises:
        TypeError: it is of a kind that cannot be saved.
    """
    match fitted:
        case FittedVectors():
            packed = Packed({"kind": "vectors", "encoder": fitted.model.kind,
                             "options": vars(fitted.options), "paths": [],
                             "level": _history(fitted.level)})
            for number, path in enumerate(fitted.paths):
                packed.facts["paths"].append(_path(path, f"{number}.", packed.arrays))
        case FittedLinear():
            packed = Packed({"kind": "linear"}, {"columns": fitted.columns})
            packed.facts["path"] = _path(fitted.path, "", packed.arrays)
        case FittedTrees():
            packed = Packed({"kind": "trees"},
                            {"columns": fitted.columns, "ranked": fitted.ranked},
                            [forest.booster.model_to_string() for forest in fitted.forests])
        case FittedHistory():
            packed = Packed({"kind": "history", **_history(fitted)})
        case Network():
            answer = fitted.answer
            packed = Packed({"kind": "network", "level": _history(fitted.level),
                             "spread": fitted.spread,
                             "scale": [answer.center, answer.spread]
                             if isinstance(answer, Amount) else None},
                            {name: value.numpy() for name, value in fitted.state().items()})
        case _:
            raise TypeError(f"a {type(fitted).__name__} cannot be saved")
    return packed


@dataclass(frozen=True, eq=False)
class Unpacking:
    """What fitted parts read when they are put together again.

    Args:
        task: whose test rows are asked.
        sheets: window features of these rows, with vectors where trees look at them.
        vectors, own: of these rows.
        exam: with the cut that the model was fitted with.
        settings: those that it was fitted with.
    """

    task: Task
    sheets: Sheets
    vectors: RowVectors
    own: OwnLabels
    exam: Exam
    settings: RowgraphMetricsSettings

    def unpack(self, packed: Packed) -> Any:
        """Put a part together.

        Returns:
            As `rowgraph.adaptation.trials.Fitted`, or a `Network`.
        """
        facts, arrays = packed.facts, packed.arrays
        match facts["kind"]:
            case "vectors":
                model = LinearOnVectors(self.task, self.vectors, self.own, facts["encoder"],
                                        len(facts["paths"]), facts["encoder"])
                paths = [_as_path(path, f"{number}.", arrays)
                         for number, path in enumerate(facts["paths"])]
                return FittedVectors(model, self.exam, Options(**facts["options"]), paths,
                                     self._level(facts["level"]))
            case "linear":
                return FittedLinear(self.sheets, arrays["columns"],
                                    _as_path(facts["path"], "", arrays))
            case "trees":
                forests = [Forest(self.task.task_type, lightgbm.Booster(model_str=text))
                           for text in packed.texts]
                return FittedTrees(self.sheets.at(self.exam), arrays["columns"],
                                   arrays["ranked"], forests)
            case "history":
                return self._level(facts)
        return self._network(facts, arrays)

    def _level(self, facts: Mapping[str, Any] | None) -> FittedHistory | None:
        return None if facts is None else FittedHistory(
            self.task, self.own, facts["mean"], facts["pull"], np.array(facts["constant"]))

    def _network(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Network:
        answer = (answer_of(self.task, np.empty(0)) if facts["scale"] is None
                  else Amount(*facts["scale"]))
        start = self.vectors.weights(facts["encoder"], self.exam, 0)
        network = Network.started(self.vectors, self.own, start, answer,
                                  self._level(facts["level"]), facts["spread"], self.settings, 0)
        return network.load({name: torch.from_numpy(value) for name, value in arrays.items()})


def _history(fitted: FittedHistory | None) -> dict[str, Any] | None:
    return None if fitted is None else {"mean": fitted.kind, "pull": fitted.pull,
                                        "constant": np.asarray(fitted.constant).tolist()}


def _path(path: LinearPath, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Put a path's arrays beside the others; its facts."""
    scores = path.scores
    arrays |= {f"{prefix}weights": path.weights, f"{prefix}bias": path.bias,
               f"{prefix}mean": scores.mean, f"{prefix}scale": scores.scale,
               f"{prefix}flags": np.array(scores.flags, np.int64)}
    for i, (knots, codes) in enumerate(zip(scores.knots, scores.codes, strict=True)):
        if knots is not None:
            arrays[f"{prefix}knots.{i}"] = np.stack(knots).astype(np.float64)
        if len(codes):
            arrays[f"{prefix}codes.{i}"] = codes
    return {"task_type": path.task_type, "features": len(scores.knots), "centre": path.centre,
            "unit": path.unit}


def _as_path(facts: Mapping[str, Any], prefix: str,
             arrays: Mapping[str, np.ndarray]) -> LinearPath:
    knots = [arrays.get(f"{prefix}knots.{i}") for i in range(facts["features"])]
    scores = NormalScores(
        tuple(None if k is None else (k[0], k[1]) for k in knots),
        tuple(arrays.get(f"{prefix}codes.{i}", np.empty(0)) for i in range(facts["features"])),
        tuple(arrays[f"{prefix}flags"].tolist()), arrays[f"{prefix}mean"],
        arrays[f"{prefix}scale"])
    return LinearPath(facts["task_type"], scores, arrays[f"{prefix}weights"],
                      arrays[f"{prefix}bias"], facts["centre"], facts["unit"])
