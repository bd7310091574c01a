import numpy as np
import polars as pl
import pytest

from rowgraph.adaptation.settings import VARIANTS
from rowgraph.adaptation.variants import Embeddings, Gnn, variant
from rowgraph.tasks.label_tables import LabelTable
from rowgraph.tasks.loading import load_task


@pytest.fixture
def fresh(lab, tmp_path):
    return lab.build_world(tmp_path / "db", lab.frames())


def test_a_task_is_what_its_label_files_say(world, lab):
    task = world.task
    assert (task.name, task.entity_table, task.binary) == ("driver-fails", "drivers", True)
    assert task.timedelta == 5 * lab.DAY
    for split in ("train", "val", "test"):
        frame = pl.read_parquet(world.database.folder / f"tasks/driver-fails/{split}.parquet")
        labels = task.labels(split)
        assert labels.rows.tolist() == frame["driverId"].to_list()
        assert labels.times.tolist() == frame["date"].dt.epoch("us").to_list()
        assert labels.target.tolist() == frame["fails"].to_list()


def test_the_primary_metric_follows_the_task_type(world, regression_world):
    assert world.task.metrics[0] == "roc_auc"
    assert regression_world.task.metrics[0] == "mae"


def test_the_newest_label_rows_keep_their_order(world):
    labels = LabelTable(np.arange(5), np.array([3, 9, 1, 9, 5]), np.zeros(5))
    assert labels.newest(3).rows.tolist() == [1, 3, 4]
    assert labels.newest(None) is labels
    assert labels.newest(5) is labels


def test_an_unknown_task_lists_the_known_ones(world):
    with pytest.raises(ValueError, match=r"nope: no such task; tasks of rel-races: driver-fails"):
        load_task(world.database, "nope")


def test_a_task_type_that_is_not_supported_names_those_that_are(fresh, lab):
    lab.write_task(fresh.database.folder, "many", lab.frames(),
                   task_type="multilabel_classification")
    with pytest.raises(ValueError, match=r"multilabel_classification is not supported; choose a "
                                         r"task whose type is one of binary_classification, "):
        load_task(fresh.database, "many")


def test_a_task_that_hides_columns_has_a_database_without_them(fresh, lab):
    lab.write_task(fresh.database.folder, "hides", lab.frames(),
                   remove_columns=[["results", "failed"]])
    database = load_task(fresh.database, "hides").database
    assert database.attributes("results") == ["laps", "date"]
    assert fresh.database.attributes("results") == ["failed", "laps", "date"]


@pytest.mark.parametrize(("column", "value", "message"), [
    ("driverId", 40, "names drivers 40, but the table has rows 0 to 39"),
    ("driverId", -1, "names drivers -1"),
    ("fails", 2, "must be 0 or 1, found"),
    ("fails", None, "1 of 200 test label rows have no fails"),
    ("date", None, "1 of 200 test label rows have no date"),
])
def test_a_label_row_that_cannot_be_used_is_refused(fresh, lab, column, value, message):
    path = fresh.database.folder / "tasks/driver-fails/test.parquet"
    frame = pl.read_parquet(path)
    first = pl.int_range(pl.len()) == 3
    frame.with_columns(pl.when(first).then(pl.lit(value)).otherwise(column).alias(column)
                       ).write_parquet(path)
    with pytest.raises(ValueError, match=message):
        load_task(fresh.database, "driver-fails")


def test_an_empty_label_table_is_refused(fresh):
    path = fresh.database.folder / "tasks/driver-fails/val.parquet"
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(ValueError, match="the val label table is empty"):
        load_task(fresh.database, "driver-fails")


def test_each_variant_of_the_settings_has_its_facts():
    facts = {name: (v.embeddings, v.gnn, v.static, v.joint) for name, v in
             ((n, variant(n)) for n in VARIANTS)}
    assert len(set(facts.values())) == len(VARIANTS)
    assert [n for n, (e, *_) in facts.items() if e is Embeddings.RANDOM] == [
        n for n in VARIANTS if n.startswith("random")]
    assert [n for n, (_, g, *_) in facts.items() if g is Gnn.NONE] == ["bart_head", "random_head"]
    assert [n for n in VARIANTS if variant(n).freezes] == ["bart_gnn_frozen", "random_gnn_frozen"]
    assert not variant("bart_gnn_scratch").transfers
    assert [n for n, (_, _, static, _) in facts.items() if static] == ["bart_gnn_static"]
    assert [n for n in VARIANTS if variant(n).joint] == ["bart_gnn_joint"]


def test_an_unknown_variant_lists_the_known_ones():
    with pytest.raises(ValueError, match="'bart' does not exist; known: bart_gnn_finetuned"):
        variant("bart")
