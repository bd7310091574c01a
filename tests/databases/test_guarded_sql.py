"""SQL that came with a task reads what it is handed, and ends."""

from __future__ import annotations

import pandas as pd
import pytest

from rowgraph.databases.guarded_sql import run

TABLES = {"players": pd.DataFrame({"player_id": [0, 1, 2]})}


def test_a_select_reads_the_tables_that_it_is_handed():
    assert run("SELECT sum(player_id) AS s FROM players", TABLES)["s"].tolist() == [3]


def test_a_query_without_an_end_is_stopped():
    with pytest.raises(ValueError, match=r"stopped after 0\.005 minutes; ask about fewer rows"):
        run("SELECT count(*) FROM range(1000000000) a, range(1000) b WHERE a.range * b.range = 7",
            {}, minutes=0.005)


def test_a_query_that_would_fill_the_memory_is_stopped():
    with pytest.raises(ValueError, match="needs more than 100MB of memory"):
        run("SELECT list(x) FROM range(100000000) t(x)", {}, memory="100MB")


@pytest.mark.parametrize("variable", ["secret", "TABLES", "pd"])
def test_a_query_does_not_see_the_variables_around_it(variable):
    secret = pd.DataFrame({"a": [1]})
    assert len(secret)
    with pytest.raises(Exception, match="does not exist"):
        run(f"SELECT * FROM {variable}", TABLES)
