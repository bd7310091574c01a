"""A database of N times the rows is N worlds that do not touch."""

import numpy as np
import polars as pl
import pytest

from benchmarks import growth
from benchmarks.growth import Cost, multiply
from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.databases.embedded import build_embedded
from rowgraph.graph.entity_graph import build_entity_graph


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("growth")
    one = build_embedded("rel-survivor", place / "one", 6)
    task = sorted(folder.name for folder in (one / "tasks").iterdir())[0]
    rows = multiply(one, place / "three", 3, [task])
    return one, place / "three", task, rows


def test_it_is_sound_and_every_neighbour_is_of_the_same_copy(folders):
    one, three, _, rows = folders
    assert not check_database(three).problems
    small, large = (Database.open(folder) for folder in (one, three))
    assert rows == sum(large.num_rows(table) for table in large.tables)
    assert rows == 3 * sum(small.num_rows(table) for table in small.tables)
    few, many = (build_entity_graph(database) for database in (small, large))
    for kind, edges in few.adjacency.items():
        copies = many.adjacency[kind]
        assert len(copies.indices) == 3 * len(edges.indices)
        destination = np.repeat(np.arange(len(copies.indptr) - 1), np.diff(copies.indptr))
        assert (copies.indices % 3 == destination % 3).all()



def test_every_copy_is_asked_with_the_same_answers(folders):
    one, three, task, _ = folders
    said = growth.read_yaml(one / "tasks" / task / "manifest.yaml")
    key, target = said["entity_col"], said["target_col"]
    before, after = (pl.read_parquet(folder / "tasks" / task / "train.parquet")
                     for folder in (one, three))
    for copy in range(3):
        mine = after.filter(pl.col(key) % 3 == copy).with_columns(pl.col(key) // 3)
        assert mine.select(key, target).equals(before.select(key, target))


def test_the_table_has_every_stage_that_was_measured_at_any_size_in_the_catalogs_order():
    text = growth.table({1: {"cell_store": Cost(1, 1, .1), growth.NOTHING: Cost(1, 1, .2)},
                         64: {"cell_store": Cost(9, 9, .9), "source": Cost(2, 2, .2)}})
    assert [line.split("`")[1] for line in text.splitlines()[2:]] == [
        growth.NOTHING, "source", "cell_store"]


def test_the_table_has_a_line_a_stage_and_a_gap_where_nothing_was_measured():
    text = growth.table({1: {"source": Cost(2, 1.6, .25), growth.NOTHING: Cost(1, 1, .2)},
                         4: {growth.NOTHING: Cost(1, 1, .2)}})
    assert "| `source` | 2 | 0.2 |  |  |" in text
    assert text.splitlines()[2].startswith(f"| `{growth.NOTHING}` | 1 | 0.2")


class Pretended(growth.World):
    """Three stages that take no time."""

    def __init__(self, folder):
        self.folder, self.times, self.noted, self.ran = folder, 2, folder / "costs.json", []

    def stages(self):
        return ["source", "entity_graph", "cell_store"]

    def _run(self, stage):
        self.ran.append(stage)
        return Cost(1, 1, .1)


def test_only_the_wanted_stages_run_in_their_order_and_none_twice(tmp_path):
    world = Pretended(tmp_path)
    world.measure(["entity_graph", "source"])
    assert world.ran == ["source", "entity_graph", "entity_graph"], "the last computes nothing"
    world.measure()
    assert world.ran[3:] == ["cell_store", "cell_store"]
    with pytest.raises(SystemExit, match="no stage graph; it has source, entity_graph"):
        world.measure(["graph"])
