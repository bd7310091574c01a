"""A ground of RowGraph's own model in the small world, and one run of it."""

import pytest

from rowgraph.adaptation.hybrid.finetuning import Ground
from rowgraph.adaptation.hybrid.running import run_rowgraph
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.artifacts import Draft
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import write_cell_store
from rowgraph.forecasting.own_past import Reading, ends_of, train_on_own_past
from rowgraph.forecasting.pretraining import pretrain_on_forecasts
from rowgraph.forecasting.settings import ForecastWeightsSettings, OwnPastWeightsSettings
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.tasks.predictions import read_predictions

OWN_PAST = OwnPastWeightsSettings(seeds=(0,), steps=6, width=8, output=8, batch=16, questions=4,
                                  fan_out=(3, 2), folds=2, workers=1)
FORECAST = ForecastWeightsSettings(steps=4, width=8, output=8, batch=16, questions=4,
                                   fan_out=(3, 2), synthetic=1, synthetic_share=1.0)
SMALL = RowgraphMetricsSettings(seeds=(0, 1), untrained=1, trees=10, bags=1, linear_features=20,
                                steps=8, batch=64, folds=2, workers=1)


@pytest.fixture(scope="session")
def hybrid_ground(tmp_path_factory):
    """Everything that the model of a task stands on."""

    def make(task, **changes):
        folder = tmp_path_factory.mktemp("hybrid")
        for name in ("graph", "cells", "past", "forecast"):
            (folder / name).mkdir()
        build_entity_graph(task.database).save(folder / "graph")
        write_cell_store(task.database, CellStoreSettings(), Draft(folder / "cells"))
        reading = Reading(task.database, folder / "graph", folder / "cells")
        train_on_own_past(reading, ends_of(task.database, [task], 2), OWN_PAST,
                          Draft(folder / "past"), device="cpu", log=lambda *_: None)
        pretrain_on_forecasts({}, FORECAST, Draft(folder / "forecast"), device="cpu",
                              log=lambda *_: None)
        settings = RowgraphMetricsSettings.model_validate({**SMALL.model_dump(), **changes})
        return Ground(reading, task, folder / "past", folder / "forecast", settings, "cpu")

    return make


@pytest.fixture(scope="session")
def hybrid_ran(tmp_path_factory, hybrid_ground, features_of):
    """Runs the stage: its folder, predictions and summary."""

    def run(task, ground=None, **changes):
        draft = Draft(tmp_path_factory.mktemp("rowgraph"))
        ground = ground or hybrid_ground(task, **changes)
        summary = run_rowgraph(ground, features_of(task), draft, log=lambda *_: None)
        return draft.folder, read_predictions(task, draft.folder / "predictions.parquet"), summary

    return run
