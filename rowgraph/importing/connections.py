"""DuckDB connections that draw nothing: what is long here has a progress bar of ours."""

import contextlib

import duckdb


def without_bar(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The connection, with no progress bar of its own. In a notebook that lacks the widgets for one
    DuckDB refuses even to be told so."""
    with contextlib.suppress(duckdb.InvalidInputException):
        connection.execute("SET enable_progress_bar = false")
    return connection
