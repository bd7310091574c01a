"""Forecast questions: their answers are in the data, by brute force, and never beyond `until`."""

import numpy as np
import pytest

from rowgraph.databases.database import NEVER
from rowgraph.forecasting.questions import Questions
from rowgraph.forecasting.relations import CHILD_KEY
from rowgraph.forecasting.told import COUNT, EXISTS, MEAN


@pytest.fixture(scope="module")
def questions(reader, lab):
    return Questions(reader, lab.VAL)


def children(world, reader, asked, k):
    """Times and places of the children of a question's row, oldest first."""
    relation = reader.relations[asked.table][asked.relation[k]]
    frame = world.database.read(relation.child)
    key = frame[relation.edge[1].removeprefix(CHILD_KEY)]
    mine = (key == int(asked.rows[asked.seed[k]])).fill_null(False).to_numpy()
    return relation, mine & (world.database.times(relation.child) != NEVER)


def test_answers_are_what_the_children_of_the_asked_span_say(world, reader, questions):
    random = np.random.default_rng(0)
    kinds = set()
    for _ in range(6):
        asked = questions.draw(random, 30, 6)
        for k in range(0, len(asked.seed), 5):
            s = asked.seed[k]
            relation, mine = children(world, reader, asked, k)
            times = world.database.times(relation.child)
            at = asked.before[s] + asked.ahead[s]
            inside = mine & (times > at) & (times <= at + asked.horizon[s])
            kinds.add(int(asked.kind[k]))
            if asked.kind[k] == EXISTS:
                assert asked.answer[k] == inside.any()
            elif asked.kind[k] == COUNT:
                np.testing.assert_allclose(asked.answer[k], np.log1p(inside.sum()), rtol=1e-6)
            else:
                column = relation.keys[asked.column[k]].split()[0]
                sheet = reader.cells.sheets[relation.child]["numbers"]
                names = [c.column.name for c in sheet.cells]
                if column in names and "is" not in relation.keys[asked.column[k]].split()[1:]:
                    places = sheet.values[:, sheet.kept[names.index(column)]]
                    np.testing.assert_allclose(asked.answer[k], places[inside].mean() / 32_767,
                                               rtol=1e-4, atol=1e-5)
    assert kinds == {EXISTS, COUNT, MEAN}


def test_the_told_past_is_strictly_before_what_the_row_sees(world, reader, questions):
    asked = questions.draw(np.random.default_rng(1), 40, 6)
    for k in range(0, len(asked.seed), 3):
        relation, mine = children(world, reader, asked, k)
        times, s = world.database.times(relation.child), asked.seed[k]
        seen = mine & (times < asked.before[s])
        recent = seen & (times >= asked.before[s] - asked.horizon[s])
        np.testing.assert_allclose(asked.past[k, [0, 3]],
                                   np.log1p([recent.sum(), seen.sum()]), rtol=1e-5)


def test_no_question_ends_at_or_after_until_or_is_asked_before_since(reader, lab):
    questions = Questions(reader, lab.TEST, since=lab.VAL)
    random = np.random.default_rng(2)
    for _ in range(5):
        asked = questions.draw(random, 50, 2)
        at = asked.before + asked.ahead
        assert (at + asked.horizon < lab.TEST).all()
        assert (at > lab.VAL).all()
        assert (asked.ahead >= 0).all()
        assert (asked.ahead > 0).any()


def test_what_comes_after_until_changes_no_question(world, reader, reading_of, lab, tmp_path):
    other = lab.build_world(tmp_path / "db", lab.corrupted(lab.frames(), start=lab.VAL))
    theirs = Questions(reading_of(other.database).reader((3, 2)), lab.VAL)
    mine = Questions(reader, lab.VAL)
    for seed in range(5):
        one, two = (q.draw(np.random.default_rng(seed), 40, 5) for q in (mine, theirs))
        for name in vars(one):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_where_nothing_can_be_asked_there_are_no_questions(reader, lab):
    assert not Questions(reader, int(lab.SEED_DATES[0]) - 10**9)
    assert Questions(reader, lab.VAL)
