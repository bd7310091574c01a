"""SQL that came with a task reads what it is handed, and ends."""

from __future__ import annotations

import duckdb
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


@pytest.mark.parametrize("sql", [
    "", "-- nothing", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE players",
    "CREATE TABLE x AS SELECT 1", "CREATE VIEW x AS SELECT 1", "CREATE MACRO x() AS 1",
    "CREATE SECRET x (TYPE s3)", "DROP VIEW players", "INSERT INTO players VALUES (9)",
    "UPDATE players SET player_id = 9", "DELETE FROM players", "ALTER TABLE players RENAME TO x",
    "COPY players TO '{0}/x.csv'", "COPY (SELECT 1) TO '{0}/x.parquet'",
    "COPY players FROM '{0}/secret.csv'", "EXPORT DATABASE '{0}/x'", "IMPORT DATABASE '{0}'",
    "ATTACH '{0}/x.db'", "DETACH memory", "USE memory", "CHECKPOINT", "INSTALL httpfs",
    "LOAD httpfs", "SET enable_external_access = true", "RESET lock_configuration",
    "PRAGMA database_list", "CALL pragma_version()", "EXPLAIN ANALYZE SELECT 1", "BEGIN",
    "PREPARE x AS SELECT 1", "VACUUM",
])
def test_what_is_no_single_select_is_refused_before_it_runs(sql, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match=r"expected one SELECT"):
        run(sql.format(tmp_path), TABLES)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize("source", [
    "'{0}/secret.csv'", "\"{0}/secret.csv\"", "read_csv('{0}/secret.csv')",
    "read_csv_auto('{0}/*.csv')", "read_parquet('{0}/secret.csv')", "read_json('{0}/secret.csv')",
    "read_text('{0}/secret.csv')", "read_blob('{0}/secret.csv')", "glob('{0}/*')",
    "sniff_csv('{0}/secret.csv')", "parquet_schema('{0}/secret.csv')",
    "parquet_metadata('{0}/secret.csv')", "parquet_scan('{0}/secret.csv')",
    "sqlite_scan('{0}/x.db', 'x')", "read_csv('https://localhost/x.csv')",
    "query('SELECT * FROM read_text(''{0}/secret.csv'')')", "query_table('{0}/secret.csv')",
    "(COPY players TO '{0}/x.csv')",
    "(SELECT * FROM read_text('{0}/secret.csv') UNION ALL SELECT 1)",
])
def test_a_select_reads_no_file_and_writes_none(source, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises((duckdb.Error, ValueError)):
        run(f"SELECT * FROM {source.format(tmp_path)}", TABLES)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize("function", ["getenv('HOME')", "current_setting('s3_secret_access_key')"])
def test_a_select_learns_nothing_of_the_process(function):
    with pytest.raises(duckdb.Error):
        run(f"SELECT {function} AS x", TABLES)


def test_two_tables_that_are_one_to_sql_are_refused():
    with pytest.raises(ValueError, match="the tables players and Players are one to SQL; rename"):
        run("SELECT 1", TABLES | {"Players": TABLES["players"]})
