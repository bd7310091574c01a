"""Words that claim a difference follow the paired tests, and test labels pick nothing."""

import polars as pl
import pytest

from rowgraph.reports.answers import answers, best, compared
from rowgraph.reports.evidence import Evidence
from rowgraph.reports.settings import PublishedFigure, ReportSettings


def published(regime, value, variant="theirs", task="driver-dnf", metric="roc_auc"):
    return PublishedFigure(database="rel-f1", task=task, regime=regime, variant=variant,
                           metric=metric, value=value, source="a paper")


def edited(folders, tmp_path, file, change, task="driver_dnf"):
    """The folders with one file of one evaluation changed."""
    name = f"evaluation__rel_f1__{task}"
    copy = tmp_path / "edited"
    copy.mkdir()
    for path in folders[name].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    change(pl.read_parquet(copy / file)).write_parquet(copy / file)
    return {**folders, name: copy}


def answer(folders, settings=None, regime="frozen_db", task="driver-dnf"):
    found = answers(Evidence.read(folders, settings or ReportSettings()))
    return next(a for a in found if (a.task, a.regime) == (task, regime))


def test_each_task_and_regime_is_one_question_in_the_order_of_the_profile(folders):
    found = answers(Evidence.read(folders, ReportSettings()))
    assert [(a.task, a.regime) for a in found] == [
        (task, regime) for task in ("driver-dnf", "driver-position", "driver-circuit-compete")
        for regime in ("frozen_db", "rolling")]


def test_the_answer_is_about_the_pair_that_validation_picked(folders):
    found = answer(folders, regime="rolling")
    assert (found.model["variant"], found.baseline["variant"]) == ("blend", "data_scientist_linear")
    assert found.on_validation
    assert found.sentences[0].startswith("blend is ahead of data_scientist_linear by .093 [.071")


def test_a_better_baseline_on_test_is_put_against_the_model_too(folders):
    found = answer(folders, regime="rolling")
    assert found.hardest["variant"] == "data_scientist"
    assert found.sentences[1].startswith("against the best baseline on test: blend is ahead of")
    assert answer(folders, regime="frozen_db").harder is None  # validation picked that very one


@pytest.mark.parametrize(("headline", "hardest", "label"), [
    ("ahead", "ahead", "ahead"), ("ahead", "level", "no finding"), ("ahead", "behind", "behind"),
    ("level", "ahead", "no finding"), ("behind", "ahead", "behind"),
    ("level", "level", "no finding")])
def test_one_word_claims_no_more_than_the_weaker_of_the_two_tests(folders, tmp_path, headline,
                                                                  hardest, label):
    def change(frame):
        own = pl.col("regime") == "rolling"
        return frame.with_columns(verdict=pl.when(own & pl.col("headline")).then(
            pl.lit(headline)).when(own & (pl.col("basis") == "test")).then(
            pl.lit(hardest)).otherwise("verdict"))

    assert answer(edited(folders, tmp_path, "comparisons.parquet", change),
                  regime="rolling").label == label


def test_without_a_test_nothing_is_claimed(folders, tmp_path):
    found = answer(edited(folders, tmp_path, "comparisons.parquet", lambda f: f.clear()))
    assert found.label == "no finding"
    assert found.sentences[0] == "blend and data_scientist were not tested against each other"
    assert not found.on_validation


def test_a_tie_of_the_intervals_is_called_no_finding_in_full(folders):
    found = answer(folders)
    assert found.label == "no finding"
    assert found.sentences[0] == ("no finding: the gain of blend over data_scientist is .007 "
                                  "[−.015, .029], p = .800 corrected for 9 comparisons")


def test_no_model_or_no_figure_at_all_is_said(folders, tmp_path):
    def only(groups):
        return lambda f: f.with_columns(mean=pl.when(pl.col("variant").is_in(groups)).then("mean"))

    bare = edited(folders, tmp_path, "comparisons.parquet", lambda f: f.clear())
    metrics = bare["evaluation__rel_f1__driver_dnf"] / "metrics.parquet"
    whole = pl.read_parquet(metrics)
    only(["rdl"])(whole).write_parquet(metrics)
    assert answer(bare).sentences[0] == "no model has a figure, so there is nothing to compare"
    only([])(whole).write_parquet(metrics)
    assert answer(bare).sentences == ["nothing has a figure here"]


def test_a_published_figure_stands_in_its_own_regime_alone_and_is_never_the_best(folders):
    settings = ReportSettings(published=(published("rolling", 0.99), published("rolling", 0.7)))
    assert answer(folders, settings, "frozen_db").published is None
    rolling = answer(folders, settings, "rolling")
    assert rolling.published["mean"] == 0.99
    assert rolling.model["variant"] == "blend"


def test_lower_is_better_where_it_is(folders):
    found = answer(folders, ReportSettings(published=tuple(
        published("rolling", v, task="driver-position", metric="mae") for v in (3.0, 2.0))),
        "rolling", "driver-position")
    assert not found.higher_is_better
    assert found.published["mean"] == 2.0


def test_a_comparison_that_was_made_the_other_way_is_turned_round():
    tests = pl.DataFrame([{"metric": "roc_auc", "variant": "a", "against": "b", "difference": 0.1,
                           "ci_low": 0.02, "ci_high": 0.3, "verdict": "ahead"}])
    turned = compared(tests, "roc_auc", {"variant": "b"}, {"variant": "a"})
    assert (turned["difference"], turned["ci_low"], turned["ci_high"], turned["verdict"]) == (
        -0.1, -0.3, -0.02, "behind")
    assert compared(tests, "roc_auc", {"variant": "a"}, {"variant": "c"}) is None


def test_of_equals_the_first_in_reading_order_is_the_best():
    rows = pl.DataFrame({"variant": ["a", "b", "c"], "group": ["ours"] * 3,
                         "mean": [0.5, 0.7, 0.7]})
    assert best(rows, ("ours",), True)["variant"] == "b"
    assert best(rows, ("baseline",), True) is None
