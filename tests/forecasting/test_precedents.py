"""Precedents: asked as the question is, over before what it sees, and heard by the head."""

import numpy as np
import pytest
import torch

from rowgraph.databases.database import NEVER, TIMELESS
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.objective import Hearing
from rowgraph.forecasting.precedents import Line, Precedents
from rowgraph.forecasting.questions import Questions
from rowgraph.forecasting.settings import ForecastWeightsSettings
from rowgraph.forecasting.told import MEAN, PER_PAST, came, told
from rowgraph.forecasting.training import Weights, answers_of


@pytest.fixture(scope="module")
def questions(reader, lab):
    return Questions(reader, lab.VAL, stale=0.5, precedents=5)


def test_every_answer_was_known_before_what_its_question_sees(questions):
    for seed in range(8):
        asked = questions.draw(np.random.default_rng(seed), 40, 5)
        found, mine = asked.precedents, asked.seed[:, None]
        known = found.times + asked.horizon[mine] < asked.before[mine]
        assert known[found.there].all()
        assert found.there.any(axis=1).mean() > 0.5


def test_a_precedent_is_told_and_answered_as_if_it_were_asked(reader, questions):
    kinds = set()
    for seed in range(4):
        asked = questions.draw(np.random.default_rng(seed), 40, 5)
        found = asked.precedents
        for k in range(0, len(asked.seed), 3):
            here = found.there[k]
            rows, times, count = found.rows[k][here], found.times[k][here], here.sum()
            s, relation = asked.seed[k], reader.relations[asked.table][asked.relation[k]]
            same = [np.full(count, value) for value in (asked.horizon[s], asked.kind[k],
                                                        asked.column[k])]
            past, _ = told(relation, rows, times - asked.ahead[s], *same)
            answer, there = came(relation, rows, times, *same)
            assert there.all()
            np.testing.assert_array_equal(found.past[k][here], past)
            np.testing.assert_array_equal(found.answer[k][here], answer)
            kinds.add((int(asked.kind[k]), bool(asked.ahead[s] > 0)))
    assert len(kinds) == 6  # every kind, fresh and stale


def test_what_is_asked_does_not_depend_on_whether_there_are_precedents(reader, lab, questions):
    without = Questions(reader, lab.VAL, stale=0.5)
    for seed in range(3):
        one, two = (q.draw(np.random.default_rng(seed), 30, 4) for q in (questions, without))
        assert two.precedents is None
        for name in vars(two).keys() - {"precedents"}:
            assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_what_comes_after_until_changes_no_precedent(questions, reading_of, lab, tmp_path):
    other = lab.build_world(tmp_path / "db", lab.corrupted(lab.frames(), start=lab.VAL))
    theirs = Questions(reading_of(other.database).reader((3, 2)), lab.VAL, stale=0.5, precedents=5)
    for seed in range(4):
        one, two = (q.draw(np.random.default_rng(seed), 40, 5).precedents
                    for q in (questions, theirs))
        for name in vars(one):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name


@pytest.fixture
def line(questions):
    return questions.askable["drivers"][0].line


def asked_of(line, before, kind, at_end=False, precedents=200):
    """The precedents of one question a moment, of the relation's first column."""
    count = len(before)
    column = np.zeros(count, np.int64) if kind == MEAN else np.full(count, -1)
    draws = np.random.default_rng(0).random((2, count, precedents))
    return line.precedents(before, np.full(count, 10 ** 11), np.zeros(count, np.int64),
                           np.full(count, kind), column, draws, at_end)


def test_before_all_events_there_are_no_precedents(line):
    first = line.times.min()
    found = asked_of(line, np.array([first, line.times.max()]), MEAN)
    assert not found.there[0].any()
    assert found.there[1].any()
    assert not found.past[0].any()
    assert not found.answer[0].any()


def test_known_answers_are_the_ends_of_their_spans(line):
    found = asked_of(line, np.array([line.times.max() + 1]), MEAN, at_end=True)
    assert np.isin(found.times[found.there] + 10 ** 11, line.times).all()
    assert not np.isin(asked_of(line, np.array([line.times.max() + 1]), MEAN).times + 10 ** 11,
                       line.times).all()


def test_newer_precedents_are_preferred(line):
    before = np.array([line.times.max() + 1])
    found = asked_of(line, before, MEAN, precedents=2000)
    assert np.median(found.times[found.there]) > np.median(line.times)


def test_the_events_of_a_line_are_those_with_times_oldest_first(reader):
    for relations in reader.relations.values():
        for relation in relations:
            line = Line.of(relation)
            assert (np.diff(line.times) >= 0).all()
            owners = np.repeat(np.arange(len(relation.events.indptr) - 1),
                               np.diff(relation.events.indptr))
            pairs = zip(relation.events.times.tolist(), owners.tolist(), strict=True)
            timed = sorted(pair for pair in pairs if pair[0] not in (TIMELESS, NEVER))
            assert sorted(zip(line.times.tolist(), line.rows.tolist(), strict=True)) == timed


def precedents_that_say(answer, there):
    past = np.random.default_rng(1).random((*answer.shape, PER_PAST)).astype(np.float32)
    empty = np.zeros(answer.shape, np.int64)
    return Precedents(empty, empty, past, answer.astype(np.float32), there)


def test_precedents_that_agree_are_heard_and_those_that_are_not_there_are_not():
    hearing = Hearing(7)
    past, around = torch.rand(2, PER_PAST), torch.rand(2, 7)
    there = np.array([[True, True, False, False], [False] * 4])
    answer = np.where(there, 0.25, 9.0)
    heard = hearing(past, around, precedents_that_say(answer, there)).detach().numpy()
    np.testing.assert_allclose(heard, [[0.25, 0.0625, 0.25, 0.5], [0, 0, 0, 0]], atol=1e-6)


def test_attention_prefers_precedents_whose_past_is_like_the_questions():
    hearing = Hearing(7)
    with torch.no_grad():
        for layer in (hearing.past, hearing.key):
            layer.weight.copy_(torch.eye(*layer.weight.shape) * 20)
            layer.bias.zero_()
        hearing.around.weight.zero_()
        hearing.around.bias.zero_()
    past = torch.zeros(1, PER_PAST)
    past[0, 3] = 1
    found = precedents_that_say(np.array([[1.0, 0.0]]), np.ones((1, 2), bool))
    found.past[:] = 0
    found.past[0, 0, 3] = found.past[0, 1, 4] = 1
    heard = hearing(past, torch.zeros(1, 7), found).detach().numpy()
    assert heard[0, 0] > 0.99
    np.testing.assert_allclose(heard[0, 2], 0.5)


def test_the_head_listens_only_where_it_was_made_to(reader, lab):
    names, device = Names.of(reader), torch.device("cpu")
    asked = Questions(reader, lab.VAL, precedents=5).draw(np.random.default_rng(0), 10, 4)
    turned = Questions(reader, lab.VAL, precedents=5).draw(np.random.default_rng(0), 10, 4)
    turned.precedents.answer[:] += 1
    for count in (0, 5):
        settings = ForecastWeightsSettings(width=8, output=8, fan_out=(3, 2), precedents=count)
        weights = Weights.fresh(settings, 0)
        for module in weights.parts.values():
            module.eval()
        with torch.no_grad():
            one, two = (answers_of(reader, weights, names, a, device)[0] for a in (asked, turned))
        assert torch.equal(one, two) == (count == 0)
