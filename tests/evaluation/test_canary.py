"""Nothing dated at or after a seed may reach it: the future is overwritten with nonsense."""

import functools

import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation.ablation import HeldEmbeddings
from rowgraph.adaptation.settings import VARIANTS
from rowgraph.adaptation.training import adapt
from rowgraph.adaptation.variants import variant
from rowgraph.artifacts import Draft
from rowgraph.baselines.entity_row import run_baselines
from rowgraph.baselines.settings import BaselineMetricsSettings

HONEST = [name for name in VARIANTS if not variant(name).static]


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


@pytest.fixture(scope="module")
def predict(lab, shared):
    """Predictions of a variant in a world, asked about the label rows of a task."""
    settings = lab.SETTINGS.model_copy(update={"epochs": 1, "train_rows": 300})

    @functools.cache
    def train(name, world, task, sampling):
        return adapt(task, world.graph, HeldEmbeddings(world.store, world.graph), shared,
                     variant(name), settings.model_copy(update={"sampling": sampling}), lab.SAGE,
                     0, device="cpu", log=lambda *_: None)

    def predict(name, world, task, sampling="latest", *, what="predictions"):
        return getattr(train(name, world, task, sampling), what)

    return predict


def asked(world, other, lab, split, time):
    """The two worlds' tasks, up to a seed time in one split."""
    return lab.upto(world.task, split, time), lab.upto(other.task, split, time)


@pytest.mark.parametrize(("name", "sampling"), [
    (name, sampling) for name in HONEST for sampling in ("latest", "uniform")
    if variant(name).has_gnn or sampling == "latest"])
def test_cells_at_or_after_a_rolling_seed_change_no_bit_of_its_prediction(
        name, sampling, world, nonsense, predict, lab):
    for at in (25, 28):  # the first test date, and one that is a race day
        time = int(lab.SEED_DATES[at])
        mine, theirs = asked(world, nonsense(start=time), lab, "test", time)
        before = predict(name, world, mine, sampling)
        after = predict(name, nonsense(start=time), theirs, sampling)
        assert np.array_equal(before["rolling"]["test"], after["rolling"]["test"])
        assert np.array_equal(before["rolling"]["val"], after["rolling"]["val"])


@pytest.mark.parametrize("name", HONEST)
def test_cells_after_the_cut_change_no_bit_of_any_frozen_prediction(name, world, nonsense,
                                                                    predict, lab):
    other = nonsense(start=lab.TEST + 1)
    assert np.array_equal(predict(name, world, world.task)["frozen_db"]["test"],
                          predict(name, other, other.task)["frozen_db"]["test"])


@pytest.mark.parametrize("name", HONEST)
def test_frozen_validation_sees_nothing_after_the_validation_cut(name, world, nonsense, predict,
                                                                 lab):
    other = nonsense(start=lab.VAL + 1)
    assert np.array_equal(predict(name, world, world.task)["frozen_db"]["val"],
                          predict(name, other, world.task)["frozen_db"]["val"])


@pytest.mark.parametrize("name", HONEST)
def test_cells_before_the_seed_do_change_predictions(name, world, nonsense, predict, lab):
    """The control: the canary can sing."""
    other = nonsense(end=lab.TEST)
    before = predict(name, world, world.task)
    after = predict(name, other, world.task)
    for regime in ("frozen_db", "rolling"):
        assert not np.array_equal(before[regime]["test"], after[regime]["test"])


def test_the_static_variant_does_see_the_outcome_rows_of_its_labels(world, nonsense, predict,
                                                                    lab):
    other = nonsense(start=lab.VAL + 1)  # every training label is older than that
    curves = {(name, w is other): [row["value"] for row in predict(name, w, world.task,
                                                                   what="curve")
                                   if row["split"] == "train"]
              for name in ("bart_gnn_static", "bart_gnn_finetuned") for w in (world, other)}
    assert curves["bart_gnn_static", False] != curves["bart_gnn_static", True]
    assert curves["bart_gnn_finetuned", False] == curves["bart_gnn_finetuned", True]
    assert not np.array_equal(
        predict("bart_gnn_static", world, world.task)["frozen_db"]["val"],
        predict("bart_gnn_static", other, world.task)["frozen_db"]["val"])


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
