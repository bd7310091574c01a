"""Types of many databases are few kinds."""

import pytest

from rowgraph.importing.found import kind_of


@pytest.mark.parametrize(("said", "kind"), [
    ("INTEGER", "integer"), ("bigint", "integer"), ("TINYINT(1)", "integer"), ("INT8", "integer"),
    ("UBIGINT", "integer"), ("int4range", "other"), ("POINT", "other"), ("bigserial", "integer"),
    ("NUMERIC(10, 2)", "number"), ("DOUBLE PRECISION", "number"), ("money", "number"),
    ("VARCHAR(20)", "text"), ("citext", "text"), ("ENUM('a', 'b')", "text"),
    ("TIMESTAMP WITH TIME ZONE", "time"), ("DATETIME", "time"), ("DATE", "date"),
    ("UUID", "identifier"), ("INTEGER[]", "nested"), ("STRUCT(a INTEGER)", "nested"),
    ("jsonb", "nested"), ("INTERVAL", "interval"), ("BYTEA", "binary"), ("BLOB", "binary"),
    ("BOOLEAN", "flag"), ("tsvector", "other"), ("geometry", "other"),
])
def test_a_type_is_of_a_kind(said, kind):
    assert kind_of(said) == kind
