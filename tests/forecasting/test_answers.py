"""Known answers as a table: what a seed knew of labels, and nothing that it did not."""

import numpy as np

from rowgraph.forecasting.answers import TABLE, with_answers
from rowgraph.forecasting.reader import Reader
from rowgraph.graph.entity_graph import build_entity_graph


def test_a_label_is_known_from_the_end_of_what_it_is_about(world, reading):
    graph, cells = with_answers(*reading.of(world.database), world.task)
    labels = world.task.known.then(world.task.test)
    assert graph.num_nodes[TABLE] == len(labels)
    assert sorted(graph.times[TABLE]) == sorted(labels.times + world.task.timedelta)
    reader = Reader(graph, cells, world.database.val_timestamp, (3, 2))
    relation = next(r for r in reader.relations["drivers"] if r.child == TABLE)
    seed = world.task.test.times.max()
    events = relation.events
    for row in range(5):
        mine = slice(events.indptr[row], events.indptr[row + 1])
        seen = (events.times[mine] < seed).sum()
        expected = ((labels.rows == row) & (labels.times + world.task.timedelta < seed)).sum()
        assert seen == expected
    assert relation.keys == ("answer number",)


def test_the_mean_of_known_answers_is_a_window_of_the_seed(world, reading):
    graph, cells = with_answers(*reading.of(world.database), world.task)
    reader = Reader(graph, cells, world.database.val_timestamp, (3, 2))
    labels = world.task.test.take(np.arange(10))
    batch = reader.batch("drivers", labels.rows, labels.times, np.full(10, world.task.timedelta),
                         np.zeros(10, np.int64))
    known = world.task.known.then(world.task.test)
    for i in range(10):
        mine = (known.rows == labels.rows[i]) & (
            known.times + world.task.timedelta < labels.times[i])
        zero, one = np.unique(world.task.train.target, return_counts=True)[1] / len(
            world.task.train)
        places = np.where(known.target[mine] == 1, zero, -one)
        np.testing.assert_allclose(batch.means[i, -2], places.mean(), atol=1e-3)


def test_a_table_of_that_name_is_left_alone_and_autocomplete_has_none(world, reading,
                                                                      autocomplete):
    graph, cells = reading.of(world.database)
    twice, _ = with_answers(*with_answers(graph, cells, world.task), world.task)
    assert {TABLE, f"{TABLE}_"} <= set(twice.node_types)
    assert with_answers(graph, cells, autocomplete)[0] is graph


def test_classes_are_words(multiclass, reading):
    graph, cells = with_answers(*reading.of(multiclass.database), multiclass)
    sheet = cells.sheets[TABLE]["codes"]
    assert sheet.cells[0].column.words == multiclass.classes
    assert set(graph.node_types) - set(build_entity_graph(multiclass.database).node_types) == {
        TABLE}
