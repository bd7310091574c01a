"""Small tasks of every kind in the racing world, their window features, and one run of a stage."""

import pytest

from rowgraph.artifacts import Draft
from rowgraph.baselines.running import run_baselines
from rowgraph.tasks.predictions import read_predictions
from tests.worlds.windows import SMALL


@pytest.fixture(scope="session")
def ran(tmp_path_factory, features_of, silent):
    """Runs the stage: its folder, predictions and summary."""

    def run(task, settings=SMALL, features=None):
        draft = Draft(tmp_path_factory.mktemp("baselines"))
        folder = features or features_of(task, settings)
        summary = run_baselines(task, folder, settings, draft, log=silent)
        return draft.folder, read_predictions(task, draft.folder / "predictions.parquet"), summary

    return run
