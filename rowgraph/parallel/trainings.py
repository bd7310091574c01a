"""The trainings that workers can share, from what can be told to a process on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowgraph.artifacts import Draft
from rowgraph.parallel.group import Group
from rowgraph.progress import Log


def train(stage: str, inputs: Mapping[str, Any], settings: Mapping[str, Any], draft: Draft, *,
          device: str, log: Log, group: Group) -> dict[str, Any]:
    """Train one stage, as one worker of a group.

    Args:
        stage: `bart_checkpoint`, `sage_weights`, `forecast_weights` or `own_past_weights`.
        inputs: JSON-able; folders as text, see each training below.
        settings: JSON-able, of the stage.

    Returns:
        The summary; empty in every worker but the first.

    Raises:
        Exception: as the training.
    """
    training = {"bart_checkpoint": _bart, "sage_weights": _sage, "forecast_weights": _forecasts,
                "own_past_weights": _own_past}[stage]
    return training(inputs, settings, draft, device, log, group)


def _bart(inputs, settings, draft, device, log, group) -> dict[str, Any]:
    """`corpus`: the file of `write_corpus`. The Trainer finds group and GPU by itself."""
    import torch

    from rowgraph.language.fine_tuning import fine_tune
    from rowgraph.language.settings import BartCheckpointSettings

    return fine_tune(Path(inputs["corpus"]), BartCheckpointSettings.model_validate(settings), draft,
                     device=device if group.size == 1 else torch.device(device).type, log=log)


def _sage(inputs, settings, draft, device, log, group) -> dict[str, Any]:
    """`databases` and `texts`: as `open_databases`."""
    from rowgraph.sage.opening import open_databases
    from rowgraph.sage.pretraining import pretrain
    from rowgraph.sage.settings import SageWeightsSettings

    databases = open_databases(inputs["databases"], inputs["texts"], device)
    return pretrain(databases, SageWeightsSettings.model_validate(settings), draft, device=device,
                    log=log, group=group)


def _forecasts(inputs, settings, draft, device, log, group) -> dict[str, Any]:
    """`databases`: by name the folders `source`, `entity_graph` and `cell_store`."""
    from rowgraph.forecasting.pretraining import pretrain_on_forecasts
    from rowgraph.forecasting.settings import ForecastWeightsSettings

    readings = {name: _reading(folders) for name, folders in inputs["databases"].items()}
    return pretrain_on_forecasts(readings, ForecastWeightsSettings.model_validate(settings), draft,
                                 device=device, log=log, group=group)


def _own_past(inputs, settings, draft, device, log, group) -> dict[str, Any]:
    """`database`: its folders, as above; `ends`: of `ends_of`; `start`: the folder of
    `forecast_weights`, or None."""
    from rowgraph.forecasting.own_past import train_on_own_past
    from rowgraph.forecasting.pretraining import load_forecast_weights
    from rowgraph.forecasting.settings import OwnPastWeightsSettings

    start = None if inputs["start"] is None else load_forecast_weights(Path(inputs["start"]))
    return train_on_own_past(_reading(inputs["database"]), inputs["ends"],
                             OwnPastWeightsSettings.model_validate(settings), draft, start=start,
                             device=device, log=log, group=group)


def _reading(folders: Mapping[str, str]):
    from rowgraph.databases.database import Database
    from rowgraph.forecasting.own_past import Reading

    return Reading(Database.open(Path(folders["source"])), Path(folders["entity_graph"]),
                   Path(folders["cell_store"]))
