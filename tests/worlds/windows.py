"""Window features of tasks in small worlds, and settings that take seconds."""

import pytest

from rowgraph.artifacts import Draft
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.store import write_window_features

SMALL = BaselineMetricsSettings(seeds=(0, 1), trees=10, bags=1, folds=2, linear_features=20)


@pytest.fixture(scope="session")
def quick():
    """Settings that take seconds."""
    return SMALL


@pytest.fixture(scope="session")
def silent():
    return lambda *_: None


@pytest.fixture(scope="session")
def features_of(tmp_path_factory, silent):
    """Writes the window features of a task, few of them, and gives their folder."""

    def write(task, settings=SMALL):
        draft = Draft(tmp_path_factory.mktemp("features"))
        write_window_features(task, WindowFeaturesSettings(
            folds=settings.folds, regimes=settings.regimes, max_features=60), draft, log=silent)
        return draft.folder

    return write
