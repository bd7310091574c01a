"""Nothing dated at or after a seed may reach it: the future is overwritten with nonsense."""

import dataclasses
import functools

import numpy as np
import pytest

from rowgraph.adaptation.ground import FINAL
from rowgraph.adaptation.settings import VARIANTS
from rowgraph.adaptation.variants import variant
from rowgraph.embeddings import EmbeddingStore
from rowgraph.encoding.row_vectors import _past_range

HONEST = [name for name in VARIANTS if not variant(name).static]
BOTH = ("frozen_db", "rolling")


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
def done(ground_of, train):
    """A training of a variant in a world, asked about the label rows of a task."""

    @functools.cache
    def grounds(world, task, sampling):
        store = EmbeddingStore.open(world.database.folder / "store")  # with the range of the past
        store.range = _past_range(world.database, {t: store.vectors(t) for t in store.tables})
        return ground_of(where=dataclasses.replace(world, store=store), task=task, epochs=1,
                         train_rows=300, sampling=sampling)

    @functools.cache
    def done(name, world, task, sampling="latest", fold=FINAL):
        ground = grounds(world, task, sampling)
        return train(name, ground=ground, fold=fold if fold == FINAL else len(ground.folds) - 1,
                     at=tuple((r, 1 if fold == FINAL else 0) for r in BOTH))

    return done


NEWEST = 0  # in the place of FINAL: the newest fold


@pytest.mark.parametrize(("name", "sampling"), [
    (name, sampling) for name in HONEST for sampling in ("latest", "uniform")
    if variant(name).has_gnn or sampling == "latest"])
def test_cells_at_or_after_a_rolling_seed_change_no_bit_of_its_prediction(
        name, sampling, world, nonsense, done, lab):
    for at in (25, 28):  # the first test date, and one that is a race day
        time = int(lab.SEED_DATES[at])
        other = nonsense(start=time)
        mine, theirs = (lab.upto(w.task, "test", time) for w in (world, other))
        for fold in (FINAL, NEWEST):
            before = done(name, world, mine, sampling, fold)
            after = done(name, other, theirs, sampling, fold)
            assert np.array_equal(before.raw["rolling"], after.raw["rolling"])


@pytest.mark.parametrize("name", HONEST)
def test_cells_after_the_cut_change_no_bit_of_any_frozen_prediction(name, world, nonsense, done,
                                                                    lab):
    other = nonsense(start=lab.TEST + 1)
    assert np.array_equal(done(name, world, world.task).raw["frozen_db"],
                          done(name, other, other.task).raw["frozen_db"])


@pytest.mark.parametrize("name", HONEST)
def test_frozen_validation_sees_nothing_after_the_validation_cut(name, world, nonsense, done, lab):
    other = nonsense(start=lab.VAL + 1)
    assert np.array_equal(done(name, world, world.task, fold=NEWEST).raw["frozen_db"],
                          done(name, other, world.task, fold=NEWEST).raw["frozen_db"])


@pytest.mark.parametrize("name", HONEST)
def test_cells_before_the_seed_do_change_predictions(name, world, nonsense, done, lab):
    """The control: the canary can sing."""
    other = nonsense(end=lab.TEST)
    for fold in (FINAL, NEWEST):
        before, after = (done(name, w, world.task, fold=fold) for w in (world, other))
        for regime in BOTH:
            assert not np.array_equal(before.raw[regime], after.raw[regime])


def test_the_static_variant_does_see_the_outcome_rows_of_its_labels(world, nonsense, done, lab):
    other = nonsense(start=lab.VAL + 1)  # every training label is older than that
    curves = {(name, w is other): [row["value"] for row in
                                   done(name, w, world.task, fold=NEWEST).curve
                                   if row["split"] == "train"]
              for name in ("bart_gnn_static", "bart_gnn_finetuned") for w in (world, other)}
    assert curves["bart_gnn_static", False] != curves["bart_gnn_static", True]
    assert curves["bart_gnn_finetuned", False] == curves["bart_gnn_finetuned", True]
    assert not np.array_equal(
        done("bart_gnn_static", world, world.task, fold=NEWEST).raw["frozen_db"],
        done("bart_gnn_static", other, world.task, fold=NEWEST).raw["frozen_db"])
