"""One mechanism of choice."""

import pytest

from rowgraph.tasks.choosing import Score, choice_table, choose


def score(candidate, step, fold, value, regime="rolling"):
    return Score("model", candidate, step, fold, regime, "roc_auc", value)


def test_the_best_mean_over_folds_is_chosen_and_of_equals_the_first():
    scores = [score("a", 1, "x", 0.6), score("a", 1, "y", 0.8), score("b", 1, "x", 0.75),
              score("b", 1, "y", 0.65), score("b", 2, "x", 0.5), score("b", 2, "y", 0.9)]
    chosen = choose(scores, higher_is_better=True)["rolling"]
    assert (chosen.candidate, chosen.step) == ("a", 1)
    assert chosen.value == pytest.approx(0.7)
    assert choose(scores, higher_is_better=False)["rolling"].candidate == "a"


def test_regimes_choose_apart():
    scores = [score("a", 0, "x", 0.9), score("b", 0, "x", 0.1),
              score("a", 0, "x", 0.1, "frozen_db"), score("b", 0, "x", 0.9, "frozen_db")]
    chosen = choose(scores, higher_is_better=True)
    assert {r: c.candidate for r, c in chosen.items()} == {"rolling": "a", "frozen_db": "b"}


def test_a_candidate_that_missed_a_fold_is_not_compared():
    scores = [score("a", 0, "x", 0.6), score("a", 0, "y", 0.6), score("lucky", 0, "x", 0.99),
              score("lucky", 0, "y", None)]
    assert choose(scores, higher_is_better=True)["rolling"].candidate == "a"


def test_where_no_fold_can_say_anything_it_is_the_first_that_was_tried():
    scores = [score("plain", 3, "x", None), score("plain", 9, "x", None),
              score("other", 3, "x", None), score("other", 3, "x", 0.7, "frozen_db")]
    chosen = choose(scores, higher_is_better=True)
    assert (chosen["rolling"].candidate, chosen["rolling"].step) == ("plain", 3)
    assert chosen["rolling"].value is None
    assert chosen["frozen_db"].candidate == "other"
    with pytest.raises(ValueError, match="nothing was tried"):
        choose([], higher_is_better=True)


def test_the_table_keeps_every_score_and_marks_the_choice():
    scores = [score("a", 1, "x", 0.6), score("a", 2, "x", 0.7), score("b", 1, "x", None)]
    chosen = {"model": choose(scores, higher_is_better=True)}
    table = choice_table(scores, chosen)
    assert table["chosen"].to_list() == [False, True, False]
    assert table["value"].to_list() == [0.6, 0.7, None]
