"""Who is asked about is who has a label, where everybody has one; and today too."""

from __future__ import annotations

import numpy as np
import pytest

from rowgraph.tasks.queries.asking import who_is_asked
from rowgraph.tasks.queries.meaning import meaning_of
from rowgraph.tasks.queries.notation import parse
from rowgraph.tasks.queries.proposing import propose

DAY = 86_400_000_000


@pytest.mark.parametrize("where", [
    "", ' WHERE COUNT("or ders".person, -30, 0) > 1',
    " WHERE people.town IN ('a', 'b') OR NOT COUNT(\"or ders\".\"gift to\", -INF, 0) > 20"])
def test_who_is_asked_has_a_label_where_everybody_has_one(shop, tmp_path, where):
    text = f'PREDICT COUNT("or ders".person, 0, 20) FOR EACH people.id{where}'
    proposal = propose(shop, text, tmp_path)
    for table in proposal.tables.values():
        times = np.asarray(table["timestamp"].to_numpy(), dtype="datetime64[us]").astype(np.int64)
        for t in np.unique(times):
            labelled = np.sort(table["id"].to_numpy()[times == t])
            asked = who_is_asked(proposal.meaning, shop, int(t))
            np.testing.assert_array_equal(asked, labelled)


def test_somebody_without_an_answer_is_asked_too(shop):
    meaning = meaning_of(parse('PREDICT AVG(items.price, 0, 30) FOR EACH goods.good'), shop)
    beyond = shop.read_at + 400 * DAY
    np.testing.assert_array_equal(who_is_asked(meaning, shop, beyond), np.arange(5))


def test_who_is_not_there_yet_is_not_asked(shop):
    meaning = meaning_of(parse('PREDICT COUNT(items.*, 0, 30) FOR EACH "or ders"."order"'), shop)
    times = shop.times("or ders")
    moment = int(times[100])
    np.testing.assert_array_equal(who_is_asked(meaning, shop, moment),
                                  np.flatnonzero(times <= moment))
