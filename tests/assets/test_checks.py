from assets.checks import health_checks, no_open_suspects, rows_fit
from assets.describing import _table_of

HEALTH = {"spread": 0.4, "effective_rank": 3.0, "table_purity": 0.9, "norm_of_mean": 1.0,
          "table_spread": {"shop.orders": 0.1}}
SETTINGS = {"min_spread": 0.05, "min_effective_rank": 4.0}


def test_each_figure_of_health_is_shown_with_its_floor():
    found = {c.check_name: c for c in health_checks(HEALTH, SETTINGS)}
    assert {name: c.passed for name, c in found.items()} == {
        "embeddings_spread": True, "embeddings_effective_rank": False, "tables_told_apart": True}
    assert found["embeddings_effective_rank"].description == (
        "effective_rank 3.000, at least 4 is expected")


def test_tables_too_wide_for_the_model_are_named_with_the_next_move():
    check = rows_fit({"shop.orders": 0.25, "shop.customers": 0.0}, 128)
    assert not check.passed
    assert check.description == ("cut at 128 tokens: shop.orders (25% of rows); raise "
                                 "bart_checkpoint.max_tokens to read them whole")
    assert rows_fit({"shop.orders": 0.01}, 128).passed


def test_facts_by_table_are_shown_as_a_table():
    shown = _table_of({"orders": {"rows": 3, "distinct": 2}, "items": {"rows": 1, "distinct": 1}})
    assert [r.data for r in shown.records] == [
        {"name": "orders", "rows": 3, "distinct": 2}, {"name": "items", "rows": 1, "distinct": 1}]
    assert _table_of({"orders": 0.5}) is None
    assert _table_of({"orders": {"rows": {}}}) is None
    assert _table_of({}) is None


def test_suspects_that_are_left_as_they_stand_are_a_warning():
    counts = {"late_columns": 2, "suspects": 3, "open_suspects": 1}
    left = no_open_suspects(counts)
    assert not left.passed
    assert "1 of 3 suspects" in left.description
    assert no_open_suspects({**counts, "open_suspects": 0}).passed
