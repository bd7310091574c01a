"""`forecast_weights`: the encoder trained on the pasts of many databases, none of them held out.

Real databases and synthetic ones take turns; names are turned at random in each step, so that none
is learned by heart and the weights of a column come from what it looks like and from what is told
of its past. Held-out databases cannot be among them: they are no input of the asset.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import safetensors.torch
import torch

from rowgraph.artifacts import Draft, write_json
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import Cells, write_cell_store
from rowgraph.databases.database import Database
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.own_past import Reading
from rowgraph.forecasting.questions import Questions
from rowgraph.forecasting.reader import Reader
from rowgraph.forecasting.settings import ForecastSettings, ForecastWeightsSettings
from rowgraph.forecasting.synthetic import write_synthetic
from rowgraph.forecasting.training import Past, Weights, examine, train
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.parallel.group import ALONE, Group
from rowgraph.progress import Log

EXAMINED = {"database": pl.String, "score": pl.String, "value": pl.Float64}


def pretrain_on_forecasts(databases: Mapping[str, Reading], settings: ForecastWeightsSettings,
                          draft: Draft, *, device: str, log: Log,
                          group: Group = ALONE) -> dict[str, Any]:
    """Train on questions about every database and about synthetic ones.

    An interrupted training goes on from its last save.

    Args:
        databases: by name.
        draft: gets `weights.safetensors`, `weights.json`, `curves.parquet` (step, loss) and
            `examined.parquet` (database, score, value): on questions of the databases trained on,
            beside a rule.
        log: called with the loss.
        group: of workers that take each step together; the first one writes.

    Returns:
        The summary: databases, synthetic ones, steps, parameters, and scores by database; empty
        in every worker but the first.
    """
    where = torch.device(device)
    pasts = []
    for name, reading in databases.items():
        reader = reading.reader(settings.fan_out)
        pasts.append(_past(name, reader, reading.database.test_timestamp, settings, where,
                           (1 - settings.synthetic_share) / max(len(databases), 1)))
    folder = draft.state / "synthetic"
    for number in range(group.rank, settings.synthetic, group.size):
        _write_synthetic(folder / f"{number:04d}", number)
    group.wait()
    for number in range(settings.synthetic):
        pasts.append(_synthetic(folder / f"{number:04d}", number, settings, where,
                                settings.synthetic_share / max(settings.synthetic, 1)))
    weights = train(pasts, Weights.fresh(settings, settings.seed), settings,
                    purpose=("forecast_weights", settings.seed), rotated=True, device=where,
                    state=draft.state / "training.pt", log=log, group=group)
    if not group.is_writer:
        return {}
    purpose = "forecast_weights", "examined"
    examined = {past.name: examine(past, weights, settings, purpose=purpose, device=where)
                for past in pasts[:len(databases)] if past.questions}
    safetensors.torch.save_file(weights.state(), draft.path("weights.safetensors"))
    write_json(draft.path("weights.json"), {"settings": ForecastSettings.model_validate(
        settings.model_dump(include=set(ForecastSettings.model_fields))).model_dump(mode="json")})
    pl.DataFrame(weights.curve, schema={"step": pl.Int64, "loss": pl.Float64}).write_parquet(
        draft.path("curves.parquet"))
    pl.DataFrame([{"database": name, "score": score, "value": value}
                  for name, found in examined.items() for score, value in found.items()],
                 schema=EXAMINED, orient="row").write_parquet(draft.path("examined.parquet"))
    return {"databases": list(databases), "synthetic": settings.synthetic,
            "steps": settings.steps, "questions": examined,
            "parameters": sum(p.numel() for part in weights.parts.values()
                              for p in part.parameters())}


def load_forecast_weights(folder: Path) -> Weights:
    """The weights of `pretrain_on_forecasts`, for evaluation."""
    facts = json.loads((folder / "weights.json").read_text())
    weights = Weights.fresh(ForecastSettings.model_validate(facts["settings"]), 0)
    weights.load(safetensors.torch.load_file(folder / "weights.safetensors"))
    for module in weights.parts.values():
        module.eval()
    return weights


def _past(name: str, reader: Reader, until: int, settings: ForecastWeightsSettings,
          device: torch.device, weight: float) -> Past:
    return Past(name, reader, Names.of(reader).to(device),
                Questions(reader, until, stale=settings.stale, precedents=settings.precedents),
                weight)


def _write_synthetic(folder: Path, number: int) -> None:
    if not (folder / "cells" / "columns.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_synthetic(folder, number)
        (folder / "cells").mkdir()
        write_cell_store(Database.open(folder), CellStoreSettings(), Draft(folder / "cells"))


def _synthetic(folder: Path, number: int, settings: ForecastWeightsSettings, device: torch.device,
               weight: float) -> Past:
    database = Database.open(folder)
    reader = Reader(build_entity_graph(database), Cells.open(folder / "cells", database),
                    database.val_timestamp, settings.fan_out)
    return _past(f"synthetic {number}", reader, database.test_timestamp, settings, device, weight)
