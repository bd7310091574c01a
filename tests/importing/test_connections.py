"""Connections that draw no bar of their own."""

import duckdb

from rowgraph.importing.connections import without_bar


def test_a_notebook_without_widgets_has_a_connection_all_the_same():
    class InNotebook:
        def execute(self, sql):
            raise duckdb.InvalidInputException("required package 'ipywidgets' is missing")

    connection = InNotebook()
    assert without_bar(connection) is connection


def test_a_connection_has_no_bar():
    connection = without_bar(duckdb.connect())
    shown, = connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    assert not shown
