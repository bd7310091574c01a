"""Nothing dated at or after a seed may reach a baseline: the future becomes nonsense."""

import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.baselines.entity_row import run_baselines
from rowgraph.baselines.settings import BaselineMetricsSettings


@pytest.fixture(scope="module")
def nonsense(lab, tmp_path_factory):
    """The world with every cell dated in [start, end) overwritten, built once per span."""
    built = {}

    def build(start=None, end=None):
        if (start, end) not in built:
            tables = lab.corrupted(lab.frames(), start=start, end=end)
            built[start, end] = lab.build_world(tmp_path_factory.mktemp("nonsense") / "db", tables)
        return built[start, end]

    return build


def asked(world, other, lab, split, time):
    """The two worlds' tasks, up to a seed time in one split."""
    return lab.upto(world.task, split, time), lab.upto(other.task, split, time)


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    def predict(world, task):
        draft = Draft(tmp_path_factory.mktemp("baselines"))
        settings = BaselineMetricsSettings(seeds=(0,), trees=10, bootstrap=2)
        run_baselines(world.database, task, settings, draft, log=lambda *_: None)
        rows = pl.read_parquet(draft.folder / "predictions.parquet")
        return {key: group["prediction"].to_list() for key, group in
                rows.group_by("regime", "variant", "split", maintain_order=True)}

    return predict


@pytest.mark.parametrize("at", [25, 26, 28])
def test_rolling_baselines_ignore_cells_and_labels_at_or_after_the_seed(at, world, nonsense,
                                                                        baselines, lab):
    time = int(lab.SEED_DATES[at])
    mine, theirs = asked(world, nonsense(start=time), lab, "test", time)
    before, after = baselines(world, mine), baselines(nonsense(start=time), theirs)
    for name in ("global_mean", "entity_mean", "lightgbm_entity"):
        assert before["rolling", name, "test"] == after["rolling", name, "test"]


def test_frozen_baselines_ignore_cells_and_labels_after_the_cut(world, nonsense, baselines, lab):
    # Labels of the cut's own date are outcomes after it.
    other = nonsense(start=lab.TEST)
    before, after = baselines(world, world.task), baselines(other, other.task)
    for name in ("global_mean", "entity_mean", "lightgbm_entity"):
        assert before["frozen_db", name, "test"] == after["frozen_db", name, "test"]
    assert before["rolling", "entity_mean", "test"] != after["rolling", "entity_mean", "test"]


def test_baselines_do_use_cells_and_labels_before_the_seed(world, nonsense, baselines, lab):
    other = nonsense(end=lab.TEST)
    before, after = baselines(world, world.task), baselines(other, other.task)
    for regime in ("frozen_db", "rolling"):
        for name in ("global_mean", "entity_mean", "lightgbm_entity"):
            assert before[regime, name, "test"] != after[regime, name, "test"]
