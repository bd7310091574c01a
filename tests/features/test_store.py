import dataclasses
import shutil

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from rowgraph.artifacts import Draft
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.store import WindowFeatures, write_window_features
from rowgraph.tasks.folds import folds_of, views_of

SETTINGS = WindowFeaturesSettings(folds=2, lasts=(1, 3), max_features=400)


def written(task, folder, **changes):
    """The features of a task and the summary."""
    folder.mkdir()
    steps = []
    summary = write_window_features(task, SETTINGS.model_copy(update=changes), Draft(folder),
                                    log=lambda step, metrics: steps.append(step))
    assert steps == sorted(steps)
    assert steps
    return WindowFeatures.open(folder), summary


@pytest.fixture(scope="module")
def features(world, tmp_path_factory):
    return written(world.task, tmp_path_factory.mktemp("features") / "a")


def test_every_view_has_a_file_whose_first_columns_say_whose_row_it_is(world, features):
    found, summary = features
    views = views_of(world.task, SETTINGS.regimes, folds_of(world.task, SETTINGS.folds))
    assert set(summary["views"]) == set(views)
    assert "known_aged" in views
    for view in views.values():
        table = pq.read_table(found.folder / f"{view.name}.parquet")
        assert table.column_names == ["row", "time", "before", *found.names]
        assert table["row"].to_numpy().tolist() == view.labels.rows.tolist()
        for name, values in (("time", view.labels.times), ("before", view.before)):
            assert table[name].to_numpy().astype("datetime64[us]").astype(int).tolist() \
                == values.tolist()
        matrix = found.matrix(view.name)
        assert matrix.shape == (len(view.labels), summary["features"])
        assert matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix[:, 3], table[found.names[3]].to_numpy())


def test_names_are_different_and_read_well(features):
    found, _ = features
    assert len(set(found.names)) == len(found.names)
    for name in ("drivers · country", "results by driverId · failed · mean of last 3",
                 "results by driverId · count over 12 horizons",
                 "newest results by driverId, its raceId → races: results by raceId · laps · max",
                 "own labels · mean", "seed · staleness in horizons"):
        assert name in found.names
    # A word that no two drivers share says who it is, and nothing about the others.
    assert [found.names[i] for i in found.categorical] == ["drivers · country"]


def test_what_tells_no_training_rows_apart_or_repeats_another_is_left_out(world, features):
    found, summary = features
    training = np.concatenate([found.matrix(v)[:len(world.task.train)]
                               for v in ("known", "known_aged")])
    columns = {c.tobytes() for c in training.T.copy()}
    assert len(columns) == training.shape[1]
    assert not any((np.isnan(c) | (c == c[0])).all() and len(np.unique(np.isnan(c))) == 1
                   for c in training.T)
    assert summary["constant"] + summary["repeated"] > 0


def test_fewer_features_are_the_nearest_and_plainest_of_them(world, features, tmp_path):
    found, _ = features
    few, summary = written(world.task, tmp_path / "few", max_features=60)
    assert summary["features"] == len(few.names) == 60
    assert set(few.names) <= set(found.names)
    assert "results by driverId · count" in few.names
    few, _ = written(world.task, tmp_path / "one", max_features=60, two_hops=False,
                     label_history=False)
    assert not [n for n in few.names if n.startswith(("newest", "own labels", "all labels"))]
    assert not [n for n in few.names if ", its " in n]


def test_the_same_settings_give_the_same_bytes(world, features, tmp_path):
    found, _ = features
    again, _ = written(world.task, tmp_path / "again")
    for path in found.folder.glob("*.parquet"):
        assert path.read_bytes() == (again.folder / path.name).read_bytes()


@pytest.mark.parametrize("rows", [None, 0])
def test_a_matrix_that_processes_share_is_the_same_and_mapped_from_one_file(features, tmp_path,
                                                                            rows):
    folder = tmp_path / "features"
    shutil.copytree(features[0].folder, folder)
    path = folder / "test_rolling.parquet"
    pq.write_table(pq.read_table(path)[:rows], path)
    plain = WindowFeatures.open(folder).matrix("test_rolling")
    for _ in range(2):
        found = WindowFeatures.open(folder, tmp_path / "held").matrix("test_rolling")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, plain)
        assert isinstance(found, np.memmap)
        assert not found.flags.writeable
    assert [p.name for p in (tmp_path / "held").iterdir()] == ["test_rolling.npy"]


def test_an_unknown_view_is_named_with_those_that_exist(features):
    with pytest.raises(ValueError, match=r"no view 'tset'.*known, known_aged"):
        features[0].matrix("tset")


def views_in_common(one: WindowFeatures, other: WindowFeatures, view: str, index: np.ndarray):
    """The matrices of some rows, by the names that both have."""
    names = [n for n in one.names if n in set(other.names)]
    assert len(names) > 0.9 * len(one.names)
    return [f.matrix(view)[index][:, [f.names.index(n) for n in names]] for f in (one, other)]


@pytest.mark.parametrize("regime", ["rolling", "frozen_db"])
def test_cells_at_or_after_a_seed_change_not_one_bit_and_cells_before_it_do(
        lab, world, features, tmp_path, regime):
    task, found = world.task, features[0]
    at = int(lab.SEED_DATES[27])
    rows = np.flatnonzero(task.test.times == at)
    cut = at if regime == "rolling" else task.database.test_timestamp + 1
    for name, span, same in (("later", {"start": cut}, True),
                             ("earlier", {"start": lab.VAL, "end": cut}, False)):
        other = lab.build_world(tmp_path / name, lab.corrupted(lab.frames(), **span))
        # The labels stay in step with who is asked; their outcomes are nonsense too.
        changed, _ = written(other.task, tmp_path / f"{name} features")
        mine, theirs = views_in_common(found, changed, f"test_{regime}", rows)
        assert (mine.tobytes() == theirs.tobytes()) == same


def test_names_that_no_one_should_give_and_empty_columns_go_through(schemas, tmp_path):
    for seed in range(12):
        task = schemas.random_task(seed, tmp_path / f"db {seed}")
        found, _ = written(task, tmp_path / f"features {seed}", lasts=(2,))
        assert len(set(found.names)) == len(found.names)
        assert found.matrix("test_rolling").shape == (len(task.test), len(found.names))
        assert np.isfinite(np.nan_to_num(found.matrix("known"))).all()


def test_huge_values_stay_within_float32(world, tmp_path):
    frame = pl.read_parquet(world.database.path("results")).with_columns(laps=1e300)
    other = tmp_path / "db"
    (other / "db").mkdir(parents=True)
    for table in world.database.tables:
        pl.read_parquet(world.database.path(table)).write_parquet(other / "db" / f"{table}.parquet")
    frame.with_columns(laps=pl.Series(np.linspace(1e290, 1e300, len(frame)))).write_parquet(
        other / "db" / "results.parquet")
    task = dataclasses.replace(world.task, database=dataclasses.replace(world.database,
                                                                        folder=other))
    found, _ = written(task, tmp_path / "features")
    assert np.isfinite(np.nan_to_num(found.matrix("known"))).all()
