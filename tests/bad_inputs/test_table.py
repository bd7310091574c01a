"""Every kind of bad input is answered by one line that names it, at once, and by no traceback."""

from __future__ import annotations

import pytest

from tests.bad_inputs.table import BAD

SECONDS = 5  # of an answer; most take hundredths
FIRST_WORDS = ("rowgraph: ", "tiny-league", "bart_checkpoint.")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_named_with_exit_status_1_and_the_same_by_each_command(
        name, place, rowgraph, monkeypatch):
    monkeypatch.setattr("pipeline.running.settle", lambda *_: pytest.fail("a run was begun"))
    bad = BAD[name]
    bad.make(place)
    said = set()
    for words in bad.commands:
        answer = rowgraph(*(word.format(profile=place.profile, league=place.league, root=place.root)
                            if "{" in word else word for word in words))
        assert answer.status == 1, (words, answer)
        assert bad.says in answer.err, (words, answer.err)
        assert "Traceback" not in answer.err + answer.out
        assert answer.seconds < SECONDS, words
        lines = [line for line in answer.err.splitlines() if bad.says in line]
        assert lines[0].startswith(FIRST_WORDS), lines[0]
        said.add(lines[0])
    assert len(said) == 1, said
    assert not list(place.root.glob("home/artifacts/source/*"))


def test_there_are_a_hundred_kinds_and_more():
    assert len(BAD) > 100
