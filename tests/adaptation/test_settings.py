import pytest
from pydantic import ValidationError

from rowgraph.adaptation.settings import DownstreamMetricsSettings


def settings(**values):
    return DownstreamMetricsSettings.model_validate(values)


@pytest.mark.parametrize(("values", "message"), [
    ({"variants": ["bart_head", "bart_head"]}, "variants lists one more than once"),
    ({"regimes": ["rolling", "rolling"]}, "regimes lists one more than once"),
    ({"seeds": [0, 0, 1]}, "listed more than once"),
    ({"candidates": [{}, {}]}, "candidates lists one more than once"),
    ({"candidates": [{"aged": True}]}, "add one without `aged: true`"),
    ({"candidates": [{"rate": 1}]}, "Extra inputs"),
    ({"reference": "bart_head", "variants": ["random_head"]}, "not among variants"),
    ({"learning_rate": float("inf")}, "finite number"),
    ({"learning_rate": 1e300}, "less than or equal to 1"),
    ({"candidates": [{"learning_rate": float("nan")}]}, "finite number"),
    ({"workers": 0}, "workers must be at least 1"),
    ({"folds": 0}, "greater than 0"),
])
def test_what_makes_no_sense_is_refused_with_its_name(values, message):
    with pytest.raises(ValidationError, match=message):
        settings(**values)


def test_the_number_of_processes_belongs_to_no_recipe():
    assert settings(workers=3).effective() == settings().effective()
    assert settings(folds=2).effective() != settings().effective()


@pytest.mark.parametrize(("variants", "judge"), [
    (["bart_head", "bart_gnn_finetuned"], "bart_gnn_finetuned"),
    (["bart_head", "random_gnn_frozen"], "random_gnn_frozen"),
    (["random_head", "bart_head"], "random_head")])
def test_the_fine_tuned_variant_compares_candidates_or_the_next_best(variants, judge):
    assert settings(variants=variants).judge == judge
    assert settings(variants=variants, reference=variants[0]).judge == variants[0]


def test_aged_candidates_alone_are_enough_where_everything_ages():
    assert settings(candidates=[{"aged": True}], regimes=["frozen_db"]).candidates[0].aged
